//! Whole answers, and the words that streams share with them: why the model stopped, and what was consumed.

use super::block::{Block, CitationsContent, Cited, ReasoningContent, TextOf, ToolUse};
use crate::wire::chat::answer::{Answer, Stop, Tokens};
use crate::wire::chat::request::{Citation, Part, ToolCall};
use crate::wire::chat::{Asked, Unreadable, parsed, tool_id};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    output: Output,
    stop_reason: Option<String>,
    additional_model_response_fields: Option<ModelFields>,
    usage: Option<Usage>,
}

/// What Claude tells beside the service's own members, to who asked for it.
#[derive(Deserialize)]
pub(super) struct ModelFields {
    pub(super) stop_sequence: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Vec<Content>>,
}

/// One of these; of what is none of them nothing is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default, deserialize_with = "parsed::lossy")]
    text: Option<String>,
    tool_use: Option<Called>,
    reasoning_content: Option<Reasoned>,
    citations_content: Option<Cites>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Called {
    tool_use_id: String,
    name: String,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoned {
    reasoning_text: Option<ReasonedText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasonedText {
    #[serde(default, deserialize_with = "parsed::lossy")]
    text: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct Cites {
    content: Option<Vec<Said>>,
    citations: Option<Vec<Found>>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "parsed::lossy")]
    text: Option<String>,
}

/// A place that an answer quotes, whole or streamed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    title: Option<String>,
    source: Option<String>,
    source_content: Option<Vec<Said>>,
    location: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    web: Option<Web>,
}

#[derive(Deserialize)]
struct Web {
    url: Option<String>,
}

impl From<Found> for Citation {
    fn from(found: Found) -> Self {
        let url = found.location.and_then(|place| place.web).and_then(|web| web.url).or(found.source);
        let quote = found.source_content.unwrap_or_default().into_iter().filter_map(|said| said.text).collect();
        Self { url: url.unwrap_or_default(), title: found.title.unwrap_or_default(), quote }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    cache_details: Option<Vec<Kept>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    ttl: Option<String>,
    input_tokens: Option<u64>,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let details = usage.cache_details.unwrap_or_default();
        let long = details.into_iter().filter(|kept| kept.ttl.as_deref() == Some("1h"));
        let long = long.filter_map(|kept| kept.input_tokens).fold(0, u64::saturating_add);
        let cache_write = usage.cache_write_input_tokens.unwrap_or(0);
        Self {
            input: usage.input_tokens.unwrap_or(0),
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            cache_write,
            cache_write_1h: long.min(cache_write),
            output: usage.output_tokens.unwrap_or(0),
            reasoning: 0,
        }
    }
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Consumed {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    cache_read_input_tokens: u64,
    cache_write_input_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_details: Vec<CacheDetail>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    ttl: &'static str,
    input_tokens: u64,
}

impl From<&Tokens> for Consumed {
    fn from(tokens: &Tokens) -> Self {
        let short = tokens.cache_write.saturating_sub(tokens.cache_write_1h);
        let details = [("1h", tokens.cache_write_1h), ("5m", short)];
        let written = details.into_iter().filter(|(_, input_tokens)| *input_tokens > 0);
        Self {
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            total_tokens: tokens.total(),
            cache_read_input_tokens: tokens.cache_read,
            cache_write_input_tokens: tokens.cache_write,
            cache_details: written.map(|(ttl, input_tokens)| CacheDetail { ttl, input_tokens }).collect(),
        }
    }
}

/// Of an answer that was not timed.
#[derive(Serialize, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metrics {
    latency_ms: u64,
}

/// A word that is not known is an ordinary end.
pub(super) fn stop_of(reason: &str) -> Stop {
    match reason {
        "stop_sequence" => Stop::Sequence,
        "max_tokens" => Stop::Length,
        "model_context_window_exceeded" => Stop::Context,
        "tool_use" => Stop::ToolUse,
        "guardrail_intervened" | "content_filtered" => Stop::Filtered,
        "malformed_model_output" | "malformed_tool_use" => Stop::Malformed,
        _ => Stop::End,
    }
}

