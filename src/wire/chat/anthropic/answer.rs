//! Whole answers, and the words they share with streamed ones.

use super::super::{Answer, Asked, Citation, Part, Stop, ToolCall, Unreadable, parsed, tool_id};
use super::usage::{Told, Usage};
use crate::wire::json_walk::{elements, member, string, unescape};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

pub(in super::super) fn read_answer(body: &[u8]) -> Result<Answer, Unreadable> {
    serde_json::from_slice::<&RawValue>(body).map_err(|_| Unreadable)?;
    let content = member(body, "content").filter(|m| m.value.starts_with(b"[")).ok_or(Unreadable)?;
    let mut told = Usage::default();
    told.update(member(body, "usage").map(|m| m.value).unwrap_or_default());
    let (stop, stop_sequence) = read_stop(body);
    Ok(Answer {
        id: text(body, "id"),
        model: text(body, "model"),
        parts: elements(content.value).filter_map(read_block).collect(),
        stop,
        stop_sequence,
        tokens: told.tokens(),
    })
}

/// A string member of an upstream's object; empty where there is none.
pub(super) fn text(object: &[u8], name: &str) -> String {
    optional(object, name).unwrap_or_default()
}

pub(super) fn optional(object: &[u8], name: &str) -> Option<String> {
    member(object, name).and_then(|m| string(m.value)).map(|inner| unescape(inner).into_owned())
}

/// Tools of the provider and what is not known yet are left out.
fn read_block(block: &[u8]) -> Option<Part> {
    match text(block, "type").as_str() {
        "text" => {
            let found = member(block, "citations").map(|m| m.value).unwrap_or_default();
            let citations = elements(found).filter_map(read_citation).collect();
            Some(Part::Text { text: text(block, "text"), cache: None, citations })
                .filter(|part| part.as_text() != Some(""))
        }
        "thinking" => Some(Part::Thinking {
            text: text(block, "thinking"),
            signature: optional(block, "signature").filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => Some(Part::RedactedThinking(text(block, "data"))),
        "tool_use" => Some(Part::ToolCall(ToolCall {
            id: text(block, "id"),
            name: text(block, "name"),
            arguments: read_input(block).unwrap_or_else(|| "{}".into()),
            free_text: false,
            cache: None,
        })),
        _ => None,
    }
}

/// The arguments of a call, where its block has some.
pub(super) fn read_input(block: &[u8]) -> Option<String> {
    let input = std::str::from_utf8(member(block, "input")?.value).ok()?;
    Some(parsed::compact(input)).filter(|json| json.starts_with('{') && json != "{}")
}

/// Those that say where on the web, or in which source, something was found.
pub(super) fn read_citation(citation: &[u8]) -> Option<Citation> {
    let url = optional(citation, "url").or_else(|| optional(citation, "source")).filter(|url| !url.is_empty())?;
    Some(Citation { url, title: text(citation, "title"), quote: text(citation, "cited_text") })
}

pub(super) fn write_citation(citation: &Citation) -> Value {
    json!({
        "type": "web_search_result_location", "url": citation.url, "title": citation.title,
        "cited_text": citation.quote, "encrypted_index": "",
    })
}

/// `stop_reason` and `stop_sequence` of an object that has both.
pub(super) fn read_stop(object: &[u8]) -> (Stop, Option<String>) {
    let stop = match text(object, "stop_reason").as_str() {
        "stop_sequence" => Stop::Sequence,
        "max_tokens" => Stop::Length,
        "model_context_window_exceeded" => Stop::Context,
        "tool_use" => Stop::ToolUse,
        "refusal" => Stop::Filtered,
        "pause_turn" | "compaction" => Stop::Paused,
        _ => Stop::End,
    };
    (stop, optional(object, "stop_sequence"))
}

/// `calls`: the answer calls a tool. Some upstreams then still say that it just ended.
pub(super) fn stop_reason(stop: &Stop, calls: bool) -> &'static str {
    match stop {
        Stop::ToolUse => "tool_use",
        Stop::End if calls => "tool_use",
        Stop::End | Stop::Malformed => "end_turn",
        Stop::Sequence => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::Context => "model_context_window_exceeded",
        Stop::Filtered => "refusal",
        Stop::Paused => "pause_turn",
    }
}

/// The id after this API's prefix, in place of another API's.
pub(super) fn message_id(id: &str, asked: &Asked) -> String {
    let bare = id.strip_prefix("chatcmpl-").or_else(|| id.strip_prefix("msg_")).unwrap_or(id);
    format!("msg_{}", if bare.is_empty() { asked.fresh_id.as_str() } else { bare })
}

/// The name that the client used, so that it finds its model again.
pub(super) fn model_name<'a>(model: &'a str, asked: &'a Asked) -> &'a str {
    if asked.model.is_empty() { model } else { &asked.model }
}

#[derive(Serialize)]
struct Whole<'a> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: Told,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Value>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
}

pub(in super::super) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let calls = answer.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let whole = Whole {
        id: message_id(&answer.id, asked),
        r#type: "message",
        role: "assistant",
        model: model_name(&answer.model, asked),
        content: answer.parts.iter().filter_map(write_block).collect(),
        stop_reason: stop_reason(&answer.stop, calls),
        stop_sequence: answer.stop_sequence.as_deref(),
        usage: Told::whole(&answer.tokens),
    };
    serde_json::to_vec(&whole).unwrap_or_default()
}

fn write_block(part: &Part) -> Option<Block<'_>> {
    match part {
        Part::Text { text, citations, .. } => {
            (!text.is_empty()).then(|| Block::Text { text, citations: citations.iter().map(write_citation).collect() })
        }
        Part::Thinking { text, signature } => {
            Some(Block::Thinking { thinking: text, signature: signature.as_deref().unwrap_or_default() })
        }
        Part::RedactedThinking(data) => Some(Block::RedactedThinking { data }),
        Part::ToolCall(call) => {
            let input = call.input().or_else(|_| {
                // The client gets what the model wrote, under a name that tells that it is no JSON object.
                serde_json::value::to_raw_value(&json!({ "_raw": call.arguments }))
            });
            Some(Block::ToolUse { id: tool_id::told(&call.id), name: &call.name, input: input.ok()? })
        }
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => None,
    }
}
