//! An answer in lines of JSON: whole lines go on as they came, up to the one that says `done` and has the counts. Text
//! is set aside for the case of a break.

use super::{Bill, error_line};
use crate::providers::kept::TextLog;
use crate::providers::ollama::bound::add_written;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::ndjson::{Frame, Lines};
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Stream {
    lines: Lines,
    story: Story,
}

/// What was seen so far.
#[derive(Debug)]
struct Story {
    bill: Bill,
    text: TextLog,
    /// The last bytes put out end in the middle of a line.
    mid_line: bool,
}

impl Stream {
    pub(super) fn new(bill: Bill) -> Self {
        Self { lines: Lines::default(), story: Story { bill, text: TextLog::default(), mid_line: false } }
    }
}

impl ResponseMeter for Stream {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_over = self.story.is_over();
        self.lines.push(&piece, |frame| self.story.frame(frame, out));
        if self.story.is_over() && !was_over { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        if let Some(frame) = self.lines.finish() {
            self.story.frame(frame, out);
        }
    }

    fn reading(&mut self, _ending: Ending) -> Reading {
        self.story.bill.reading(&self.story.text, !self.story.is_over())
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        if self.story.is_over() {
            return None;
        }
        let line = error_line(message);
        Some(if self.story.mid_line { Bytes::from([b"\n", &*line].concat()) } else { line })
    }

    fn is_stream(&self) -> bool {
        true
    }
}

impl Story {
    fn is_over(&self) -> bool {
        self.bill.told.done || self.bill.told.failed
    }

    fn frame(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        match frame {
            Frame::Opaque(bytes) => {
                self.mid_line = !bytes.ends_with(b"\n");
                self.text.add(&bytes);
                out.push(bytes);
            }
            Frame::Line(line) => {
                self.mid_line = !line.ends_with(b"\n");
                if !self.is_over() {
                    self.bill.told.line(&line);
                    add_written(&line, &mut self.text);
                }
                out.push(line);
            }
        }
    }
}
