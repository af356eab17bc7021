//! What a request can consume at most, and what it probably will: known before it is sent.
//! The bound rests on one fact: text has no more tokens than bytes. What a body only refers to has no bytes in it.

use super::{Kind, media, prompt};
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::providers::Call;
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};
use memchr::memmem;

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 4096;
/// Tiers that cost more than the base price; what is asked for and what is served may differ downwards.
const DEARER_TIERS: [&[u8]; 3] = [b"priority", b"fast", b"ultrafast"];

/// How far the bytes of a body bound its prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reach {
    /// All of it is in the body.
    Inside,
    /// Pictures, files, earlier turns: only the model's own limit bounds it.
    Outside,
    /// The provider works on it in turns of its own, each with its prompt.
    Endless,
}

/// What matters of a body, found in one walk.
struct Facts<'a> {
    reach: Reach,
    tier: Option<&'a [u8]>,
    searches: bool,
    /// Prompts of one request; each has its answer.
    prompts: u64,
    /// Bytes of predicted text: what the model rejects of it is billed as output.
    predicted: u64,
}

pub(super) fn worst_case(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    match kind {
        Kind::Other | Kind::Moderations => return Some(Usage::default()),
        Kind::Runs => return None,
        kind if kind.is_media() => return media::worst_case(kind, call, limits),
        _ => {}
    }
    let facts = Facts::of(kind, body);
    let reach = if is_search_model(&call.model) { facts.reach.max(Reach::Outside) } else { facts.reach };
    let bytes = match reach {
        Reach::Inside => Some(body.len() as u64),
        Reach::Outside => None,
        Reach::Endless => return None,
    };
    let in_text = match (bytes, limits.input) {
        // Each text of a list of embeddings has the limit for itself.
        (Some(bytes), Some(limit)) if kind != Kind::Embeddings => bytes.min(limit),
        (bytes, limit) => bytes.or(limit)?,
    };
    let out_text = facts.output_bound(kind, call, limits.output)?;
    Some(facts.priced(&call.model, Usage { in_text, out_text, ..Usage::default() }))
}

pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    match kind {
        Kind::Other | Kind::Moderations => return Usage { source: UsageSource::Estimated, ..Usage::default() },
        Kind::Runs => return run(call, body, limits),
        kind if kind.is_media() => return media::estimate(kind, call, body),
        _ => {}
    }
    let facts = Facts::of(kind, body);
    let output = limits.output.unwrap_or(UNKNOWN_OUTPUT);
    let usage = Usage {
        in_text: prompt::tokens(kind, &call.model, body),
        out_text: facts.output_bound(kind, call, Some(output)).unwrap_or_default(),
        source: UsageSource::Estimated,
        ..Usage::default()
    };
    facts.priced(&call.model, usage)
}

