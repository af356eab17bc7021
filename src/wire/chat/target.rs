//! What the model behind an API can do: the difference between what is asked for and what may be sent.

use super::knowledge::Knowledge;
use super::request::Request;
use serde_json::value::RawValue;

/// The model that a request is written for.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// As its provider names it.
    pub model: Box<str>,
    pub family: Family,
    pub max_tokens: MaxTokens,
    pub reasoning: ReasoningStyle,
    pub sampling: Sampling,
    /// Takes a JSON Schema for its answer. Without it, a forced tool stands in where the format has tools.
    pub structured_output: bool,
    /// The last turn may be the assistant's, to be continued.
    pub prefill: bool,
    pub images: bool,
    /// Takes thinking without a signature back, as `reasoning_content`.
    pub plain_reasoning: bool,
    /// Takes `top_k` beside what its format has.
    pub top_k: bool,
    /// Where to mark prompts for caching, beside the client's own marks.
    pub cache_points: CachePoints,
    pub unsupported: Unsupported,
    /// Of a knowledge base that answers by itself.
    pub knowledge: Option<Knowledge>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            model: Box::default(),
            family: Family::Other,
            max_tokens: MaxTokens::default(),
            reasoning: ReasoningStyle::None,
            sampling: Sampling::Free,
            structured_output: true,
            prefill: true,
            images: true,
            plain_reasoning: false,
            top_k: false,
            cache_points: CachePoints::default(),
            unsupported: Unsupported::Drop,
            knowledge: None,
        }
    }
}

/// Who made the model, as far as that changes the members that are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    Claude,
    Nova,
    GptOss,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxTokens {
    /// Sent when the client names none; `None` = nothing is sent, unless the format demands it (then 4096).
    pub default: Option<u64>,
    /// The most that is sent.
    pub cap: Option<u64>,
    /// Member of the OpenAI format.
    pub member: MaxTokensMember,
}

impl Default for MaxTokens {
    fn default() -> Self {
        Self { default: None, cap: None, member: MaxTokensMember::MaxTokens }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxTokensMember {
    MaxTokens,
    MaxCompletionTokens,
}

impl MaxTokens {
    /// What to send for what was asked.
    pub fn of(&self, asked: Option<u64>) -> Option<u64> {
        let wanted = asked.or(self.default)?;
        Some(self.cap.map_or(wanted, |cap| wanted.min(cap)))
    }
    /// As [`Self::of`], where one must be sent.
    pub fn always(&self, asked: Option<u64>) -> u64 {
        let wanted = asked.or(self.default).unwrap_or(DEFAULT_MAX_TOKENS);
        self.cap.map_or(wanted, |cap| wanted.min(cap))
    }
}

/// Where a format demands a maximum and nobody named one.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// How a model is told to think.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReasoningStyle {
    /// It does not; what is asked for is dropped.
    None,
    /// A number of tokens.
    Budget,
    /// Adaptive, with a word for the effort.
    Adaptive,
    /// A word for the effort.
    Effort,
}

/// Which of `temperature`, `top_p` and `top_k` may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sampling {
    Free,
    /// `temperature` or `top_p`: of both, `temperature` is sent.
    OneOf,
    /// None of them.
    Fixed,
}

/// Prompts that are cached without the client's asking.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CachePoints {
    pub system: bool,
    pub tools: bool,
    /// Positions among the messages; negative ones count from the end.
    pub messages: Vec<i64>,
}

/// What becomes of members that the target has no word for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unsupported {
    /// Left out and named in a header.
    #[default]
    Drop,
    /// 400 `unsupported_parameter`.
    Refuse,
}

/// A request in the words of an API.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub body: Vec<u8>,
    /// What was asked for and is not in it, as the client named it.
    pub dropped: Vec<String>,
    /// The answer comes as a call of this tool: its arguments are the text that the client waits for.
    pub answer_tool: Option<String>,
}

/// What an answer is written for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The model, as the client named it.
    pub model: String,
    /// When the answer began, in seconds since 1970.
    pub created: i64,
    /// Stands in for an id where the upstream has none: letters and digits.
    pub fresh_id: String,
    /// In streams: usage is wanted.
    pub wants_usage: bool,
    /// A failing stream ends in a chunk that has a choice, too: some clients look at nothing else.
    pub failed_choice: bool,
    /// Calls of these tools carry free text.
    pub free_text_tools: Vec<String>,
    /// What the client's format repeats from the request.
    pub echo: Option<Box<RawValue>>,
}

impl Asked {
    pub fn of(request: &Request, created: i64, fresh_id: String) -> Self {
        Self {
            model: request.model.clone(),
            created,
            fresh_id,
            wants_usage: request.wants_usage,
            failed_choice: false,
            free_text_tools: request.tools.iter().filter(|t| t.free_text).map(|t| t.name.clone()).collect(),
            echo: None,
        }
    }
}
