//! A streamed answer of Bedrock as it comes. One message is held at most; what follows the last word is not read.

use super::answer::{Found, ModelFields, Usage, stop_of};
use super::failure;
use crate::wire::chat::answer::{Event, Failure, FailureKind, Tokens};
use crate::wire::chat::{StreamReader, parsed};
use crate::wire::event_stream::{Framer, Message};
use bytes::Bytes;
use serde::Deserialize;

/// Payloads of all kinds: each has some of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    content_block_index: Option<u64>,
    start: Option<Start>,
    delta: Option<Delta>,
    stop_reason: Option<String>,
    additional_model_response_fields: Option<ModelFields>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    tool_use: Option<Called>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Called {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    #[serde(default, deserialize_with = "parsed::lossy")]
    text: Option<String>,
    tool_use: Option<Arguments>,
    reasoning_content: Option<Reasoned>,
    citation: Option<Found>,
}

#[derive(Deserialize)]
struct Arguments {
    #[serde(default, deserialize_with = "parsed::lossy")]
    input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoned {
    #[serde(default, deserialize_with = "parsed::lossy")]
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

/// The block whose pieces come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    Prose,
    Tool {
        /// A piece of its arguments was told.
        told: bool,
    },
}

#[derive(Debug, Default)]
pub(in crate::wire::chat) struct Reader {
    framer: Framer,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    open: Option<(Option<u64>, Open)>,
    /// The model has stopped; what it consumed may still come.
    stopped: bool,
    counted: bool,
    over: bool,
}

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let Self { framer, state } = self;
        if state.over {
            return;
        }
        if let Err(fault) = framer.push(piece, |message| state.message(&message, out)) {
            let message = format!("The stream of the upstream is broken: {fault}.");
            state.fail(Failure { kind: FailureKind::Server, message, code: None }, out);
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if self.state.stopped && !self.framer.is_unfinished() {
            self.state.finish(out);
        }
    }
}

impl State {
    fn message(&mut self, message: &Message, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        match message.text(":message-type") {
            Some("exception") => {
                let class = message.text(":exception-type").unwrap_or_default();
                let (text, own_class) = failure::told(message.payload()).unwrap_or_default();
                let kind = failure::kind_of(class).or_else(|| own_class.as_deref().and_then(failure::kind_of));
                self.fail(Failure { kind: kind.unwrap_or(FailureKind::Server), message: text, code: None }, out);
            }
            Some("error") => {
                let class = message.text(":error-code").unwrap_or_default();
                let text = message.text(":error-message").unwrap_or_default().to_owned();
                let kind = failure::kind_of(class).unwrap_or(FailureKind::Server);
                self.fail(Failure { kind, message: text, code: None }, out);
            }
            _ => self.event(message, out),
        }
    }

    fn event(&mut self, message: &Message, out: &mut Vec<Event>) {
        let Some(kind) = message.text(":event-type") else { return };
        let Ok(payload) = serde_json::from_slice::<Payload>(message.payload()) else { return };
        match kind {
            "messageStart" => {
                out.push(Event::Start { id: String::new(), model: String::new(), tokens: Tokens::default() });
            }
            "contentBlockStart" => {
                self.close(out);
                if let Some(Called { tool_use_id: id, name }) = payload.start.and_then(|start| start.tool_use) {
                    self.open = Some((payload.content_block_index, Open::Tool { told: false }));
                    out.push(Event::ToolCall { id, name });
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = payload.delta {
                    self.delta(payload.content_block_index, delta, out);
                }
            }
            "contentBlockStop" => self.close(out),
            "messageStop" => {
                self.close(out);
                let stop = payload.stop_reason.as_deref().map(stop_of).unwrap_or_default();
                let sequence = payload.additional_model_response_fields.and_then(|fields| fields.stop_sequence);
                out.push(Event::Stop { stop, sequence });
                self.stopped = true;
                if self.counted {
                    self.finish(out);
                }
            }
            "metadata" => {
                if let Some(usage) = payload.usage {
                    out.push(Event::Tokens(usage.into()));
                }
                self.counted = true;
                if self.stopped {
                    self.finish(out);
                }
            }
            _ => {}
        }
    }

    fn delta(&mut self, index: Option<u64>, delta: Delta, out: &mut Vec<Event>) {
        if self.open.is_some_and(|(open, _)| open != index) {
            self.close(out);
        }
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            self.prose(index, Event::Text(text), out);
        }
        if let Some(reasoned) = delta.reasoning_content {
            if let Some(text) = reasoned.text.filter(|text| !text.is_empty()) {
                self.prose(index, Event::Thinking(text), out);
            }
            if let Some(signature) = reasoned.signature.filter(|signature| !signature.is_empty()) {
                self.prose(index, Event::Signature(signature), out);
            }
            if let Some(data) = reasoned.redacted_content.filter(|data| !data.is_empty()) {
                self.prose(index, Event::RedactedThinking(data), out);
            }
        }
        if let Some(citation) = delta.citation
            && self.open == Some((index, Open::Prose))
        {
            out.push(Event::Citation(citation.into()));
        }
        if let Some(arguments) = delta.tool_use.and_then(|call| call.input).filter(|input| !input.is_empty())
            && let Some((_, Open::Tool { told })) = &mut self.open
        {
            *told = true;
            out.push(Event::Arguments(arguments));
        }
    }

    fn prose(&mut self, index: Option<u64>, event: Event, out: &mut Vec<Event>) {
        if self.open.is_some_and(|(_, open)| open != Open::Prose) {
            self.close(out);
        }
        self.open = Some((index, Open::Prose));
        out.push(event);
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        let Some((_, open)) = self.open.take() else { return };
        if open == (Open::Tool { told: false }) {
            // A call without arguments is still a call with an object.
            out.push(Event::Arguments("{}".to_owned()));
        }
        out.push(Event::BlockEnd);
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.over {
            self.over = true;
            out.push(Event::End);
        }
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Event>) {
        if !self.over {
            self.over = true;
            out.push(Event::Failed(failure));
        }
    }
}
