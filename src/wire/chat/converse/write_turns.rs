//! The messages of a request. Upstream takes only turns that alternate, begin with the user's and hold something.

use super::block::{Block, BytesOf, Document, Image, ReasoningContent, ToolResult, ToolUse};
use super::document::{Names, document_format, image_format};
use super::write_cache::{Cache, mark_of};
use crate::wire::chat::request::{CONTINUE, OPENING, Part, Request, Role, Source};
use crate::wire::chat::target::Target;
use crate::wire::chat::{BadRequest, media, tool_id};
use serde::Serialize;
use std::borrow::Cow;

/// Stands where something must stand.
const NOTHING: &str = ".";
const NO_RESULT: &str = "(empty result)";

#[derive(Serialize, Debug)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

impl Turn<'_> {
    fn of_user(text: &'static str) -> Self {
        Self { role: USER, content: vec![Block::Text(Cow::Borrowed(text))] }
    }
}

const USER: &str = "user";
const ASSISTANT: &str = "assistant";

/// `thinking`: the model begins its answer with thoughts, so nobody can begin it for it.
pub(super) fn messages<'a>(
    request: &'a Request,
    target: &Target,
    thinking: bool,
    cache: &mut Cache,
) -> Result<Vec<Turn<'a>>, BadRequest> {
    let mut writer = Writer { names: Names::default(), plain_reasoning: target.plain_reasoning, images: target.images };
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (role, parts) in joined(request) {
        let content = writer.content(role, parts, cache)?;
        let role = if role == Role::User { USER } else { ASSISTANT };
        turns.push(Turn { role, content });
    }
    end(&mut turns, target.prefill && !thinking);
    for turn in turns.iter_mut().filter(|turn| turn.content.is_empty()) {
        turn.content.push(Block::Text(Cow::Borrowed(NOTHING)));
    }
    if turns.first().is_none_or(|first| first.role != USER) {
        turns.insert(0, Turn::of_user(OPENING));
    }
    for position in &target.cache_points.messages {
        let length = i64::try_from(turns.len()).unwrap_or(i64::MAX);
        let from_start = if *position < 0 { length.saturating_add(*position) } else { *position };
        if let Some(turn) = usize::try_from(from_start).ok().and_then(|at| turns.get_mut(at)) {
            cache.close(&mut turn.content);
        }
    }
    Ok(turns)
}

/// Neighbours of one role are one turn.
pub(super) fn joined(request: &Request) -> Vec<(Role, Vec<&Part>)> {
    let mut turns: Vec<(Role, Vec<&Part>)> = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        match turns.last_mut().filter(|(role, _)| *role == message.role) {
            Some((_, parts)) => parts.extend(&message.parts),
            None => turns.push((message.role, message.parts.iter().collect())),
        }
    }
    turns
}

/// A last turn of the assistant is the beginning of its answer, or an answer that is to go on.
fn end(turns: &mut Vec<Turn<'_>>, prefill: bool) {
    let Some(last) = turns.last_mut().filter(|last| last.role == ASSISTANT) else { return };
    if prefill {
        trim_end(&mut last.content);
    }
    if last.content.is_empty() {
        turns.pop();
    } else if !prefill {
        turns.push(Turn::of_user(CONTINUE));
    }
}

/// Upstream refuses a beginning that ends in white space.
fn trim_end(content: &mut Vec<Block<'_>>) {
    let Some(at) = content.iter().rposition(|block| !block.is_cache_point()) else { return };
    if let Some(Block::Text(text)) = content.get_mut(at) {
        let kept = text.trim_end().len();
        match text {
            Cow::Borrowed(all) => *all = all.get(..kept).unwrap_or_default(),
            Cow::Owned(all) => all.truncate(kept),
        }
    }
}

struct Writer {
    names: Names,
    plain_reasoning: bool,
    images: bool,
}

