//! Blocks of content as they are written, in requests and answers.

use crate::wire::chat::request::Citation;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One member, which says what it is.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Document<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(ToolResult<'a>),
    ReasoningContent(ReasoningContent<'a>),
    CachePoint(CachePoint<'a>),
    CitationsContent(CitationsContent<'a>),
}

impl Block<'_> {
    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
    pub(super) const fn is_cache_point(&self) -> bool {
        matches!(self, Self::CachePoint(_))
    }
}

#[derive(Serialize, Debug)]
pub(super) struct Image<'a> {
    pub(super) format: &'static str,
    pub(super) source: BytesOf<'a>,
}

#[derive(Serialize, Debug)]
pub(super) struct Document<'a> {
    pub(super) format: &'static str,
    pub(super) name: String,
    pub(super) source: BytesOf<'a>,
}

#[derive(Serialize, Debug)]
pub(super) struct BytesOf<'a> {
    /// Base64.
    pub(super) bytes: Cow<'a, str>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    pub(super) tool_use_id: Cow<'a, str>,
    pub(super) name: &'a str,
    pub(super) input: Box<RawValue>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    pub(super) tool_use_id: Cow<'a, str>,
    pub(super) content: Vec<Block<'a>>,
    pub(super) status: &'static str,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) enum ReasoningContent<'a> {
    ReasoningText {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<&'a str>,
    },
    /// Base64.
    RedactedContent(&'a str),
}

#[derive(Serialize, Debug)]
pub(super) struct CachePoint<'a> {
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<&'a str>,
}

impl<'a> CachePoint<'a> {
    pub(super) const fn new(ttl: Option<&'a str>) -> Self {
        Self { r#type: "default", ttl }
    }
}

#[derive(Serialize, Debug)]
pub(super) struct CitationsContent<'a> {
    pub(super) content: [TextOf<'a>; 1],
    pub(super) citations: Vec<Cited<'a>>,
}

#[derive(Serialize, Debug)]
pub(super) struct TextOf<'a> {
    pub(super) text: &'a str,
}

/// Where a text was found.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cited<'a> {
    title: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_content: Vec<TextOf<'a>>,
    location: Location<'a>,
}

#[derive(Serialize, Debug)]
struct Location<'a> {
    web: Web<'a>,
}

#[derive(Serialize, Debug)]
struct Web<'a> {
    url: &'a str,
}

impl<'a> Cited<'a> {
    pub(super) fn of(citation: &'a Citation) -> Self {
        let Citation { url, title, quote } = citation;
        let source_content = if quote.is_empty() { Vec::new() } else { vec![TextOf { text: quote }] };
        Self { title, source_content, location: Location { web: Web { url } } }
    }
}
