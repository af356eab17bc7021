//! Writes the stream of an answer. How it ended and what it cost is told at the end only: many upstreams tell the cost
//! after everything else.

use super::super::{Asked, Event, Failure, Stop, StreamWriter, Tokens, tool_id};
use super::answer::{message_id, model_name, stop_reason, write_citation};
use super::failure::anthropic_error;
use super::usage::Told;
use serde::Serialize;
use serde_json::Value;

#[derive(Debug)]
pub(in super::super) struct Writer {
    asked: Asked,
    started: bool,
    over: bool,
    open: Option<Kind>,
    /// Of the block that is open, or comes next.
    index: u64,
    calls: bool,
    stop: Stop,
    sequence: Option<String>,
    tokens: Tokens,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Thinking,
    Redacted,
    Tool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Out<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u64, content_block: BlockStart<'a> },
    ContentBlockDelta { index: u64, delta: Delta<'a> },
    ContentBlockStop { index: u64 },
    MessageDelta { delta: Ending<'a>, usage: Told },
    MessageStop {},
}

impl Out<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop {} => "message_stop",
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'static str>,
    usage: Told,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockStart<'a> {
    Text { text: &'static str },
    Thinking { thinking: &'static str, signature: &'static str },
    RedactedThinking { data: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Empty },
}

/// `{}`
#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "citations_delta")]
    Citation { citation: Value },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: &'a str },
}

#[derive(Serialize)]
struct Ending<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl Writer {
    pub(in super::super) fn new(asked: Asked) -> Self {
        Self {
            asked,
            started: false,
            over: false,
            open: None,
            index: 0,
            calls: false,
            stop: Stop::End,
            sequence: None,
            tokens: Tokens::default(),
        }
    }

    fn start(&mut self, id: &str, model: &str, tokens: &Tokens, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let message = Message {
            id: message_id(id, &self.asked),
            r#type: "message",
            role: "assistant",
            model: model_name(model, &self.asked),
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: Told::first(tokens),
        };
        put(&Out::MessageStart { message }, out);
    }

    fn open(&mut self, kind: Kind, content_block: BlockStart<'_>, out: &mut Vec<u8>) {
        self.close(out);
        self.open = Some(kind);
        put(&Out::ContentBlockStart { index: self.index, content_block }, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            put(&Out::ContentBlockStop { index: self.index }, out);
            self.index += 1;
        }
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        put(&Out::ContentBlockDelta { index: self.index, delta }, out);
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.open != Some(Kind::Text) {
            self.open(Kind::Text, BlockStart::Text { text: "" }, out);
        }
        self.delta(Delta::Text { text }, out);
    }

    fn thinking(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        if self.open != Some(Kind::Thinking) {
            self.open(Kind::Thinking, BlockStart::Thinking { thinking: "", signature: "" }, out);
        }
        self.delta(delta, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let delta =
            Ending { stop_reason: stop_reason(&self.stop, self.calls), stop_sequence: self.sequence.as_deref() };
        put(&Out::MessageDelta { delta, usage: Told::whole(&self.tokens) }, out);
        put(&Out::MessageStop {}, out);
        self.over = true;
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        put_named("error", &anthropic_error(failure), out);
        self.over = true;
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, tokens } => {
                self.tokens = tokens;
                return self.start(&id, &model, &tokens, out);
            }
            Event::Failed(failure) => return self.fail(&failure, out),
            Event::Stop { stop, sequence } => {
                self.stop = stop;
                self.sequence = sequence;
                return;
            }
            Event::Tokens(tokens) => {
                self.tokens = tokens;
                return;
            }
            _ => self.start("", "", &Tokens::default(), out),
        }
        match event {
            Event::Text(text) if !text.is_empty() => self.text(&text, out),
            Event::Thinking(text) if !text.is_empty() => {
                self.thinking(Delta::Thinking { thinking: &text }, out);
            }
            Event::Signature(signature) if !signature.is_empty() => {
                self.thinking(Delta::Signature { signature: &signature }, out);
            }
            Event::RedactedThinking(data) => {
                self.open(Kind::Redacted, BlockStart::RedactedThinking { data: &data }, out);
            }
            Event::Citation(citation) if self.open == Some(Kind::Text) => {
                self.delta(Delta::Citation { citation: write_citation(&citation) }, out);
            }
            Event::ToolCall { id, name } => {
                self.calls = true;
                self.open(
                    Kind::Tool,
                    BlockStart::ToolUse { id: &tool_id::told(&id), name: &name, input: Empty {} },
                    out,
                );
            }
            Event::Arguments(json) if !json.is_empty() && self.open == Some(Kind::Tool) => {
                self.delta(Delta::Arguments { partial_json: &json }, out);
            }
            Event::BlockEnd => self.close(out),
            Event::End => self.end(out),
            _ => {}
        }
    }
}

fn put(event: &Out<'_>, out: &mut Vec<u8>) {
    put_named(event.name(), event, out);
}

/// An event as the API's own clients demand it: without its name they do not see it.
fn put_named(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // Nothing in these shapes can fail: names are texts, numbers are whole.
    if let Ok(json) = serde_json::to_vec(data) {
        out.extend_from_slice(&json);
    }
    out.extend_from_slice(b"\n\n");
}
