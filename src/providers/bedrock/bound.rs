//! What a request can consume at most, and what it probably will. Text has no more tokens than bytes; pictures,
//! documents and what a body only refers to are bounded by the model alone. What is not known to be text is not text.

use super::endpoints::Kind;
use super::family::Family;
use super::generate;
use super::prompt;
use crate::domain::{Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::providers::Call;
use crate::wire::json_walk::{elements, member, members, string, unescape};

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 4096;
/// What some models are told about tools beyond what the client sent, and about tools of their maker.
const TOOL_PREAMBLE: u64 = 2048;

/// How far the bytes of a body bound its prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reach {
    Inside,
    /// Only the model's own limit bounds it.
    Outside,
    /// The service works on it in turns of its own.
    Endless,
}

pub(super) fn worst_case(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
    if kind == Kind::Other {
        return Some(Usage::default());
    }
    if kind == Kind::Generate {
        // Whatever the service finds goes to the model, in as many turns as it takes.
        return None;
    }
    let family = family(kind, call);
    let (reach, tools) = reach(call, body);
    let bytes = (body.len() as u64).saturating_add(if tools { TOOL_PREAMBLE } else { 0 });
    let in_text = match (reach, limits.input) {
        (Reach::Endless, _) => return None,
        // Each text of a list has the limit for itself.
        (Reach::Inside, Some(limit)) if family != Family::Embedding => bytes.min(limit),
        (Reach::Inside, _) => bytes,
        // The limit is that of one thing of a list; the others are at least as long as their tokens.
        (Reach::Outside, limit) if family == Family::Embedding => limit?.saturating_add(bytes),
        (Reach::Outside, limit) => limit?,
    };
    let out_text = output(family, call, limits.output)?;
    Some(Usage { in_text, out_text, service_tier: dearer_tier(call), ..Usage::default() })
}

pub(super) fn estimate(kind: Kind, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
    let source = UsageSource::Estimated;
    if kind == Kind::Other {
        return Usage { source, ..Usage::default() };
    }
    let family = family(kind, call);
    let out_text = output(family, call, limits.output.or(Some(UNKNOWN_OUTPUT))).unwrap_or(UNKNOWN_OUTPUT);
    let in_text = match kind {
        Kind::Generate => generate::asked(family, &call.model, body).saturating_add(generate::expected(body)),
        _ => prompt::tokens(family, &call.model, body),
    };
    Usage { in_text, out_text, service_tier: dearer_tier(call), source, ..Usage::default() }
}

pub(super) fn family(kind: Kind, call: &Call) -> Family {
    if kind.is_anthropic() { Family::Claude } else { Family::of(&call.model) }
}

/// What is asked for and what is served may differ, but only downwards.
fn dearer_tier(call: &Call) -> Option<Box<str>> {
    (&*call.tier == "priority").then(|| call.tier.clone())
}

fn output(family: Family, call: &Call, limit: Option<u64>) -> Option<u64> {
    if family == Family::Embedding {
        return Some(0);
    }
    let each = match (call.max_output, limit) {
        (Some(asked), Some(limit)) => asked.min(limit),
        (asked, limit) => asked.or(limit)?,
    };
    Some(each.saturating_mul(call.choices.max(1)))
}

/// The reach of a body, and whether it has tools.
fn reach(call: &Call, body: &[u8]) -> (Reach, bool) {
    // A stored prompt, with text that stands elsewhere.
    let mut reach = if call.model.contains(":prompt/") { Reach::Outside } else { Reach::Inside };
    let mut has_tools = false;
    for m in members(body).filter(|m| m.value != b"null") {
        // Compared unescaped: a name spelt with escapes must not slip through.
        let this = match &*unescape(m.key) {
            "messages" => elements(m.value).map(message).max().unwrap_or(Reach::Inside),
            "system" => content(m.value),
            "tools" => {
                has_tools = true;
                elements(m.value).map(tool).max().unwrap_or(Reach::Inside)
            }
            "toolConfig" => {
                has_tools = true;
                let of_service = members(m.value).filter(|m| m.is("tools")).flat_map(|m| elements(m.value));
                of_service.map(converse_tool).max().unwrap_or(Reach::Inside)
            }
            // Goes to the model as it is.
            "additionalModelRequestFields" => {
                let harmless =
                    |name: &str| matches!(name, "thinking" | "reasoning_config" | "top_k" | "topK" | "anthropic_beta");
                if members(m.value).all(|m| harmless(&unescape(m.key))) { Reach::Inside } else { Reach::Endless }
            }
            "mcp_servers" => Reach::Endless,
            name if TEXT_OR_NUMBERS.contains(&name) => Reach::Inside,
            _ => Reach::Outside,
        };
        reach = reach.max(this);
    }
    (reach, has_tools)
}

