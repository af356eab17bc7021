//! Writes turns and their blocks. Everything is borrowed: pictures of megabytes are not copied on the way.

use super::super::request::{CONTINUE, OPENING};
use super::super::{BadRequest, CacheMark, Part, ReasoningStyle, Request, Role, Source, Target};
use super::super::{media, tool_id};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize, Debug)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Content<'a>(Vec<Block<'a>>);

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark<'a>>,
    },
    Image {
        source: BlockSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark<'a>>,
    },
    Document {
        source: BlockSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark<'a>>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark<'a>>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Content<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark<'a>>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
}

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum BlockSource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Text { media_type: &'static str, data: Cow<'a, str> },
    Url { url: &'a str },
}

/// `{"type":"ephemeral"}`
#[derive(Serialize, Debug)]
pub(super) struct Mark<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl Default for Mark<'_> {
    fn default() -> Self {
        Self { kind: "ephemeral", ttl: None }
    }
}

impl<'a> Mark<'a> {
    pub(super) fn of(mark: Option<&'a CacheMark>) -> Option<Self> {
        // The two that the API has; for any other its own applies.
        mark.map(|mark| Self { ttl: mark.ttl.as_deref().filter(|ttl| matches!(*ttl, "5m" | "1h")), ..Self::default() })
    }
}

impl Serialize for Content<'_> {
    /// A bare text where nothing hangs on it, as most clients of the API write it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [Block::Text { text, cache_control: None }] => serializer.serialize_str(text),
            blocks => serializer.collect_seq(blocks),
        }
    }
}

impl<'a> Turn<'a> {
    fn user(text: &'a str) -> Self {
        Self { role: "user", content: Content(vec![Block::text(text)]) }
    }
    fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }
    pub(super) fn blocks(&self) -> &[Block<'a>] {
        &self.content.0
    }
    /// The place for a mark on its last block that can bear one.
    pub(super) fn mark(&mut self) -> Option<&mut Option<Mark<'a>>> {
        self.content.0.iter_mut().rev().find_map(Block::mark)
    }
}

impl<'a> Block<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text { text: Cow::Borrowed(text), cache_control: None }
    }
    pub(super) fn mark(&mut self) -> Option<&mut Option<Mark<'a>>> {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => Some(cache_control),
            Self::Thinking { .. } | Self::RedactedThinking { .. } => None,
        }
    }
    /// How many marks it has, inner blocks included.
    pub(super) fn marks(&self) -> usize {
        let (own, inner): (_, &[Self]) = match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolUse { cache_control, .. } => (cache_control.is_some(), &[]),
            Self::ToolResult { cache_control, content, .. } => (cache_control.is_some(), &content.0),
            Self::Thinking { .. } | Self::RedactedThinking { .. } => (false, &[]),
        };
        usize::from(own) + inner.iter().map(Self::marks).sum::<usize>()
    }
}

/// Instructions as blocks; those of white space only are refused upstream.
pub(super) fn system(request: &Request) -> Vec<Block<'_>> {
    let texts = request.system.iter().filter(|text| !text.text.trim().is_empty());
    texts.map(|t| Block::Text { text: Cow::Borrowed(&t.text), cache_control: Mark::of(t.cache.as_ref()) }).collect()
}

/// Turns of alternating roles, the user's first.
pub(super) fn turns<'a>(request: &'a Request, target: &Target) -> Result<Vec<Turn<'a>>, BadRequest> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for message in &request.messages {
        let blocks = blocks(&message.parts, target)?;
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        match turns.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.0.extend(blocks),
            None if blocks.is_empty() => {}
            None => turns.push(Turn { role, content: Content(blocks) }),
        }
    }
    if turns.first().is_some_and(Turn::is_assistant) {
        turns.insert(0, Turn::user(OPENING));
    }
    for turn in turns.iter_mut().filter(|turn| !turn.is_assistant()) {
        // Results must stand before anything else that the user says.
        turn.content.0.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
    }
    Ok(turns)
}

