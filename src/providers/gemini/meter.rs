//! Follows a response and reads the bill from it. Bytes go on as they came.

mod bill;
mod stream;
mod unary;

use super::endpoints::Kind;
use crate::providers::passing::Passing;
use crate::providers::{Call, ResponseMeter};
use bill::Bill;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub(super) fn of(kind: Kind, call: &Call, status: u16, headers: &HeaderMap, sent: &Bytes) -> Box<dyn ResponseMeter> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_events = media.eq_ignore_ascii_case("text/event-stream");
    if kind == Kind::Other || !(200..300).contains(&status) {
        return Box::new(Passing { is_stream: is_events, broken: Some(error_event) });
    }
    let bill = Bill::new(kind, call, sent);
    // Without the wish for events a stream is a list in one piece of JSON.
    if is_events { Box::new(stream::Stream::new(bill)) } else { Box::new(unary::Unary::new(bill)) }
}

/// The one event that tells a client that its stream is broken.
fn error_event(message: &str) -> Bytes {
    let error = serde_json::json!({"error": {"code": 502, "message": message, "status": "UNAVAILABLE"}});
    Bytes::from(format!("data: {error}\n\n"))
}
