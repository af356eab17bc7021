//! A response that costs nothing, or nothing that can be read from it.

use super::{Ending, Progress, Reading, ResponseMeter};
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Passing {
    pub(super) is_stream: bool,
    /// How this dialect tells a client that its event stream is broken, as a whole event; `None` where nothing can be
    /// appended and the connection is cut.
    pub(super) broken: Option<fn(&str) -> Bytes>,
}

impl ResponseMeter for Passing {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        out.push(piece);
        Progress::More
    }
    fn end(&mut self, _out: &mut Vec<Bytes>) {}
    fn reading(&mut self, _ending: Ending) -> Reading {
        Reading::default()
    }
    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        let event = self.broken.filter(|_| self.is_stream)?;
        // The cut may be anywhere: an empty line first, to end whatever was begun.
        Some(Bytes::from([b"\n\n", &*event(message)].concat()))
    }
    fn is_stream(&self) -> bool {
        self.is_stream
    }
}
