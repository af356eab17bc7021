//! Reads what a client of the messages API asks for.

use super::super::{BadRequest, CacheMark, Effort, OutputFormat, Part, Reasoning, Request, Tool, ToolChoice};
use super::content;
use super::reading::{Object, Value, printable};

/// Most names that [`Request::foreign`] takes: clients must not fill our headers.
const FOREIGN_LIMIT: usize = 32;

/// Members that say how the request is sent, or have no effect on the answer.
const SILENT: [&str; 2] = ["anthropic_version", "model"];

pub(in super::super) fn read_request(body: &[u8]) -> Result<Request, BadRequest> {
    let body = Object::of_body(body)?;
    // The answer's usage is part of this API's streams.
    let mut request =
        Request { model: body.string("model")?.unwrap_or_default(), wants_usage: true, ..Request::default() };
    let max_tokens = body.need("max_tokens")?;
    request.max_tokens = match max_tokens.whole()? {
        0 => return Err(max_tokens.wrong("must be at least 1")),
        most => Some(most),
    };
    // System texts of the messages come after the request's own.
    if let Some(system) = body.get("system") {
        request.system = content::system(&system, &mut request.foreign)?;
    }
    messages(&body.need("messages")?, &mut request)?;
    let (mut thinking, mut effort) = (None, None);
    for (name, value) in body.members() {
        match name {
            "max_tokens" | "system" | "messages" => {}
            "stream" => request.stream = value.flag()?,
            "stop_sequences" => {
                request.stop = value.list()?.iter().map(Value::string).collect::<Result<_, _>>()?;
            }
            "temperature" => request.temperature = Some(value.number()?),
            "top_p" => request.top_p = Some(value.number()?),
            "top_k" => request.top_k = Some(value.whole()?),
            "tools" => {
                let tools = value.list()?;
                request.tools =
                    tools.iter().map(|tool| read_tool(tool, &mut request.foreign)).collect::<Result<_, _>>()?;
            }
            "tool_choice" => read_tool_choice(&value.object()?, &mut request)?,
            "thinking" => thinking = Some(read_thinking(&value.object()?, &mut request.foreign)?),
            "output_config" => effort = read_output_config(&value.object()?, &mut request)?,
            // What `output_config.format` was called before.
            "output_format" => request.output = Some(output_format(&value.object()?)?),
            "metadata" => read_metadata(&value.object()?, &mut request)?,
            "service_tier" => request.service_tier = Some(tier(&value)?.to_owned()),
            "cache_control" => mark_end(&mut request, cache_mark(&value, &mut Vec::new())?),
            "mcp_servers" if !value.is_empty() => {
                return Err(value.unsupported("tools that the provider runs cannot be used with this model"));
            }
            "speed" if value.string()? == "standard" => {}
            _ if SILENT.contains(&name) => {}
            _ => note(&mut request.foreign, name, &value),
        }
    }
    request.reasoning = match (thinking, effort) {
        (None, effort) => effort.map(Reasoning::Effort),
        (Some(Reasoning::Adaptive(_)), effort) => Some(Reasoning::Adaptive(effort)),
        // A budget, or no thinking at all, says more about thinking than the effort does.
        (thinking, None) => thinking,
        (thinking, Some(_)) => {
            note_name(&mut request.foreign, "output_config.effort");
            thinking
        }
    };
    Ok(request)
}

/// Writes down that a member says something that only this API understands.
pub(super) fn note(foreign: &mut Vec<String>, name: &str, value: &Value<'_>) {
    if !value.is_empty() {
        note_name(foreign, name);
    }
}

fn note_name(foreign: &mut Vec<String>, name: &str) {
    let name = printable(name);
    if !name.is_empty() && foreign.len() < FOREIGN_LIMIT && !foreign.contains(&name) {
        foreign.push(name);
    }
}

/// Notes the members of `object` that are not among the known ones.
pub(super) fn note_others(foreign: &mut Vec<String>, parent: &str, object: &Object<'_>, known: &[&str]) {
    for (name, value) in object.members().filter(|(name, _)| !known.contains(name)) {
        note(foreign, &format!("{parent}.{name}"), &value);
    }
}

fn messages(value: &Value<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let messages = value.list()?;
    if messages.is_empty() {
        return Err(value.wrong("must have at least one message"));
    }
    for message in &messages {
        let message = message.object()?;
        match content::message(&message, &mut request.foreign)? {
            content::Turn::Message(message) => request.messages.push(message),
            content::Turn::System(texts) => request.system.extend(texts),
        }
        note_others(&mut request.foreign, "messages", &message, &["role", "content"]);
    }
    Ok(())
}

pub(super) fn cache_mark(value: &Value<'_>, foreign: &mut Vec<String>) -> Result<CacheMark, BadRequest> {
    let mark = value.object()?;
    let kind = mark.need("type")?;
    if kind.string()? != "ephemeral" {
        return Err(kind.wrong("must be ephemeral"));
    }
    note_others(foreign, "cache_control", &mark, &["type", "ttl"]);
    let Some(ttl) = mark.get("ttl") else { return Ok(CacheMark::default()) };
    match ttl.string()?.as_str() {
        known @ ("5m" | "1h") => Ok(CacheMark { ttl: Some(known.to_owned()) }),
        _ => Err(ttl.wrong("must be 5m or 1h")),
    }
}

