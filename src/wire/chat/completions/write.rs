//! Writes completions, whole and streamed. Only text can be one: thinking and calls are left out.

use super::super::{Answer, Asked, Event, Failure, FailureKind, Stop, StreamWriter, Tokens};
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

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

#[derive(Serialize)]
struct Fault<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<()>,
    code: Option<&'a str>,
}

impl Usage {
    fn of(tokens: &Tokens) -> Self {
        Self {
            prompt_tokens: tokens.prompt(),
            completion_tokens: tokens.output,
            total_tokens: tokens.total(),
            prompt_tokens_details: PromptDetails {
                cached_tokens: tokens.cache_read,
                cache_write_tokens: tokens.cache_write,
            },
            completion_tokens_details: CompletionDetails { reasoning_tokens: tokens.reasoning },
        }
    }
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
        usage: Some(Some(Usage::of(&answer.tokens))),
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
                    self.chunk(&[], Some(Usage::of(&self.tokens)), out);
                }
                self.done(out);
            }
            Event::Failed(failure) => {
                data(&std::collections::BTreeMap::from([("error", fault(&failure))]), out);
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
    let prefixes = ["msg_", "chatcmpl-", "resp_", "cmpl-"];
    let bare = prefixes.iter().find_map(|prefix| upstream.strip_prefix(prefix)).unwrap_or(upstream);
    format!("cmpl-{}", if bare.is_empty() { &asked.fresh_id } else { bare })
}

const fn finish(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence | Stop::ToolUse | Stop::Malformed => "stop",
        Stop::Length | Stop::Context | Stop::Paused => "length",
        Stop::Filtered => "content_filter",
    }
}

fn fault(failure: &Failure) -> Fault<'_> {
    let (kind, code) = match failure.kind {
        FailureKind::BadRequest | FailureKind::TooLarge => ("invalid_request_error", None),
        FailureKind::Auth => ("authentication_error", None),
        FailureKind::Billing => ("insufficient_quota", None),
        FailureKind::Permission => ("permission_error", None),
        FailureKind::NotFound => ("invalid_request_error", Some("model_not_found")),
        FailureKind::Rate => ("rate_limit_error", Some("rate_limit_exceeded")),
        FailureKind::Timeout => ("server_error", Some("timeout")),
        FailureKind::Overloaded => ("server_error", Some("overloaded_error")),
        FailureKind::Server => ("server_error", None),
    };
    Fault { message: &failure.message, r#type: kind, param: None, code: failure.code.as_deref().or(code) }
}
