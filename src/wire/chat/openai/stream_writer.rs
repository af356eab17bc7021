//! Events, written as the stream that a client of this form reads.

use super::super::request::free_text;
use super::super::{Asked, Citation, Event, Failure, Stop, StreamWriter, Tokens, tool_id};
use super::answer::{Annotation, answer_id};
use super::failure::openai_error;
use super::{stop, usage};
use serde::Serialize;

/// Bytes of a free-text call's arguments that are held together; more is passed on as it comes.
const HELD_LIMIT: usize = 1024 * 1024;
/// Bytes of citations that wait for the end of the answer; more are left out.
const CITED_LIMIT: usize = 1024 * 1024;

/// Every chunk leaves at once but the last ones: why the answer ended is told after all of it, usage after that.
#[derive(Debug)]
pub(in super::super) struct Writer {
    asked: Asked,
    id: String,
    started: bool,
    over: bool,
    open: Open,
    /// Tool calls so far.
    calls: usize,
    /// Characters of text so far.
    said: usize,
    annotations: Vec<Annotation>,
    /// Bytes of the citations so far.
    cited: usize,
    stop: Stop,
    tokens: Tokens,
}

/// The block under way, as far as its end needs it.
#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    /// Where its text began, and what it was found in.
    Text { start: usize, citations: Vec<Citation> },
    /// A call, and whether it has arguments by now.
    Call { has_arguments: bool },
    /// A call whose arguments are held until its text can be taken out of them.
    FreeText(String),
}

#[derive(Serialize, Debug)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// `null` in all chunks but the last, if usage is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<usage::Usage>>,
}

/// The chunk that says that nothing more will come.
#[derive(Serialize, Debug)]
struct Failed<'a> {
    #[serde(flatten)]
    chunk: Chunk<'a>,
    error: serde_json::Value,
}

#[derive(Serialize, Debug)]
struct Choice<'a> {
    index: u8,
    delta: Delta<'a>,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Debug, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
    #[serde(skip_serializing_if = "<[Annotation]>::is_empty")]
    annotations: &'a [Annotation],
}

#[derive(Serialize, Debug, Default)]
struct Call<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom<'a>>,
}

#[derive(Serialize, Debug)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize, Debug)]
struct Custom<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

impl StreamWriter for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, tokens, .. } => {
                self.tokens = tokens;
                self.start(&id, out);
            }
            Event::Text(text) if !text.is_empty() => {
                if !matches!(self.open, Open::Text { .. }) {
                    self.close(out);
                    self.open = Open::Text { start: self.said, citations: Vec::new() };
                }
                self.said += text.chars().count();
                self.delta(Delta { content: Some(&text), ..Delta::default() }, out);
            }
            Event::Thinking(text) if !text.is_empty() => {
                self.close(out);
                self.delta(Delta { reasoning_content: Some(&text), ..Delta::default() }, out);
            }
            Event::Citation(found) => {
                let bytes = found.url.len() + found.title.len() + size_of::<Annotation>();
                if let Open::Text { citations, .. } = &mut self.open
                    && self.cited + bytes <= CITED_LIMIT
                {
                    self.cited += bytes;
                    // What was quoted has no place in this form.
                    citations.push(Citation { quote: String::new(), ..found });
                }
            }
            Event::ToolCall { id, name } => {
                self.close(out);
                self.begin_call(&id, &name, out);
            }
            Event::Arguments(more) if !more.is_empty() => self.arguments(&more, out),
            Event::BlockEnd => self.close(out),
            Event::Stop { stop, .. } => {
                self.close(out);
                self.stop = stop;
            }
            Event::Tokens(tokens) => self.tokens = tokens,
            Event::End => self.finish(out),
            Event::Failed(failure) => self.fail(&failure, out),
            // What proves thinking has no place in streams of this form; empty pieces say nothing.
            Event::Signature(_) | Event::RedactedThinking(_) => {}
            Event::Text(_) | Event::Thinking(_) | Event::Arguments(_) => {}
        }
    }
}

impl Writer {
    pub(in super::super) fn new(asked: Asked) -> Self {
        Self {
            asked,
            id: String::new(),
            started: false,
            over: false,
            open: Open::None,
            calls: 0,
            said: 0,
            annotations: Vec::new(),
            cited: 0,
            stop: Stop::End,
            tokens: Tokens::default(),
        }
    }

