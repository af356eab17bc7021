//! Writes tools and which of them the model must call.

use super::super::{OutputFormat, Request, Target, Tool, ToolChoice};
use super::write_content::Mark;
use super::write_options::Dropped;
use crate::wire::{json_edit, json_walk};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct ToolOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Mark<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Given(Cow<'a, RawValue>),
    Made(serde_json::Value),
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// The tool whose arguments are the answer, for models that take no schema for it.
#[derive(Debug)]
pub(super) struct AnswerTool<'a> {
    pub(super) name: String,
    description: Option<&'a str>,
    schema: &'a RawValue,
}

/// `None` where the model takes a schema, or must call another tool and so gives no answer in this turn.
pub(super) fn answer_tool<'a>(request: &'a Request, target: &Target) -> Option<AnswerTool<'a>> {
    let Some(OutputFormat::Schema { name, description, schema, .. }) = &request.output else { return None };
    let must_call = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    if target.structured_output || (must_call && !request.tools.is_empty()) {
        return None;
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut name: String = name.chars().filter(allowed).take(64).collect();
    if name.is_empty() {
        name.push_str("answer");
    }
    while request.tools.iter().any(|tool| tool.name == name) {
        name.push('_');
    }
    Some(AnswerTool { name, description: description.as_deref(), schema })
}

pub(super) fn tools<'a>(
    request: &'a Request,
    answer: Option<&'a AnswerTool<'a>>,
    thinks: bool,
    dropped: &mut Dropped,
) -> (Vec<ToolOut<'a>>, Option<Choice<'a>>) {
    let mut tools: Vec<ToolOut<'a>> = request.tools.iter().map(defined).collect();
    let mut wanted = request.tool_choice.as_ref();
    if tools.is_empty() {
        // Turns that call tools are refused without any: the called ones are listed, and must not be called again.
        tools = called(request);
        wanted = Some(&ToolChoice::None);
    }
    if let Some(answer) = answer {
        let description = answer.description.or(Some("Gives the answer to the user."));
        let input_schema = object_schema(answer.schema);
        let only = request.tools.is_empty() || wanted == Some(&ToolChoice::None);
        tools.push(ToolOut { name: &answer.name, description, input_schema, strict: None, cache_control: None });
        // Beside other tools the model may call one of them first.
        let (kind, name) = if only { ("tool", Some(answer.name.as_str())) } else { ("any", None) };
        let disable_parallel_tool_use = only || request.parallel_tool_calls == Some(false);
        return (tools, Some(Choice { kind, name, disable_parallel_tool_use }));
    }
    if tools.is_empty() {
        return (tools, None);
    }
    let single = request.parallel_tool_calls == Some(false);
    if thinks && matches!(wanted, Some(ToolChoice::Required | ToolChoice::Tool(_))) {
        // A model that thinks decides for itself.
        dropped.add("tool_choice");
        wanted = Some(&ToolChoice::Auto);
    }
    let (kind, name) = match wanted {
        None if single => ("auto", None),
        None => return (tools, None),
        Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name.as_str())),
    };
    (tools, Some(Choice { kind, name, disable_parallel_tool_use: single && kind != "none" }))
}

fn defined(tool: &Tool) -> ToolOut<'_> {
    let input_schema = match &tool.schema {
        _ if tool.free_text => Schema::Made(json!({
            "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],
        })),
        Some(schema) => object_schema(schema),
        None => Schema::Made(json!({"type": "object", "properties": {}})),
    };
    ToolOut {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema,
        strict: tool.strict.filter(|_| !tool.free_text),
        cache_control: Mark::of(tool.cache.as_ref()),
    }
}

fn called(request: &Request) -> Vec<ToolOut<'_>> {
    let tool = |name| ToolOut {
        name,
        description: None,
        input_schema: Schema::Made(json!({"type": "object"})),
        strict: None,
        cache_control: None,
    };
    request.called_tools().into_iter().map(tool).collect()
}

/// The schema, which must say that it is one of an object.
fn object_schema(schema: &RawValue) -> Schema<'_> {
    let text = schema.get().as_bytes();
    if json_walk::member(text, "type").is_some_and(|kind| kind.value != b"null") {
        return Schema::Given(Cow::Borrowed(schema));
    }
    let typed = json_edit::set(text, "type", b"\"object\"").and_then(|typed| String::from_utf8(typed).ok());
    match typed.and_then(|typed| RawValue::from_string(typed).ok()) {
        Some(typed) => Schema::Given(Cow::Owned(typed)),
        None => Schema::Given(Cow::Borrowed(schema)),
    }
}
