//! Follows a response and reads the bill from it. Bytes go on as they came, in whole messages where it is a stream;
//! the answer to a message in Anthropic's form leaves as the server-sent events that its client knows.

mod bill;
mod events;
mod frames;
mod story;
mod unary;

use super::endpoints::Kind;
use crate::providers::passing::Passing;
use crate::providers::{Call, ResponseMeter};
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
        return Box::new(Passing { is_stream, broken: None });
    }
    let bill = Bill::new(kind, call, headers, sent);
    match is_stream {
        false => Box::new(unary::Unary::new(bill)),
        true if kind.is_anthropic() => Box::new(events::Events::new(Story::new(bill))),
        true => Box::new(frames::Frames::new(Story::new(bill))),
    }
}

#[cfg(test)]
mod tests;
