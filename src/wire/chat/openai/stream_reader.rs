//! The stream of an upstream, read: chunks of an answer become its events.

use super::super::{Event, Failure, FailureKind, Stop, StreamReader};
use super::answer::{arguments, content_text, function_of, id_and_model, missing_id};
use super::json::{get, number, some_text};
use super::{failure, stop, usage};
use crate::wire::json_walk::elements;
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;
use serde_json::value::RawValue;

/// Most tool calls of one answer.
const MOST_CALLS: usize = 1024;
/// Bytes of arguments that are held back until the call that they belong to has an id.
const HELD_LIMIT: usize = 64 * 1024;

/// Reads chunks until `[DONE]`, an error, or the end of the body.
#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    framer: Framer,
    chunks: Chunks,
}

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let Self { framer, chunks } = self;
        if !chunks.over {
            framer.push(piece, |frame| chunks.take(frame, out));
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if let Some(rest) = self.framer.finish() {
            self.chunks.take(rest, out);
        }
        // Servers that forget `[DONE]` have told why they stopped.
        if self.chunks.stop.is_some() {
            self.chunks.finish(out);
        }
    }
}

/// What the chunks so far have said.
#[derive(Debug, Default)]
struct Chunks {
    id: String,
    started: bool,
    /// Nothing more is read.
    over: bool,
    open: Open,
    /// The calls that were seen, each with what the upstream calls its `index`, in order. Only the last can be open.
    calls: Vec<u64>,
    refused: bool,
    stop: Option<Stop>,
}

/// The block under way.
#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    Text,
    Thinking,
    Call(Call),
}

#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    name: String,
    /// Arguments that wait for id and name; `None` once these were told.
    held: Option<String>,
}

impl Chunks {
    fn take(&mut self, frame: Frame, out: &mut Vec<Event>) {
        let event = match frame {
            _ if self.over => return,
            Frame::Event(event) => event,
            // A piece of the answer is lost: what follows would pass for all of it.
            Frame::Opaque(_) => return self.fail("A piece of the answer is too large.", out),
        };
        let Some(data) = event.data_bytes() else { return };
        if data.starts_with(b"[DONE]") {
            return self.finish(out);
        }
        let text = String::from_utf8_lossy(&data);
        if let Ok(chunk) = serde_json::from_str::<&RawValue>(&text) {
            self.chunk(chunk.get().as_bytes(), out);
        }
    }

    fn chunk(&mut self, chunk: &[u8], out: &mut Vec<Event>) {
        if let Some(failure) = failure::in_stream(chunk) {
            self.over = true;
            return out.push(Event::Failed(failure));
        }
        let choice = elements(get(chunk, "choices").unwrap_or_default())
            .find(|choice| number(choice, "index").is_none_or(|index| index == 0));
        // A chunk with neither is a preamble about the prompt.
        if !self.started && (choice.is_some() || some_text(chunk, "id").is_some()) {
            let (id, model) = id_and_model(chunk);
            self.id.clone_from(&id);
            self.started = true;
            out.push(Event::Start { id, model, tokens: Default::default() });
        }
        if let Some(delta) = choice.and_then(|choice| get(choice, "delta")) {
            self.delta(delta, out);
        }
        if self.over {
            return;
        }
        if let Some(reason) = choice.and_then(|choice| some_text(choice, "finish_reason")) {
            self.close(out);
            self.stop = Some(stop::read(&reason));
        }
        if let Some(told) = get(chunk, "usage").filter(|told| told.starts_with(b"{")) {
            out.push(Event::Tokens(usage::read(told)));
        }
    }

    fn delta(&mut self, delta: &[u8], out: &mut Vec<Event>) {
        let thought = some_text(delta, "reasoning_content").or_else(|| some_text(delta, "reasoning"));
        if let Some(thought) = thought {
            if !matches!(self.open, Open::Thinking) {
                self.close(out);
                self.open = Open::Thinking;
            }
            out.push(Event::Thinking(thought));
        }
        let refusal = some_text(delta, "refusal");
        self.refused |= refusal.is_some();
        let said = get(delta, "content").and_then(content_text).filter(|said| !said.is_empty());
        for said in said.into_iter().chain(refusal) {
            if !matches!(self.open, Open::Text) {
                self.close(out);
                self.open = Open::Text;
            }
            out.push(Event::Text(said));
        }
        let calls = get(delta, "tool_calls").unwrap_or_default();
        for call in elements(calls) {
            self.call(call, number(call, "index"), out);
        }
        if let Some(call) = get(delta, "function_call") {
            self.call(call, Some(0), out);
        }
    }

