//! Follows a response and reads the bill from it. Bytes go on as they came, in whole messages where it is a stream;
//! the answer to a message in Anthropic's form leaves as the server-sent events that its client knows.

mod bill;
mod events;
mod frames;
mod story;
mod unary;

use super::endpoints::Kind;
use crate::providers::{Call, Ending, Progress, Reading, ResponseMeter};
use bill::Bill;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use story::Story;

pub(super) fn of(kind: Kind, call: &Call, status: u16, headers: &HeaderMap, sent: &Bytes) -> Box<dyn ResponseMeter> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_stream = media.eq_ignore_ascii_case("application/vnd.amazon.eventstream");
    if kind == Kind::Other || !(200..300).contains(&status) {
        return Box::new(Passing { is_stream });
    }
    let bill = Bill::new(kind, call, headers, sent);
    match is_stream {
        false => Box::new(unary::Unary::new(bill)),
        true if kind.is_anthropic() => Box::new(events::Events::new(Story::new(bill))),
        true => Box::new(frames::Frames::new(Story::new(bill))),
    }
}

/// A response that costs nothing, or nothing that can be read from it.
#[derive(Debug)]
struct Passing {
    is_stream: bool,
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
    /// The cut may be in the middle of a message, to which nothing can be appended: the connection is cut too.
    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        self.is_stream
    }
}

#[cfg(test)]
mod tests;
