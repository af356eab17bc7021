//! Writes a request: what is asked of the model beside the turns, which `turns` writes.

use super::super::BadRequest;
use super::super::request::{Effort, OutputFormat, Reasoning, Request, Tool, ToolChoice};
use super::super::target::{ReasoningStyle, Target, Written};
use super::super::upstream_only::{FREE_TEXT, Sampled, instructions, note, note_unsaid, unsupported};
use super::turns::{Content, Part, contents};
use serde::Serialize;
use serde_json::value::RawValue;

/// Sequences that the API takes.
const MOST_STOPS: usize = 5;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instruction>,
    contents: Vec<Content>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Generation::is_empty")]
    generation_config: Generation<'a>,
}

#[derive(Serialize)]
struct Instruction {
    parts: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// Takes JSON Schema as it is, where `parameters` takes a part of it only.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_function_names: Vec<&'a str>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Thinking>,
}

impl Generation<'_> {
    fn is_empty(&self) -> bool {
        self.max_output_tokens.is_none()
            && self.temperature.or(self.top_p).or(self.frequency_penalty).or(self.presence_penalty).is_none()
            && self.top_k.is_none()
            && self.stop_sequences.is_empty()
            && self.seed.is_none()
            && self.response_mime_type.is_none()
            && self.thinking_config.is_none()
    }
}

#[derive(Serialize, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase")]
struct Thinking {
    /// Tokens; -1 = as the model sees fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_thoughts: Option<bool>,
}

/// # Errors
/// The messages hold what the API does not take: pictures and documents by URL, or results that answer no call.
pub(in super::super) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = Vec::new();
    let answer_tool = answer_tool(request, target);
    let sampled = Sampled::of(request, target, &mut dropped);
    let seed = request.seed.and_then(|seed| i32::try_from(seed).ok());
    note(&mut dropped, "seed", seed.is_none() && request.seed.is_some());
    note(&mut dropped, "stop", request.stop.len() > MOST_STOPS);
    let (response_mime_type, response_json_schema) = match &request.output {
        Some(OutputFormat::Schema { schema, .. }) if answer_tool.is_none() => {
            (Some("application/json"), Some(&**schema))
        }
        Some(OutputFormat::Json) => (Some("application/json"), None),
        _ => (None, None),
    };
    let body = Body {
        system_instruction: instructions(request).map(|text| Instruction { parts: vec![Part::text(text)] }),
        contents: contents(request, target)?,
        tools: tools(request, answer_tool),
        tool_config: tool_config(request, answer_tool),
        generation_config: Generation {
            max_output_tokens: target.max_tokens.of(request.max_tokens),
            temperature: sampled.temperature,
            top_p: sampled.top_p,
            top_k: sampled.top_k,
            stop_sequences: request.stop.get(..MOST_STOPS).unwrap_or(&request.stop),
            seed,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
            response_mime_type,
            response_json_schema,
            thinking_config: thinking(request, target, &mut dropped),
        },
    };
    note_unsaid(request, &mut dropped);
    let body = serde_json::to_vec(&body).map_err(|_| unsupported("The request cannot be written."))?;
    Ok(Written { body, dropped, answer_tool: answer_tool.map(|(name, _)| name.to_owned()) })
}

/// The tool that stands in for a form of the answer that the model does not take.
fn answer_tool<'a>(request: &'a Request, target: &Target) -> Option<(&'a str, &'a RawValue)> {
    match &request.output {
        Some(OutputFormat::Schema { name, schema, .. }) if !target.structured_output => Some((name, schema)),
        _ => None,
    }
}

fn tools<'a>(request: &'a Request, answer_tool: Option<(&'a str, &'a RawValue)>) -> Vec<Tools<'a>> {
    let own = request.tools.iter().map(|tool: &Tool| Declaration {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters_json_schema: if tool.free_text { Some(&**FREE_TEXT) } else { tool.schema.as_deref() },
    });
    let answer = answer_tool.map(|(name, schema)| Declaration {
        name,
        description: Some("Gives the answer in the form that was asked for."),
        parameters_json_schema: Some(schema),
    });
    let all: Vec<Declaration<'a>> = own.chain(answer).collect();
    if all.is_empty() { Vec::new() } else { vec![Tools { function_declarations: all }] }
}

fn tool_config<'a>(request: &'a Request, answer_tool: Option<(&'a str, &'a RawValue)>) -> Option<ToolConfig<'a>> {
    let calling =
        |mode, names| Some(ToolConfig { function_calling_config: Calling { mode, allowed_function_names: names } });
    if let Some((name, _)) = answer_tool {
        let alone = request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None);
        return calling("ANY", if alone { vec![name] } else { Vec::new() });
    }
    match request.tool_choice.as_ref().filter(|_| !request.tools.is_empty())? {
        ToolChoice::Auto => calling("AUTO", Vec::new()),
        ToolChoice::None => calling("NONE", Vec::new()),
        ToolChoice::Required => calling("ANY", Vec::new()),
        ToolChoice::Tool(name) => calling("ANY", vec![name]),
    }
}

fn thinking(request: &Request, target: &Target, dropped: &mut Vec<String>) -> Option<Thinking> {
    let asked = request.reasoning?;
    match (target.reasoning, asked) {
        (ReasoningStyle::None, asked) => {
            note(dropped, "reasoning_effort", asked != Reasoning::Off);
            None
        }
        (ReasoningStyle::Effort, Reasoning::Off) => {
            // These models always think: as little as all of them can.
            note(dropped, "reasoning_effort", true);
            Some(Thinking { thinking_level: Some("low"), ..Thinking::default() })
        }
        (ReasoningStyle::Effort, asked) => Some(Thinking {
            thinking_level: match asked {
                Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort)) => Some(level(effort)),
                Reasoning::Budget(tokens) => Some(level(Effort::of_budget(tokens))),
                Reasoning::Adaptive(None) | Reasoning::Off => None,
            },
            include_thoughts: Some(true),
            ..Thinking::default()
        }),
        (_, Reasoning::Off) => Some(Thinking { thinking_budget: Some(0), ..Thinking::default() }),
        (_, asked) => Some(Thinking {
            thinking_budget: Some(match asked {
                Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort)) => tokens(effort.budget()),
                Reasoning::Budget(wanted) => tokens(wanted),
                Reasoning::Adaptive(None) | Reasoning::Off => -1,
            }),
            include_thoughts: Some(true),
            ..Thinking::default()
        }),
    }
}

fn tokens(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    }
}
