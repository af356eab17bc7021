//! Chat and text completions, whole and in chunks.

use super::each_data;
use super::grown::Grown;
use super::object::{Object, is_blank, list};
use crate::wire::json_walk::{elements, member, whole_number};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Chat,
    Text,
}

/// What every chunk says; other members of the answer are said once.
const SAID_EVERYWHERE: [&str; 6] = ["id", "object", "created", "model", "system_fingerprint", "service_tier"];
/// Padding against those who measure pieces.
const PADDING: &str = "obfuscation";
/// What comes in pieces that do not make one of its kind: sound.
const UNSAYABLE: &str = "audio";

pub(super) fn as_stream(kind: Kind, body: &str, wants_usage: bool) -> Option<Vec<u8>> {
    let mut head = Object::of(body)?;
    let choices = head.take("choices")?;
    let usage = head.take("usage");
    head.set("object", kind.object(true));
    let mut chunks = Chunks { head, usage: wants_usage, out: Vec::new() };
    let choices = list(&choices)?;
    for (nth, choice) in choices.iter().enumerate() {
        let mut choice = Object::of(choice)?;
        let index = choice.take("index").unwrap_or_else(|| nth.to_string().into());
        let logprobs = choice.take("logprobs");
        let finish = choice.take("finish_reason")?;
        match kind {
            Kind::Chat => chunks.message(&index, &choice.take("message")?, logprobs)?,
            Kind::Text => {
                let said = Object::default().with("text", choice.take("text")?);
                chunks.choice(said, &index, logprobs, "null");
            }
        }
        let last = if kind == Kind::Chat { ("delta", "{}") } else { ("text", "\"\"") };
        // What is told of the choice as a whole is told at its end.
        chunks.choice(choice.with(last.0, last.1), &index, None, &finish);
    }
    if wants_usage {
        let usage = usage?;
        chunks.put("[]", &usage);
    }
    chunks.out.extend_from_slice(b"data: [DONE]\n\n");
    (!choices.is_empty()).then_some(chunks.out)
}

/// The chunks so far.
struct Chunks<'a> {
    head: Object<'a>,
    usage: bool,
    out: Vec<u8>,
}

impl Chunks<'_> {
    fn put(&mut self, choices: &str, usage: &str) {
        let mut chunk = self.head.clone().with("choices", choices);
        if self.usage {
            chunk.set("usage", usage);
        }
        self.out.extend_from_slice(format!("data: {}\n\n", chunk.json()).as_bytes());
        for (name, _) in chunk.iter().filter(|(name, _)| !SAID_EVERYWHERE.contains(name)) {
            self.head.take(name);
        }
    }

    fn choice(&mut self, said: Object<'_>, index: &str, logprobs: Option<Cow<'_, str>>, finish: &str) {
        let logprobs = logprobs.unwrap_or(Cow::Borrowed("null"));
        let said = said.with("index", index).with("logprobs", logprobs).with("finish_reason", finish);
        self.put(&format!("[{}]", said.json()), "null");
    }

    /// A member at a time: some clients see one of several only.
    fn message(&mut self, index: &str, message: &str, mut logprobs: Option<Cow<'_, str>>) -> Option<()> {
        let mut message = Object::of(message)?;
        let role = message.take("role").unwrap_or(Cow::Borrowed("\"assistant\""));
        let calls = message.take("tool_calls");
        let mut said = vec![Object::default().with("role", role).with("content", "\"\"")];
        let spoken = ["content", "refusal"].map(|name| (name, message.take(name)));
        for (name, value) in message.iter().filter(|(_, value)| !is_blank(value)) {
            if name == UNSAYABLE {
                return None;
            }
            said.push(Object::default().with(name, value.to_owned()));
        }
        let mut spoken_from = said.len();
        for (name, value) in spoken {
            said.extend(value.filter(|value| !is_blank(value)).map(|value| Object::default().with(name, value)));
        }
        for (nth, call) in list(calls.as_deref().unwrap_or("[]"))?.into_iter().enumerate() {
            let call = Object::of(call)?.with("index", nth.to_string());
            said.push(Object::default().with("tool_calls", format!("[{}]", call.json())));
        }
        spoken_from = spoken_from.min(said.len() - 1);
        for (nth, delta) in said.into_iter().enumerate() {
            let logprobs = if nth == spoken_from { logprobs.take() } else { None };
            self.choice(Object::default().with("delta", delta.json()), index, logprobs, "null");
        }
        Some(())
    }
}

pub(super) fn as_whole(kind: Kind, stream: &Bytes, told: impl FnOnce() -> Option<String>) -> Option<Vec<u8>> {
    let mut answer = Answer::default();
    let mut done = false;
    each_data(stream, |data| {
        done |= data.trim_start().starts_with("[DONE]");
        if done { Some(()) } else { answer.chunk(data) }
    })?;
    let Answer { mut head, usage, choices } = answer;
    let choices: Option<Vec<String>> = choices.into_iter().map(|(index, choice)| choice.whole(kind, index)).collect();
    let choices = choices.filter(|choices| !choices.is_empty())?;
    head.set("object", kind.object(false));
    head.set("choices", format!("[{}]", choices.join(",")));
    head.set("usage", usage.or_else(told)?);
    Some(head.json().into_bytes())
}

/// What the chunks so far make.
#[derive(Debug, Default)]
struct Answer {
    head: Object<'static>,
    usage: Option<String>,
    choices: BTreeMap<u64, Choice>,
}

