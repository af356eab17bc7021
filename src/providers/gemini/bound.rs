//! What a request can consume at most, and what it probably will. Text has no more tokens than bytes; media and what
//! the body only refers to are bounded by the model alone, and tools of the provider by nothing.

use super::endpoints::Kind;
use super::prompt;
use super::request::{is, named};
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::providers::Call;
use crate::wire::json_walk::{elements, members};

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 8192;

/// How far the bytes of a body bound its prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reach {
    Inside,
    /// Only the model's own limit bounds it.
    Outside,
    /// The provider works on it in turns of its own.
    Endless,
}

pub(super) fn worst_case(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    if kind == Kind::Other {
        return Some(Usage::default());
    }
    let out_text = if kind.writes() { output(call, limits)?.saturating_mul(call.choices.max(1)) } else { 0 };
    let bytes = body.len() as u64;
    let in_text = match reach(body) {
        Reach::Inside => bytes,
        Reach::Outside => limits.input?,
        Reach::Endless => return None,
    };
    Some(Usage { in_text, out_text, service_tier: dearer_tier(call), ..Usage::default() })
}

pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    if kind == Kind::Other {
        return Usage::default();
    }
    let each = output(call, limits).unwrap_or(UNKNOWN_OUTPUT);
    Usage {
        in_text: prompt::tokens(body),
        out_text: if kind.writes() { each.saturating_mul(call.choices.max(1)) } else { 0 },
        web_search: u64::from(reach(body) == Reach::Endless),
        service_tier: dearer_tier(call),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// Of one candidate, thoughts included.
fn output(call: &Call, limits: &ModelLimits) -> Option<u64> {
    match (call.max_output, limits.output) {
        (Some(asked), Some(limit)) => Some(asked.min(limit)),
        (asked, limit) => asked.or(limit),
    }
}

fn dearer_tier(call: &Call) -> Option<Box<str>> {
    Some(call.tier.clone()).filter(|tier| **tier == *"priority")
}

fn reach(body: &[u8]) -> Reach {
    let mut reach = Reach::Inside;
    for m in members(body).filter(|m| m.value != b"null") {
        let this = if is(m.key, "contents") {
            all(m.value, content)
        } else if is(m.key, "content") || is(m.key, "system_instruction") {
            content(m.value)
        } else if is(m.key, "requests") {
            let contents = elements(m.value).flat_map(|request| named(request, "content"));
            contents.map(|m| content(m.value)).max().unwrap_or(Reach::Inside)
        } else if is(m.key, "cached_content") {
            Reach::Outside
        } else if is(m.key, "tools") {
            all(m.value, tool)
        } else {
            Reach::Inside
        };
        reach = reach.max(this);
    }
    reach
}

/// Of a list, or of one thing that stands without its list.
fn all(value: &[u8], of: fn(&[u8]) -> Reach) -> Reach {
    if value.starts_with(b"{") { of(value) } else { elements(value).map(of).max().unwrap_or(Reach::Inside) }
}

fn content(content: &[u8]) -> Reach {
    named(content, "parts").map(|m| all(m.value, part)).max().unwrap_or(Reach::Inside)
}

fn part(part: &[u8]) -> Reach {
    const TEXT: [&str; 5] = ["text", "thought", "thought_signature", "function_call", "function_response"];
    let is_text = members(part).all(|m| m.value == b"null" || TEXT.iter().any(|name| is(m.key, name)));
    // A result of a function may have media of its own.
    let has_media = named(part, "function_response").any(|m| named(m.value, "parts").next().is_some());
    if is_text && !has_media { Reach::Inside } else { Reach::Outside }
}

fn tool(tool: &[u8]) -> Reach {
    let is_the_clients = members(tool).all(|m| m.value == b"null" || is(m.key, "function_declarations"));
    if is_the_clients { Reach::Inside } else { Reach::Endless }
}
