//! Writes completions, whole and streamed. Only text can be one: thinking and calls are left out.

use super::super::openai::{Usage, answer_id, openai_error, write_usage};
use super::super::{Answer, Asked, Event, Stop, StreamWriter, Tokens};
use serde::Serialize;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// In streams: absent unless asked for, and then `null` until the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u8,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

pub(crate) fn write_completion(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let text: String = answer.parts.iter().filter_map(|part| part.as_text()).collect();
    let choice = Choice { text: &text, index: 0, logprobs: None, finish_reason: Some(finish(&answer.stop)) };
    let completion = Completion {
        id: &id(&answer.id, asked),
        object: "text_completion",
        created: asked.created,
        model: &asked.model,
        choices: &[choice],
        usage: Some(Some(write_usage(&answer.tokens))),
    };
    serde_json::to_vec(&completion).unwrap_or_default()
}

#[derive(Debug)]
pub(crate) struct CompletionWriter {
    asked: Asked,
    id: String,
    stop: Stop,
    tokens: Tokens,
    ended: bool,
}

impl CompletionWriter {
    pub(crate) fn new(asked: Asked) -> Self {
        Self { id: id("", &asked), asked, stop: Stop::End, tokens: Tokens::default(), ended: false }
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Usage>, out: &mut Vec<u8>) {
        let completion = Completion {
            id: &self.id,
            object: "text_completion",
            created: self.asked.created,
            model: &self.asked.model,
            choices,
            usage: self.asked.wants_usage.then_some(usage),
        };
        data(&completion, out);
    }
}

impl StreamWriter for CompletionWriter {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { id: upstream, tokens, .. } => {
                self.id = id(&upstream, &self.asked);
                self.tokens = tokens;
            }
            Event::Text(text) if !text.is_empty() => {
                self.chunk(&[Choice { text: &text, index: 0, logprobs: None, finish_reason: None }], None, out);
            }
            Event::Stop { stop, .. } => self.stop = stop,
            Event::Tokens(tokens) => self.tokens = tokens,
            Event::End => {
                let finish_reason = Some(finish(&self.stop));
                self.chunk(&[Choice { text: "", index: 0, logprobs: None, finish_reason }], None, out);
                if self.asked.wants_usage {
                    self.chunk(&[], Some(write_usage(&self.tokens)), out);
                }
                self.done(out);
            }
            Event::Failed(failure) => {
                data(&serde_json::json!({ "error": openai_error(&failure) }), out);
                self.done(out);
            }
            _ => {}
        }
    }
}

impl CompletionWriter {
    fn done(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn data(what: &impl Serialize, out: &mut Vec<u8>) {
    let before = out.len();
    out.extend_from_slice(b"data: ");
    match serde_json::to_writer(&mut *out, what) {
        Ok(()) => out.extend_from_slice(b"\n\n"),
        // Nothing that is written here can fail; half an event would spoil the rest.
        Err(_) => out.truncate(before),
    }
}

fn id(upstream: &str, asked: &Asked) -> String {
    answer_id("cmpl-", upstream, &asked.fresh_id)
}

const fn finish(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence | Stop::ToolUse | Stop::Malformed => "stop",
        Stop::Length | Stop::Context | Stop::Paused => "length",
        Stop::Filtered => "content_filter",
    }
}
