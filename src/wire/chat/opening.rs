//! The beginning of a client's stream: whether something of the answer is in it by now. Until then the stream can still
//! be thrown away and asked for elsewhere, so it is held back that long.
//!
//! What says that a stream lives, what repeats the request, and what only announces a block is not of the answer. What
//! is not known here is: holding it back could hold back an answer.

use super::Format;
use crate::wire::json_walk::{elements, member, members, string, unescape};
use crate::wire::sse::{Event, Frame, Framer};
use bytes::Bytes;
use serde_json::value::RawValue;

/// Bytes that are looked at, and so the most that is held back: a stream that says nothing in so many passes.
pub const OPENING_LIMIT: usize = 64 * 1024;

/// How far a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Nothing of the answer so far.
    NotYet,
    /// The answer has begun, or is over. It stays so.
    Output,
    /// The upstream has told of an error before anything else. It stays so.
    Failed,
}

/// Looks at a stream until its first output. Costs nothing after that.
#[derive(Debug)]
pub struct Opening {
    format: Format,
    framer: Framer,
    /// Bytes so far.
    seen: usize,
    /// Something but white space was among them.
    begun: bool,
    opened: Opened,
}

impl Opening {
    /// `format`: the client's form. Forms that are not known here have output from their first byte on.
    pub fn new(format: Format) -> Self {
        let framer = Framer::new(OPENING_LIMIT);
        Self { format, framer, seen: 0, begun: false, opened: Opened::NotYet }
    }

    /// Takes the next piece, wherever the stream was cut.
    pub fn push(&mut self, piece: &[u8]) -> Opened {
        if self.opened != Opened::NotYet || piece.is_empty() {
            return self.opened;
        }
        if !self.is_of_events(piece) {
            self.opened = Opened::Output;
            return self.opened;
        }
        let looked_at = piece.get(..OPENING_LIMIT - self.seen).unwrap_or(piece);
        self.seen += looked_at.len();
        let Self { format, framer, opened, .. } = self;
        framer.push(&Bytes::copy_from_slice(looked_at), |frame| opened.tell(*format, &frame));
        if self.opened == Opened::NotYet && self.seen >= OPENING_LIMIT {
            self.opened = Opened::Output;
        }
        self.opened
    }

    /// The stream is over. [`Opened::NotYet`]: without an answer.
    pub fn end(&mut self) -> Opened {
        if let Some(rest) = self.framer.finish() {
            self.opened.tell(self.format, &rest);
        }
        self.opened
    }

    /// Some servers answer whole although a stream was asked for.
    fn is_of_events(&mut self, piece: &[u8]) -> bool {
        if !matches!(
            self.format,
            Format::OpenAiChat | Format::OpenAiCompletions | Format::OpenAiResponses | Format::Anthropic
        ) {
            return false;
        }
        match piece.trim_ascii_start().first() {
            Some(b'{' | b'[') if !self.begun => false,
            Some(_) => {
                self.begun = true;
                true
            }
            None => true,
        }
    }
}

impl Opened {
    /// What the first event that decides has said stands.
    fn tell(&mut self, format: Format, frame: &Frame) {
        if *self == Self::NotYet {
            *self = match frame {
                Frame::Event(event) => of_event(format, event),
                Frame::Opaque(_) => Self::Output,
            };
        }
    }

    const fn output_if(is_output: bool) -> Self {
        if is_output { Self::Output } else { Self::NotYet }
    }
}

fn of_event(format: Format, event: &Event) -> Opened {
    let Some(data) = event.data_bytes().filter(|data| !data.trim_ascii().is_empty()) else { return Opened::NotYet };
    let name = event.name().unwrap_or_default();
    let data = match serde_json::from_slice::<&RawValue>(&data) {
        Ok(json) if json.get().starts_with('{') => json.get().as_bytes(),
        // `[DONE]`, and whatever the client may make of it.
        _ => return if name == b"error" { Opened::Failed } else { Opened::Output },
    };
    let kind =
        string(value(data, "type")).filter(|kind| !kind.is_empty()).map_or(String::from_utf8_lossy(name), unescape);
    if kind == "error" || is_error(data) {
        return Opened::Failed;
    }
    match format {
        Format::Anthropic => of_message(&kind, data),
        Format::OpenAiResponses => of_response(&kind, data),
        _ => of_chunk(data),
    }
}

