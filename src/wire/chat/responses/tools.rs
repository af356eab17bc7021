//! Reads `tools` and `tool_choice`. Tools that the API would run itself have no counterpart anywhere else.

use super::super::members::{Members, as_text, must_be, name_foreign};
use super::super::{BadRequest, Request, Tool, ToolChoice};
use serde_json::value::RawValue;
use std::collections::HashSet;

pub(super) fn read(body: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    for (at, value) in body.list("tools")? {
        let tool = tool(at, value, &mut request.foreign)?;
        request.tools.push(tool);
    }
    if let Some(value) = body.raw("tool_choice") {
        choice(value, request)?;
    }
    Ok(())
}

fn tool(at: String, value: &RawValue, foreign: &mut Vec<String>) -> Result<Tool, BadRequest> {
    let mut tool = Members::of(value, at)?;
    let free_text = match tool.needed("type")?.as_str() {
        "function" => false,
        "custom" => true,
        _ => {
            return Err(BadRequest::unsupported(
                tool.path("type"),
                format!("{} must be function or custom: nothing else can be run here.", tool.path("type")),
            ));
        }
    };
    let read = Tool {
        name: tool.needed("name")?,
        description: tool.string("description")?.filter(|text| !text.is_empty()),
        schema: tool.object("parameters")?.and(tool.raw("parameters")).map(ToOwned::to_owned),
        strict: tool.boolean("strict")?,
        free_text,
        cache: None,
    };
    if let Some(mut format) = tool.object("format")? {
        // Any text is what a free-text tool takes anyway; a grammar is what nobody else checks.
        if format.string("type")?.as_deref() != Some("text") {
            name_foreign("tools.format", foreign);
        }
    }
    tool.name_the_rest("tools.", foreign);
    Ok(read)
}

fn choice(value: &RawValue, request: &mut Request) -> Result<(), BadRequest> {
    let wrong = || must_be("tool_choice", "auto, none, required or a tool");
    if let Some(word) = as_text(value) {
        request.tool_choice = Some(word_choice(&word).ok_or_else(wrong)?);
        return Ok(());
    }
    let mut choice = Members::of(value, "tool_choice").map_err(|_| wrong())?;
    match choice.needed("type")?.as_str() {
        "function" | "custom" => request.tool_choice = Some(ToolChoice::Tool(choice.needed("name")?)),
        "allowed_tools" => {
            let mut allowed = HashSet::new();
            for (at, value) in choice.list("tools")? {
                allowed.insert(Members::of(value, at)?.needed("name")?);
            }
            let mode = choice.string("mode")?.unwrap_or_else(|| "auto".into());
            let mode_at = choice.path("mode");
            request.tools.retain(|tool| allowed.contains(&tool.name));
            request.tool_choice = Some(word_choice(&mode).ok_or_else(|| must_be(&mode_at, "auto or required"))?);
        }
        _ => return Err(BadRequest::unsupported("tool_choice.type", "A tool of this type cannot be run here.")),
    }
    Ok(())
}

fn word_choice(word: &str) -> Option<ToolChoice> {
    Some(match word {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "required" => ToolChoice::Required,
        _ => return None,
    })
}
