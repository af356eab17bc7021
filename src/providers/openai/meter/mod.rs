//! Follows a response and reads the bill from it. Bytes go on as they came; a stream changes in one way only:
//! usage that the client did not ask for, because we did, is taken out again.

mod account;
mod bill;
mod objects;
mod stream;
mod unary;
mod watch;

use super::{Kind, request};
use crate::providers::passing::Passing;
use crate::providers::{Call, Endpoint, ResponseMeter};
use account::Account;
use bill::Bill;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The usage in a stream of chunks that the client is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    All,
    /// That of the last chunk, which has no choices.
    AtEnd,
    Nothing,
}

impl Shown {
    /// What the client asked for.
    pub(super) fn to(kind: Kind, call: &Call) -> Self {
        if request::asks_for_usage(kind, call) { Self::Nothing } else { Self::All }
    }
}

pub(super) fn of(
    endpoint: &Endpoint,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    sent: &Bytes,
    shown: Shown,
) -> Box<dyn ResponseMeter> {
    let inner = of_body(Kind::of(endpoint), call, status, headers, sent, shown);
    objects::wrap(endpoint, call, status, headers, sent, inner)
}

fn of_body(
    kind: Kind,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    sent: &Bytes,
    shown: Shown,
) -> Box<dyn ResponseMeter> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_events = media.eq_ignore_ascii_case("text/event-stream");
    let is_metered = kind != Kind::Other && !(kind == Kind::Runs && call.deferred);
    if !is_metered || !(200..300).contains(&status) {
        return Box::new(Passing { is_stream: is_events, broken: Some(error_event) });
    }
    if kind.is_media() || kind == Kind::Runs {
        return Box::new(watch::Watch::new(Account::new(kind, call, sent), is_events, media));
    }
    let bill = Bill::new(kind, call, sent);
    // Some upstreams give a stream that was asked for no type, or one that says nothing.
    if is_events || (call.stream && !media.eq_ignore_ascii_case("application/json")) {
        Box::new(stream::Stream::new(bill, shown))
    } else {
        Box::new(unary::Unary::new(bill))
    }
}

/// The same as an event of its own, for streams whose events are named.
fn error_event(message: &str) -> Bytes {
    Bytes::from([b"event: error\n", &*error_frame(message)].concat())
}

/// The one frame that tells an OpenAI client that its stream is broken. No end marker follows: the answer is not whole.
fn error_frame(message: &str) -> Bytes {
    let error = serde_json::json!({
        "error": {"message": message, "type": "upstream_error", "param": null, "code": "upstream_disconnected"}
    });
    Bytes::from(format!("data: {error}\n\n"))
}

#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod tests;
