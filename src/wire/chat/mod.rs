//! Conversations: one canonical request, answer and stream of events, and a codec for each API's own form of them.
//! Any form becomes any other through the canonical one. Pure: bytes in, bytes out, however they are cut.
//!
//! | Codec | Requests | Answers, whole and streamed | Errors |
//! |---|---|---|---|
//! | `openai` (chat completions) | read, write | read, write | read, write |
//! | `responses` (OpenAI's responses) | read | write | write |
//! | `completions` (OpenAI's text completions) | read | write | write |
//! | `anthropic` (messages) | read, write | read, write | read, write |
//! | `converse` (Bedrock) | read, write | read, write | read, write |
//! | `ollama`, `gemini`, `knowledge` (bases of Bedrock) | write | read | read |
//!
//! [`Opening`] tells when a client's stream has its first output; `replay` makes streams of whole answers and the other
//! way round.
//!
//! A new API is a codec and a line in each table of this file. What is asked for and cannot be said in the other form
//! is dropped and named ([`Written::dropped`]) or refused, as the [`Target`] says.

mod answer;
mod answer_tool;
mod anthropic;
mod completions;
mod converse;
mod gemini;
pub mod knowledge;
mod media;
mod members;
mod ollama;
mod openai;
mod opening;
mod parsed;
pub mod replay;
mod request;
mod responses;
mod target;
mod tool_id;

mod upstream_only;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcripts;

pub use answer::{Answer, Collector, Event, Failure, FailureKind, Stop, Tokens};
pub use answer_tool::AnswerTool;
pub use anthropic::anthropic_error;
pub use converse::aws_error;
pub use openai::openai_error;
pub use opening::{OPENING_LIMIT, Opened, Opening};
pub use request::{
    CacheMark, Citation, Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Source, Text, Tool, ToolCall,
    ToolChoice,
};
pub use target::{
    Asked, CachePoints, DEFAULT_MAX_TOKENS, Family, MaxTokens, MaxTokensMember, ReasoningStyle, Sampling, Target,
    Unsupported, Written,
};

use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How an API writes conversations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// OpenAI's chat completions, and everybody's who copied them.
    OpenAiChat,
    OpenAiResponses,
    /// OpenAI's text completions, the form before there were conversations.
    OpenAiCompletions,
    Anthropic,
    Converse,
    Ollama,
    Gemini,
    /// A knowledge base that answers by itself.
    Knowledge,
}

/// A request that cannot be read, or not be said in the other form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// A sentence for the client. Never repeats more of the request than a name.
    pub message: String,
    /// The member at fault, as a path in the client's own words: `messages[2].content`.
    pub param: Option<String>,
    /// A word to decide on, such as `unsupported_parameter`.
    pub code: Option<&'static str>,
}

impl BadRequest {
    pub fn of(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()), code: None }
    }
    /// What the target has no word for, by policy or always.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::of(param, message) }
    }
}

/// The upstream's answer is not what its API promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer of the upstream cannot be read")]
pub struct Unreadable;

/// Turns the body of an upstream's stream into events. Memory is bounded by the largest single event that is accepted;
/// what cannot be understood is left out.
pub trait StreamReader: Send {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>);
    /// The body is over. What ended without the upstream's last word gets none here either.
    fn end(&mut self, out: &mut Vec<Event>);
}

/// Turns events into the body of a client's stream. Every [`Event`] is written as soon as the client's form allows it.
pub trait StreamWriter: Send {
    fn write(&mut self, event: Event, out: &mut Vec<u8>);
}

/// Reads what a client asks for.
///
/// # Errors
/// The body is not a request of this form, or asks for what no translation can give (`n` above 1).
pub fn read_request(format: Format, body: &[u8]) -> Result<Request, BadRequest> {
    match format {
        Format::OpenAiChat => openai::read_request(body),
        Format::OpenAiResponses => responses::read_request(body),
        Format::OpenAiCompletions => completions::read_completion(body),
        Format::Anthropic => anthropic::read_request(body),
        Format::Converse => converse::read_request(body),
        Format::Ollama | Format::Gemini | Format::Knowledge => Err(only_upstream()),
    }
}

/// What answers of this form repeat of their request: for [`Asked::echo`]. `None`: nothing.
pub fn echo(format: Format, body: &[u8]) -> Option<Box<RawValue>> {
    match format {
        Format::OpenAiResponses => responses::echo(body),
        _ => None,
    }
}

