//! Follows a response of a custom provider. Bytes go on as they came; only what comes after the end of a stream does not.

mod stream;
mod unary;

use super::route::{ENCODING, Route};
use crate::domain::{Usage, UsageSource};
use crate::providers::passing::Passing;
use crate::providers::{Call, ResponseMeter};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::sync::Arc;

pub(super) fn of(
    route: Option<&Arc<Route>>,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    sent: &Bytes,
) -> Box<dyn ResponseMeter> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let is_events = media.eq_ignore_ascii_case("text/event-stream");
    let Some(route) = route.filter(|_| (200..300).contains(&status)) else {
        return Box::new(Passing { is_stream: is_events, broken: Some(error_frame) });
    };
    let bill = Bill { route: Arc::clone(route), sent: sent.clone() };
    // Some upstreams give a stream that was asked for no type, or one that says nothing.
    if is_events || (call.stream && matches!(media, "" | "text/plain")) {
        Box::new(stream::Stream::new(bill, call.stream))
    } else {
        Box::new(unary::Unary::new(bill))
    }
}

/// The frame that tells a client that its stream is broken. No end word follows: the answer is not whole.
fn error_frame(message: &str) -> Bytes {
    let error = serde_json::json!({
        "error": {"message": message, "type": "upstream_error", "param": null, "code": "upstream_disconnected"}
    });
    Bytes::from(format!("data: {error}\n\n"))
}

/// What is billed, and by whose count.
#[derive(Debug)]
struct Bill {
    route: Arc<Route>,
    sent: Bytes,
}

impl Bill {
    /// As reported; of a stream that did not end at least what was seen.
    fn reported(&self, usage: &Usage, written: &Written, whole: bool) -> Usage {
        if whole {
            return Usage { source: UsageSource::Upstream, ..usage.clone() };
        }
        let in_text = if usage.prompt_tokens() == 0 { self.route.prompt_tokens(&self.sent) } else { usage.in_text };
        Usage { in_text, out_text: usage.out_text.max(written.tokens()), source: UsageSource::Partial, ..usage.clone() }
    }

    fn counted(&self, written: &Written) -> Usage {
        Usage {
            in_text: self.route.prompt_tokens(&self.sent),
            out_text: written.tokens(),
            source: UsageSource::Estimated,
            ..Usage::default()
        }
    }
}

/// The text of an answer, set aside to be counted.
#[derive(Debug, Default)]
struct Written {
    text: String,
    /// Bytes that came after the text was full, or that could not be looked into.
    beyond: u64,
}

impl Written {
    /// Some 250 000 tokens: more than any model writes.
    const LIMIT: usize = 1024 * 1024;

    fn add(&mut self, text: &str) {
        if self.text.len() + text.len() <= Self::LIMIT {
            self.text.push_str(text);
        } else {
            self.beyond = self.beyond.saturating_add(text.len() as u64);
        }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.beyond == 0
    }

    fn tokens(&self) -> u64 {
        let counted = if self.text.is_empty() { 0 } else { ENCODING.count(&self.text) };
        counted.saturating_add(self.beyond.div_ceil(4))
    }
}

#[cfg(test)]
mod tests;
