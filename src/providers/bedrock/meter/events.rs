//! A stream for clients that speak Anthropic's dialect: each part of the answer leaves as a server-sent event.

use super::story::{Story, Told};
use crate::providers::bedrock::endpoints::Kind;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::event_stream::Framer;
use crate::wire::json_walk::{member, string};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

#[derive(Debug)]
pub(super) struct Events {
    framer: Framer,
    story: Story,
}

impl Events {
    pub(super) fn new(story: Story) -> Self {
        Self { framer: Framer::default(), story }
    }
}

impl ResponseMeter for Events {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_over = self.story.is_over();
        let story = &mut self.story;
        let followed = self.framer.push(&piece, |message| {
            let unnamed = if story.bill.kind == Kind::Complete { "completion" } else { "message" };
            match story.take(&message) {
                Told::Chunk(json) => out.push(event(&json, unnamed)),
                Told::Failure { name, text } => out.push(failure(kind(&name), &text)),
                Told::Other => {}
            }
        });
        if followed.is_err() && !self.story.is_over() {
            out.push(failure("api_error", "the provider's stream was damaged on its way"));
            self.story.fail();
        }
        if self.story.is_over() && !was_over { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        self.story.reading(ending, self.framer.is_unfinished())
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        if self.story.is_done() || self.story.has_failed() { None } else { Some(failure("api_error", message)) }
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn head(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        headers.remove(CONTENT_LENGTH);
        headers.remove("x-amzn-bedrock-content-type");
    }
}

/// The JSON as it is, under the name that its `type` gives.
fn event(json: &[u8], unnamed: &str) -> Bytes {
    let name = member(json, "type").and_then(|m| string(m.value));
    // A name is a word; anything else would end the line it stands in.
    let word = |name: &&[u8]| !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let name = name.filter(word).unwrap_or(unnamed.as_bytes());
    let mut out = Vec::with_capacity(json.len() + name.len() + 20);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name);
    for line in json.split(|b| matches!(b, b'\n' | b'\r')) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\n\n");
    out.into()
}

fn failure(kind: &str, message: &str) -> Bytes {
    let error = serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
    Bytes::from(format!("event: error\ndata: {error}\n\n"))
}

/// What the dialect calls an exception of the service.
fn kind(exception: &str) -> &'static str {
    match exception {
        "throttlingException" => "rate_limit_error",
        "validationException" => "invalid_request_error",
        "modelTimeoutException" => "timeout_error",
        "serviceUnavailableException" => "overloaded_error",
        _ => "api_error",
    }
}
