//! One behaviour of the upstream: what to answer, how fast, and what to do wrong.
//! A test queues it through the handle or `POST /_script`, or sends it inside the request itself as a JSON object:
//! in the text of `user` or `safety_identifier`, in `metadata.upstream` or `metadata.user_id`, or in the model name after `upstream:`; where an
//! API has none of these, in the words of a message after `upstream:`. What a model was taught goes before what requests say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Every member is optional; the default is a plain, correct answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Act {
    /// Queue only: the request's target must contain this.
    pub path: Option<String>,
    /// Queue only: how many requests take it; absent = 1.
    pub times: Option<u32>,

    pub content: Option<String>,
    /// Makes a content of this many bytes when `content` is absent.
    pub content_bytes: Option<usize>,
    /// Number of content pieces in a stream.
    pub chunks: Option<usize>,
    pub finish_reason: Option<String>,
    /// What ended the answer, where the API tells it.
    pub stop_sequence: Option<String>,
    /// What the model thinks before it answers.
    pub thought: Option<String>,
    pub calls: Vec<Call>,
    pub tokens: Tokens,
    /// The usage object, verbatim, in place of the one made from `tokens`.
    pub usage: Option<Box<RawValue>>,
    pub no_usage: bool,
    pub service_tier: Option<String>,
    /// The model that the answer names, where that is not the one that was asked for.
    pub answers_as: Option<String>,
    pub obfuscation: bool,
    /// The event stream, verbatim, one piece each.
    pub frames: Option<Vec<String>>,

    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    pub content_type: Option<String>,

    /// Before the head.
    pub delay_ms: u64,
    /// Between the head and the body.
    pub body_delay_ms: u64,
    /// Between two pieces.
    pub chunk_delay_ms: u64,
    /// Every piece after the first waits for a release.
    pub hold: bool,
    /// A whole stream in one write.
    pub burst: bool,
    /// Cuts the body into pieces of this many bytes, whatever it is.
    pub split: Option<usize>,
    /// `transfer-encoding: chunked` where a length would do.
    pub chunked: bool,
    /// Compresses although nobody asked.
    pub gzip: bool,
    /// Queue only: answers before the request body is read.
    pub early: Option<Early>,
    /// These bytes in place of any answer, then the connection closes.
    pub raw: Option<String>,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Token counts, rendered in the shape of whichever endpoint answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cached: u64,
    pub cache_write: u64,
    pub reasoning: u64,
    pub audio_in: u64,
    pub audio_out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Early {
    /// Reads the body afterwards and keeps the connection.
    Drain,
    /// Closes after the answer.
    Close,
}

/// `after` counts pieces that were sent; absent = before the head.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Closes the connection.
    Close { after: Option<usize> },
    /// Closes it with a reset.
    Reset { after: Option<usize> },
    /// Sends nothing more and keeps the connection until the client leaves.
    Stall { after: Option<usize> },
    /// A body shorter than its length says (or without its last chunk), then a close.
    Truncate,
    /// Bytes that are no event, then the rest of the stream.
    Garbage { after: usize },
    /// An error object inside the stream, then its clean end.
    ErrorFrame { after: usize },
    /// The stream ends cleanly without usage and without its terminator.
    NoTerminator,
    /// One event of this many bytes, then the rest of the stream.
    GiantLine { after: usize, bytes: usize },
    /// One response header of this many bytes.
    HugeHeader { bytes: usize },
}

impl Act {
    /// What a request says about its own answer; `Err` is a text for whoever wrote the test.
    pub fn of_request(call: &Commands<'_>) -> Result<Option<Act>, String> {
        let command = call
            .user
            .or(call.safety_identifier)
            .and_then(text)
            .filter(|user| user.starts_with('{'))
            .or_else(|| call.metadata.as_ref().and_then(Metadata::command))
            .or_else(|| call.model.as_deref().and_then(|model| model.strip_prefix("upstream:")).map(Cow::Borrowed));
        match command {
            None => Ok(None),
            Some(json) => serde_json::from_str(&json).map(Some).map_err(|error| format!("no behaviour: {error}")),
        }
    }

    /// What the first message that begins with `upstream:` says, in a body whose messages have blocks of text.
    pub fn of_words(body: &[u8]) -> Result<Option<Act>, String> {
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return Ok(None) };
        let messages = body.get("messages").and_then(|messages| messages.as_array());
        let blocks = messages.into_iter().flatten().filter_map(|message| message.get("content")?.as_array()).flatten();
        let command = blocks.filter_map(|block| block.get("text")?.as_str()?.strip_prefix("upstream:")).next();
        command.map(serde_json::from_str).transpose().map_err(|error| format!("no behaviour: {error}"))
    }

    /// Anything that makes pieces leave one by one rather than at once.
    pub fn paced(&self) -> bool {
        self.hold || self.chunk_delay_ms > 0 || self.fault.is_some()
    }
}

/// The members of a request that may carry an [`Act`]; anything else in the body is not looked at.
#[derive(Debug, Default, Deserialize)]
pub struct Commands<'a> {
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub user: Option<&'a RawValue>,
    #[serde(borrow)]
    pub safety_identifier: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "lenient")]
    #[serde(default)]
    pub metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    pub stream: Option<&'a RawValue>,
    #[serde(borrow)]
    pub stream_options: Option<&'a RawValue>,
    #[serde(borrow)]
    pub n: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub encoding_format: Option<Cow<'a, str>>,
    pub dimensions: Option<usize>,
    #[serde(borrow)]
    pub messages: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Metadata<'a> {
    #[serde(borrow)]
    pub upstream: Option<&'a RawValue>,
    #[serde(borrow)]
    pub user_id: Option<&'a RawValue>,
}

impl<'a> Metadata<'a> {
    fn command(&self) -> Option<Cow<'a, str>> {
        let user = || self.user_id.and_then(text).filter(|user| user.starts_with('{'));
        self.upstream.and_then(text).or_else(user)
    }
}

/// `metadata` of another shape is somebody else's, not an error.
fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Metadata<'de>>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Borrowed<'_>>(raw.get()).ok().map(|borrowed| borrowed.0)
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl Commands<'_> {
    /// Only JSON `true` asks for a stream.
    pub fn streams(&self) -> bool {
        self.stream.is_some_and(|raw| raw.get() == "true")
    }

    pub fn wants_usage(&self) -> bool {
        #[derive(Deserialize)]
        struct StreamOptions {
            #[serde(default)]
            include_usage: bool,
        }
        self.stream_options
            .and_then(|raw| serde_json::from_str::<StreamOptions>(raw.get()).ok())
            .is_some_and(|options| options.include_usage)
    }

    pub fn choices(&self) -> usize {
        self.n.and_then(|raw| raw.get().parse().ok()).unwrap_or(1).clamp(1, 16)
    }
}
