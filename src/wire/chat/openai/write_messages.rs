//! The messages of a request, written: instructions first, results of tools as messages of their own.

use super::super::media::{ending_of, url_of};
use super::super::parsed::compact;
use super::super::request::CONTINUE;
use super::super::tool_id::safe as tool_id;
use super::super::{BadRequest, Message, Part, Request, Role, Source, Target, ToolCall};
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize, Debug, Default)]
pub(super) struct Sent<'a> {
    role: &'static str,
    /// `null` where a message consists of calls.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

/// A single text goes as a string: not every server takes parts.
#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Piece<'a>>),
}

#[derive(Serialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: Url },
    File { file: File<'a> },
    InputAudio { input_audio: Audio<'a> },
}

#[derive(Serialize, Debug)]
struct Url {
    url: String,
}

#[derive(Serialize, Debug)]
struct File<'a> {
    filename: Cow<'a, str>,
    file_data: String,
}

#[derive(Serialize, Debug)]
struct Audio<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(Serialize, Debug)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize, Debug)]
struct Function<'a> {
    name: &'a str,
    arguments: String,
}

/// All messages, in order.
///
/// # Errors
/// Something in them cannot be said in this form, or not to this target.
pub(super) fn write<'a>(request: &'a Request, target: &Target) -> Result<Vec<Sent<'a>>, BadRequest> {
    if !target.images && request.has_images() {
        return Err(BadRequest::unsupported("messages", "This model does not support images."));
    }
    let mut sent = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        let texts: Vec<&str> = request.system.iter().map(|text| text.text.as_str()).collect();
        sent.push(Sent { role: "system", content: Some(Content::Text(texts.join("\n\n").into())), ..Sent::default() });
    }
    let spoken: Vec<&Message> = request.messages.iter().filter(|message| !message.parts.is_empty()).collect();
    for turn in spoken.chunk_by(|one, next| one.role == next.role) {
        let parts = || turn.iter().flat_map(|message| &message.parts);
        match turn.first().map(|message| message.role) {
            Some(Role::Assistant) => sent.push(assistant(parts(), target)?),
            _ => user(parts, &mut sent)?,
        }
    }
    if !target.prefill && spoken.last().is_some_and(|last| last.role == Role::Assistant) {
        sent.push(Sent { role: "user", content: Some(Content::Text(CONTINUE.into())), ..Sent::default() });
    }
    Ok(sent)
}

fn assistant<'a>(parts: impl Iterator<Item = &'a Part>, target: &Target) -> Result<Sent<'a>, BadRequest> {
    let mut text: Option<Cow<'a, str>> = None;
    let mut thoughts = String::new();
    let mut tool_calls = Vec::new();
    for part in parts {
        match part {
            Part::Text { text: more, .. } => match &mut text {
                Some(text) => text.to_mut().push_str(more),
                None => text = Some(more.into()),
            },
            Part::ToolCall(call) => tool_calls.push(written_call(call)?),
            Part::Thinking { text, .. } if target.plain_reasoning => thoughts.push_str(text),
            // Its own thinking is nothing that a model of this form takes back; pictures it does not make.
            _ => {}
        }
    }
    if text.is_none() && tool_calls.is_empty() {
        text = Some("".into());
    }
    Ok(Sent {
        role: "assistant",
        content: text.map(Content::Text),
        reasoning_content: (!thoughts.is_empty()).then_some(thoughts),
        tool_calls,
        tool_call_id: None,
    })
}

fn written_call(call: &ToolCall) -> Result<Call<'_>, BadRequest> {
    let arguments = compact(call.input()?.get());
    Ok(Call { id: tool_id(&call.id), kind: "function", function: Function { name: &call.name, arguments } })
}

/// The results of tools, what they show, and what the user says: in this order, because results must follow the calls.
fn user<'a, I>(parts: impl Fn() -> I, sent: &mut Vec<Sent<'a>>) -> Result<(), BadRequest>
where
    I: Iterator<Item = &'a Part>,
{
    let mut shown = Vec::new();
    for part in parts() {
        if let Part::ToolResult { id, parts, is_error, .. } = part {
            let text = result_text(parts, *is_error);
            sent.push(Sent {
                role: "tool",
                content: Some(Content::Text(text.into())),
                tool_call_id: Some(tool_id(id)),
                ..Sent::default()
            });
            for part in parts.iter().filter(|part| !is_textual(part)) {
                let kind = if matches!(part, Part::Image { .. }) { "image" } else { "document" };
                shown.push(Piece::Text { text: format!("[{kind} from tool {}]", tool_id(id)).into() });
                shown.push(piece(part)?);
            }
        }
    }
    if !shown.is_empty() {
        sent.push(Sent { role: "user", content: Some(Content::Parts(shown)), ..Sent::default() });
    }
    let said = parts().filter(|part| !matches!(part, Part::ToolResult { .. }));
    let mut pieces = said.map(piece).collect::<Result<Vec<_>, _>>()?;
    let content = match (pieces.pop(), pieces.is_empty()) {
        (None, _) => return Ok(()),
        (Some(Piece::Text { text }), true) => Content::Text(text),
        (Some(last), _) => {
            pieces.push(last);
            Content::Parts(pieces)
        }
    };
    sent.push(Sent { role: "user", content: Some(content), ..Sent::default() });
    Ok(())
}

fn is_textual(part: &Part) -> bool {
    matches!(part, Part::Text { .. } | Part::Document { source: Source::Text(_), .. })
}

/// Messages of tools have no place for a failure but their text.
fn result_text(parts: &[Part], is_error: bool) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(Cow::Borrowed(text.as_str())),
        Part::Document { name, source: Source::Text(text), .. } => Some(titled(name.as_deref(), text)),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if is_error { format!("[tool error] {text}") } else { text }
}

fn titled<'a>(name: Option<&str>, text: &'a str) -> Cow<'a, str> {
    name.map_or(Cow::Borrowed(text), |name| format!("{name}\n\n{text}").into())
}

fn piece(part: &Part) -> Result<Piece<'_>, BadRequest> {
    let wrong = |message: &str| Err(BadRequest::unsupported("messages", message));
    match part {
        Part::Text { text, .. } => Ok(Piece::Text { text: text.into() }),
        Part::Image { source, .. } => match url_of(source) {
            Some(url) => Ok(Piece::ImageUrl { image_url: Url { url } }),
            None => wrong("A picture cannot be a text."),
        },
        Part::Document { source: Source::Url(_), .. } => {
            wrong("The model behind this name takes documents only with their content, not by URL.")
        }
        Part::Document { name, source: Source::Text(text), .. } => {
            Ok(Piece::Text { text: titled(name.as_deref(), text) })
        }
        Part::Document { name, source: Source::Data { media_type, data }, .. } => {
            let ending = ending_of(media_type).unwrap_or("bin");
            let filename = name.as_deref().map_or_else(|| format!("document.{ending}").into(), Cow::Borrowed);
            let file_data = format!("data:{media_type};base64,{data}");
            Ok(Piece::File { file: File { filename, file_data } })
        }
        Part::Audio { format, data } => Ok(Piece::InputAudio { input_audio: Audio { data, format } }),
        Part::Thinking { .. } | Part::RedactedThinking(_) | Part::ToolCall(_) | Part::ToolResult { .. } => {
            wrong("Only the assistant thinks and calls tools.")
        }
    }
}
