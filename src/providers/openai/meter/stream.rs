//! An answer in server-sent events: complete events go on as they came, slices of what arrived.
//! The last usage wins. Text is set aside as it stood, for the case that nobody reports a usage.

use super::bill::{Bill, is_written};
use super::{Shown, error_frame};
use crate::domain::{Usage, UsageSource};
use crate::providers::kept::TextLog;
use crate::providers::openai::{Kind, usage};
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_edit::removal;
use crate::wire::json_walk::{is_empty_array, member, members, string, strings, whole_number};
use crate::wire::sse::{Data, Event, Frame, Framer};
use bytes::{Bytes, BytesMut};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Stream {
    framer: Framer,
    story: Story,
}

/// What was seen so far.
#[derive(Debug)]
struct Story {
    bill: Bill,
    shown: Shown,
    usage: Option<Usage>,
    /// The usage is the final one.
    is_final: bool,
    text: TextLog,
    /// The terminal marker was put out.
    done: bool,
    failed: bool,
    /// The next sequence number of a dialect that has them.
    sequence: u64,
    /// The last bytes put out end in the middle of an event.
    mid_event: bool,
}

/// What becomes of an event.
enum Verdict {
    Keep,
    Drop,
    /// Without these bytes of its data.
    Cut(Range<usize>),
}

impl Stream {
    pub(super) fn new(bill: Bill, shown: Shown) -> Self {
        let story = Story {
            bill,
            shown,
            usage: None,
            is_final: false,
            text: TextLog::default(),
            done: false,
            failed: false,
            sequence: 0,
            mid_event: false,
        };
        Self { framer: Framer::default(), story }
    }
}

impl ResponseMeter for Stream {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_done = self.story.done;
        self.framer.push(&piece, |frame| self.story.frame(frame, out));
        if self.story.done && !was_done { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        if let Some(frame) = self.framer.finish() {
            self.story.frame(frame, out);
        }
    }

    fn reading(&mut self, _ending: Ending) -> Reading {
        let Story { bill, usage, text, done, failed, is_final, .. } = &self.story;
        match usage {
            Some(usage) if *is_final || *done => bill.reported(usage.clone(), UsageSource::Upstream, !done),
            Some(usage) => bill.reported(usage.clone(), UsageSource::Partial, !done),
            None if *failed && text.is_empty() => bill.nothing(!done),
            None => bill.counted(text, !done),
        }
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.story.bill.also()
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        let story = &self.story;
        if story.done {
            return None;
        }
        let frame = match story.bill.kind {
            Kind::Responses => {
                let error = serde_json::json!({
                    "type": "error", "code": "upstream_disconnected", "message": message, "param": null,
                    "sequence_number": story.sequence
                });
                Bytes::from(format!("event: error\ndata: {error}\n\n"))
            }
            _ => error_frame(message),
        };
        Some(if story.mid_event { Bytes::from([b"\n\n", &*frame].concat()) } else { frame })
    }
}

impl Story {
    fn frame(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        match frame {
            Frame::Opaque(bytes) => {
                self.mid_event = true;
                out.push(bytes);
            }
            Frame::Event(event) => {
                self.mid_event = false;
                out.extend(self.event(event));
            }
        }
    }

    fn event(&mut self, event: Event) -> Option<Bytes> {
        match event.data() {
            Data::None => Some(event.into_raw()),
            Data::Line(place) => {
                let data = event.raw().get(place.clone()).unwrap_or_default();
                match self.judge(data) {
                    Verdict::Keep => Some(event.into_raw()),
                    Verdict::Drop => None,
                    Verdict::Cut(cut) => Some(without(event.raw(), place.start + cut.start..place.start + cut.end)),
                }
            }
            Data::Joined(data) => match self.judge(&data) {
                Verdict::Keep => Some(event.into_raw()),
                Verdict::Drop => None,
                Verdict::Cut(cut) => Some(event.with_data(&without(&data, cut))),
            },
        }
    }

    fn judge(&mut self, data: &[u8]) -> Verdict {
        match self.bill.kind {
            Kind::Responses => {
                self.response_event(data);
                Verdict::Keep
            }
            _ => self.chunk(data),
        }
    }

    /// A chunk of `/chat/completions` or `/completions`.
    fn chunk(&mut self, data: &[u8]) -> Verdict {
        if data.starts_with(b"[DONE]") {
            self.done = true;
            return Verdict::Keep;
        }
        let mut reported = None;
        let mut has_choices = false;
        for m in members(data) {
            match m.key {
                b"usage" => reported = Some(m),
                b"choices" => {
                    has_choices = m.value.starts_with(b"[") && !is_empty_array(m.value);
                    strings(m.value).filter(|(key, _)| is_written(key)).for_each(|(_, text)| self.text.add(text));
                }
                b"model" if !self.bill.knows_model() => {
                    string(m.value).into_iter().for_each(|model| self.bill.answered_by(model));
                }
                b"service_tier" => string(m.value).into_iter().for_each(|tier| self.bill.served_in(tier)),
                b"error" => self.failed |= m.value != b"null",
                _ => {}
            }
        }
        let Some(member) = reported else { return Verdict::Keep };
        let usage = usage::read(member.value);
        let is_usage_chunk = usage.is_some() && !has_choices;
        if usage.is_some() {
            self.usage = usage;
            self.is_final |= is_usage_chunk;
        }
        match self.shown {
            Shown::All => Verdict::Keep,
            Shown::AtEnd if is_usage_chunk => Verdict::Keep,
            Shown::Nothing if is_usage_chunk => Verdict::Drop,
            Shown::AtEnd | Shown::Nothing => Verdict::Cut(removal(data, &member)),
        }
    }

    /// An event of `/responses`. Only the terminal ones report a usage.
    fn response_event(&mut self, data: &[u8]) {
        let (mut kind, mut delta, mut response) = (&b""[..], None, None);
        for m in members(data) {
            match m.key {
                b"type" => kind = string(m.value).unwrap_or_default(),
                b"delta" => delta = string(m.value),
                b"response" => response = Some(m.value),
                b"sequence_number" => {
                    self.sequence = whole_number(m.value).map_or(self.sequence, |n| n.saturating_add(1))
                }
                _ => {}
            }
        }
        match kind {
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                self.done = true;
                self.failed |= kind == b"response.failed";
                let answer = usage::answer(Kind::Responses, response.unwrap_or_default());
                answer.model.into_iter().for_each(|model| self.bill.answered_by(model));
                answer.service_tier.into_iter().for_each(|tier| self.bill.served_in(tier));
                self.bill.drew(answer.drawn);
                self.is_final |= answer.usage.is_some();
                self.usage = answer.usage.or(self.usage.take());
            }
            b"response.created" => {
                let model = response.and_then(|r| member(r, "model")).and_then(|m| string(m.value));
                model.into_iter().for_each(|model| self.bill.answered_by(model));
            }
            b"error" => self.failed = true,
            // Sound is billed as tokens of its own kind; its base64 is no text.
            _ if kind.ends_with(b".delta") && memchr::memmem::find(kind, b"audio.delta").is_none() => {
                delta.into_iter().for_each(|text| self.text.add(text));
            }
            _ => {}
        }
    }
}

fn without(bytes: &[u8], cut: Range<usize>) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len().saturating_sub(cut.len()));
    out.extend_from_slice(bytes.get(..cut.start).unwrap_or_default());
    out.extend_from_slice(bytes.get(cut.end..).unwrap_or_default());
    out.freeze()
}
