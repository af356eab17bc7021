//! What a request can consume at most, and what it probably will: known before it is sent.
//! The bound rests on one fact: text has no more tokens than bytes. What a body only refers to has no bytes in it, and
//! what is not known to be harmless counts as endless.

use super::{Kind, prompt};
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::providers::Call;
use crate::wire::json_walk::{elements, members, string, unescape, whole_number};

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 4096;
/// The largest context that can be switched on for a model with a smaller one.
const LONG_CONTEXT: u64 = 1_000_000;
/// Tokens of the provider's own that describe the use of tools, or the form of an output.
const FOREWORD: u64 = 2_000;
/// The same for a tool whose definition only the provider has; the client runs it.
const PER_KNOWN_TOOL: u64 = 4_000;
/// Web searches of a request that names no maximum, for an estimate.
const USUAL_SEARCHES: u64 = 1;

/// How far the bytes of a body bound its prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reach {
    /// All of it is in the body.
    Inside,
    /// Pictures, documents: only the model's own limit bounds it.
    Outside,
    /// The provider works on it in turns of its own, each with its prompt.
    Endless,
}

/// What matters of a body, found in one walk.
struct Facts {
    reach: Reach,
    /// Tokens that the provider adds to the prompt.
    added: u64,
    fast: bool,
    /// Whether the model's place was chosen, and it was the dearer one.
    place: Option<bool>,
    searches: u64,
}

pub(super) fn worst_case(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    if !matches!(kind, Kind::Messages | Kind::Complete) {
        return Some(Usage::default());
    }
    let facts = Facts::of(kind, body);
    let in_text = match facts.reach {
        Reach::Inside => (body.len() as u64).saturating_add(facts.added),
        Reach::Outside if call.long_context => limits.input?.max(LONG_CONTEXT),
        Reach::Outside => limits.input?,
        Reach::Endless => return None,
    };
    // Not cut to the model's limit: an output beyond the usual one can be switched on.
    let out_text = call.max_output.or(limits.output)?;
    // An account may have the dearer place as its default.
    let inference_geo = facts.place.unwrap_or(true).then(|| "us".into());
    Some(Usage { in_text, out_text, inference_geo, speed: facts.speed(), ..Usage::default() })
}

pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    let source = UsageSource::Estimated;
    if !matches!(kind, Kind::Messages | Kind::Complete) {
        return Usage { source, ..Usage::default() };
    }
    let facts = Facts::of(kind, body);
    let limit = limits.output.unwrap_or(UNKNOWN_OUTPUT);
    Usage {
        in_text: prompt::tokens(kind, &call.model, body),
        out_text: call.max_output.map_or(limit, |asked| limits.output.map_or(asked, |most| asked.min(most))),
        web_search: facts.searches,
        inference_geo: facts.place.unwrap_or(false).then(|| "us".into()),
        speed: facts.speed(),
        source,
        ..Usage::default()
    }
}

impl Facts {
    fn of(kind: Kind, body: &[u8]) -> Self {
        let mut facts = Self { reach: Reach::Inside, added: 0, fast: false, place: None, searches: 0 };
        for m in members(body).filter(|m| m.value != b"null") {
            // Compared unescaped: a name spelt with escapes must not slip through.
            let reach = match &*unescape(m.key) {
                "messages" if kind == Kind::Messages => elements(m.value).map(message).max().unwrap_or(Reach::Inside),
                "system" if kind == Kind::Messages => content(m.value),
                "tools" if kind == Kind::Messages => facts.tools(m.value),
                "output_config" | "output_format" => {
                    facts.added = facts.added.saturating_add(FOREWORD);
                    Reach::Inside
                }
                "speed" => {
                    facts.fast |= string(m.value) != Some(b"standard");
                    Reach::Inside
                }
                "inference_geo" => {
                    let dear = string(m.value) != Some(b"global");
                    facts.place = Some(facts.place.unwrap_or(false) || dear);
                    Reach::Inside
                }
                "model"
                | "max_tokens"
                | "max_tokens_to_sample"
                | "prompt"
                | "stream"
                | "stop_sequences"
                | "metadata"
                | "temperature"
                | "top_p"
                | "top_k"
                | "tool_choice"
                | "thinking"
                | "service_tier"
                | "cache_control" => Reach::Inside,
                // Containers, fallbacks, remote tools, compaction, and whatever comes next.
                _ => Reach::Endless,
            };
            facts.reach = facts.reach.max(reach);
        }
        facts
    }

