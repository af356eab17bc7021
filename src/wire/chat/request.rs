//! A conversation as it is asked for, in the words of no API.
//!
//! Text, base64 and JSON of the client are kept as they came: schemas and arguments are raw JSON, so that neither the
//! order of members nor the spelling of numbers changes on the way.

use super::BadRequest;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Asks a model on that does not continue a turn of its own.
pub(super) const CONTINUE: &str = "Please continue.";
/// Stands for the user's first turn where the client's messages begin with the assistant's.
pub(super) const OPENING: &str = ".";

/// What a client wants to be answered.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// As the client named it.
    pub model: String,
    /// Instructions, wherever they stood among the messages, in order. Never empty texts.
    pub system: Vec<Text>,
    /// Turns as the client ordered them; neighbours may have one role (see [`Request::turns`]).
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    /// Most tokens of the answer, reasoning included.
    pub max_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub stop: Vec<String>,
    pub reasoning: Option<Reasoning>,
    pub output: Option<OutputFormat>,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// In OpenAI's words: `auto`, `default`, `flex`, `priority`.
    pub service_tier: Option<String>,
    pub stream: bool,
    /// The client asked for usage in its stream.
    pub wants_usage: bool,
    /// Members (by name, or `parent.member`) with a value that no other API can express: they are dropped and named,
    /// or refused. Each once, in the order in which they came.
    pub foreign: Vec<String>,
}

/// A text with what may hang on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Text {
    pub text: String,
    pub cache: Option<CacheMark>,
}

/// Everything up to here is to be cached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CacheMark {
    /// `5m` or `1h`; `None` = the model's own.
    pub ttl: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    User,
    Assistant,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
}

/// A piece of a turn, of the request or of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Text {
        text: String,
        cache: Option<CacheMark>,
        /// Of answers only.
        citations: Vec<Citation>,
    },
    Image {
        source: Source,
        cache: Option<CacheMark>,
    },
    Document {
        /// As the client named it; a target may allow fewer characters.
        name: Option<String>,
        source: Source,
        cache: Option<CacheMark>,
    },
    Audio {
        /// `wav`, `mp3`
        format: String,
        /// Base64.
        data: String,
    },
    ToolCall(ToolCall),
    /// In turns of the user.
    ToolResult {
        id: String,
        /// Texts, images and documents.
        parts: Vec<Part>,
        is_error: bool,
        cache: Option<CacheMark>,
    },
    Thinking {
        text: String,
        /// What proves to the model that the text is its own. Without it only models that take plain text get it back.
        signature: Option<String>,
    },
    /// Thinking that only the model can read, base64.
    RedactedThinking(String),
}

impl Part {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), cache: None, citations: Vec::new() }
    }
    /// Its text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Where a text of an answer was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Citation {
    pub url: String,
    pub title: String,
    /// The words that are cited; may be empty.
    pub quote: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it: an object, or what was to become one. Of a free-text tool the text itself.
    pub arguments: String,
    /// The tool takes any text ([`Tool::free_text`]).
    pub free_text: bool,
    pub cache: Option<CacheMark>,
}

/// The content of a picture or document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Data {
        /// `image/png`, `application/pdf`; what the client said, lower case.
        media_type: String,
        /// Base64, standard alphabet, padded, without white space.
        data: String,
    },
    /// A document that is its text.
    Text(String),
    Url(String),
}

#[derive(Clone, Debug)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema of the arguments; `None` = anything.
    pub schema: Option<Box<RawValue>>,
    pub strict: Option<bool>,
    /// Takes any text instead of JSON. Targets that have no such thing get one string property `input`.
    pub free_text: bool,
    pub cache: Option<CacheMark>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToolChoice {
    Auto,
    None,
    /// Some tool must be called.
    Required,
    Tool(String),
}

/// How much a model shall think before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reasoning {
    Off,
    Effort(Effort),
    /// Tokens.
    Budget(u64),
    /// As the model sees fit.
    Adaptive(Option<Effort>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    pub const ALL: [Self; 6] = [Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }
    /// The tokens that models with a budget get for it.
    pub const fn budget(self) -> u64 {
        match self {
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 4096,
            Self::High => 16_384,
            Self::XHigh | Self::Max => 32_768,
        }
    }
    /// The nearest word for a budget.
    pub const fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..=2048 => Self::Low,
            2049..=8192 => Self::Medium,
            _ => Self::High,
        }
    }
}

/// The form that the answer must have.
#[derive(Clone, Debug)]
pub enum OutputFormat {
    /// One JSON object.
    Json,
    Schema {
        name: String,
        description: Option<String>,
        schema: Box<RawValue>,
        strict: Option<bool>,
    },
}

impl Request {
    /// The messages with neighbours of one role joined, without empty ones: roles alternate.
    pub fn turns(&self) -> Vec<Message> {
        let mut turns: Vec<Message> = Vec::with_capacity(self.messages.len());
        for message in self.messages.iter().filter(|m| !m.parts.is_empty()) {
            match turns.last_mut().filter(|last| last.role == message.role) {
                Some(last) => last.parts.extend(message.parts.iter().cloned()),
                None => turns.push(message.clone()),
            }
        }
        turns
    }

    /// All parts of all messages, those inside tool results too.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.messages.iter().flat_map(|m| &m.parts).flat_map(|part| {
            let inner: &[Part] = if let Part::ToolResult { parts, .. } = part { parts } else { &[] };
            std::iter::once(part).chain(inner)
        })
    }

    pub fn has_images(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::Image { .. }))
    }

    /// The names of the tools that were called, each once, in order.
    pub(super) fn called_tools(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let names = self.parts().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call.name.as_str()),
            _ => None,
        });
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// Some turn calls a tool or answers a call.
    pub fn uses_tools(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::ToolCall(_) | Part::ToolResult { .. }))
    }
}

impl ToolCall {
    /// The arguments as a JSON object, the empty text as `{}`. Of a free-text call `{"input": text}`.
    ///
    /// # Errors
    /// They are no JSON object.
    pub fn input(&self) -> Result<Box<RawValue>, BadRequest> {
        let unusable =
            || BadRequest::of("messages", format!("The arguments of the tool call {} are not a JSON object.", self.id));
        if self.free_text {
            let wrapped = serde_json::json!({ "input": self.arguments });
            return serde_json::value::to_raw_value(&wrapped).map_err(|_| unusable());
        }
        let text = self.arguments.trim();
        let text = if text.is_empty() { "{}" } else { text };
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(|_| unusable())?;
        if raw.get().starts_with('{') { Ok(raw) } else { Err(unusable()) }
    }
}
