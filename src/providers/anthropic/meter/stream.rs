//! An answer in server-sent events: complete events go on as they came, slices of what arrived.
//! Usage is told at the beginning, then again in totals that replace it. Text is set aside for the case of a break.

use super::bill::{Bill, is_written};
use super::error_event;
use crate::domain::{MadeObject, Usage};
use crate::providers::anthropic::objects;
use crate::providers::anthropic::usage::Tally;
use crate::providers::kept::TextLog;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::{Member, member, members, string, strings};
use crate::wire::sse::{Event, Frame, Framer};
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Stream {
    framer: Framer,
    story: Story,
}

/// What was seen so far.
#[derive(Debug)]
struct Story {
    bill: Bill,
    tally: Tally,
    /// The model stopped: the totals are final.
    is_final: bool,
    text: TextLog,
    /// Files that tools wrote.
    made: Vec<MadeObject>,
    /// The terminal marker was put out.
    done: bool,
    /// The provider itself said that it failed.
    failed: bool,
    /// The last bytes put out end in the middle of an event.
    mid_event: bool,
}

impl Stream {
    pub(super) fn new(bill: Bill) -> Self {
        let story = Story {
            bill,
            tally: Tally::default(),
            is_final: false,
            text: TextLog::default(),
            made: Vec::new(),
            done: false,
            failed: false,
            mid_event: false,
        };
        Self { framer: Framer::default(), story }
    }
}

impl ResponseMeter for Stream {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_over = self.story.is_over();
        self.framer.push(&piece, |frame| self.story.frame(frame, out));
        if self.story.is_over() && !was_over { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        if let Some(frame) = self.framer.finish() {
            self.story.frame(frame, out);
        }
    }

    fn reading(&mut self, _ending: Ending) -> Reading {
        Reading { made: std::mem::take(&mut self.story.made), ..self.story.told() }
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.story.bill.also(&self.story.tally)
    }
    fn is_stream(&self) -> bool {
        true
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        if self.story.is_over() {
            return None;
        }
        let event = error_event(message);
        Some(if self.story.mid_event { Bytes::from([b"\n\n", &*event].concat()) } else { event })
    }
}

/// The members of an event that matter, whatever its type.
#[derive(Default)]
struct Told<'a> {
    kind: &'a [u8],
    message: &'a [u8],
    block: &'a [u8],
    delta: &'a [u8],
    usage: &'a [u8],
    completion: Option<&'a [u8]>,
    model: Option<&'a [u8]>,
    stopped: bool,
}

impl<'a> Told<'a> {
    fn by(data: &'a [u8]) -> Self {
        let mut told = Self::default();
        for m in members(data) {
            match m.key {
                b"type" => told.kind = string(m.value).unwrap_or_default(),
                b"message" => told.message = m.value,
                b"content_block" => told.block = m.value,
                b"delta" => told.delta = m.value,
                b"usage" => told.usage = m.value,
                b"completion" => told.completion = string(m.value),
                b"model" => told.model = string(m.value),
                b"stop_reason" => told.stopped = m.value != b"null",
                _ => {}
            }
        }
        told
    }
}

impl Story {
    fn is_over(&self) -> bool {
        self.done || self.failed
    }

    fn told(&self) -> Reading {
        let Self { bill, tally, text, done, failed, is_final, .. } = self;
        if tally.is_empty() {
            return if *failed && text.is_empty() { bill.nothing(!done) } else { bill.counted(text, !done) };
        }
        if *done || *is_final { bill.reported(tally, !done) } else { bill.reported_in_part(tally, text) }
    }

    fn frame(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        match frame {
            Frame::Opaque(bytes) => {
                self.mid_event = true;
                out.push(bytes);
            }
            Frame::Event(event) => {
                self.mid_event = false;
                self.read(&event);
                out.push(event.into_raw());
            }
        }
    }

    fn read(&mut self, event: &Event) {
        let Some(data) = event.data_bytes() else { return };
        if self.bill.is_completion() {
            return self.completion(&data);
        }
        let told = Told::by(&data);
        match told.kind {
            b"message_start" => {
                for m in members(told.message) {
                    match m.key {
                        b"model" => string(m.value).into_iter().for_each(|model| self.bill.answered_by(model)),
                        b"usage" => self.tally.overwrite(m.value),
                        _ => {}
                    }
                }
            }
            b"content_block_start" if writes(told.block) => self.log(told.block),
            b"content_block_start" => self.made.extend(objects::written_by(told.block)),
            b"content_block_delta" => self.log(told.delta),
            b"message_delta" => {
                self.tally.overwrite(told.usage);
                self.is_final |= member(told.delta, "stop_reason").is_some_and(|m: Member<'_>| m.value != b"null");
            }
            b"message_stop" => self.done = true,
            b"error" => self.failed = true,
            _ => self.failed |= event.name() == Some(b"error"),
        }
    }

    /// An event of `/v1/complete`; elder versions end with `[DONE]`.
    fn completion(&mut self, data: &[u8]) {
        let told = Told::by(data);
        told.model.into_iter().for_each(|model| self.bill.answered_by(model));
        told.completion.into_iter().for_each(|text| self.text.add(text));
        self.done |= told.stopped || data.starts_with(b"[DONE]");
        self.failed |= told.kind == b"error";
    }

    fn log(&mut self, written: &[u8]) {
        strings(written).filter(|(key, _)| is_written(key)).for_each(|(_, text)| self.text.add(text));
    }
}

/// A block that the model writes itself; others hold what the provider found for it.
fn writes(block: &[u8]) -> bool {
    let kind = member(block, "type").and_then(|m| string(m.value)).unwrap_or_default();
    matches!(kind, b"text" | b"thinking" | b"tool_use" | b"server_tool_use" | b"mcp_tool_use")
}
