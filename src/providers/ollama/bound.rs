//! What a request can consume at most, and what it probably will. Text has no more tokens than bytes, but for what the
//! model's template adds; pictures and templates of the client's own are bounded by the context alone.

use super::endpoints::Kind;
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::metering::count::{ANSWER_PRIMER, Encoding, PER_IMAGE, PER_MESSAGE, PER_TOOL};
use crate::providers::kept::TextLog;
use crate::providers::{Call, open_models, openai};
use crate::wire::json_walk::{elements, is_empty_array, member, members, string, strings, whole_number};

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 4096;

pub(super) fn worst_case(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    if kind == Kind::Other {
        return Some(Usage::default());
    }
    // The client may give the prompt less room than the model has.
    let context = member(body, "options").and_then(|m| member(m.value, "num_ctx")).and_then(|m| whole_number(m.value));
    let room = match (context.filter(|tokens| *tokens > 0), limits.input) {
        (Some(asked), Some(limit)) => Some(asked.min(limit)),
        (asked, limit) => asked.or(limit),
    };
    let out_text = match kind {
        Kind::Embed => 0,
        _ => match (call.max_output, limits.output) {
            (Some(asked), Some(limit)) => asked.min(limit),
            (asked, limit) => asked.or(limit)?,
        },
    };
    if is_beyond_bytes(body) {
        return Some(Usage { in_text: room?, out_text, ..Usage::default() });
    }
    let bound = Usage { in_text: body.len() as u64, out_text, ..Usage::default() };
    let like = if kind == Kind::Embed { openai::Kind::Embeddings } else { openai::Kind::Chat };
    open_models::with_template(like, bound, body, &ModelLimits { input: room, output: None })
}

/// Pictures, or a template that the client brings along.
fn is_beyond_bytes(body: &[u8]) -> bool {
    let pictures = |holder: &[u8]| {
        members(holder).any(|m| m.key.eq_ignore_ascii_case(b"images") && m.value != b"null" && !is_empty_array(m.value))
    };
    let template = |m: &[u8]| string(m).is_none_or(|text| !text.is_empty()) && m != b"null";
    pictures(body)
        || members(body).any(|m| m.key.contains(&b'\\'))
        || members(body).any(|m| m.key.eq_ignore_ascii_case(b"template") && template(m.value))
        || members(body)
            .filter(|m| m.key.eq_ignore_ascii_case(b"messages"))
            .flat_map(|m| elements(m.value))
            .any(|message| pictures(message) || members(message).any(|m| m.key.contains(&b'\\')))
}

pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    if kind == Kind::Other {
        return Usage::default();
    }
    let output = call.max_output.or(limits.output).unwrap_or(UNKNOWN_OUTPUT);
    Usage {
        in_text: prompt_tokens(kind, body),
        out_text: if kind == Kind::Embed { 0 } else { output },
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// Tokens of the prompt in a request body, by a tokenizer that is not the model's own.
pub(super) fn prompt_tokens(kind: Kind, body: &[u8]) -> u64 {
    let mut text = TextLog::default();
    let mut others = 0_u64;
    let pictures = |value: &[u8]| (elements(value).count() as u64).saturating_mul(PER_IMAGE);
    for m in members(body) {
        match (kind, m.key) {
            (Kind::Chat, b"messages") => {
                others += ANSWER_PRIMER;
                for message in elements(m.value) {
                    others += PER_MESSAGE;
                    for m in members(message) {
                        match m.key {
                            b"content" | b"thinking" => string(m.value).into_iter().for_each(|said| text.add(said)),
                            b"tool_calls" => text.add(m.value),
                            b"images" => others += pictures(m.value),
                            _ => {}
                        }
                    }
                }
            }
            (Kind::Chat, b"tools") => {
                text.add(m.value);
                others += (elements(m.value).count() as u64).saturating_mul(PER_TOOL);
            }
            (Kind::Generate, b"prompt" | b"system" | b"suffix") | (Kind::Embed, b"input") => match string(m.value) {
                Some(said) => text.add(said),
                None => elements(m.value).filter_map(string).for_each(|said| text.add(said)),
            },
            (Kind::Generate, b"context") => others += elements(m.value).count() as u64,
            (Kind::Generate, b"images") => others += pictures(m.value),
            _ => {}
        }
    }
    text.tokens(Encoding::O200k).saturating_add(others)
}

/// Adds what the model wrote in a whole answer or a line of one.
pub(super) fn add_written(line: &[u8], text: &mut TextLog) {
    for m in members(line) {
        match m.key {
            b"response" | b"thinking" => string(m.value).into_iter().for_each(|said| text.add(said)),
            b"message" => {
                for m in members(m.value) {
                    match m.key {
                        b"content" | b"thinking" => string(m.value).into_iter().for_each(|said| text.add(said)),
                        b"tool_calls" if strings(m.value).next().is_some() => text.add(m.value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}