    fn tools(&mut self, value: &[u8]) -> Reach {
        let mut reach = Reach::Inside;
        for (at, tool) in elements(value).enumerate() {
            if at == 0 {
                self.added = self.added.saturating_add(FOREWORD);
            }
            let types = members(tool).filter(|m| m.is("type") && m.value != b"null");
            for name in types.map(|m| string(m.value).unwrap_or_default()) {
                let is = |family: &[u8]| name.starts_with(family);
                match name {
                    b"custom" => {}
                    _ if [&b"bash_2"[..], b"text_editor_2", b"memory_2", b"computer_2"].into_iter().any(is) => {
                        self.added = self.added.saturating_add(PER_KNOWN_TOOL);
                    }
                    _ => reach = Reach::Endless,
                }
                if is(b"web_search_") {
                    let most = members(tool).filter(|m| m.is("max_uses")).filter_map(|m| whole_number(m.value)).max();
                    self.searches = self.searches.saturating_add(most.unwrap_or(USUAL_SEARCHES));
                }
            }
        }
        reach
    }

    fn speed(&self) -> Option<Box<str>> {
        self.fast.then(|| "fast".into())
    }
}

/// Repeated members all count.
fn message(message: &[u8]) -> Reach {
    let told = members(message).filter(|m| m.is("content") && m.value != b"null");
    told.map(|m| content(m.value)).max().unwrap_or(Reach::Inside)
}

/// Text, or a list of blocks.
fn content(value: &[u8]) -> Reach {
    elements(value).map(block).max().unwrap_or(Reach::Inside)
}

