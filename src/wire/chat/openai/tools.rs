//! The tools that a client offers to the model, and which of them it must use.

use super::super::{BadRequest, Tool, ToolChoice};
use super::json::{Node, Object};
use super::parts::cache_mark;
use super::request::Foreign;
use std::collections::HashSet;

/// `tools`, or the older `functions`.
pub(super) fn read(body: &Object<'_>, foreign: &mut Foreign) -> Result<Vec<Tool>, BadRequest> {
    let mut tools = Vec::new();
    if let Some(list) = body.get("tools") {
        for node in list.elements()? {
            tools.push(tool(&node, foreign)?);
        }
    } else if let Some(list) = body.get("functions") {
        for node in list.elements()? {
            tools.push(function(&node.object()?)?);
        }
    }
    Ok(tools)
}

fn tool(node: &Node<'_>, foreign: &mut Foreign) -> Result<Tool, BadRequest> {
    let object = node.object()?;
    let mut tool = match object.text("type")?.as_deref() {
        Some("function") | None => function(&object.need("function")?.object()?)?,
        Some("custom") => {
            let custom = object.need("custom")?.object()?;
            if let Some(format) = custom.get("format")
                && format.object()?.text("type")?.is_some_and(|kind| kind != "text")
            {
                foreign.add("tools.custom.format");
            }
            Tool { free_text: true, ..function(&custom)? }
        }
        Some(_) => {
            let path = object.path_of("type");
            let message = format!("{path} is not a kind of tool that the model behind this name has.");
            return Err(BadRequest::unsupported(path, message));
        }
    };
    if tool.cache.is_none() {
        tool.cache = cache_mark(&object)?;
    }
    Ok(tool)
}

fn function(function: &Object<'_>) -> Result<Tool, BadRequest> {
    Ok(Tool {
        name: name(function)?,
        description: function.text("description")?.filter(|text| !text.is_empty()),
        schema: function.get("parameters").map(|schema| schema.raw()).transpose()?,
        strict: function.flag("strict")?,
        free_text: false,
        cache: cache_mark(function)?,
    })
}

/// The name of a function or tool, which must have one.
pub(super) fn name(object: &Object<'_>) -> Result<String, BadRequest> {
    let node = object.need("name")?;
    let name = node.text()?;
    if name.is_empty() { Err(node.wrong("is empty.")) } else { Ok(name) }
}

/// `tool_choice`, or the older `function_call`. A choice among some of the tools leaves only those in `tools`.
pub(super) fn choice(body: &Object<'_>, tools: &mut Vec<Tool>) -> Result<Option<ToolChoice>, BadRequest> {
    if let Some(choice) = body.get("tool_choice") {
        return chosen(&choice, tools).map(Some);
    }
    let Some(choice) = body.get("function_call") else { return Ok(None) };
    if choice.is_text() { word(&choice, &choice.text()?) } else { named(&choice.object()?) }.map(Some)
}

fn chosen(choice: &Node<'_>, tools: &mut Vec<Tool>) -> Result<ToolChoice, BadRequest> {
    if choice.is_text() {
        return word(choice, &choice.text()?);
    }
    let object = choice.object()?;
    let kind = object.need("type")?;
    match kind.text()?.as_str() {
        "function" => named(&object.need("function")?.object()?),
        "custom" => named(&object.need("custom")?.object()?),
        "allowed_tools" => {
            let allowed = object.need("allowed_tools")?.object()?;
            let mut names = HashSet::new();
            for tool in allowed.need("tools")?.elements()? {
                let tool = tool.object()?;
                let inner = tool.get("function").or_else(|| tool.get("custom"));
                names.insert(inner.map_or_else(|| name(&tool), |inner| name(&inner.object()?))?);
            }
            tools.retain(|tool| names.contains(&tool.name));
            let mode = allowed.get("mode");
            mode.map_or(Ok(ToolChoice::Auto), |mode| word(&mode, &mode.text()?))
        }
        other => word(&kind, other),
    }
}

fn named(object: &Object<'_>) -> Result<ToolChoice, BadRequest> {
    name(object).map(ToolChoice::Tool)
}

fn word(node: &Node<'_>, word: &str) -> Result<ToolChoice, BadRequest> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" | "any" => Ok(ToolChoice::Required),
        _ => Err(node.wrong("is no choice that is known here.")),
    }
}
