//! An answer in server-sent events: complete events go on as they came, up to the end word. A stream that says nothing
//! for too long is ended here.

use super::{Bill, Written, error_frame};
use crate::domain::Usage;
use crate::providers::custom::usage;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::member;
use crate::wire::sse::{Data, Event, Frame, Framer};
use bytes::Bytes;
use serde::de::IgnoredAny;

#[derive(Debug)]
pub(super) struct Stream {
    framer: Framer,
    story: Story,
}

/// What was seen so far.
#[derive(Debug)]
struct Story {
    bill: Bill,
    /// The client asked for a stream: there is an end word to wait for.
    has_end: bool,
    usage: Option<Usage>,
    written: Written,
    failed: bool,
    /// Frames without text since the last one with.
    empty: u64,
    over: Option<Over>,
    /// The last bytes put out end in the middle of an event.
    mid_event: bool,
}

/// Why nothing more is put out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    EndWord,
    TooManyEmpty,
}

impl Stream {
    pub(super) fn new(bill: Bill, asked: bool) -> Self {
        let has_end = asked && !bill.route.end_word.is_empty();
        let story = Story {
            bill,
            has_end,
            usage: None,
            written: Written::default(),
            failed: false,
            empty: 0,
            over: None,
            mid_event: false,
        };
        Self { framer: Framer::default(), story }
    }
}

impl ResponseMeter for Stream {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        if self.story.over.is_none() {
            self.framer.push(&piece, |frame| self.story.frame(frame, out));
        }
        if self.story.over.is_some() { Progress::Ended } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        if let Some(frame) = self.framer.finish().filter(|_| self.story.over.is_none()) {
            self.story.frame(frame, out);
        }
    }

    fn reading(&mut self, ending: Ending) -> Reading {
        let story = &self.story;
        let truncated = match story.over {
            Some(Over::EndWord) => false,
            Some(Over::TooManyEmpty) => true,
            None => story.has_end || ending == Ending::Aborted,
        };
        let usage = match &story.usage {
            Some(usage) => story.bill.reported(usage, &story.written, !truncated),
            None if story.failed && story.written.is_empty() => Usage::default(),
            None => story.bill.counted(&story.written),
        };
        Reading { usage, truncated, ..Reading::default() }
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        let frame = match self.story.over {
            Some(Over::EndWord) => return None,
            Some(Over::TooManyEmpty) => error_frame("the provider sent too many messages without text"),
            None => error_frame(message),
        };
        Some(if self.story.mid_event { Bytes::from([b"\n\n", &*frame].concat()) } else { frame })
    }

    fn is_stream(&self) -> bool {
        true
    }
}

impl Story {
    fn frame(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        match frame {
            _ if self.over.is_some() => {}
            Frame::Opaque(bytes) => {
                self.mid_event = true;
                self.written.beyond = self.written.beyond.saturating_add(bytes.len() as u64);
                out.push(bytes);
            }
            Frame::Event(event) => {
                self.mid_event = false;
                self.read(&event);
                if self.over != Some(Over::TooManyEmpty) {
                    out.push(event.into_raw());
                }
            }
        }
    }

    fn read(&mut self, event: &Event) {
        match event.data() {
            Data::None => {}
            Data::Line(place) => self.data(event.raw().get(place).unwrap_or_default()),
            // Either one JSON text on several lines, or frames that nobody divided by an empty line.
            Data::Joined(data) if serde_json::from_slice::<IgnoredAny>(&data).is_ok() => self.data(&data),
            Data::Joined(data) => {
                for line in data.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                    self.data(line);
                }
            }
        }
    }

    fn data(&mut self, data: &[u8]) {
        let route = &self.bill.route;
        if !route.end_word.is_empty() && data.trim_ascii() == route.end_word.as_bytes() {
            self.over = Some(Over::EndWord);
            return;
        }
        if self.over.is_some() {
            return;
        }
        let text = route.delta.as_ref().map(|at| at.text(data)).unwrap_or_default();
        self.empty = if text.is_empty() { self.empty + 1 } else { 0 };
        if route.most_empty > 0 && self.empty > route.most_empty {
            self.over = Some(Over::TooManyEmpty);
        }
        self.written.add(&text);
        if let Some(told) = usage::find(data) {
            self.usage = Some(usage::later(self.usage.take(), told));
        }
        self.failed |= member(data, "error").is_some_and(|m| m.value != b"null");
    }
}
