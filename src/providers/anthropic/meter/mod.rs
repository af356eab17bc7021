//! Follows a response and reads the bill from it. Messages go on as they came, byte for byte; of a batch object one
//! address changes, which would lead clients past the gateway.

mod bill;
mod objects;
mod results;
mod stream;
mod unary;

use super::Kind;
use super::objects::batch;
use crate::providers::passing::Passing;
use crate::providers::{Call, Endpoint, ResponseMeter};
use bill::Bill;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub(super) fn of(
    endpoint: &Endpoint,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    sent: &Bytes,
) -> Box<dyn ResponseMeter> {
    let kind = Kind::of(endpoint);
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_events = media.eq_ignore_ascii_case("text/event-stream");
    let is_json = media.eq_ignore_ascii_case("application/json");
    let succeeded = (200..300).contains(&status);
    match kind {
        Kind::Object | Kind::CreateObject | Kind::CreateBatch if succeeded && is_json => {
            Box::new(objects::Objects::new(kind != Kind::Object))
        }
        Kind::Results if succeeded => match batch(endpoint) {
            Some(batch) => Box::new(results::Results::new(batch, BytesMut::new())),
            None => Box::new(Passing { is_stream: is_events, broken: Some(error_event) }),
        },
        Kind::Messages | Kind::Complete if succeeded => {
            let bill = Bill::new(kind, call, sent);
            // A stream that was asked for may come without a type, or with one that says nothing.
            if is_events || (call.stream && !is_json) {
                Box::new(stream::Stream::new(bill))
            } else {
                Box::new(unary::Unary::new(bill))
            }
        }
        _ => Box::new(Passing { is_stream: is_events, broken: Some(error_event) }),
    }
}

/// The one event that tells a client that its stream is broken. Clients look at events with a name only, and no end
/// marker follows: the answer is not whole.
fn error_event(message: &str) -> Bytes {
    let error = serde_json::json!({"type": "error", "error": {"type": "api_error", "message": message}});
    Bytes::from(format!("event: error\ndata: {error}\n\n"))
}

#[cfg(test)]
mod tests;