pub(super) const fn stop_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Sequence => "stop_sequence",
        // There is no word for a turn that may go on.
        Stop::Length | Stop::Paused => "max_tokens",
        Stop::Context => "model_context_window_exceeded",
        Stop::ToolUse => "tool_use",
        Stop::Filtered => "content_filtered",
        Stop::Malformed => "malformed_model_output",
    }
}

pub(in crate::wire::chat) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    let body: Body = serde_json::from_slice(body).map_err(|_| Unreadable)?;
    let content = body.output.message.content.unwrap_or_default();
    Ok(Answer {
        parts: content.into_iter().filter_map(part).collect(),
        stop: body.stop_reason.as_deref().map(stop_of).unwrap_or_default(),
        stop_sequence: body.additional_model_response_fields.and_then(|fields| fields.stop_sequence),
        tokens: body.usage.map(Tokens::from).unwrap_or_default(),
        ..Answer::default()
    })
}

fn part(content: Content) -> Option<Part> {
    if let Some(text) = content.text {
        return Some(Part::text(text));
    }
    if let Some(called) = content.tool_use {
        let arguments = called.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
        let (id, name) = (called.tool_use_id, called.name);
        return Some(Part::ToolCall(ToolCall { id, name, arguments, free_text: false, cache: None }));
    }
    if let Some(cites) = content.citations_content {
        let text = cites.content.unwrap_or_default().into_iter().filter_map(|said| said.text).collect();
        let citations = cites.citations.unwrap_or_default().into_iter().map(Citation::from).collect();
        return Some(Part::Text { text, cache: None, citations });
    }
    let reasoned = content.reasoning_content?;
    match (reasoned.reasoning_text, reasoned.redacted_content) {
        (Some(ReasonedText { text, signature }), _) => {
            let signature = signature.filter(|signature| !signature.is_empty());
            Some(Part::Thinking { text: text.unwrap_or_default(), signature })
        }
        (None, redacted) => redacted.map(Part::RedactedThinking),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    output: WrittenOutput<'a>,
    stop_reason: &'static str,
    usage: Consumed,
    metrics: Metrics,
}

#[derive(Serialize)]
struct WrittenOutput<'a> {
    message: WrittenMessage<'a>,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

pub(in crate::wire::chat) fn write_answer(answer: &Answer, _asked: &Asked) -> Vec<u8> {
    let content = answer.parts.iter().filter_map(block).collect();
    let written = Written {
        output: WrittenOutput { message: WrittenMessage { role: "assistant", content } },
        stop_reason: stop_reason(&answer.stop),
        usage: Consumed::from(&answer.tokens),
        metrics: Metrics::default(),
    };
    serde_json::to_vec(&written).unwrap_or_default()
}

fn block(part: &Part) -> Option<Block<'_>> {
    Some(match part {
        Part::Text { text, citations, .. } if !citations.is_empty() => Block::CitationsContent(CitationsContent {
            content: [TextOf { text }],
            citations: citations.iter().map(Cited::of).collect(),
        }),
        Part::Text { text, .. } if text.is_empty() => return None,
        Part::Text { text, .. } => Block::Text(Cow::Borrowed(text)),
        Part::ToolCall(call) => {
            Block::ToolUse(ToolUse { tool_use_id: tool_id::told(&call.id), name: &call.name, input: input(call)? })
        }
        Part::Thinking { text, signature } => {
            Block::ReasoningContent(ReasoningContent::ReasoningText { text, signature: signature.as_deref() })
        }
        Part::RedactedThinking(data) => Block::ReasoningContent(ReasoningContent::RedactedContent(data)),
        // Models answer with nothing else.
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => return None,
    })
}

/// What a model wrote as arguments and is no JSON object goes to the client as it is, under a name.
fn input(call: &ToolCall) -> Option<Box<RawValue>> {
    call.input().ok().or_else(|| to_raw_value(&serde_json::json!({ "_raw": call.arguments })).ok())
}
