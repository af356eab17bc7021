//! Reads messages and their blocks.

use super::super::{BadRequest, Message, Part, Role, Source, Text, ToolCall, media, parsed};
use super::reading::{Object, Value, printable};
use super::request::{cache_mark, note, note_others};

pub(super) enum Turn {
    Message(Message),
    /// Instructions in the middle of the conversation.
    System(Vec<Text>),
}

/// What a list of blocks belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    User,
    Assistant,
    ToolResult,
    /// The request's instructions, or a document that is a list of texts.
    Texts,
}

pub(super) fn system(value: &Value<'_>, foreign: &mut Vec<String>) -> Result<Vec<Text>, BadRequest> {
    if value.is_string() {
        let text = value.string()?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Text { text, cache: None }] });
    }
    let mut texts = Vec::new();
    for block in value.list()? {
        if let Some(Part::Text { text, cache, .. }) = read_block(&block, Place::Texts, foreign)? {
            texts.push(Text { text, cache });
        }
    }
    Ok(texts)
}

pub(super) fn message(message: &Object<'_>, foreign: &mut Vec<String>) -> Result<Turn, BadRequest> {
    let role = message.need("role")?;
    let content = message.need("content")?;
    let (role, place) = match role.string()?.as_str() {
        "user" => (Role::User, Place::User),
        "assistant" => (Role::Assistant, Place::Assistant),
        "system" => return Ok(Turn::System(system(&content, foreign)?)),
        _ => return Err(role.wrong("must be user or assistant")),
    };
    Ok(Turn::Message(Message { role, parts: blocks(&content, place, foreign)? }))
}

/// Content is a text, or a list of blocks.
fn blocks(content: &Value<'_>, place: Place, foreign: &mut Vec<String>) -> Result<Vec<Part>, BadRequest> {
    if content.is_string() {
        let text = content.string()?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    let mut parts = Vec::new();
    for block in content.list()? {
        parts.extend(read_block(&block, place, foreign)?);
    }
    Ok(parts)
}

/// `None`: an empty text.
fn read_block(value: &Value<'_>, place: Place, foreign: &mut Vec<String>) -> Result<Option<Part>, BadRequest> {
    let block = value.object()?;
    let kind = block.need("type")?;
    let kind_name = kind.string()?;
    let cache = block.get("cache_control").map(|mark| cache_mark(&mark, foreign)).transpose()?;
    let part = match (kind_name.as_str(), place) {
        ("text", _) => {
            let text = block.need_string("text")?;
            // Citations of earlier answers only say where a text came from.
            if text.is_empty() {
                return Ok(None);
            }
            Part::Text { text, cache, citations: Vec::new() }
        }
        ("image", Place::User | Place::ToolResult) => Part::Image { source: image(&block.need("source")?)?, cache },
        ("document", Place::User | Place::Assistant | Place::ToolResult) => {
            if let Some(citations) = block.get("citations")
                && citations.object()?.flag("enabled")? == Some(true)
            {
                note(foreign, "document.citations", &citations);
            }
            note_others(foreign, "document", &block, &["type", "source", "title", "citations", "cache_control"]);
            let name = block.string("title")?.filter(|title| !title.is_empty());
            Part::Document { name, source: document(&block.need("source")?, foreign)?, cache }
        }
        ("search_result", Place::User | Place::ToolResult) => {
            Part::Text { text: search_result(&block)?, cache, citations: Vec::new() }
        }
        ("tool_reference", Place::ToolResult) => Part::text(block.need_string("tool_name")?),
        ("tool_use", Place::Assistant) => {
            let input = block.need("input")?;
            if !input.is_object() {
                return Err(input.wrong("must be an object"));
            }
            Part::ToolCall(ToolCall {
                id: block.need_string("id")?,
                name: block.need_string("name")?,
                arguments: parsed::compact(input.raw.get()),
                free_text: false,
                cache,
            })
        }
        ("tool_result", Place::User) => Part::ToolResult {
            id: block.need_string("tool_use_id")?,
            parts: match block.get("content") {
                Some(content) => blocks(&content, Place::ToolResult, foreign)?,
                None => Vec::new(),
            },
            is_error: block.flag("is_error")?.unwrap_or_default(),
            cache,
        },
        ("thinking", Place::Assistant) => Part::Thinking {
            text: block.need_string("thinking")?,
            signature: block.string("signature")?.filter(|signature| !signature.is_empty()),
        },
        ("redacted_thinking", Place::Assistant) => Part::RedactedThinking(block.need_string("data")?),
        (
            "image" | "document" | "search_result" | "tool_reference" | "tool_use" | "tool_result" | "thinking"
            | "redacted_thinking",
            _,
        ) => return Err(value.wrong(&format!("is of the type {kind_name}, which cannot stand here"))),
        _ => {
            return Err(kind
                .unsupported(&format!("blocks of the type {} cannot be used with this model", printable(&kind_name))));
        }
    };
    Ok(Some(part))
}

fn image(value: &Value<'_>) -> Result<Source, BadRequest> {
    let source = value.object()?;
    let kind = source.need("type")?;
    match kind.string()?.as_str() {
        "base64" => encoded(&source),
        "url" => Ok(Source::Url(source.need_string("url")?)),
        _ => Err(kind.unsupported("pictures can be given as base64 or url to this model")),
    }
}

fn document(value: &Value<'_>, foreign: &mut Vec<String>) -> Result<Source, BadRequest> {
    let source = value.object()?;
    let kind = source.need("type")?;
    match kind.string()?.as_str() {
        "base64" => encoded(&source),
        "text" => Ok(Source::Text(source.need_string("data")?)),
        "url" => Ok(Source::Url(source.need_string("url")?)),
        "content" => {
            let content = source.need("content")?;
            let parts = blocks(&content, Place::Texts, foreign)?;
            let texts: Vec<&str> = parts.iter().filter_map(Part::as_text).collect();
            Ok(Source::Text(texts.join("\n\n")))
        }
        _ => Err(kind.unsupported("documents can be given as base64, text, content or url to this model")),
    }
}

fn encoded(source: &Object<'_>) -> Result<Source, BadRequest> {
    let media_type = source.need_string("media_type")?.to_ascii_lowercase();
    let data = source.need("data")?;
    let canonical = media::canonical(&data.string()?).ok_or_else(|| data.wrong("must be base64"))?;
    Ok(Source::Data { media_type, data: canonical })
}

/// What was found, as other models can read it: title and place above the text.
fn search_result(block: &Object<'_>) -> Result<String, BadRequest> {
    let mut lines = vec![block.need_string("title")?, block.need_string("source")?];
    for text in block.need("content")?.list()? {
        lines.push(text.object()?.need_string("text")?);
    }
    lines.retain(|line| !line.is_empty());
    Ok(lines.join("\n"))
}
