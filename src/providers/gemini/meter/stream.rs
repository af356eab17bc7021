//! An answer in server-sent events: complete events go on as they came. Every one tells the usage so far, and there is
//! no word for the end but the reasons why the candidates ended.

use super::bill::Bill;
use super::error_event;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Stream {
    framer: Framer,
    bill: Bill,
    /// The last bytes put out end in the middle of an event.
    mid_event: bool,
    /// The body ended cleanly.
    has_ended: bool,
}

impl Stream {
    pub(super) fn new(bill: Bill) -> Self {
        Self { framer: Framer::default(), bill, mid_event: false, has_ended: false }
    }

    fn is_whole(&self) -> bool {
        self.bill.is_over() || (self.has_ended && self.bill.has_some_end())
    }
}

fn frame(frame: Frame, bill: &mut Bill, mid_event: &mut bool, out: &mut Vec<Bytes>) {
    match frame {
        Frame::Opaque(bytes) => {
            *mid_event = true;
            bill.unread(&bytes);
            out.push(bytes);
        }
        Frame::Event(event) => {
            *mid_event = false;
            if let Some(data) = event.data_bytes() {
                bill.piece(&data);
            }
            out.push(event.into_raw());
        }
    }
}

impl ResponseMeter for Stream {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_over = self.bill.is_over();
        let (bill, mid_event) = (&mut self.bill, &mut self.mid_event);
        self.framer.push(&piece, |next| frame(next, bill, mid_event, out));
        if self.bill.is_over() && !was_over { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, out: &mut Vec<Bytes>) {
        if let Some(last) = self.framer.finish() {
            frame(last, &mut self.bill, &mut self.mid_event, out);
        }
        self.has_ended = true;
    }

    fn reading(&mut self, _ending: Ending) -> Reading {
        self.bill.reading(!self.is_whole())
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        if self.is_whole() {
            return None;
        }
        let event = error_event(message);
        Some(if self.mid_event { Bytes::from([b"\n\n", &*event].concat()) } else { event })
    }

    fn is_stream(&self) -> bool {
        true
    }
}
