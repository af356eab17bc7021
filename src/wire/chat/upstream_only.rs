//! What the writers of formats that only upstreams speak do alike: sampling as the target allows it, what neither has a
//! word for, and the plain text of what has no form of its own there.

use super::request::{CONTINUE, Message, Part, Request, Role, Source, ToolCall};
use super::target::{Sampling, Target};
use super::{BadRequest, media};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What is left of the sampling that was asked for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Sampled {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

impl Sampled {
    pub(super) fn of(request: &Request, target: &Target, dropped: &mut Vec<String>) -> Self {
        let Request { temperature, top_p, top_k, .. } = *request;
        let kept = match target.sampling {
            Sampling::Free => Self { temperature, top_p, top_k },
            Sampling::OneOf => Self { temperature, top_p: top_p.filter(|_| temperature.is_none()), top_k },
            Sampling::Fixed => Self::default(),
        };
        note(dropped, "temperature", kept.temperature != temperature);
        note(dropped, "top_p", kept.top_p != top_p);
        note(dropped, "top_k", kept.top_k != top_k);
        kept
    }
}

/// Names what is not sent, once.
pub(super) fn note(dropped: &mut Vec<String>, name: &str, is_lost: bool) {
    if is_lost && !dropped.iter().any(|known| known == name) {
        dropped.push(name.to_owned());
    }
}

/// What neither format has a word for. Marks for caching are not among them: both cache prompts by themselves.
pub(super) fn note_unsaid(request: &Request, dropped: &mut Vec<String>) {
    let tier = request.service_tier.as_deref().is_some_and(|tier| !matches!(tier, "auto" | "default"));
    note(dropped, "parallel_tool_calls", request.parallel_tool_calls == Some(false) && !request.tools.is_empty());
    note(dropped, "strict", request.tools.iter().any(|tool| tool.strict == Some(true)));
    note(dropped, "user", request.user.is_some());
    note(dropped, "service_tier", tier);
}

/// Results of tools go by the tool's name in these formats: the names of the calls so far, by id.
#[derive(Debug, Default)]
pub(super) struct Called<'a>(HashMap<&'a str, &'a str>);

impl<'a> Called<'a> {
    /// A later call takes over the id of an earlier one.
    pub(super) fn add(&mut self, call: &'a ToolCall) {
        self.0.insert(&call.id, &call.name);
    }
    /// # Errors
    /// Nothing was called by that id.
    pub(super) fn name(&self, id: &str) -> Result<&'a str, BadRequest> {
        let unknown = || BadRequest::of("messages", "A tool result answers no tool call of the messages before it.");
        self.0.get(id).copied().ok_or_else(unknown)
    }
}

/// What a tool answered, as one text, and its pictures.
pub(super) fn answered(parts: &[Part]) -> Result<(String, Vec<&Source>), BadRequest> {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text { text, .. } => texts.push(text.clone()),
            Part::Image { source, .. } => images.push(source),
            Part::Document { name, source, .. } => texts.push(
                document(name.as_deref(), source)
                    .ok_or_else(|| unsupported("Tool results may hold documents of plain text only."))?,
            ),
            _ => return Err(unsupported("A tool result holds what the model behind this name does not take.")),
        }
    }
    Ok((texts.join("\n"), images))
}

/// A document as text with its name in front; `None` when it is no text.
pub(super) fn document(name: Option<&str>, source: &Source) -> Option<String> {
    let text = match source {
        Source::Text(text) => text.clone(),
        Source::Data { media_type, data } if media_type.starts_with("text/") => media::text(data)?,
        Source::Data { .. } | Source::Url(_) => return None,
    };
    Some(match name {
        Some(name) => format!("{name}\n\n{text}"),
        None => text,
    })
}

/// The turns, in which roles alternate. Models that do not continue a turn of their own are asked to.
///
/// # Errors
/// There are none.
pub(super) fn turns(request: &Request, target: &Target) -> Result<Vec<Message>, BadRequest> {
    let mut turns = request.turns();
    match turns.last() {
        None => return Err(BadRequest::of("messages", "There must be at least one message with content.")),
        Some(last) if last.role == Role::Assistant && !target.prefill => {
            turns.push(Message { role: Role::User, parts: vec![Part::text(CONTINUE)] });
        }
        Some(_) => {}
    }
    Ok(turns)
}

/// Reads an object. A derived reader would take a list as well, member by member.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    text.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(text).ok())?
}

/// What the messages hold and the format or the model cannot take.
pub(super) fn unsupported(message: &str) -> BadRequest {
    BadRequest::unsupported("messages", message)
}

/// A picture behind an address, which nobody here fetches.
pub(super) fn remote_image() -> BadRequest {
    BadRequest {
        code: Some("unsupported_image_url"),
        ..BadRequest::of("messages", "The model behind this name takes images as data only, not by URL.")
    }
}

/// The instructions as one text; `None` without any.
pub(super) fn instructions(request: &Request) -> Option<String> {
    let texts: Vec<&str> = request.system.iter().map(|text| text.text.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// The arguments of a tool that takes any text.
pub(super) static FREE_TEXT: LazyLock<Box<RawValue>> =
    LazyLock::new(|| schema(r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#));
/// The arguments of a tool that does not say what it takes.
pub(super) static ANYTHING: LazyLock<Box<RawValue>> = LazyLock::new(|| schema(r#"{"type":"object","properties":{}}"#));

fn schema(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}
