//! Responses, whole and as events. The last event of a stream has the whole response in it.

use super::each_data;
use super::object::{Object, is_blank, list, quoted};
use bytes::Bytes;
use std::borrow::Cow;

pub(super) fn as_whole(stream: &Bytes) -> Option<Vec<u8>> {
    let mut whole = None;
    each_data(stream, |data| {
        // Nothing that is an answer follows it.
        if whole.is_none() && !data.trim_start().starts_with("[DONE]") {
            let event = Object::of(data)?;
            match event.text("type") {
                "response.completed" | "response.incomplete" => whole = Some(event.get("response")?.to_owned()),
                "response.failed" | "response.cancelled" | "error" => return None,
                _ => {}
            }
        }
        Some(())
    })?;
    whole.map(String::into_bytes)
}

pub(super) fn as_stream(body: &str) -> Option<Vec<u8>> {
    let response = Object::of(body)?;
    let last = match response.text("status") {
        "completed" => "response.completed",
        "incomplete" => "response.incomplete",
        // It goes on in the background, or failed.
        _ => return None,
    };
    let mut begun = response.clone();
    begun.set("status", "\"in_progress\"");
    for name in ["completed_at", "incomplete_details", "usage"] {
        begun.reset(name, "null");
    }
    begun.set("output", "[]");
    begun.reset("output_text", "\"\"");
    let begun = begun.json();
    let mut events = Events::default();
    for name in ["response.created", "response.in_progress"] {
        events.put(name, Object::default().with("response", begun.as_str()));
    }
    for (index, item) in response.elements("output")?.into_iter().enumerate() {
        events.item(&index.to_string(), item)?;
    }
    events.put(last, Object::default().with("response", body));
    Some(events.out)
}

/// The events so far.
#[derive(Debug, Default)]
struct Events {
    next: u64,
    out: Vec<u8>,
}

/// Where a piece belongs.
#[derive(Clone, Debug)]
struct Place(Object<'static>);

impl Place {
    fn with<'a>(&self, name: &str, json: impl Into<Cow<'a, str>>) -> Object<'a> {
        self.0.clone().with(name, json)
    }
    fn within(&self, list: &str, nth: usize) -> Self {
        Self(self.0.clone().with(list, nth.to_string()))
    }
}

impl Events {
    fn put(&mut self, name: &str, data: Object<'_>) {
        let mut event = Object::default().with("type", quoted(name)).with("sequence_number", self.next.to_string());
        for (name, value) in data {
            event.set(&name, value);
        }
        self.next += 1;
        self.out.extend_from_slice(format!("event: {name}\ndata: {}\n\n", event.json()).as_bytes());
    }

    fn item(&mut self, index: &str, json: &str) -> Option<()> {
        let item = Object::of(json)?;
        let at = Object::default().with("output_index", index.to_owned());
        let mut announced = item.clone();
        announced.reset("status", "\"in_progress\"");
        for name in ["content", "summary"] {
            announced.reset(name, "[]");
        }
        for name in ["arguments", "input"] {
            announced.reset(name, "\"\"");
        }
        self.put("response.output_item.added", at.clone().with("item", announced.json()));
        let id = item.get("id").map_or_else(|| "\"\"".to_owned(), str::to_owned);
        let place = Place(Object::default().with("item_id", id).with("output_index", index.to_owned()));
        for (nth, part) in item.elements("summary")?.into_iter().enumerate() {
            let place = place.within("summary_index", nth);
            self.part(["response.reasoning_summary_part", "response.reasoning_summary_text"], &place, part)?;
        }
        for (nth, part) in item.elements("content")?.into_iter().enumerate() {
            let text = match Object::of(part)?.text("type") {
                "refusal" => "response.refusal",
                "reasoning_text" => "response.reasoning_text",
                _ => "response.output_text",
            };
            self.part(["response.content_part", text], &place.within("content_index", nth), part)?;
        }
        let pieces = match item.text("type") {
            "function_call" => Some(("response.function_call_arguments", "arguments")),
            "mcp_call" => Some(("response.mcp_call_arguments", "arguments")),
            "custom_tool_call" => Some(("response.custom_tool_call_input", "input")),
            _ => None,
        };
        if let Some((event, name)) = pieces {
            let value = item.get(name)?;
            self.put(&format!("{event}.delta"), place.with("delta", value));
            let done = item.get("name").map_or_else(|| place.with("name", "\"\""), |own| place.with("name", own));
            self.put(&format!("{event}.done"), done.with(name, value));
        }
        self.put("response.output_item.done", at.with("item", json));
        Some(())
    }

    /// A text of an item; `names`: of its part's events and of its own.
    fn part(&mut self, names: [&str; 2], place: &Place, json: &str) -> Option<()> {
        let part = Object::of(json)?;
        let [part_event, text_event] = names;
        let (text, member) = match part.get("refusal") {
            Some(refusal) => (Some(refusal), "refusal"),
            None => (part.get("text"), "text"),
        };
        let mut announced = part.clone();
        announced.reset(member, "\"\"");
        for name in ["annotations", "logprobs"] {
            announced.reset(name, "[]");
        }
        self.put(&format!("{part_event}.added"), place.with("part", announced.json()));
        if let Some(text) = text {
            let with_logprobs = |event: Object<'static>| match part.get("logprobs") {
                Some(logprobs) => event.with("logprobs", logprobs.to_owned()),
                None => event,
            };
            if !is_blank(text) {
                self.put(&format!("{text_event}.delta"), with_logprobs(place.with("delta", text.to_owned())));
            }
            for (nth, annotation) in list(part.get("annotations").unwrap_or("[]"))?.into_iter().enumerate() {
                let annotated = place.with("annotation_index", nth.to_string()).with("annotation", annotation);
                self.put("response.output_text.annotation.added", annotated);
            }
            self.put(&format!("{text_event}.done"), with_logprobs(place.with(member, text.to_owned())));
        }
        self.put(&format!("{part_event}.done"), place.with("part", json));
        Some(())
    }
}