    fn start(&mut self, upstream: &str, out: &mut Vec<u8>) {
        if !self.started {
            self.started = true;
            self.id = answer_id("chatcmpl-", upstream, &self.asked.fresh_id);
            self.delta(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, out);
        }
    }

    fn begin_call(&mut self, id: &str, name: &str, out: &mut Vec<u8>) {
        let index = self.calls;
        self.calls += 1;
        let id = tool_id::told(id);
        let mut call = Call { index, id: Some(&id), ..Call::default() };
        if self.asked.free_text_tools.iter().any(|tool| tool == name) {
            call.kind = Some("custom");
            call.custom = Some(Custom { name: Some(name), input: "" });
            self.open = Open::FreeText(String::new());
        } else {
            call.kind = Some("function");
            call.function = Some(Function { name: Some(name), arguments: "" });
            self.open = Open::Call { has_arguments: false };
        }
        self.call(call, out);
    }

    fn arguments(&mut self, more: &str, out: &mut Vec<u8>) {
        match &mut self.open {
            Open::Call { has_arguments } => {
                *has_arguments = true;
                self.piece_of_arguments(more, out);
            }
            Open::FreeText(held) => {
                held.push_str(more);
                if held.len() > HELD_LIMIT {
                    let raw = std::mem::take(held);
                    self.piece_of_text(&raw, out);
                }
            }
            Open::None | Open::Text { .. } => {}
        }
    }

    /// Ends the block under way.
    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::take(&mut self.open) {
            Open::None => {}
            Open::Text { start, citations } => {
                let end = self.said;
                self.annotations.extend(citations.into_iter().map(|found| Annotation::new(found, start, end)));
            }
            Open::Call { has_arguments: true } => {}
            // Clients parse what they put together, and nothing is no JSON.
            Open::Call { has_arguments: false } => self.piece_of_arguments("{}", out),
            Open::FreeText(held) => {
                let text = free_text(&held);
                if !text.is_empty() {
                    self.piece_of_text(&text, out);
                }
            }
        }
    }

    fn piece_of_arguments(&mut self, arguments: &str, out: &mut Vec<u8>) {
        let index = self.calls.saturating_sub(1);
        let function = Some(Function { name: None, arguments });
        self.call(Call { index, function, ..Call::default() }, out);
    }

    fn piece_of_text(&mut self, input: &str, out: &mut Vec<u8>) {
        let index = self.calls.saturating_sub(1);
        let custom = Some(Custom { name: None, input });
        self.call(Call { index, custom, ..Call::default() }, out);
    }

    fn call(&mut self, call: Call<'_>, out: &mut Vec<u8>) {
        self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.start("", out);
        self.chunk(&[Choice { index: 0, delta, logprobs: (), finish_reason: None }], None, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.start("", out);
        self.close(out);
        let delta = Delta { annotations: &self.annotations, ..Delta::default() };
        let finish_reason = Some(stop::write(&self.stop));
        self.chunk(&[Choice { index: 0, delta, logprobs: (), finish_reason }], None, out);
        if self.asked.wants_usage {
            self.chunk(&[], Some(usage::write(&self.tokens)), out);
        }
        self.done(out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        if !self.asked.failed_choice {
            event(&serde_json::json!({ "error": openai_error(failure) }), out);
            return self.done(out);
        }
        // Whoever looks for the error finds it; whoever looks at choices only finds one, and a reason why it ended.
        let choice = Choice { index: 0, delta: Delta::default(), logprobs: (), finish_reason: Some("error") };
        event(&Failed { chunk: self.made_of(&[choice], None), error: openai_error(failure) }, out);
        self.done(out);
    }

    fn done(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Option<usage::Usage>, out: &mut Vec<u8>) {
        event(&self.made_of(choices, usage), out);
    }

    fn made_of<'a>(&'a self, choices: &'a [Choice<'a>], usage: Option<usage::Usage>) -> Chunk<'a> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.asked.created,
            model: &self.asked.model,
            choices,
            usage: self.asked.wants_usage.then_some(usage),
        }
    }
}

fn event(data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    // Strings and numbers only, into memory: nothing in it can fail.
    let _written = serde_json::to_writer(&mut *out, data);
    out.extend_from_slice(b"\n\n");
}