#[derive(Debug)]
struct Choice {
    /// Of chat.
    message: Grown,
    /// Of text completions.
    text: Option<Grown>,
    logprobs: Option<Grown>,
    /// Why it ended, and what else is told of it as a whole.
    rest: Object<'static>,
    /// The ids of its tool calls, by their place.
    calls: BTreeMap<u64, String>,
}

impl Default for Choice {
    fn default() -> Self {
        let (rest, calls) = (Object::default(), BTreeMap::new());
        Self { message: Grown::nothing(), text: None, logprobs: None, rest, calls }
    }
}

impl Answer {
    fn chunk(&mut self, data: &str) -> Option<()> {
        for (name, value) in Object::of(data)? {
            match name.as_str() {
                "choices" => {
                    for choice in list(&value)? {
                        let index = member(choice.as_bytes(), "index").and_then(|m| whole_number(m.value));
                        self.choices.entry(index.unwrap_or(0)).or_default().chunk(choice)?;
                    }
                }
                "error" if !is_blank(&value) && value != "false" => return None,
                "usage" if is_blank(&value) => {}
                "usage" => self.usage = Some(value.into_owned()),
                "object" | PADDING => {}
                // Preambles have them, but empty.
                _ if is_blank(&value) && self.head.get(&name).is_some() => {}
                _ => self.head.set(&name, value.into_owned()),
            }
        }
        Some(())
    }
}

impl Choice {
    fn chunk(&mut self, choice: &str) -> Option<()> {
        for (name, value) in Object::of(choice)? {
            match name.as_str() {
                _ if value == "null" => {}
                "index" => {}
                "delta" => {
                    self.note_calls(&value)?;
                    self.message.grow(Grown::of(&value)?);
                }
                "text" => add(&mut self.text, &value)?,
                "logprobs" => add(&mut self.logprobs, &value)?,
                _ if is_blank(&value) => {}
                _ => self.rest.set(&name, value.into_owned()),
            }
        }
        Some(())
    }

    /// Pieces of calls that do not say whose they are cannot be put together, nor can calls that claim one place.
    fn note_calls(&mut self, delta: &str) -> Option<()> {
        let calls = member(delta.as_bytes(), "tool_calls").map(|m| m.value).unwrap_or_default();
        for call in elements(calls) {
            let index = whole_number(member(call, "index")?.value)?;
            let id = member(call, "id").map(|m| String::from_utf8_lossy(m.value).into_owned());
            let Some(id) = id.filter(|id| !is_blank(id)) else { continue };
            if *self.calls.entry(index).or_insert_with(|| id.clone()) != id {
                return None;
            }
        }
        Some(())
    }

    /// `None`: it has not ended, or badly.
    fn whole(mut self, kind: Kind, index: u64) -> Option<String> {
        let finish = self.rest.take("finish_reason").filter(|reason| reason != "\"error\"")?;
        let logprobs = self.logprobs.map_or_else(|| "null".to_owned(), |grown| grown.json());
        let head = Object::default().with("index", index.to_string());
        let said = match kind {
            Kind::Chat => head.with("message", message(&self.message.json())?),
            Kind::Text => head.with("text", self.text.map_or_else(|| "\"\"".to_owned(), |grown| grown.json())),
        };
        let whole = said.with("logprobs", logprobs).with("finish_reason", finish);
        Some(self.rest.into_iter().fold(whole, |whole, (name, value)| whole.with(&name, value)).json())
    }
}

fn add(to: &mut Option<Grown>, value: &str) -> Option<()> {
    let more = Grown::of(value)?;
    match to {
        Some(known) => known.grow(more),
        None => *to = Some(more),
    }
    Some(())
}

/// A message of its deltas: with the members that every message has, and without the places of its calls.
fn message(deltas: &str) -> Option<String> {
    let mut said = Object::of(deltas)?;
    if said.get(UNSAYABLE).is_some() {
        return None;
    }
    let calls = said.take("tool_calls").filter(|calls| !is_blank(calls));
    let refusal = said.take("refusal").filter(|refusal| !is_blank(refusal));
    let is_wordless = calls.is_some() || refusal.is_some() || said.get("function_call").is_some();
    let content = said.take("content").filter(|content| !is_blank(content));
    let empty = if is_wordless { "null" } else { "\"\"" };
    let role = said.take("role").unwrap_or(Cow::Borrowed("\"assistant\""));
    let mut message = Object::default()
        .with("role", role.into_owned())
        .with("content", content.map_or_else(|| empty.to_owned(), Cow::into_owned))
        .with("refusal", refusal.map_or_else(|| "null".to_owned(), Cow::into_owned));
    for (name, value) in said.iter().filter(|(_, value)| !is_blank(value)) {
        message.set(name, value.to_owned());
    }
    if let Some(calls) = &calls {
        let without_place = |call: &str| {
            let mut call = Object::of(call)?;
            call.take("index");
            Some(call.json())
        };
        let calls: Option<Vec<String>> = list(calls)?.into_iter().map(without_place).collect();
        message.set("tool_calls", format!("[{}]", calls?.join(",")));
    }
    Some(message.json())
}

impl Kind {
    /// The name of a chunk, or of the whole, as JSON.
    const fn object(self, is_chunk: bool) -> &'static str {
        match self {
            Self::Chat if is_chunk => "\"chat.completion.chunk\"",
            Self::Chat => "\"chat.completion\"",
            Self::Text => "\"text_completion\"",
        }
    }
}
