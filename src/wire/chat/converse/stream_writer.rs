//! A streamed answer for clients that speak to Bedrock: one binary message for each event, usage in the last one.

use super::answer::{Consumed, Metrics, stop_reason};
use super::block::Cited;
use super::failure::stream_error;
use crate::wire::chat::answer::{Event, Failure, Stop, Tokens};
use crate::wire::chat::{Asked, StreamWriter, tool_id};
use crate::wire::event_stream::{Value as Header, encode};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    Text,
    Thinking,
    Tool {
        /// A piece of its arguments was written.
        told: bool,
    },
}

#[derive(Debug, Default)]
pub(in crate::wire::chat) struct Writer {
    started: bool,
    open: Option<Open>,
    /// Of the block that is open, or of the next one.
    index: u64,
    stopped: bool,
    tokens: Tokens,
    over: bool,
}

impl Writer {
    pub(in crate::wire::chat) fn new(_asked: Asked) -> Self {
        Self::default()
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { tokens, .. } => {
                self.tokens = tokens;
                self.start(out);
            }
            Event::Text(text) if !text.is_empty() => {
                self.enter(Open::Text, out);
                self.delta(&json!({ "text": text }), out);
            }
            Event::Thinking(text) if !text.is_empty() => {
                self.enter(Open::Thinking, out);
                self.delta(&json!({ "reasoningContent": { "text": text } }), out);
            }
            Event::Signature(signature) => {
                self.enter(Open::Thinking, out);
                self.delta(&json!({ "reasoningContent": { "signature": signature } }), out);
            }
            Event::RedactedThinking(data) => {
                self.close(out);
                self.enter(Open::Thinking, out);
                self.delta(&json!({ "reasoningContent": { "redactedContent": data } }), out);
                self.close(out);
            }
            Event::Citation(citation) if self.open == Some(Open::Text) => {
                self.delta(&json!({ "citation": Cited::of(&citation) }), out);
            }
            Event::ToolCall { id, name } => {
                self.close(out);
                self.start(out);
                self.open = Some(Open::Tool { told: false });
                let start = json!({ "toolUse": { "toolUseId": tool_id::told(&id), "name": name } });
                put("contentBlockStart", &json!({ "contentBlockIndex": self.index, "start": start }), out);
            }
            Event::Arguments(arguments) if !arguments.is_empty() => {
                if let Some(Open::Tool { told }) = &mut self.open {
                    *told = true;
                    self.delta(&json!({ "toolUse": { "input": arguments } }), out);
                }
            }
            Event::BlockEnd => self.close(out),
            Event::Stop { stop, .. } => self.stop(&stop, out),
            Event::Tokens(tokens) => self.tokens = tokens,
            Event::End => {
                self.stop(&Stop::End, out);
                let usage = Consumed::from(&self.tokens);
                put("metadata", &json!({ "usage": usage, "metrics": Metrics::default() }), out);
                self.over = true;
            }
            Event::Failed(failure) => {
                fail(&failure, out);
                self.over = true;
            }
            Event::Text(_) | Event::Thinking(_) | Event::Citation(_) | Event::Arguments(_) => {}
        }
    }
}

impl Writer {
    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            self.started = true;
            put("messageStart", &json!({ "role": "assistant" }), out);
        }
    }

    /// Texts and thoughts begin with their first piece.
    fn enter(&mut self, open: Open, out: &mut Vec<u8>) {
        self.start(out);
        if self.open != Some(open) {
            self.close(out);
            self.open = Some(open);
        }
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        put("contentBlockDelta", &json!({ "contentBlockIndex": self.index, "delta": delta }), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open else { return };
        if open == (Open::Tool { told: false }) {
            // Clients read the pieces as JSON.
            self.delta(&json!({ "toolUse": { "input": "{}" } }), out);
        }
        self.open = None;
        put("contentBlockStop", &json!({ "contentBlockIndex": self.index }), out);
        self.index = self.index.saturating_add(1);
    }

    fn stop(&mut self, stop: &Stop, out: &mut Vec<u8>) {
        if self.stopped {
            return;
        }
        self.start(out);
        self.close(out);
        self.stopped = true;
        put("messageStop", &json!({ "stopReason": stop_reason(stop) }), out);
    }
}

fn put(kind: &str, payload: &Value, out: &mut Vec<u8>) {
    message([(":event-type", kind), (":message-type", "event")], payload, out);
}

/// What a client's SDK raises.
fn fail(failure: &Failure, out: &mut Vec<u8>) {
    let payload = json!({ "message": failure.message });
    message([(":exception-type", stream_error(failure)), (":message-type", "exception")], &payload, out);
}

fn message([class, kind]: [(&str, &str); 2], payload: &Value, out: &mut Vec<u8>) {
    let headers = [
        (class.0, Header::Text(class.1)),
        (":content-type", Header::Text("application/json")),
        (kind.0, Header::Text(kind.1)),
    ];
    // `None` beyond 24 MiB of payload: no event is that large.
    if let Some(frame) = encode(&headers, payload.to_string().as_bytes()) {
        out.extend_from_slice(&frame);
    }
}
