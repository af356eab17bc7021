//! Writes the turns of a conversation: a list of parts each, of the user or of the model.

use super::super::BadRequest;
use super::super::request::{Message, OPENING, Part as Given, Request, Role, Source};
use super::super::target::Target;
use super::super::upstream_only::{Called, answered, document, remote_image, turns, unsupported};
use super::signature;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

#[derive(Serialize)]
pub(super) struct Content {
    role: &'static str,
    parts: Vec<Part>,
}

/// One of its members says what it is.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    mime_type: String,
    data: String,
}

#[derive(Serialize)]
struct Call {
    id: String,
    name: String,
    args: Box<RawValue>,
}

#[derive(Serialize)]
struct Response {
    id: String,
    name: String,
    response: Box<RawValue>,
}

impl Part {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
    fn blob(media_type: &str, data: &str) -> Self {
        let blob = Blob { mime_type: media_type.to_owned(), data: data.to_owned() };
        Self { inline_data: Some(blob), ..Self::default() }
    }
}

pub(super) fn contents(request: &Request, target: &Target) -> Result<Vec<Content>, BadRequest> {
    let turns = turns(request, target)?;
    let mut called = Called::default();
    let mut contents = Vec::with_capacity(turns.len() + 1);
    for turn in &turns {
        let parts = match turn.role {
            Role::User => user(turn, &called, target)?,
            Role::Assistant => model(turn, &mut called, target)?,
        };
        if parts.is_empty() {
            continue;
        }
        let role = if turn.role == Role::User { "user" } else { "model" };
        if contents.is_empty() && role == "model" {
            // The API wants a user to begin.
            contents.push(Content { role: "user", parts: vec![Part::text(OPENING)] });
        }
        contents.push(Content { role, parts });
    }
    if contents.is_empty() {
        return Err(BadRequest::of("messages", "There must be at least one message with content."));
    }
    Ok(contents)
}

/// Results first: there must be as many of them as the turn before has calls. Their pictures follow them.
fn user(turn: &Message, called: &Called<'_>, target: &Target) -> Result<Vec<Part>, BadRequest> {
    let (mut results, mut others) = (Vec::new(), Vec::new());
    for part in &turn.parts {
        match part {
            Given::Text { text, .. } if text.is_empty() => {}
            Given::Text { text, .. } => others.push(Part::text(text)),
            Given::Image { source, .. } => others.push(image(source, target)?),
            Given::Document { name, source, .. } => others.push(paper(name.as_deref(), source)?),
            Given::Audio { format, data } => others.push(Part::blob(&format!("audio/{format}"), data)),
            Given::ToolResult { id, parts, is_error, .. } => {
                let (said, pictures) = answered(parts)?;
                if !pictures.is_empty() {
                    others.push(Part::text(format!("[image from tool {}]", signature::of_id(id).0)));
                }
                for source in pictures {
                    others.push(image(source, target)?);
                }
                let response = Response {
                    id: signature::of_id(id).0.to_owned(),
                    name: called.name(id)?.to_owned(),
                    response: response(&said, *is_error)?,
                };
                results.push(Part { function_response: Some(response), ..Part::default() });
            }
            Given::ToolCall(_) | Given::Thinking { .. } | Given::RedactedThinking(_) => {}
        }
    }
    results.append(&mut others);
    Ok(results)
}

/// A JSON object as it is; any other text under the name that the API gives to what a function puts out.
fn response(said: &str, is_error: bool) -> Result<Box<RawValue>, BadRequest> {
    let failed = |_| unsupported("A tool result cannot be written.");
    if is_error {
        return to_raw_value(&serde_json::json!({ "error": said })).map_err(failed);
    }
    if said.trim_start().starts_with('{')
        && let Ok(raw) = serde_json::from_str::<Box<RawValue>>(said)
    {
        return Ok(raw);
    }
    to_raw_value(&serde_json::json!({ "output": said })).map_err(failed)
}

fn model<'a>(turn: &'a Message, called: &mut Called<'a>, target: &Target) -> Result<Vec<Part>, BadRequest> {
    let mut parts = Vec::new();
    let mut calls = 0;
    for part in &turn.parts {
        match part {
            Given::Text { text, .. } if text.is_empty() => {}
            Given::Text { text, .. } => parts.push(Part::text(text)),
            Given::Thinking { text, signature: Some(marked) } => {
                // Without a signature of this API's own, or with another's, a thought does not go back.
                if let Some(signature) = signature::to_thought(marked) {
                    let thought_signature = Some(signature.to_owned());
                    parts.push(Part { thought: true, thought_signature, ..Part::text(text) });
                }
            }
            Given::Thinking { .. } | Given::RedactedThinking(_) => {}
            Given::ToolCall(call) => {
                called.add(call);
                let (id, signature) = signature::of_id(&call.id);
                // The first call of a turn has one, the others that were made together with it have none.
                let lost = || (calls == 0 && wants_signatures(&target.model)).then(|| signature::UNKNOWN.to_owned());
                let thought_signature = signature.or_else(lost);
                calls += 1;
                let call = Call { id: id.to_owned(), name: call.name.clone(), args: call.input()? };
                parts.push(Part { function_call: Some(call), thought_signature, ..Part::default() });
            }
            _ => return Err(unsupported("A turn of the assistant holds what only a user may send.")),
        }
    }
    Ok(parts)
}

/// Models from the third generation on refuse a call without its signature; elder ones do not look.
fn wants_signatures(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let generation = name.strip_prefix("gemini-").and_then(|rest| rest.split(['.', '-']).next());
    generation.is_none_or(|digits| digits.parse::<u32>().map_or(true, |number| number >= 3))
}

fn image(source: &Source, target: &Target) -> Result<Part, BadRequest> {
    match source {
        _ if !target.images => Err(unsupported("The model behind this name does not take images.")),
        Source::Data { media_type, data } => Ok(Part::blob(media_type, data)),
        Source::Url(_) | Source::Text(_) => Err(remote_image()),
    }
}

fn paper(name: Option<&str>, source: &Source) -> Result<Part, BadRequest> {
    if let Some(text) = document(name, source) {
        return Ok(Part::text(text));
    }
    match source {
        Source::Data { media_type, data } => Ok(Part::blob(media_type, data)),
        Source::Url(_) | Source::Text(_) => Err(unsupported("Documents must be sent as data, not by URL.")),
    }
}