/// Members whose tokens, if they have any, are their own text.
const TEXT_OR_NUMBERS: [&str; 46] = [
    "model",
    "stream",
    "prompt",
    "inputText",
    "texts",
    "input_type",
    "truncate",
    "embedding_types",
    "embeddingTypes",
    "dimensions",
    "output_dimension",
    "normalize",
    "textGenerationConfig",
    "schemaVersion",
    "inferenceConfig",
    "anthropic_version",
    "anthropic_beta",
    "max_tokens",
    "max_tokens_to_sample",
    "max_completion_tokens",
    "max_gen_len",
    "temperature",
    "top_p",
    "top_k",
    "p",
    "k",
    "n",
    "num_generations",
    "stop",
    "stop_sequences",
    "seed",
    "user",
    "metadata",
    "thinking",
    "tool_choice",
    "reasoning_effort",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "amazon-bedrock-guardrailConfig",
    "performanceConfig",
    "serviceTier",
    "requestMetadata",
    "outputConfig",
    "output_config",
    "presence_penalty",
    "frequency_penalty",
];

fn message(message: &[u8]) -> Reach {
    let of = |(name, value): (&str, &[u8])| match name {
        "content" => content(value),
        "role" | "name" | "tool_calls" | "tool_call_id" | "cache_control" => Reach::Inside,
        _ => Reach::Outside,
    };
    told(message, of)
}

/// Text, or blocks of it.
fn content(value: &[u8]) -> Reach {
    match string(value) {
        Some(_) => Reach::Inside,
        None if value.starts_with(b"[") => elements(value).map(block).max().unwrap_or(Reach::Inside),
        None => Reach::Outside,
    }
}

fn block(block: &[u8]) -> Reach {
    let of = |(name, value): (&str, &[u8])| match name {
        "type" => match string(value) {
            Some(b"text" | b"tool_use" | b"tool_result" | b"thinking" | b"redacted_thinking") => Reach::Inside,
            _ => Reach::Outside,
        },
        "content" => content(value),
        "toolResult" => told(value, |(name, value)| match name {
            "content" => content(value),
            "toolUseId" | "status" => Reach::Inside,
            _ => Reach::Outside,
        }),
        "guardContent" => told(value, |(name, _)| if name == "text" { Reach::Inside } else { Reach::Outside }),
        "text" | "toolUse" | "reasoningContent" | "cachePoint" | "json" | "cache_control" | "id" | "name" | "input"
        | "tool_use_id" | "is_error" | "thinking" | "signature" | "data" => Reach::Inside,
        _ => Reach::Outside,
    };
    told(block, of)
}

/// The farthest of all members. Repeated ones all count.
fn told(object: &[u8], of: impl Fn((&str, &[u8])) -> Reach) -> Reach {
    let all = members(object).filter(|m| m.value != b"null");
    all.map(|m| of((&unescape(m.key), m.value))).max().unwrap_or(Reach::Inside)
}

fn tool(tool: &[u8]) -> Reach {
    let of_client = |kind: &[u8]| {
        ["custom", "function", "bash_", "text_editor_", "computer_", "memory_"]
            .iter()
            .any(|known| kind.starts_with(known.as_bytes()))
    };
    let mut kinds = members(tool).filter(|m| m.is("type"));
    if kinds.all(|m| string(m.value).is_some_and(of_client)) { Reach::Inside } else { Reach::Endless }
}

fn converse_tool(tool: &[u8]) -> Reach {
    let known = |name: &str| matches!(name, "toolSpec" | "cachePoint");
    if members(tool).all(|m| known(&unescape(m.key))) { Reach::Inside } else { Reach::Endless }
}

