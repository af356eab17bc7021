//! The tools of a request: the client's, those that only history knows, and the one that stands in for a form of the
//! answer that the model has no member for.

use super::block::CachePoint;
use super::write_cache::Cache;
use super::write_request::Dropped;
use crate::wire::chat::BadRequest;
use crate::wire::chat::request::{OutputFormat, Request, Tool, ToolChoice};
use crate::wire::chat::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// The longest name of a tool.
const NAME: usize = 64;
/// Any object.
const OPEN: &str = r#"{"type":"object","properties":{}}"#;
const FREE_TEXT: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
const ANSWER: &str = "Call this tool to answer. Its arguments are the answer.";

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
enum Entry<'a> {
    ToolSpec(Spec<'a>),
    CachePoint(CachePoint<'a>),
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize, Debug)]
struct Schema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

/// Its arguments are the text that the client waits for.
#[derive(Debug)]
pub(super) struct AnswerTool {
    pub(super) name: String,
}

/// Where the target takes no schema for its answer. A client that demands a call of its own tools gets that instead.
pub(super) fn answer_tool(request: &Request, target: &Target) -> Option<AnswerTool> {
    let Some(OutputFormat::Schema { name, .. }) = &request.output else { return None };
    let own_call = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    if target.structured_output || own_call && !request.tools.is_empty() {
        return None;
    }
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = name.chars().map(fits).take(NAME).collect();
    let taken = name.is_empty() || request.tools.iter().any(|tool| tool.name == name);
    let name = if taken { free_name(request) } else { name };
    Some(AnswerTool { name })
}

/// A name that no tool has.
fn free_name(request: &Request) -> String {
    let taken: HashSet<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
    let mut names = (0..=request.tools.len()).map(|number| format!("answer_{number}"));
    names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
}

/// What is said of the choice; `None` = nothing, the model chooses.
pub(super) fn choice(
    request: &Request,
    answer_tool: Option<&AnswerTool>,
    thinking: bool,
    dropped: &mut Dropped,
) -> Option<ToolChoice> {
    if let Some(tool) = answer_tool {
        let others = !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::None);
        return Some(if others { ToolChoice::Required } else { ToolChoice::Tool(tool.name.clone()) });
    }
    match request.tool_choice.as_ref()? {
        _ if request.tools.is_empty() => None,
        ToolChoice::None if request.uses_tools() => {
            // History needs its tools, and there is no word against calling them again.
            dropped.name("tool_choice");
            Some(ToolChoice::Auto)
        }
        ToolChoice::Required | ToolChoice::Tool(_) if thinking => {
            dropped.name("tool_choice");
            Some(ToolChoice::Auto)
        }
        choice => Some(choice.clone()),
    }
}

pub(super) fn config<'a>(
    request: &'a Request,
    target: &Target,
    answer_tool: Option<&'a AnswerTool>,
    choice: Option<&'a ToolChoice>,
    cache: &mut Cache,
    dropped: &mut Dropped,
) -> Result<Option<ToolConfig<'a>>, BadRequest> {
    let history = request.uses_tools();
    let mut tools = Vec::new();
    if request.tool_choice != Some(ToolChoice::None) || history {
        for tool in &request.tools {
            tools.push(Entry::ToolSpec(spec(tool, target, dropped)?));
            tools.extend(cache.mark(tool.cache.as_ref()).map(Entry::CachePoint));
        }
    }
    if tools.is_empty() && history {
        tools = remembered(request)?;
    }
    if let (Some(tool), Some(OutputFormat::Schema { description, schema, .. })) = (answer_tool, &request.output) {
        tools.push(Entry::ToolSpec(Spec {
            name: &tool.name,
            description: description.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(ANSWER),
            input_schema: Schema { json: object_schema(schema)? },
            strict: None,
        }));
    }
    if target.cache_points.tools && matches!(tools.last(), Some(Entry::ToolSpec(_))) {
        tools.extend(cache.point().map(Entry::CachePoint));
    }
    if tools.is_empty() {
        return Ok(None);
    }
    let tool_choice = match choice {
        Some(ToolChoice::Auto) => Some(Choice::Auto {}),
        Some(ToolChoice::Required) => Some(Choice::Any {}),
        Some(ToolChoice::Tool(name)) => Some(Choice::Tool { name }),
        Some(ToolChoice::None) | None => None,
    };
    Ok(Some(ToolConfig { tools, tool_choice }))
}

fn spec<'a>(tool: &'a Tool, target: &Target, dropped: &mut Dropped) -> Result<Spec<'a>, BadRequest> {
    let json = match &tool.schema {
        _ if tool.free_text => Cow::Owned(raw(FREE_TEXT.to_owned())?),
        Some(schema) => object_schema(schema)?,
        None => Cow::Owned(raw(OPEN.to_owned())?),
    };
    let strict = tool.strict.filter(|strict| *strict);
    if strict.is_some() && !target.structured_output {
        dropped.name("tools.strict");
    }
    Ok(Spec {
        name: &tool.name,
        // An empty one is refused.
        description: tool.description.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&tool.name),
        input_schema: Schema { json },
        strict: strict.filter(|_| target.structured_output),
    })
}

/// Tools that were called and that the request does not bring along any more: blocks of calls need them.
fn remembered(request: &Request) -> Result<Vec<Entry<'_>>, BadRequest> {
    let mut names = request.called_tools();
    if names.is_empty() {
        // Results without their calls.
        names.push("tool");
    }
    let entry = |name| {
        let input_schema = Schema { json: Cow::Owned(raw(OPEN.to_owned())?) };
        Ok(Entry::ToolSpec(Spec { name, description: name, input_schema, strict: None }))
    };
    names.into_iter().map(entry).collect()
}

/// The client's schema, with the `type` that must stand there.
fn object_schema(schema: &RawValue) -> Result<Cow<'_, RawValue>, BadRequest> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    let Some(rest) = schema.get().strip_prefix('{') else {
        return Ok(Cow::Owned(raw(OPEN.to_owned())?));
    };
    match serde_json::from_str::<Typed<'_>>(schema.get()) {
        Ok(Typed { r#type: None }) => {
            let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
            Ok(Cow::Owned(raw(format!(r#"{{"type":"object"{comma}{rest}"#))?))
        }
        _ => Ok(Cow::Borrowed(schema)),
    }
}

fn raw(json: String) -> Result<Box<RawValue>, BadRequest> {
    RawValue::from_string(json).map_err(|_| BadRequest::of("tools", "A schema of a tool cannot be read."))
}