fn block(block: &[u8]) -> Reach {
    let reach = |(name, value): (&str, &[u8])| match name {
        "type" => match string(value) {
            // Thoughts come back sealed: what is not shown of them is in the seal.
            Some(b"text" | b"tool_use" | b"tool_result" | b"thinking" | b"redacted_thinking" | b"search_result") => {
                Reach::Inside
            }
            _ => Reach::Outside,
        },
        "content" => content(value),
        _ => Reach::Inside,
    };
    let typed = members(block).any(|m| m.is("type"));
    let told = members(block).filter(|m| m.value != b"null").map(|m| reach((&unescape(m.key), m.value))).max();
    if typed { told.unwrap_or(Reach::Outside) } else { Reach::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ModelLimits = ModelLimits { input: Some(200_000), output: Some(64_000) };

    fn bound(body: &str, call: &Call) -> Option<(u64, u64)> {
        worst_case(Kind::Messages, call, body.as_bytes(), &LIMITS).map(|u| (u.in_text, u.out_text))
    }

    fn asking(max_output: Option<u64>) -> Call {
        Call { max_output, choices: 1, ..Call::default() }
    }

    #[test]
    fn bytes_bound_what_is_inside() {
        let hello = r#"{"max_tokens":5,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"hi"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"x"},{"type":"tool_use","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"ok"}]}]}],"thinking":{}}"#;
        let length = hello.len() as u64;
        assert_eq!(bound(hello, &asking(Some(5))), Some((length, 5)));
        assert_eq!(bound(hello, &asking(None)), Some((length, 64_000)));
        assert_eq!(bound(hello, &asking(Some(300_000))), Some((length, 300_000)), "a longer output can be switched on");
        assert_eq!(worst_case(Kind::Messages, &asking(None), b"{}", &ModelLimits::default()), None);
        let tools =
            r#"{"tools":[{"name":"a"},{"type":"custom"},{"type":null},{"type":"bash_20250124"}],"output_config":{}}"#;
        assert_eq!(bound(tools, &asking(Some(5))), Some((tools.len() as u64 + 2 * FOREWORD + PER_KNOWN_TOOL, 5)));
        let text = br#"{"prompt":"hello","max_tokens_to_sample":9}"#;
        let usage = worst_case(Kind::Complete, &asking(Some(9)), text, &ModelLimits::default()).expect("bounded");
        assert_eq!((usage.in_text, usage.out_text), (text.len() as u64, 9));
        for kind in [Kind::CountTokens, Kind::Results, Kind::Other] {
            assert_eq!(worst_case(kind, &asking(None), b"", &ModelLimits::default()), Some(Usage::default()));
        }
    }

    #[test]
    fn references_are_bounded_by_the_model_only() {
        for content in [
            r#"[{"type":"image","source":{"type":"base64","data":"x"}}]"#,
            r#"[{"type":"text","text":"a"},{"type":"document","source":{"type":"url","url":"x"}}]"#,
            r#"[{"type":"tool_result","content":[{"type":"image"}]}]"#,
            r#"[{"type":"text","t\u0079pe":"image"}]"#,
            r#"[{"type":"brand_new"}]"#,
            r#"[{"text":"no type"}]"#,
        ] {
            for body in [
                format!(r#"{{"mess\u0061ges":[{{"role":"user","content":{content},"content":"hi"}}]}}"#),
                format!(r#"{{"system":{content},"messages":[]}}"#),
            ] {
                assert_eq!(bound(&body, &asking(Some(7))), Some((200_000, 7)), "{body}");
                let longer = Call { long_context: true, ..asking(Some(7)) };
                assert_eq!(bound(&body, &longer), Some((LONG_CONTEXT, 7)), "{body}");
                let unknown = ModelLimits { input: None, ..LIMITS };
                assert_eq!(worst_case(Kind::Messages, &asking(Some(7)), body.as_bytes(), &unknown), None, "{body}");
            }
        }
    }

    #[test]
    fn what_the_provider_does_on_its_own_has_no_bound() {
        for member in [
            r#""tools":[{"name":"a"},{"type":"web_search_20250305"}]"#,
            r#""tools":[{"type":"custom","type":"code_execution_20250825"}]"#,
            r#""t\u006fols":[{"type":"advisor_20260301","model":"claude-opus-5-5"}]"#,
            r#""tools":[{"type":7}]"#,
            r#""mcp_servers":[{}]"#,
            r#""container":"c""#,
            r#""fallbacks":"default""#,
            r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#,
            r#""brand_new":1"#,
        ] {
            assert_eq!(bound(&format!(r#"{{"messages":[],{member}}}"#), &asking(Some(5))), None, "{member}");
        }
        assert!(bound(r#"{"messages":[],"container":null,"mcp_servers":null}"#, &asking(Some(5))).is_some());
    }

    #[test]
    fn dearer_ways_to_run_are_set_aside() {
        let selectors = |body: &str| {
            let worst = worst_case(Kind::Messages, &asking(Some(5)), body.as_bytes(), &LIMITS).expect("bounded");
            let likely = estimate(Kind::Messages, &asking(Some(5)), body.as_bytes(), &LIMITS);
            assert_eq!(likely.source, UsageSource::Estimated);
            (
                worst.speed.is_some(),
                worst.inference_geo.is_some(),
                likely.speed.is_some(),
                likely.inference_geo.is_some(),
            )
        };
        assert_eq!(selectors("{}"), (false, true, false, false), "an account may have the dearer place as its default");
        assert_eq!(selectors(r#"{"speed":"fast","inference_geo":"us"}"#), (true, true, true, true));
        assert_eq!(selectors(r#"{"speed":"standard","inference_geo":"global"}"#), (false, false, false, false));
    }

    #[test]
    fn an_estimate_counts_searches_and_caps_the_output() {
        let body = br#"{"messages":[{"role":"user","content":"Hello, world!"}],"tools":[{"type":"web_search_20250305","max_uses":4}]}"#;
        let usage = estimate(Kind::Messages, &asking(Some(90_000)), body, &LIMITS);
        assert_eq!((usage.web_search, usage.out_text), (4, 64_000));
        assert!((13..80).contains(&usage.in_text), "{}", usage.in_text);
        let unknown = estimate(Kind::Messages, &asking(None), b"{}", &ModelLimits::default());
        assert_eq!(unknown.out_text, UNKNOWN_OUTPUT);
    }
}