/// `error` with something in it, or an object that calls itself one. Answers have the member as well, as `null`.
fn is_error(data: &[u8]) -> bool {
    let error = value(data, "error");
    (says_something(error) && error != b"false") || value(data, "object") == b"\"error\""
}

/// A chunk of chat or text completions.
fn of_chunk(chunk: &[u8]) -> Opened {
    // Whoever has neither speaks in another way.
    let is_known =
        ["choices", "usage", "prompt_filter_results", "error"].into_iter().any(|name| member(chunk, name).is_some());
    let is_output = |choice: &[u8]| {
        ["finish_reason", "text"].into_iter().any(|name| says_something(value(choice, name)))
            || ["delta", "message"].into_iter().any(|name| says_more_than(value(choice, name), &["role"]))
    };
    Opened::output_if(!is_known || elements(value(chunk, "choices")).any(is_output))
}

fn of_message(kind: &str, event: &[u8]) -> Opened {
    match kind {
        "ping" | "content_block_stop" => Opened::NotYet,
        "message_start" => {
            let message = value(event, "message");
            Opened::output_if(["content", "stop_reason"].into_iter().any(|name| says_something(value(message, name))))
        }
        "content_block_start" => {
            let block = value(event, "content_block");
            let is_announced = matches!(value(block, "type"), b"\"text\"" | b"\"thinking\"");
            Opened::output_if(!is_announced || says_more_than(block, &["type"]))
        }
        "content_block_delta" => Opened::output_if(says_more_than(value(event, "delta"), &["type"])),
        "message_delta" => Opened::output_if(says_something(value(value(event, "delta"), "stop_reason"))),
        _ => Opened::Output,
    }
}

fn of_response(kind: &str, event: &[u8]) -> Opened {
    match kind {
        "response.created" | "response.in_progress" | "response.queued" => Opened::NotYet,
        "response.failed" => Opened::Failed,
        "response.output_item.added" => {
            let item = value(event, "item");
            // Reasoning may come with what only the model can read of it, and then take minutes.
            let is_announced = matches!(value(item, "type"), b"\"message\"" | b"\"reasoning\"");
            let has_content = ["content", "summary"].into_iter().any(|name| says_something(value(item, name)));
            Opened::output_if(!is_announced || has_content)
        }
        "response.content_part.added" | "response.reasoning_summary_part.added" => {
            let part = value(event, "part");
            Opened::output_if(["text", "refusal"].into_iter().any(|name| says_something(value(part, name))))
        }
        delta if delta.ends_with(".delta") => Opened::output_if(says_something(value(event, "delta"))),
        // A name that is none of the answer's only keeps the connection open.
        other => Opened::output_if(other.is_empty() || other.starts_with("response.")),
    }
}

/// Empty where there is none.
fn value<'a>(object: &'a [u8], name: &str) -> &'a [u8] {
    member(object, name).map(|found| found.value).unwrap_or_default()
}

fn says_something(value: &[u8]) -> bool {
    match value {
        [] | b"null" | b"\"\"" => false,
        [b'[', ..] => elements(value).next().is_some(),
        [b'{', ..] => members(value).next().is_some(),
        _ => true,
    }
}

/// The object has a member that says something beside those of `names`.
fn says_more_than(object: &[u8], names: &[&str]) -> bool {
    members(object).any(|m| says_something(m.value) && !names.iter().any(|name| m.is(name)))
}

#[cfg(test)]
mod tests;
