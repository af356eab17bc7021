//! The items of an answer as the client reads them: reasoning, messages, calls.

use super::super::{Asked, Citation};
use super::sealed;
use serde::Serialize;

/// Something that the model has said, whole or as far as it is known.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Reasoning {
        id: String,
        text: String,
        signature: Option<String>,
    },
    /// Reasoning that only the model can read.
    Redacted {
        id: String,
        data: String,
    },
    Message {
        id: String,
        text: String,
        annotations: Vec<Annotation>,
    },
    Call {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
        custom: bool,
    },
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Annotation {
    r#type: &'static str,
    url: String,
    title: String,
    /// In characters of the text.
    start_index: usize,
    end_index: usize,
}

impl Annotation {
    /// `words`: where the text stands that the citation is the proof of.
    pub(super) fn of(citation: Citation, words: std::ops::Range<usize>) -> Self {
        let Citation { url, title, quote: _ } = citation;
        Self { r#type: "url_citation", url, title, start_index: words.start, end_index: words.end }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It begins: ids and names, no content yet.
    InProgress,
    Completed,
    Incomplete,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Written<'a> {
    Reasoning {
        id: &'a str,
        summary: Vec<Summary<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
    },
    Message {
        id: &'a str,
        status: &'static str,
        content: Vec<OutputText<'a>>,
        role: &'static str,
    },
    FunctionCall {
        id: &'a str,
        status: &'static str,
        arguments: &'a str,
        call_id: &'a str,
        name: &'a str,
    },
    CustomToolCall {
        id: &'a str,
        status: &'static str,
        call_id: &'a str,
        input: &'a str,
        name: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct Summary<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl<'a> Summary<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { r#type: "summary_text", text }
    }
}

#[derive(Serialize)]
pub(super) struct OutputText<'a> {
    r#type: &'static str,
    annotations: &'a [Annotation],
    logprobs: [(); 0],
    text: &'a str,
}

impl<'a> OutputText<'a> {
    pub(super) const fn of(text: &'a str, annotations: &'a [Annotation]) -> Self {
        Self { r#type: "output_text", annotations, logprobs: [], text }
    }
}

impl Item {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Redacted { id, .. }
            | Self::Message { id, .. }
            | Self::Call { id, .. } => id,
        }
    }

    pub(super) fn written(&self, state: State) -> Written<'_> {
        let begins = state == State::InProgress;
        let status = state.name();
        match self {
            Self::Reasoning { id, text, signature } => Written::Reasoning {
                id,
                summary: if begins || text.is_empty() { Vec::new() } else { vec![Summary::of(text)] },
                // Told to everybody, asked for or not: nothing is stored here that could stand in for it.
                encrypted_content: signature
                    .as_deref()
                    .filter(|_| !begins)
                    .map(|signature| sealed::thinking(text, signature)),
            },
            Self::Redacted { id, data } => Written::Reasoning {
                id,
                summary: Vec::new(),
                encrypted_content: (!begins).then(|| sealed::redacted(data)),
            },
            Self::Message { id, text, annotations } => Written::Message {
                id,
                status,
                content: if begins { Vec::new() } else { vec![OutputText::of(text, annotations)] },
                role: "assistant",
            },
            Self::Call { id, call_id, name, arguments, custom: false } => {
                Written::FunctionCall { id, status, arguments: if begins { "" } else { arguments }, call_id, name }
            }
            Self::Call { id, call_id, name, arguments, custom: true } => {
                Written::CustomToolCall { id, status, call_id, input: if begins { "" } else { arguments }, name }
            }
        }
    }
}

/// The ids that are made up for an answer and its items, from the upstream's own one.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    base: String,
    items: usize,
}

impl Ids {
    /// `upstream`: empty when there is none.
    pub(super) fn of(upstream: &str, asked: &Asked) -> Self {
        let prefixes = ["msg_", "chatcmpl-", "resp_", "cmpl-"];
        let bare = prefixes.iter().find_map(|prefix| upstream.strip_prefix(prefix)).unwrap_or(upstream);
        // Short enough that the ids of items stay within the 64 characters that the API allows when they come back.
        let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let base: String = bare.chars().filter(safe).take(48).collect();
        Self { base: if base.is_empty() { asked.fresh_id.clone() } else { base }, items: 0 }
    }

    pub(super) fn response(&self) -> String {
        format!("resp_{}", self.base)
    }

    pub(super) fn item(&mut self, prefix: &str) -> String {
        self.items += 1;
        format!("{prefix}_{}_{}", self.base, self.items - 1)
    }
}
