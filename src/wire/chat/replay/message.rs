//! Messages, whole and as events.

use super::each_data;
use super::object::{Object, inside, is_blank, list, quoted};
use crate::wire::json_walk::unescape;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

pub(super) fn as_stream(body: &str) -> Option<Vec<u8>> {
    let mut message = Object::of(body)?;
    if message.text("type") != "message" {
        return None;
    }
    let content = message.take("content")?;
    let usage = message.take("usage")?;
    let mut ending = Object::default();
    for name in ["stop_reason", "stop_sequence"] {
        let value = message.take(name);
        ending.set(name, value.unwrap_or("null".into()));
    }
    ending.get("stop_reason")?;
    let mut out = Vec::new();
    let begun = message.with("content", "[]").with("stop_reason", "null").with("stop_sequence", "null");
    let begun = begun.with("usage", Object::of(&usage)?.with("output_tokens", "0").json());
    event("message_start", Object::default().with("message", begun.json()), &mut out);
    for (index, block) in list(&content)?.into_iter().enumerate() {
        write_block(&index.to_string(), Object::of(block)?, &mut out)?;
    }
    event("message_delta", Object::default().with("delta", ending.json()).with("usage", usage), &mut out);
    event("message_stop", Object::default(), &mut out);
    Some(out)
}

fn write_block(index: &str, mut block: Object<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut deltas: Vec<String> = Vec::new();
    let mut delta = |kind: &str, name: &str, value: &str| {
        if !is_blank(value) {
            deltas.push(Object::default().with("type", quoted(kind)).with(name, value).json());
        }
    };
    match block.text("type") {
        "text" => {
            delta("text_delta", "text", block.get("text")?);
            for citation in block.elements("citations")? {
                delta("citations_delta", "citation", citation);
            }
            block.set("text", "\"\"");
            block.reset("citations", "[]");
        }
        "thinking" => {
            delta("thinking_delta", "thinking", block.get("thinking").unwrap_or_default());
            delta("signature_delta", "signature", block.get("signature").unwrap_or("null"));
            block.set("thinking", "\"\"");
            block.set("signature", "\"\"");
        }
        // Calls of any kind; results come with their start.
        _ => {
            if let Some(input) = block.get("input").filter(|input| input.starts_with('{')) {
                // An object with nothing in it is what the start says.
                let input = if is_blank(input) { "null".to_owned() } else { quoted(input) };
                delta("input_json_delta", "partial_json", &input);
                block.set("input", "{}");
            }
        }
    }
    let at = || Object::default().with("index", index.to_owned());
    event("content_block_start", at().with("content_block", block.json()), out);
    for delta in deltas {
        event("content_block_delta", at().with("delta", delta), out);
    }
    event("content_block_stop", at(), out);
    Some(())
}

fn event(name: &str, data: Object<'_>, out: &mut Vec<u8>) {
    let mut named = Object::default().with("type", quoted(name));
    for (name, value) in data {
        named.set(&name, value);
    }
    out.extend_from_slice(format!("event: {name}\ndata: {}\n\n", named.json()).as_bytes());
}

pub(super) fn as_whole(stream: &Bytes) -> Option<Vec<u8>> {
    let mut answer = Message::default();
    each_data(stream, |data| if answer.ended { Some(()) } else { answer.event(data) })?;
    let Message { head: Some(mut head), usage, blocks, ended: true } = answer else { return None };
    head.get("stop_reason")?;
    let content: Option<Vec<String>> = blocks.into_values().map(Block::whole).collect();
    head.set("content", format!("[{}]", content?.join(",")));
    head.set("usage", usage.json());
    Some(head.json().into_bytes())
}

/// What the events so far make.
#[derive(Debug, Default)]
struct Message {
    head: Option<Object<'static>>,
    usage: Object<'static>,
    blocks: BTreeMap<u64, Block>,
    ended: bool,
}

#[derive(Debug)]
struct Block {
    start: Object<'static>,
    /// What its texts go on with, by member. Escapes stay: half a character in one piece is whole with the next.
    texts: BTreeMap<&'static str, String>,
    citations: Vec<String>,
    /// The arguments of a call, escapes unresolved.
    input: String,
}

impl Message {
    fn event(&mut self, data: &str) -> Option<()> {
        let event = Object::of(data)?;
        let index = || event.get("index")?.parse().ok();
        match event.text("type") {
            "message_start" => {
                let mut head = owned(event.get("message")?)?;
                self.count(head.take("usage").as_deref().unwrap_or("{}"))?;
                self.head = Some(head);
            }
            "content_block_start" => {
                let start = owned(event.get("content_block")?)?;
                let block = Block { start, texts: BTreeMap::new(), citations: Vec::new(), input: String::new() };
                let before = self.blocks.insert(index()?, block);
                return before.is_none().then_some(());
            }
            "content_block_delta" => self.blocks.get_mut(&index()?)?.delta(event.get("delta")?)?,
            "message_delta" => {
                let head = self.head.as_mut()?;
                for (name, value) in event.iter() {
                    match name {
                        "type" | "usage" => {}
                        "delta" => set_all(head, value)?,
                        _ => head.set(name, value.to_owned()),
                    }
                }
                self.count(event.get("usage").unwrap_or("{}"))?;
            }
            "message_stop" => self.ended = true,
            "ping" | "content_block_stop" => {}
            // An error, or what is not known here and may be of the answer.
            _ => return None,
        }
        Some(())
    }

    /// What comes later says more; what it leaves out stays.
    fn count(&mut self, usage: &str) -> Option<()> {
        for (name, value) in owned(usage)?.into_iter().filter(|(_, value)| value != "null") {
            self.usage.set(&name, value);
        }
        Some(())
    }
}

impl Block {
    fn delta(&mut self, delta: &str) -> Option<()> {
        let delta = Object::of(delta)?;
        let (name, is_said_once) = match delta.text("type") {
            "text_delta" => ("text", false),
            "thinking_delta" => ("thinking", false),
            "signature_delta" => ("signature", true),
            "input_json_delta" => {
                self.input.push_str(inside(delta.get("partial_json")?)?);
                return Some(());
            }
            "citations_delta" => {
                self.citations.push(delta.get("citation")?.to_owned());
                return Some(());
            }
            _ => return None,
        };
        let more = inside(delta.get(name)?)?;
        let text = self.texts.entry(name).or_default();
        if is_said_once {
            text.clear();
        }
        text.push_str(more);
        Some(())
    }

    fn whole(self) -> Option<String> {
        let Self { mut start, texts, citations, input } = self;
        for (name, more) in texts {
            let text = format!("\"{}{more}\"", start.text(name));
            start.set(name, text);
        }
        if !citations.is_empty() {
            let known = start.elements("citations")?.into_iter().map(str::to_owned);
            let all: Vec<String> = known.chain(citations).collect();
            start.set("citations", format!("[{}]", all.join(",")));
        }
        if !input.is_empty() {
            let input = unescape(input.as_bytes()).into_owned();
            let object = RawValue::from_string(input).ok().filter(|json| json.get().starts_with('{'))?;
            start.set("input", object.get().to_owned());
        }
        Some(start.json())
    }
}

fn owned(json: &str) -> Option<Object<'static>> {
    let mut object = Object::default();
    set_all(&mut object, json)?;
    Some(object)
}

fn set_all(object: &mut Object<'static>, json: &str) -> Option<()> {
    for (name, value) in Object::of(json)? {
        object.set(&name, value.into_owned());
    }
    Some(())
}