/// The request's own mark stands for one on the last block that can bear it.
fn mark_end(request: &mut Request, mark: CacheMark) {
    let parts = request.messages.iter_mut().rev().flat_map(|m| m.parts.iter_mut().rev());
    let mut marks = parts.filter_map(|part| match part {
        Part::Text { cache, .. }
        | Part::Image { cache, .. }
        | Part::Document { cache, .. }
        | Part::ToolResult { cache, .. } => Some(cache),
        Part::ToolCall(call) => Some(&mut call.cache),
        Part::Audio { .. } | Part::Thinking { .. } | Part::RedactedThinking(_) => None,
    });
    if let Some(cache) = marks.next() {
        cache.get_or_insert(mark);
    }
}

fn read_tool(value: &Value<'_>, foreign: &mut Vec<String>) -> Result<Tool, BadRequest> {
    let tool = value.object()?;
    if let Some(kind) = tool.get("type") {
        let name = kind.string()?;
        if name != "custom" {
            return Err(kind.unsupported(&format!(
                "a tool of the type {} comes with its provider and cannot be used with this model",
                printable(&name)
            )));
        }
    }
    let schema = tool.need("input_schema")?;
    if !schema.is_object() {
        return Err(schema.wrong("must be an object"));
    }
    note_others(
        foreign,
        "tools",
        &tool,
        &["type", "name", "description", "input_schema", "strict", "cache_control", "eager_input_streaming"],
    );
    Ok(Tool {
        name: tool.need_string("name")?,
        description: tool.string("description")?.filter(|text| !text.is_empty()),
        schema: Some(schema.raw.to_owned()),
        strict: tool.flag("strict")?,
        free_text: false,
        cache: tool.get("cache_control").map(|mark| cache_mark(&mark, foreign)).transpose()?,
    })
}

fn read_tool_choice(choice: &Object<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let kind = choice.need("type")?;
    request.tool_choice = Some(match kind.string()?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(choice.need_string("name")?),
        _ => return Err(kind.wrong("must be auto, any, tool or none")),
    });
    if choice.flag("disable_parallel_tool_use")? == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
    note_others(&mut request.foreign, "tool_choice", choice, &["type", "name", "disable_parallel_tool_use"]);
    Ok(())
}

fn read_thinking(thinking: &Object<'_>, foreign: &mut Vec<String>) -> Result<Reasoning, BadRequest> {
    let kind = thinking.need("type")?;
    let reasoning = match kind.string()?.as_str() {
        "disabled" => Reasoning::Off,
        "enabled" => Reasoning::Budget(thinking.need("budget_tokens")?.whole()?),
        "adaptive" | "between_tools" => Reasoning::Adaptive(None),
        _ => return Err(kind.wrong("must be enabled, adaptive or disabled")),
    };
    if let Some(display) = thinking.get("display")
        && display.string()? != "summarized"
    {
        note(foreign, "thinking.display", &display);
    }
    note_others(foreign, "thinking", thinking, &["type", "budget_tokens", "display"]);
    Ok(reasoning)
}

fn read_output_config(config: &Object<'_>, request: &mut Request) -> Result<Option<Effort>, BadRequest> {
    if let Some(format) = config.get("format") {
        request.output = Some(output_format(&format.object()?)?);
    }
    note_others(&mut request.foreign, "output_config", config, &["format", "effort"]);
    let Some(effort) = config.get("effort") else { return Ok(None) };
    let wrong = || effort.wrong("must be low, medium, high, xhigh or max");
    Effort::parse(&effort.string()?).map(Some).ok_or_else(wrong)
}

fn output_format(format: &Object<'_>) -> Result<OutputFormat, BadRequest> {
    let kind = format.need("type")?;
    if kind.string()? != "json_schema" {
        return Err(kind.wrong("must be json_schema"));
    }
    let schema = format.need("schema")?;
    if !schema.is_object() {
        return Err(schema.wrong("must be an object"));
    }
    Ok(OutputFormat::Schema {
        name: "response".into(),
        description: None,
        schema: schema.raw.to_owned(),
        strict: Some(true),
    })
}

fn read_metadata(metadata: &Object<'_>, request: &mut Request) -> Result<(), BadRequest> {
    request.user = metadata.string("user_id")?.filter(|id| !id.is_empty());
    note_others(&mut request.foreign, "metadata", metadata, &["user_id"]);
    Ok(())
}

fn tier(value: &Value<'_>) -> Result<&'static str, BadRequest> {
    match value.string()?.as_str() {
        "auto" => Ok("auto"),
        "standard_only" => Ok("default"),
        _ => Err(value.wrong("must be auto or standard_only")),
    }
}
