//! The response object: what an answer is as a whole.

use super::super::{Asked, Failure, FailureKind, Stop, Tokens};
use super::echo::Echo;
use super::items::{Ids, Item, State, Written};
use serde::Serialize;

/// What stays the same from the first event of a stream to the last.
#[derive(Clone, Debug)]
pub(super) struct Head {
    id: String,
    created_at: i64,
    model: String,
    echo: Echo,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress<'a> {
    Running,
    Ended { stop: &'a Stop, tokens: &'a Tokens },
    Failed(&'a Failure),
}

#[derive(Serialize)]
pub(super) struct Object<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: &'static str,
    background: bool,
    error: Option<Fault<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: Vec<Written<'a>>,
    previous_response_id: Option<()>,
    #[serde(flatten)]
    echo: &'a Echo,
    store: bool,
    top_logprobs: u8,
    truncation: &'static str,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Fault<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl Head {
    pub(super) fn of(ids: &Ids, asked: &Asked) -> Self {
        Self {
            id: ids.response(),
            created_at: asked.created,
            model: asked.model.clone(),
            echo: Echo::of(asked.echo.as_deref()),
        }
    }

    pub(super) fn object<'a>(&'a self, items: &'a [Item], progress: Progress<'a>) -> Object<'a> {
        let (status, error, incomplete, usage) = match progress {
            Progress::Running => ("in_progress", None, None, None),
            Progress::Failed(failure) => {
                ("failed", Some(Fault { code: code(failure.kind), message: &failure.message }), None, None)
            }
            Progress::Ended { stop, tokens } => match cut_short(stop) {
                None => ("completed", None, None, Some(Usage::of(tokens))),
                Some(reason) => ("incomplete", None, Some(Incomplete { reason }), Some(Usage::of(tokens))),
            },
        };
        let last = items.len().saturating_sub(1);
        let whole = |nth| status == "completed" || nth < last;
        let output = items.iter().enumerate();
        Object {
            id: &self.id,
            object: "response",
            created_at: self.created_at,
            status,
            background: false,
            error,
            incomplete_details: incomplete,
            model: &self.model,
            output: output
                .map(|(nth, item)| item.written(if whole(nth) { State::Completed } else { State::Incomplete }))
                .collect(),
            previous_response_id: None,
            echo: &self.echo,
            store: false,
            top_logprobs: 0,
            truncation: "disabled",
            usage,
        }
    }
}

impl Usage {
    fn of(tokens: &Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt(),
            input_tokens_details: InputDetails {
                cached_tokens: tokens.cache_read,
                cache_write_tokens: tokens.cache_write,
            },
            output_tokens: tokens.output,
            output_tokens_details: OutputDetails { reasoning_tokens: tokens.reasoning },
            total_tokens: tokens.total(),
        }
    }
}

/// Why the answer is not whole; `None`: it is.
pub(super) const fn cut_short(stop: &Stop) -> Option<&'static str> {
    match stop {
        Stop::End | Stop::Sequence | Stop::ToolUse | Stop::Malformed => None,
        Stop::Length | Stop::Context | Stop::Paused => Some("max_output_tokens"),
        Stop::Filtered => Some("content_filter"),
    }
}

/// In the few words that the API has for the failure of a response.
pub(super) const fn code(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Rate => "rate_limit_exceeded",
        FailureKind::Billing => "insufficient_quota",
        FailureKind::BadRequest | FailureKind::TooLarge => "invalid_prompt",
        FailureKind::Auth
        | FailureKind::Permission
        | FailureKind::NotFound
        | FailureKind::Timeout
        | FailureKind::Overloaded
        | FailureKind::Server => "server_error",
    }
}
