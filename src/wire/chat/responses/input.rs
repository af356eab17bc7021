//! Reads `input`: items to turns. Items of one side that follow each other become one turn, because a call and the
//! text before it, or the results of parallel calls, belong together for every other API.

use super::super::members::{Members, as_text, list, must_be};
use super::super::{BadRequest, Message, Part, Request, Role, Text, ToolCall};
use super::{content, sealed};
use serde_json::value::RawValue;

pub(super) fn read(body: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let missing = || BadRequest::of("input", "input is missing.");
    let value = body.raw("input").ok_or_else(missing)?;
    match as_text(value) {
        Some(text) if text.is_empty() => {}
        Some(text) => request.messages.push(Message { role: Role::User, parts: vec![Part::text(text)] }),
        None if value.get().starts_with('[') => {
            for (at, value) in list(value, "input")? {
                item(&at, value, request)?;
            }
        }
        None => return Err(must_be("input", "a string or a list")),
    }
    request.messages.retain(|message| !message.parts.is_empty());
    if request.messages.is_empty() { Err(BadRequest::of("input", "input has no message.")) } else { Ok(()) }
}

fn item(at: &str, value: &RawValue, request: &mut Request) -> Result<(), BadRequest> {
    let mut item = Members::of(value, at)?;
    let kind = match item.string("type")? {
        Some(kind) => kind,
        None if item.raw("role").is_some() => "message".to_owned(),
        None => return Err(BadRequest::of(item.path("type"), format!("{} is missing.", item.path("type")))),
    };
    match kind.as_str() {
        "message" => message(&mut item, request),
        "reasoning" => {
            if let Some(part) = reasoning(&mut item)? {
                of_the_assistant(part, request);
            }
            Ok(())
        }
        "function_call" => {
            let arguments = item.string("arguments")?.unwrap_or_default();
            call(&mut item, arguments, false, request)
        }
        "custom_tool_call" => {
            let input = item.string("input")?.unwrap_or_default();
            call(&mut item, input, true, request)
        }
        "function_call_output" | "custom_tool_call_output" => result(&mut item, request),
        "item_reference" => Err(BadRequest::unsupported(
            at,
            "Nothing is stored here: items cannot be referred to. Send them whole in input.",
        )),
        _ => Err(BadRequest::unsupported(item.path("type"), "Items of this type are not supported.")),
    }
}

fn message(item: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let role = item.needed("role")?;
    let Some(value) = item.raw("content") else {
        return Err(BadRequest::of(item.path("content"), format!("{} is missing.", item.path("content"))));
    };
    let parts = content::read(value, &item.path("content"))?;
    match role.as_str() {
        "system" | "developer" => {
            for part in parts {
                let Part::Text { text, cache, .. } = part else {
                    return Err(must_be(&item.path("content"), "text alone"));
                };
                request.system.push(Text { text, cache });
            }
        }
        "user" => request.messages.push(Message { role: Role::User, parts }),
        "assistant" => match request.messages.last_mut() {
            Some(last) if last.role == Role::Assistant && !matches!(last.parts.last(), Some(Part::Text { .. })) => {
                last.parts.extend(parts);
            }
            _ => request.messages.push(Message { role: Role::Assistant, parts }),
        },
        _ => return Err(must_be(&item.path("role"), "user, assistant, system or developer")),
    }
    Ok(())
}

/// Foreign `encrypted_content` says that the model's own words are in there: a summary beside it is not what it thought.
fn reasoning(item: &mut Members<'_>) -> Result<Option<Part>, BadRequest> {
    if let Some(content) = item.string("encrypted_content")?.filter(|content| !content.is_empty()) {
        return Ok(sealed::open(&content));
    }
    let mut thinking = String::new();
    for name in ["content", "summary"] {
        for (at, value) in item.list(name)? {
            let more = Members::of(value, at)?.string("text")?.unwrap_or_default();
            if !thinking.is_empty() && !more.is_empty() {
                thinking.push_str("\n\n");
            }
            thinking.push_str(&more);
        }
        // A summary is the second choice.
        if !thinking.is_empty() {
            return Ok(Some(Part::Thinking { text: thinking, signature: None }));
        }
    }
    Ok(None)
}

fn call(item: &mut Members<'_>, arguments: String, free_text: bool, request: &mut Request) -> Result<(), BadRequest> {
    let call = ToolCall { id: item.needed("call_id")?, name: item.needed("name")?, arguments, free_text, cache: None };
    of_the_assistant(Part::ToolCall(call), request);
    Ok(())
}

fn of_the_assistant(part: Part, request: &mut Request) {
    match request.messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.push(part),
        _ => request.messages.push(Message { role: Role::Assistant, parts: vec![part] }),
    }
}

fn result(item: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let id = item.needed("call_id")?;
    let parts = match item.raw("output") {
        Some(value) => content::read(value, &item.path("output"))?,
        None => Vec::new(),
    };
    let result = Part::ToolResult { id, parts, is_error: false, cache: None };
    match request.messages.last_mut() {
        // Nothing else is ever put beside results.
        Some(last) if last.role == Role::User && matches!(last.parts.last(), Some(Part::ToolResult { .. })) => {
            last.parts.push(result);
        }
        _ => request.messages.push(Message { role: Role::User, parts: vec![result] }),
    }
    Ok(())
}