/// Writes a request for an upstream.
///
/// # Errors
/// It cannot be said in this form, and leaving it out would change its meaning, or the target's policy refuses that.
pub fn write_request(format: Format, request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let request = &*without_foreign_proofs(format, request);
    let mut written = match format {
        Format::OpenAiChat => openai::write_request(request, target),
        Format::Anthropic => anthropic::write_request(request, target),
        Format::Converse => converse::write_request(request, target),
        Format::Ollama => ollama::write_request(request, target),
        Format::Gemini => gemini::write_request(request, target),
        Format::Knowledge => knowledge::write_request(request, target),
        Format::OpenAiResponses | Format::OpenAiCompletions => Err(only_client()),
    }?;
    for name in &request.foreign {
        if !written.dropped.contains(name) {
            written.dropped.push(name.clone());
        }
    }
    match written.dropped.first() {
        Some(name) if target.unsupported == Unsupported::Refuse => {
            Err(BadRequest::unsupported(name.clone(), format!("The model behind this name does not support {name}.")))
        }
        _ => Ok(written),
    }
}

/// What proves a thought to one API is refused by another: clients may go on elsewhere in the same conversation.
fn without_foreign_proofs(format: Format, request: &Request) -> Cow<'_, Request> {
    let is_foreign = |part: &Part| match part {
        Part::Thinking { signature: Some(proof), .. } => gemini::is_own_proof(proof),
        _ => false,
    };
    if format == Format::Gemini || !request.messages.iter().flat_map(|m| &m.parts).any(is_foreign) {
        return Cow::Borrowed(request);
    }
    let mut request = request.clone();
    for part in request.messages.iter_mut().flat_map(|m| &mut m.parts).filter(|part| is_foreign(part)) {
        if let Part::Thinking { signature, .. } = part {
            *signature = None;
        }
    }
    Cow::Owned(request)
}

/// # Errors
/// It is no answer of this form.
pub fn read_answer(format: Format, body: &[u8]) -> Result<Answer, Unreadable> {
    match format {
        Format::OpenAiChat => openai::read_answer(body),
        Format::Anthropic => anthropic::read_answer(body),
        Format::Converse => converse::read_answer(body),
        Format::Ollama => ollama::read_answer(body),
        Format::Gemini => gemini::read_answer(body),
        Format::Knowledge => knowledge::read_answer(body),
        Format::OpenAiResponses | Format::OpenAiCompletions => Err(Unreadable),
    }
}

/// The whole answer as the client reads it.
pub fn write_answer(format: Format, answer: &Answer, asked: &Asked) -> Vec<u8> {
    match format {
        Format::OpenAiResponses => responses::write_answer(answer, asked),
        Format::OpenAiCompletions => completions::write_completion(answer, asked),
        Format::Anthropic => anthropic::write_answer(answer, asked),
        Format::Converse => converse::write_answer(answer, asked),
        Format::OpenAiChat | Format::Ollama | Format::Gemini | Format::Knowledge => openai::write_answer(answer, asked),
    }
}

/// For the body of a streamed answer of an upstream.
pub fn stream_reader(format: Format) -> Box<dyn StreamReader> {
    match format {
        Format::OpenAiChat | Format::OpenAiResponses | Format::OpenAiCompletions => Box::new(openai::Reader::default()),
        Format::Anthropic => Box::new(anthropic::Reader::default()),
        Format::Converse => Box::new(converse::Reader::default()),
        Format::Ollama => Box::new(ollama::Reader::default()),
        Format::Gemini => Box::new(gemini::Reader::default()),
        Format::Knowledge => Box::new(knowledge::Reader::default()),
    }
}

/// For the body of a streamed answer to a client.
pub fn stream_writer(format: Format, asked: Asked) -> Box<dyn StreamWriter> {
    match format {
        Format::OpenAiResponses => Box::new(responses::Writer::new(asked)),
        Format::OpenAiCompletions => Box::new(completions::CompletionWriter::new(asked)),
        Format::Anthropic => Box::new(anthropic::Writer::new(asked)),
        Format::Converse => Box::new(converse::Writer::new(asked)),
        Format::OpenAiChat | Format::Ollama | Format::Gemini | Format::Knowledge => {
            Box::new(openai::Writer::new(asked))
        }
    }
}

/// What a client's stream of this form is called in `content-type`.
pub const fn stream_type(format: Format) -> &'static str {
    match format {
        Format::Converse => "application/vnd.amazon.eventstream",
        _ => "text/event-stream",
    }
}

/// An error answer of an upstream. `class`: what its headers call the error, where they do. Never fails: an error that
/// is not in the upstream's own form is told by its status.
pub fn read_failure(format: Format, status: u16, class: Option<&str>, body: &[u8]) -> Failure {
    match format {
        Format::Anthropic => anthropic::read_failure(status, body),
        Format::Converse | Format::Knowledge => converse::read_failure(status, class, body),
        Format::Gemini => gemini::read_failure(status, body),
        Format::OpenAiChat | Format::OpenAiResponses | Format::OpenAiCompletions | Format::Ollama => {
            openai::read_failure(status, body)
        }
    }
}

fn only_upstream() -> BadRequest {
    BadRequest { message: "Clients do not speak this form.".into(), param: None, code: None }
}

fn only_client() -> BadRequest {
    BadRequest { message: "No upstream is asked in this form.".into(), param: None, code: None }
}