impl Writer {
    fn content<'a>(
        &mut self,
        role: Role,
        mut parts: Vec<&'a Part>,
        cache: &mut Cache,
    ) -> Result<Vec<Block<'a>>, BadRequest> {
        if role == Role::User {
            // Answers to calls stand before anything else that the user says.
            parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
        }
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(block) = self.block(part)? else { continue };
            blocks.push(block);
            blocks.extend(cache.mark(mark_of(part)).map(Block::CachePoint));
        }
        let document = blocks.iter().any(|block| matches!(block, Block::Document(_)));
        if document && !blocks.iter().any(Block::is_text) {
            blocks.push(Block::Text(Cow::Borrowed(NOTHING)));
        }
        Ok(blocks)
    }

    /// `None`: nothing of it can or need be said.
    fn block<'a>(&mut self, part: &'a Part) -> Result<Option<Block<'a>>, BadRequest> {
        Ok(Some(match part {
            Part::Text { text, .. } if text.trim().is_empty() => return Ok(None),
            Part::Text { text, .. } => Block::Text(Cow::Borrowed(text)),
            Part::Image { source, .. } => Block::Image(self.image(source)?),
            Part::Document { name, source, .. } => Block::Document(self.document(name.as_deref(), source)?),
            Part::Audio { .. } => {
                return Err(BadRequest::unsupported("messages", "The model behind this name does not take audio."));
            }
            Part::ToolCall(call) => {
                Block::ToolUse(ToolUse { tool_use_id: tool_id::safe(&call.id), name: &call.name, input: call.input()? })
            }
            Part::ToolResult { id, parts, is_error, .. } => {
                let mut content = Vec::with_capacity(parts.len());
                for part in parts.iter().filter(|part| !matches!(part, Part::ToolResult { .. })) {
                    content.extend(self.block(part)?);
                }
                if content.is_empty() {
                    content.push(Block::Text(Cow::Borrowed(NO_RESULT)));
                }
                let status = if *is_error { "error" } else { "success" };
                Block::ToolResult(ToolResult { tool_use_id: tool_id::safe(id), content, status })
            }
            // Most models refuse thoughts that they cannot tell to be their own.
            Part::Thinking { signature: None, .. } if !self.plain_reasoning => return Ok(None),
            Part::Thinking { text, signature } => {
                Block::ReasoningContent(ReasoningContent::ReasoningText { text, signature: signature.as_deref() })
            }
            Part::RedactedThinking(data) => Block::ReasoningContent(ReasoningContent::RedactedContent(data)),
        }))
    }

    fn image<'a>(&self, source: &'a Source) -> Result<Image<'a>, BadRequest> {
        if !self.images {
            return Err(BadRequest::unsupported("messages", "This model does not support images."));
        }
        match source {
            Source::Data { media_type, data } => {
                let format = image_format(media_type, data).ok_or_else(|| {
                    BadRequest::of("messages", "Images must be of type image/png, image/jpeg, image/gif or image/webp.")
                })?;
                Ok(Image { format, source: BytesOf { bytes: Cow::Borrowed(data) } })
            }
            Source::Url(_) => Err(BadRequest {
                code: Some("unsupported_image_url"),
                ..BadRequest::of("messages", "This model takes no images by URL: send the image itself, as a data URL.")
            }),
            Source::Text(_) => Err(BadRequest::of("messages", "An image cannot be a text.")),
        }
    }

    fn document<'a>(&mut self, name: Option<&str>, source: &'a Source) -> Result<Document<'a>, BadRequest> {
        let (format, bytes) = match source {
            Source::Data { media_type, data } => {
                let format = document_format(media_type, name).ok_or_else(|| {
                    let formats = "pdf, csv, doc, docx, xls, xlsx, html, txt or md";
                    BadRequest::of("messages", format!("Documents must be {formats}."))
                })?;
                (format, Cow::Borrowed(data.as_str()))
            }
            Source::Text(text) => ("txt", Cow::Owned(media::encoded(text))),
            Source::Url(_) => {
                let message = "This model takes no documents by URL: send the document itself.";
                return Err(BadRequest::unsupported("messages", message));
            }
        };
        Ok(Document { format, name: self.names.take(name), source: BytesOf { bytes } })
    }
}
