//! The blocks of a client's messages.

use super::field::{Field, Foreign};
use crate::wire::chat::request::{CacheMark, Part, Source, ToolCall};
use crate::wire::chat::{BadRequest, media};

/// Blocks of a message, or of a tool's result.
pub(super) fn parts(content: &Field<'_>, foreign: &mut Foreign) -> Result<Vec<Part>, BadRequest> {
    let mut parts: Vec<Part> = Vec::new();
    for block in content.list()? {
        let (kind, value) = block.only_member()?;
        match kind.as_str() {
            "cachePoint" => {
                // A mark with nothing before it marks nothing.
                if let Some(place) = parts.last_mut().and_then(cache_of) {
                    *place = Some(cache_mark(&value)?);
                }
            }
            _ => parts.push(part(&kind, &value, foreign)?),
        }
    }
    Ok(parts)
}

fn part(kind: &str, value: &Field<'_>, foreign: &mut Foreign) -> Result<Part, BadRequest> {
    Ok(match kind {
        "text" => Part::text(value.text()?),
        "image" => image(value)?,
        "document" => document(value, foreign)?,
        "audio" => {
            let format = value.needed("format")?.text()?;
            Part::Audio { format, data: bytes(&value.needed("source")?)? }
        }
        // Of tools that the provider runs itself.
        "toolUse" | "toolResult" if value.member("type")?.is_some() => return Err(value.unsupported()),
        "toolUse" => Part::ToolCall(ToolCall {
            id: value.needed("toolUseId")?.text()?,
            name: value.needed("name")?.text()?,
            arguments: value.member("input")?.map_or_else(|| "{}".to_owned(), |input| input.raw().get().to_owned()),
            free_text: false,
            cache: None,
        }),
        "toolResult" => {
            let status = value.member("status")?.map(|status| status.text()).transpose()?;
            let content = value.member("content")?;
            Part::ToolResult {
                id: value.needed("toolUseId")?.text()?,
                parts: content.map_or_else(|| Ok(Vec::new()), |content| results(&content, foreign))?,
                is_error: status.as_deref() == Some("error"),
                cache: None,
            }
        }
        "reasoningContent" => reasoning(value)?,
        "guardContent" => {
            let (kind, inner) = value.only_member()?;
            match kind.as_str() {
                "text" => Part::text(inner.needed("text")?.text()?),
                "image" => image(&inner)?,
                _ => return Err(inner.unsupported()),
            }
        }
        "citationsContent" => Part::text(value.member("content")?.map_or_else(|| Ok(String::new()), |c| texts(&c))?),
        "searchResult" => Part::text(search_result(value)?),
        _ => return Err(value.unsupported()),
    })
}

/// What a tool came back with.
fn results(content: &Field<'_>, foreign: &mut Foreign) -> Result<Vec<Part>, BadRequest> {
    let mut parts = Vec::new();
    for block in content.list()? {
        let (kind, value) = block.only_member()?;
        parts.push(match kind.as_str() {
            "json" => Part::text(value.raw().get()),
            "text" | "image" | "document" | "searchResult" => part(&kind, &value, foreign)?,
            _ => return Err(value.unsupported()),
        });
    }
    Ok(parts)
}

fn image(value: &Field<'_>) -> Result<Part, BadRequest> {
    let format = value.needed("format")?.text()?.to_ascii_lowercase();
    let format = if format == "jpg" { "jpeg".to_owned() } else { format };
    let data = bytes(&value.needed("source")?)?;
    Ok(Part::Image { source: Source::Data { media_type: format!("image/{format}"), data }, cache: None })
}

fn document(value: &Field<'_>, foreign: &mut Foreign) -> Result<Part, BadRequest> {
    for (name, value) in value.members()? {
        if matches!(name.as_str(), "context" | "citations") {
            foreign.note_as(&value, &format!("document.{name}"));
        }
    }
    let name = value.member("name")?.map(|name| name.text()).transpose()?;
    let format = value.member("format")?.map(|format| format.text()).transpose()?.unwrap_or_else(|| "txt".to_owned());
    let source = value.needed("source")?;
    let (kind, content) = source.only_member()?;
    let source = match kind.as_str() {
        "text" => Source::Text(content.text()?),
        "content" => Source::Text(texts(&content)?),
        _ => Source::Data {
            media_type: media::type_of(&format).unwrap_or("application/octet-stream").to_owned(),
            data: bytes(&source)?,
        },
    };
    Ok(Part::Document { name, source, cache: None })
}

/// The base64 of a source.
fn bytes(source: &Field<'_>) -> Result<String, BadRequest> {
    let (kind, value) = source.only_member()?;
    if kind != "bytes" {
        return Err(value.unsupported());
    }
    media::canonical(&value.text()?).ok_or_else(|| value.wrong("must be base64."))
}

fn reasoning(value: &Field<'_>) -> Result<Part, BadRequest> {
    let (kind, inner) = value.only_member()?;
    match kind.as_str() {
        "reasoningText" => Ok(Part::Thinking {
            text: inner.needed("text")?.text()?,
            signature: inner
                .member("signature")?
                .map(|signature| signature.text())
                .transpose()?
                .filter(|signature| !signature.is_empty()),
        }),
        "redactedContent" => {
            let data = media::canonical(&inner.text()?).ok_or_else(|| inner.wrong("must be base64."))?;
            Ok(Part::RedactedThinking(data))
        }
        _ => Err(inner.unsupported()),
    }
}

/// `[{"text"}]` put together.
fn texts(content: &Field<'_>) -> Result<String, BadRequest> {
    let mut all = String::new();
    for block in content.list()? {
        let (kind, value) = block.only_member()?;
        if kind != "text" {
            return Err(value.unsupported());
        }
        all.push_str(&value.text()?);
    }
    Ok(all)
}

fn search_result(value: &Field<'_>) -> Result<String, BadRequest> {
    let mut lines = Vec::new();
    for name in ["title", "source"] {
        lines.extend(value.member(name)?.map(|line| line.text()).transpose()?);
    }
    lines.extend(value.member("content")?.map(|content| texts(&content)).transpose()?);
    Ok(lines.join("\n"))
}

pub(super) fn cache_mark(value: &Field<'_>) -> Result<CacheMark, BadRequest> {
    Ok(CacheMark { ttl: value.member("ttl")?.map(|ttl| ttl.text()).transpose()? })
}

/// Where the mark of a part is kept.
const fn cache_of(part: &mut Part) -> Option<&mut Option<CacheMark>> {
    match part {
        Part::Text { cache, .. }
        | Part::Image { cache, .. }
        | Part::Document { cache, .. }
        | Part::ToolResult { cache, .. } => Some(cache),
        Part::ToolCall(call) => Some(&mut call.cache),
        Part::Audio { .. } | Part::Thinking { .. } | Part::RedactedThinking(_) => None,
    }
}
