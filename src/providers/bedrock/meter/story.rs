//! What a stream of messages tells: the same for everyone who follows one, whatever is put out of it.

use super::bill::Bill;
use crate::providers::{Ending, Reading};
use crate::wire::event_stream::Message;
use crate::wire::json_walk::{member, members, string, unescape};
use base64::Engine as _;

#[derive(Debug)]
pub(super) struct Story {
    pub(super) bill: Bill,
    /// The last message of a complete answer was seen.
    done: bool,
    /// The model had stopped: only numbers were still to come.
    stopped: bool,
    failed: bool,
}

/// What one message is.
pub(super) enum Told {
    /// A part of an invocation's answer: the model's own JSON.
    Chunk(Vec<u8>),
    /// An exception or error: its name in lower camel case, and its text.
    Failure {
        name: String,
        text: String,
    },
    Other,
}

impl Story {
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, done: false, stopped: false, failed: false }
    }

    pub(super) fn take(&mut self, message: &Message) -> Told {
        match message.text(":message-type") {
            Some("exception") => {
                self.failed = true;
                let text = member(message.payload(), "message").and_then(|m| string(m.value)).map(unescape);
                let name = message.text(":exception-type").unwrap_or_default().to_owned();
                Told::Failure { name, text: text.unwrap_or_default().into_owned() }
            }
            Some("error") => {
                self.failed = true;
                let text = |name| message.text(name).unwrap_or_default().to_owned();
                Told::Failure { name: text(":error-code"), text: text(":error-message") }
            }
            _ => self.event(message),
        }
    }

    fn event(&mut self, message: &Message) -> Told {
        let payload = message.payload();
        match message.text(":event-type") {
            Some("chunk") => {
                let encoded = member(payload, "bytes").and_then(|m| string(m.value)).map(unescape);
                let engine = base64::engine::general_purpose::STANDARD;
                match encoded.map(|text| engine.decode(text.as_bytes())) {
                    Some(Ok(json)) => {
                        self.chunk(&json);
                        Told::Chunk(json)
                    }
                    _ => Told::Other,
                }
            }
            Some("metadata") => {
                self.bill.converse(payload);
                self.done = true;
                Told::Other
            }
            Some("messageStop") => {
                self.stopped = true;
                Told::Other
            }
            // Answers from a knowledge base have no last message.
            Some("output") => {
                self.stopped = true;
                self.bill.wrote(payload);
                Told::Other
            }
            Some("citation") => {
                self.bill.cited(payload);
                Told::Other
            }
            Some(_) => {
                self.bill.wrote(payload);
                Told::Other
            }
            None => Told::Other,
        }
    }

    fn chunk(&mut self, json: &[u8]) {
        // Some tell their counts at the top of each part.
        self.bill.own.overwrite(json);
        for m in members(json) {
            match m.key {
                b"usage" => self.bill.own.overwrite(m.value),
                b"message" | b"metadata" => {
                    let usage = member(m.value, "usage");
                    usage.into_iter().for_each(|usage| self.bill.own.overwrite(usage.value));
                }
                b"type" if m.value == b"\"message_stop\"" => self.done = true,
                b"messageStop" => self.stopped = true,
                b"stop_reason" | b"completionReason" => self.stopped |= m.value != b"null",
                b"amazon-bedrock-invocationMetrics" => {
                    self.bill.metrics.overwrite(m.value);
                    self.done = true;
                }
                _ => {}
            }
        }
        self.bill.wrote(json);
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }
    /// Nothing comes after this.
    pub(super) fn is_over(&self) -> bool {
        self.done || self.failed
    }
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn reading(&self, ending: Ending, unfinished: bool) -> Reading {
        let whole = self.done || (self.stopped && ending == Ending::Complete && !unfinished && !self.failed);
        if self.failed && !self.done && !self.bill.has_text() && !self.bill.own.is_some() {
            return self.bill.nothing(true);
        }
        self.bill.reading(self.done, !whole)
    }
}
