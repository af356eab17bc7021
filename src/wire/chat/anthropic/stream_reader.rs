//! Reads the stream of an answer, event by event.

use super::super::{Citation, Event, Failure, FailureKind, StreamReader};
use super::answer::{read_citation, read_input, read_stop, text};
use super::failure::read_error;
use super::usage::Usage;
use crate::wire::json_walk::{member, string, unescape, whole_number};
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Citations that wait for the first words of their text.
const MOST_EARLY: usize = 64;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    framer: Framer,
    answer: Progress,
}

/// What was told so far.
#[derive(Debug, Default)]
struct Progress {
    usage: Usage,
    started: bool,
    open: Option<Block>,
    /// The last word was said; what follows it does not count.
    over: bool,
}

/// The block that pieces belong to now.
#[derive(Debug)]
struct Block {
    index: u64,
    kind: Kind,
    /// Something of it was passed on, so its end must be as well.
    begun: bool,
    /// Arguments that came with the block's start: they count when no piece of them follows.
    input: Option<String>,
    /// A piece followed.
    pieces: bool,
    /// Citations that came before the text that they hang on.
    early: Vec<Citation>,
    /// The first escape of a surrogate pair whose second comes in the next piece.
    half: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Thinking,
    Redacted,
    Tool,
    /// Tools of the provider, and what is not known yet.
    Other,
}

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let Self { framer, answer } = self;
        framer.push(piece, |frame| answer.frame(&frame, out));
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if let Some(frame) = self.framer.finish() {
            self.answer.frame(&frame, out);
        }
    }
}