    /// A piece of a tool call.
    fn call(&mut self, piece: &[u8], index: Option<u64>, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        let function = function_of(piece);
        let id = some_text(piece, "id");
        let name = some_text(function, "name");
        let index = match &self.open {
            // Some servers number no calls, some all of them alike: an id and a name make a new one.
            Open::Call(open) => {
                let same = index.is_none_or(|index| index == open.index);
                let other = id.as_ref().is_some_and(|id| !open.id.is_empty() && *id != open.id) && name.is_some();
                if same && other { self.next_index() } else { index.unwrap_or(open.index) }
            }
            _ => index.unwrap_or_else(|| self.next_index()),
        };
        if !matches!(&self.open, Open::Call(open) if open.index == index) {
            let fresh = self.fresh_index(index, id.is_some() && name.is_some());
            let Some(index) = fresh else {
                return self.fail("The pieces of the tool calls are in no order.", out);
            };
            self.close(out);
            self.calls.push(index);
            self.open = Open::Call(Call { index, id: String::new(), name: String::new(), held: Some(String::new()) });
        }
        let Open::Call(open) = &mut self.open else { return };
        let more = arguments(function);
        let Some(held) = &mut open.held else {
            if !more.is_empty() {
                out.push(Event::Arguments(more));
            }
            return;
        };
        held.push_str(&more);
        let is_full = held.len() > HELD_LIMIT;
        if open.id.is_empty() {
            open.id = id.unwrap_or_default();
        }
        if open.name.is_empty() {
            open.name = name.unwrap_or_default();
        }
        if !open.id.is_empty() && !open.name.is_empty() {
            open.tell(&self.id, out);
        } else if is_full {
            if open.name.is_empty() {
                return self.fail("A tool call has no name.", out);
            }
            open.tell(&self.id, out);
        }
    }

    /// Under which number a call begins; `None`: it has begun and ended before, or there are too many.
    fn fresh_index(&self, index: u64, is_complete: bool) -> Option<u64> {
        if self.calls.len() >= MOST_CALLS {
            return None;
        }
        match self.calls.contains(&index) {
            false => Some(index),
            true if is_complete => Some(self.next_index()),
            true => None,
        }
    }

    fn next_index(&self) -> u64 {
        self.calls.iter().max().map_or(0, |last| last.saturating_add(1))
    }

    /// Ends the block under way.
    fn close(&mut self, out: &mut Vec<Event>) {
        match std::mem::take(&mut self.open) {
            Open::None => {}
            Open::Text | Open::Thinking => out.push(Event::BlockEnd),
            Open::Call(mut call) => {
                if call.held.is_some() {
                    // It has no id and gets none any more; without a name it is nothing.
                    if call.name.is_empty() {
                        return;
                    }
                    call.tell(&self.id, out);
                }
                out.push(Event::BlockEnd);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.started || std::mem::replace(&mut self.over, true) {
            return;
        }
        self.close(out);
        let stop = self.stop.take().unwrap_or_default();
        let stop = stop::settled(stop, !self.calls.is_empty(), self.refused);
        out.push(Event::Stop { stop, sequence: None });
        out.push(Event::End);
    }

    fn fail(&mut self, message: &str, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Failed(Failure { kind: FailureKind::Server, message: message.into(), code: None }));
    }
}

impl Call {
    /// Tells that it began, and what was held back.
    fn tell(&mut self, answer: &str, out: &mut Vec<Event>) {
        if self.id.is_empty() {
            self.id = missing_id(answer, self.index);
        }
        out.push(Event::ToolCall { id: self.id.clone(), name: self.name.clone() });
        if let Some(held) = self.held.take().filter(|held| !held.is_empty()) {
            out.push(Event::Arguments(held));
        }
    }
}