/// The service tier that a body names.
pub(super) fn tier(body: &[u8]) -> Option<&[u8]> {
    string(member(member(body, "serviceTier")?.value, "type")?.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: ModelLimits = ModelLimits { input: Some(200_000), output: Some(8192) };

    fn call(model: &str, max_output: Option<u64>) -> Call {
        Call { model: model.into(), max_output, choices: 1, ..Call::default() }
    }

    fn bound(kind: Kind, model: &str, max: Option<u64>, body: &str) -> Option<(u64, u64)> {
        worst_case(kind, &call(model, max), body.as_bytes(), &LIMITS).map(|u| (u.in_text, u.out_text))
    }

    #[test]
    fn bytes_bound_text() {
        let claude = "anthropic.claude-x";
        let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default"}},
            {"toolResult":{"toolUseId":"t","content":[{"json":{"image":1}}],"status":"success"}}]}],"system":[{"text":"s"}]}"#;
        assert_eq!(bound(Kind::Converse, claude, Some(10), body), Some((body.len() as u64, 10)));
        assert_eq!(bound(Kind::Converse, claude, None, body), Some((body.len() as u64, 8192)));
        let tools =
            r#"{"messages":[],"tools":[{"name":"t","input_schema":{}},{"type":"bash_20250124","name":"bash"}]}"#;
        let preamble = tools.len() as u64 + TOOL_PREAMBLE;
        assert_eq!(bound(Kind::Messages, claude, Some(1), tools), Some((preamble, 1)), "what tools bring with them");
        let texts = r#"{"texts":["a","b"],"input_type":"search_query"}"#;
        assert_eq!(bound(Kind::Invoke, "cohere.embed-english-v3", None, texts), Some((texts.len() as u64, 0)));
        let sized = texts.replace(r#""search_query""#, r#""search_query","output_dimension":256"#);
        assert_eq!(bound(Kind::Invoke, "cohere.embed-v4:0", None, &sized), Some((sized.len() as u64, 0)));
        let picture = r#"{"texts":["a","b"],"brandNew":"aGk="}"#;
        assert_eq!(bound(Kind::Invoke, "cohere.embed-v4:0", None, picture), Some((200_000 + picture.len() as u64, 0)));
        assert_eq!(worst_case(Kind::Invoke, &call(claude, None), b"{}", &ModelLimits::default()), None);
    }

    #[test]
    fn what_is_not_text_is_bounded_by_the_model() {
        for body in [
            r#"{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":""}}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"document":{"source":{"s3Location":{"uri":"s3://x"}}}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"toolResult":{"content":[{"im\u0061ge":{}}]}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"brandNew":{}}]}]}"#,
            r#"{"prompt":"x","images":["aGk="]}"#,
            r#"{"promptVariables":{"a":{"text":"b"}}}"#,
            r#"{"inputImage":"aGk="}"#,
        ] {
            assert_eq!(bound(Kind::Converse, "anthropic.x", Some(1), body), Some((200_000, 1)), "{body}");
        }
        assert_eq!(bound(Kind::Converse, "arn:aws:bedrock:r:1:prompt/P:1", Some(1), "{}"), Some((200_000, 1)));
    }

    #[test]
    fn work_of_the_service_has_no_bound() {
        for body in [
            r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
            r#"{"tools":[{"type":"custom","type":"web_search_20250305"}]}"#,
            r#"{"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}"#,
            r#"{"additionalModelRequestFields":{"tools":[]}}"#,
            r#"{"mcp_servers":[]}"#,
        ] {
            assert_eq!(bound(Kind::Converse, "anthropic.x", Some(1), body), None, "{body}");
        }
        assert_eq!(worst_case(Kind::Other, &Call::default(), b"", &ModelLimits::default()), Some(Usage::default()));
    }

    #[test]
    fn a_dearer_tier_is_set_aside() {
        let priority = Call { tier: "priority".into(), ..call("amazon.nova-lite-v1:0", Some(1)) };
        let usage = worst_case(Kind::Converse, &priority, b"{}", &LIMITS).expect("bounded");
        assert_eq!(usage.service_tier.as_deref(), Some("priority"));
        let flex = Call { tier: "flex".into(), ..priority };
        assert_eq!(estimate(Kind::Converse, &flex, b"{}", &LIMITS).service_tier, None);
        assert_eq!(tier(br#"{"serviceTier":{"type":"priority"}}"#), Some(&b"priority"[..]));
    }

    proptest! {
        #[test]
        fn the_count_stays_below_the_bound(texts in prop::collection::vec("\\PC{0,40}", 1..5)) {
            let content: Vec<_> = texts.iter().map(|t| serde_json::json!({"text": t})).collect();
            let body = serde_json::json!({"messages": [{"role": "user", "content": content}]}).to_string();
            let call = call("anthropic.claude-sonnet-4-5", Some(5));
            let estimated = estimate(Kind::Converse, &call, body.as_bytes(), &LIMITS).in_text;
            let bound = worst_case(Kind::Converse, &call, body.as_bytes(), &LIMITS).expect("bounded").in_text;
            // Our count is stretched for the family; the bound holds for the tokens themselves.
            prop_assert!(estimated * 100 / 135 <= bound);
        }
    }
}