impl Progress {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) {
        match frame {
            Frame::Event(event) => {
                let data = event.data_bytes().unwrap_or_default();
                // The end of a stream that was cut may be half an event.
                if !self.over && serde_json::from_slice::<&RawValue>(&data).is_ok() {
                    self.event(&data, out);
                }
            }
            // Without the piece that was in it, the answer would be another one.
            Frame::Opaque(_) => self.fail(too_large(), out),
        }
    }

    fn event(&mut self, data: &[u8], out: &mut Vec<Event>) {
        let kind = member(data, "type").and_then(|m| string(m.value)).unwrap_or_default();
        let inner = |name: &str| member(data, name).map(|m| m.value).unwrap_or_default();
        match kind {
            b"message_start" => self.start(inner("message"), out),
            b"content_block_start" => {
                self.start(b"", out);
                self.block_start(index(data), inner("content_block"), out);
            }
            b"content_block_delta" => self.delta(index(data), inner("delta"), out),
            b"content_block_stop" if self.open.as_ref().is_some_and(|block| block.index == index(data)) => {
                self.block_stop(out);
            }
            b"message_delta" => {
                self.start(b"", out);
                self.block_stop(out);
                let delta = inner("delta");
                if member(delta, "stop_reason").is_some_and(|m| m.value != b"null") {
                    let (stop, sequence) = read_stop(delta);
                    out.push(Event::Stop { stop, sequence });
                }
                let usage = inner("usage");
                if usage.starts_with(b"{") {
                    self.usage.update(usage);
                    out.push(Event::Tokens(self.usage.tokens()));
                }
            }
            b"message_stop" => {
                self.start(b"", out);
                self.block_stop(out);
                self.over = true;
                out.push(Event::End);
            }
            b"error" => self.fail(read_error(inner("error"), FailureKind::Server), out),
            _ => {}
        }
    }

    fn start(&mut self, message: &[u8], out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            self.usage.update(member(message, "usage").map(|m| m.value).unwrap_or_default());
            let tokens = self.usage.tokens();
            out.push(Event::Start { id: text(message, "id"), model: text(message, "model"), tokens });
        }
    }

    fn block_start(&mut self, index: u64, block: &[u8], out: &mut Vec<Event>) {
        self.block_stop(out);
        let mut events = Vec::new();
        let mut input = None;
        let kind = match text(block, "type").as_str() {
            "text" => {
                events.push(Event::Text(text(block, "text")));
                Kind::Text
            }
            "thinking" => {
                events.push(Event::Thinking(text(block, "thinking")));
                events.push(Event::Signature(text(block, "signature")));
                Kind::Thinking
            }
            "redacted_thinking" => {
                events.push(Event::RedactedThinking(text(block, "data")));
                Kind::Redacted
            }
            "tool_use" => {
                events.push(Event::ToolCall { id: text(block, "id"), name: text(block, "name") });
                input = read_input(block);
                Kind::Tool
            }
            _ => Kind::Other,
        };
        // Most blocks start with empty texts.
        events.retain(|event| !says_nothing(event));
        self.open = Some(Block {
            index,
            kind,
            begun: !events.is_empty(),
            input,
            pieces: false,
            early: Vec::new(),
            half: Vec::new(),
        });
        out.append(&mut events);
    }

    fn delta(&mut self, index: u64, delta: &[u8], out: &mut Vec<Event>) {
        let Some(block) = self.open.as_mut().filter(|block| block.index == index) else { return };
        let inner = |name: &str| member(delta, name).map(|m| m.value).unwrap_or_default();
        let event = match (text(delta, "type").as_str(), block.kind) {
            ("text_delta", Kind::Text) => Event::Text(block.piece(inner("text"))),
            ("thinking_delta", Kind::Thinking) => Event::Thinking(block.piece(inner("thinking"))),
            ("signature_delta", Kind::Thinking) => Event::Signature(text(delta, "signature")),
            ("input_json_delta", Kind::Tool) => Event::Arguments(block.piece(inner("partial_json"))),
            ("citations_delta", Kind::Text) => match read_citation(inner("citation")) {
                Some(citation) if block.begun => Event::Citation(citation),
                Some(citation) if block.early.len() < MOST_EARLY => return block.early.push(citation),
                _ => return,
            },
            _ => return,
        };
        if !says_nothing(&event) {
            block.pieces = true;
            block.begun = true;
            out.push(event);
            out.extend(block.early.drain(..).map(Event::Citation));
        }
    }

    fn block_stop(&mut self, out: &mut Vec<Event>) {
        let Some(mut block) = self.open.take() else { return };
        if !block.half.is_empty() {
            let rest = unescape(&std::mem::take(&mut block.half)).into_owned();
            block.pieces = true;
            block.begun = true;
            out.push(match block.kind {
                Kind::Thinking => Event::Thinking(rest),
                Kind::Tool => Event::Arguments(rest),
                Kind::Text | Kind::Redacted | Kind::Other => Event::Text(rest),
            });
        }
        if block.kind == Kind::Tool && !block.pieces {
            out.push(Event::Arguments(block.input.unwrap_or_else(|| "{}".into())));
        }
        if block.begun {
            out.push(Event::BlockEnd);
        }
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.over, true) {
            out.push(Event::Failed(failure));
        }
    }
}

impl Block {
    /// The text of a JSON string. Some upstreams cut between the two escapes of one character: the first waits.
    fn piece(&mut self, value: &[u8]) -> String {
        let inner = string(value).unwrap_or_default();
        let before = std::mem::take(&mut self.half);
        let whole = if before.is_empty() { Cow::Borrowed(inner) } else { Cow::Owned([&before, inner].concat()) };
        let (text, half) = whole.split_at(whole.len() - open_half(&whole));
        self.half = half.to_vec();
        unescape(text).into_owned()
    }
}

/// The length of a high surrogate's escape at the end of a string, or 0.
fn open_half(inner: &[u8]) -> usize {
    let Some((before, [b'\\', b'u', b'd' | b'D', high, _, _])) = inner.split_last_chunk::<6>() else { return 0 };
    let escaped = before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1;
    if matches!(high, b'8' | b'9' | b'a' | b'b' | b'A' | b'B') && !escaped { 6 } else { 0 }
}

fn index(data: &[u8]) -> u64 {
    member(data, "index").and_then(|m| whole_number(m.value)).unwrap_or_default()
}

fn says_nothing(event: &Event) -> bool {
    match event {
        Event::Text(text) | Event::Thinking(text) | Event::Signature(text) | Event::Arguments(text) => text.is_empty(),
        _ => false,
    }
}

fn too_large() -> Failure {
    Failure { kind: FailureKind::Server, message: "A part of the upstream's answer is too large.".into(), code: None }
}