/// Makes the last turn one that the model can follow.
///
/// # Errors
/// No turn has any content.
pub(super) fn finish(turns: &mut Vec<Turn<'_>>, prefill: bool) -> Result<(), BadRequest> {
    if let Some(last) = turns.last_mut().filter(|turn| turn.is_assistant()) {
        if let Some(Block::Text { text, .. }) = last.content.0.last_mut() {
            // The API refuses to continue after white space. Texts of nothing else are left out before.
            *text = Cow::Owned(text.trim_end().to_owned());
        }
        if !prefill {
            turns.push(Turn::user(CONTINUE));
        }
    }
    if turns.is_empty() {
        return Err(BadRequest::of("messages", "messages must have at least one message with content."));
    }
    Ok(())
}

/// Models with a budget for thinking refuse to go on after tool calls that they did not think before, such as those of
/// clients that do not keep the thinking.
pub(super) fn tool_loop_without_thinking(turns: &[Turn<'_>], target: &Target) -> bool {
    let Some(last) = turns.iter().rev().find(|turn| turn.is_assistant()).map(Turn::blocks) else { return false };
    let thought = matches!(last.first(), Some(Block::Thinking { .. } | Block::RedactedThinking { .. }));
    let calls = last.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    target.reasoning == ReasoningStyle::Budget && calls && !thought
}

fn blocks<'a>(parts: &'a [Part], target: &Target) -> Result<Vec<Block<'a>>, BadRequest> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        blocks.extend(block(part, target)?);
    }
    Ok(blocks)
}

/// `None`: nothing that the API takes.
fn block<'a>(part: &'a Part, target: &Target) -> Result<Option<Block<'a>>, BadRequest> {
    Ok(Some(match part {
        Part::Text { text, .. } if text.trim().is_empty() => return Ok(None),
        Part::Text { text, cache, .. } => {
            Block::Text { text: Cow::Borrowed(text), cache_control: Mark::of(cache.as_ref()) }
        }
        Part::Image { .. } if !target.images => {
            return Err(BadRequest::unsupported("messages", "This model does not support images."));
        }
        Part::Image { source, cache } => {
            Block::Image { source: picture(source)?, cache_control: Mark::of(cache.as_ref()) }
        }
        Part::Document { name, source, cache } => Block::Document {
            source: document(source)?,
            title: name.as_deref(),
            cache_control: Mark::of(cache.as_ref()),
        },
        Part::Audio { .. } => {
            return Err(BadRequest::unsupported("messages", "This model does not support input_audio."));
        }
        Part::ToolCall(call) => Block::ToolUse {
            id: tool_id::safe(&call.id),
            name: &call.name,
            input: call.input()?,
            cache_control: Mark::of(call.cache.as_ref()),
        },
        Part::ToolResult { id, parts, is_error, cache } => Block::ToolResult {
            tool_use_id: tool_id::safe(id),
            content: Content(blocks(parts, target)?),
            is_error: *is_error,
            cache_control: Mark::of(cache.as_ref()),
        },
        Part::Thinking { text, signature: Some(signature) } => Block::Thinking { thinking: text, signature },
        // The API takes back only what it can prove to be its own.
        Part::Thinking { signature: None, .. } => return Ok(None),
        Part::RedactedThinking(data) => Block::RedactedThinking { data },
    }))
}

fn picture(source: &Source) -> Result<BlockSource<'_>, BadRequest> {
    match source {
        Source::Url(url) => Ok(BlockSource::Url { url }),
        Source::Data { media_type, data } => {
            let media_type = media::picture_type(media_type, data).ok_or_else(|| {
                BadRequest::unsupported("messages", "Images must be PNG, JPEG, GIF or WebP for this model.")
            })?;
            Ok(BlockSource::Base64 { media_type, data })
        }
        Source::Text(_) => Err(BadRequest::of("messages", "An image cannot be a text.")),
    }
}

fn document(source: &Source) -> Result<BlockSource<'_>, BadRequest> {
    let text = |data| BlockSource::Text { media_type: "text/plain", data };
    match source {
        Source::Url(url) => Ok(BlockSource::Url { url }),
        Source::Text(data) => Ok(text(Cow::Borrowed(data))),
        Source::Data { media_type, data } if media_type == "application/pdf" => {
            Ok(BlockSource::Base64 { media_type, data })
        }
        Source::Data { media_type, data } if media_type.starts_with("text/") => media::text(data)
            .map(|decoded| text(Cow::Owned(decoded)))
            .ok_or_else(|| BadRequest::of("messages", "A text document must be UTF-8.")),
        Source::Data { .. } => {
            Err(BadRequest::unsupported("messages", "Documents must be PDF or text for this model."))
        }
    }
}