/// A run of an assistant, whose prompt is elsewhere. Its own limits are only aimed at.
fn run(call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    let aimed = member(body, "max_prompt_tokens").and_then(|m| whole_number(m.value));
    Usage {
        in_text: aimed.or(limits.input).unwrap_or(UNKNOWN_OUTPUT),
        out_text: call.max_output.or(limits.output).unwrap_or(UNKNOWN_OUTPUT),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// Whether the answer will have searched the web, which a chat does at most once and does not report.
pub(super) fn searches_web(kind: Kind, model: &str, body: &[u8]) -> bool {
    // A body is walked only if it can hold the name, plain or spelt with escapes.
    let may_ask = || memmem::find(body, b"web_search_options").or_else(|| memmem::find(body, b"\\u")).is_some();
    let asks = || may_ask() && member(body, "web_search_options").is_some_and(|m| m.value != b"null");
    kind == Kind::Chat && (is_search_model(model) || asks())
}

fn is_search_model(model: &str) -> bool {
    model.contains("-search-")
}

impl<'a> Facts<'a> {
    fn of(kind: Kind, body: &'a [u8]) -> Self {
        let mut facts = Self { reach: Reach::Inside, tier: None, searches: false, prompts: 1, predicted: 0 };
        for m in members(body).filter(|m| m.value != b"null") {
            // Compared unescaped: a name spelt with escapes must not slip through.
            let reach = match &*unescape(m.key) {
                "messages" | "input" => items(m.value),
                "tools" => elements(m.value).map(tool).max().unwrap_or(Reach::Inside),
                "previous_response_id" | "conversation" => Reach::Outside,
                "web_search_options" if kind == Kind::Chat => {
                    facts.searches = true;
                    Reach::Outside
                }
                // In a completion the prompt is text; in a response it is a stored template.
                "prompt" if kind == Kind::Responses => Reach::Outside,
                "prompt" if kind == Kind::Completions => {
                    facts.prompts = prompts(m.value);
                    Reach::Inside
                }
                "prediction" if kind == Kind::Chat => {
                    facts.predicted = m.value.len() as u64;
                    Reach::Inside
                }
                "service_tier" => {
                    facts.tier = string(m.value).filter(|tier| DEARER_TIERS.contains(tier)).or(facts.tier);
                    Reach::Inside
                }
                _ => Reach::Inside,
            };
            facts.reach = facts.reach.max(reach);
        }
        facts
    }

    fn output_bound(&self, kind: Kind, call: &Call, limit: Option<u64>) -> Option<u64> {
        if kind == Kind::Embeddings {
            return Some(0);
        }
        let each = match (call.max_output, limit) {
            (Some(asked), Some(limit)) => asked.min(limit),
            (asked, limit) => asked.or(limit)?,
        };
        let all = each.saturating_mul(call.choices.max(1)).saturating_mul(self.prompts);
        Some(all.saturating_add(self.predicted))
    }

    fn priced(&self, model: &str, usage: Usage) -> Usage {
        Usage {
            service_tier: self.tier.map(|tier| unescape(tier).into()),
            web_search: u64::from(self.searches || is_search_model(model)),
            ..usage
        }
    }
}

/// A list of texts or of token lists is several prompts; a list of tokens is one.
fn prompts(value: &[u8]) -> u64 {
    let several = elements(value).filter(|e| e.starts_with(b"\"") || e.starts_with(b"[")).count();
    several.max(1) as u64
}

fn items(value: &[u8]) -> Reach {
    elements(value).filter(|e| e.starts_with(b"{")).map(item).max().unwrap_or(Reach::Inside)
}

/// A message, or another item of a conversation. Repeated members all count.
fn item(item: &[u8]) -> Reach {
    let reach = |(name, value): (&str, &[u8])| match name {
        "type" => match string(value) {
            Some(
                b"message"
                | b"text"
                | b"input_text"
                | b"function_call"
                | b"function_call_output"
                | b"custom_tool_call"
                | b"custom_tool_call_output",
            ) => Reach::Inside,
            _ => Reach::Outside,
        },
        // An earlier spoken answer, by its id.
        "audio" => Reach::Outside,
        "content" | "output" => elements(value).map(part).max().unwrap_or(Reach::Inside),
        _ => Reach::Inside,
    };
    let told = members(item).filter(|m| m.value != b"null");
    told.map(|m| reach((&unescape(m.key), m.value))).max().unwrap_or(Reach::Inside)
}

fn part(part: &[u8]) -> Reach {
    let is_text = |t: &[u8]| matches!(t, b"text" | b"input_text" | b"output_text" | b"refusal");
    if is_always(part, is_text) { Reach::Inside } else { Reach::Outside }
}

fn tool(tool: &[u8]) -> Reach {
    let is_the_clients = |t: &[u8]| matches!(t, b"function" | b"custom");
    if is_always(tool, is_the_clients) { Reach::Inside } else { Reach::Endless }
}

/// There is a `type`, and however often it is repeated, it fits.
fn is_always(object: &[u8], fits: impl Fn(&[u8]) -> bool) -> bool {
    let mut types = members(object).filter(|m| m.is("type")).map(|m| string(m.value).is_some_and(&fits)).peekable();
    types.peek().is_some() && types.all(|fit| fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ModelLimits = ModelLimits { input: Some(128_000), output: Some(16_384) };

    fn bound(kind: Kind, body: &str, call: &Call) -> Option<(u64, u64)> {
        worst_case(kind, call, body.as_bytes(), &LIMITS).map(|u| (u.in_text, u.out_text))
    }

    fn one() -> Call {
        Call { choices: 1, ..Call::default() }
    }

    #[test]
    fn bytes_bound_what_is_inside() {
        let body = r#"{"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{}}],"max_tokens":5}"#;
        let call = Call { max_output: Some(5), choices: 3, ..Call::default() };
        assert_eq!(bound(Kind::Chat, body, &call), Some((body.len() as u64, 15)));
        assert_eq!(bound(Kind::Chat, body, &one()), Some((body.len() as u64, 16_384)));
        let prompts = r#"{"prompt":["a","b"]}"#;
        assert_eq!(bound(Kind::Completions, prompts, &call), Some((prompts.len() as u64, 30)));
        assert_eq!(bound(Kind::Embeddings, r#"{"input":"a"}"#, &one()), Some((13, 0)));
        assert_eq!(worst_case(Kind::Chat, &one(), b"{}", &ModelLimits::default()), None, "nothing bounds the output");
    }

    #[test]
    fn references_are_bounded_by_the_model_only() {
        for (kind, body) in [
            (
                Kind::Chat,
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,x"}}]}]}"#,
            ),
            (Kind::Chat, r#"{"mess\u0061ges":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}"#),
            (Kind::Chat, r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#),
            (Kind::Chat, r#"{"messages":[],"web_search_options":{}}"#),
            (Kind::Chat, r#"{"messages":[{"content":[{"type":"file"}],"content":"hi"}]}"#),
            (Kind::Chat, r#"{"messages":[{"content":[{"type":"file","type":"text"}]}]}"#),
            (Kind::Responses, r#"{"input":"hi","previous_response_id":"resp_1"}"#),
            (Kind::Responses, r#"{"input":"hi","prompt":{"id":"p"}}"#),
            (Kind::Responses, r#"{"input":[{"type":"item_reference","id":"i"}]}"#),
            (Kind::Responses, r#"{"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}"#),
        ] {
            assert_eq!(bound(kind, body, &one()), Some((128_000, 16_384)), "{body}");
            let unknown = ModelLimits { input: None, ..LIMITS };
            assert_eq!(worst_case(kind, &one(), body.as_bytes(), &unknown), None, "{body}");
        }
    }

    #[test]
    fn tools_of_the_provider_have_no_bound() {
        for tool in ["web_search", "file_search", "code_interpreter", "mcp", "image_generation", "brand_new"] {
            let body = format!(r#"{{"input":"hi","tools":[{{"type":"function"}},{{"type":"{tool}"}}]}}"#);
            assert_eq!(bound(Kind::Responses, &body, &one()), None, "{tool}");
        }
        assert_eq!(worst_case(Kind::Images, &one(), b"{}", &LIMITS), None);
        assert_eq!(worst_case(Kind::Runs, &one(), b"{}", &LIMITS), None);
        assert_eq!(estimate(Kind::Runs, &one(), br#"{"max_prompt_tokens":500}"#, &LIMITS).in_text, 500);
        assert_eq!(worst_case(Kind::Other, &one(), b"", &ModelLimits::default()), Some(Usage::default()));
    }

    #[test]
    fn dearer_tiers_and_searches_are_set_aside() {
        let body = br#"{"messages":[],"service_tier":"priority","web_search_options":{}}"#;
        let usage = worst_case(Kind::Chat, &one(), body, &LIMITS).expect("bounded");
        assert_eq!((usage.service_tier.as_deref(), usage.web_search), (Some("priority"), 1));
        let flex = estimate(Kind::Chat, &one(), br#"{"messages":[],"service_tier":"flex"}"#, &LIMITS);
        assert_eq!((flex.service_tier, flex.out_text, flex.source), (None, 16_384, UsageSource::Estimated));
    }
}
