//! Writes a request. Every message holds one text; pictures stand beside it, and results of tools are messages of their
//! own. What the format lacks: a choice of tools, and pictures behind an address.

use super::super::BadRequest;
use super::super::request::{Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Source, ToolChoice};
use super::super::target::{ReasoningStyle, Target, Written};
use super::super::upstream_only::{
    ANYTHING, Called, FREE_TEXT, Sampled, answered, document, instructions, note, note_unsaid, remote_image, turns,
    unsupported,
};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Spoken>,
    /// The server streams unless it is told not to.
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think>,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
}

#[derive(Serialize, Default)]
struct Spoken {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<String>,
}

#[derive(Serialize)]
struct Call {
    function: CallFunction,
}

#[derive(Serialize)]
struct CallFunction {
    name: String,
    arguments: Box<RawValue>,
}

#[derive(Serialize)]
struct Offer<'a> {
    r#type: &'static str,
    function: OfferFunction<'a>,
}

#[derive(Serialize)]
struct OfferFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Named(&'static str),
    Schema(&'a RawValue),
}

#[derive(Serialize, PartialEq, Debug)]
#[serde(untagged)]
enum Think {
    Whether(bool),
    Level(&'static str),
}

#[derive(Serialize, Default, PartialEq)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
}

impl Options<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// # Errors
/// The messages hold what no model of this API takes: pictures by URL, sound, documents other than text.
pub(in super::super) fn write_request(request: &Request, target: &Target) -> Result<Written, BadRequest> {
    let mut dropped = Vec::new();
    let messages = messages(request, target)?;
    let sampled = Sampled::of(request, target, &mut dropped);
    let body = Body {
        model: &target.model,
        messages,
        stream: request.stream,
        tools: tools(request, &mut dropped),
        format: format(request, target, &mut dropped),
        think: think(request, target, &mut dropped),
        options: Options {
            num_predict: target.max_tokens.of(request.max_tokens),
            temperature: sampled.temperature,
            top_p: sampled.top_p,
            top_k: sampled.top_k,
            stop: &request.stop,
            seed: request.seed,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
        },
    };
    note_unsaid(request, &mut dropped);
    let body = serde_json::to_vec(&body).map_err(|_| unsupported("The request cannot be written."))?;
    Ok(Written { body, dropped, answer_tool: None })
}

fn messages(request: &Request, target: &Target) -> Result<Vec<Spoken>, BadRequest> {
    let turns = turns(request, target)?;
    let mut called = Called::default();
    let mut messages = Vec::with_capacity(turns.len() + 1);
    messages.extend(instructions(request).map(|content| Spoken { role: "system", content, ..Spoken::default() }));
    for turn in &turns {
        match turn.role {
            Role::User => user(turn, &called, target, &mut messages)?,
            Role::Assistant => messages.push(assistant(turn, &mut called, target)?),
        }
    }
    Ok(messages)
}

/// Results first, then what the user says to them.
fn user(turn: &Message, called: &Called<'_>, target: &Target, out: &mut Vec<Spoken>) -> Result<(), BadRequest> {
    let mut texts: Vec<String> = Vec::new();
    let mut images = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text { text, .. } if text.is_empty() => {}
            Part::Text { text, .. } => texts.push(text.clone()),
            Part::Image { source, .. } => images.push(image(source, target)?),
            Part::Document { name, source, .. } => {
                let text = document(name.as_deref(), source);
                texts.push(text.ok_or_else(|| unsupported("Documents must be plain text for this model."))?);
            }
            Part::ToolResult { id, parts, is_error, .. } => {
                let (said, pictures) = answered(parts)?;
                if !pictures.is_empty() {
                    texts.push(format!("[image from tool {id}]"));
                }
                for source in pictures {
                    images.push(image(source, target)?);
                }
                out.push(Spoken {
                    role: "tool",
                    content: if *is_error { format!("[tool error] {said}") } else { said },
                    tool_name: Some(called.name(id)?.to_owned()),
                    ..Spoken::default()
                });
            }
            Part::Audio { .. } => return Err(unsupported("The model behind this name does not take audio.")),
            Part::ToolCall(_) | Part::Thinking { .. } | Part::RedactedThinking(_) => {}
        }
    }
    if !texts.is_empty() || !images.is_empty() {
        out.push(Spoken { role: "user", content: texts.join("\n"), images, ..Spoken::default() });
    }
    Ok(())
}

fn assistant<'a>(turn: &'a Message, called: &mut Called<'a>, target: &Target) -> Result<Spoken, BadRequest> {
    let mut message = Spoken { role: "assistant", ..Spoken::default() };
    for part in &turn.parts {
        match part {
            Part::Text { text, .. } => message.content.push_str(text),
            // A signature is the proof of another API, and so is the text that it proves.
            Part::Thinking { text, signature: None } if target.plain_reasoning => message.thinking.push_str(text),
            Part::Thinking { .. } | Part::RedactedThinking(_) => {}
            Part::ToolCall(call) => {
                called.add(call);
                let function = CallFunction { name: call.name.clone(), arguments: call.input()? };
                message.tool_calls.push(Call { function });
            }
            _ => return Err(unsupported("A turn of the assistant holds what only a user may send.")),
        }
    }
    Ok(message)
}

fn image(source: &Source, target: &Target) -> Result<String, BadRequest> {
    match source {
        _ if !target.images => Err(unsupported("The model behind this name does not take images.")),
        Source::Data { data, .. } => Ok(data.clone()),
        Source::Url(_) | Source::Text(_) => Err(remote_image()),
    }
}

/// There is no choice of tools: none are offered where none may be called, one where it must be that one.
fn tools<'a>(request: &'a Request, dropped: &mut Vec<String>) -> Vec<Offer<'a>> {
    let choice = request.tool_choice.as_ref().filter(|_| !request.tools.is_empty());
    note(dropped, "tool_choice", matches!(choice, Some(ToolChoice::Required | ToolChoice::Tool(_))));
    let is_offered = |name: &str| match choice {
        Some(ToolChoice::None) => false,
        Some(ToolChoice::Tool(wanted)) => name == wanted,
        _ => true,
    };
    let offered = request.tools.iter().filter(|tool| is_offered(&tool.name));
    offered
        .map(|tool| Offer {
            r#type: "function",
            function: OfferFunction {
                name: &tool.name,
                description: tool.description.as_deref(),
                parameters: match &tool.schema {
                    _ if tool.free_text => &FREE_TEXT,
                    Some(schema) => schema,
                    None => &ANYTHING,
                },
            },
        })
        .collect()
}

fn format<'a>(request: &'a Request, target: &Target, dropped: &mut Vec<String>) -> Option<Format<'a>> {
    match request.output.as_ref()? {
        OutputFormat::Schema { schema, .. } if target.structured_output => Some(Format::Schema(schema)),
        OutputFormat::Schema { .. } => {
            note(dropped, "response_format", true);
            Some(Format::Named("json"))
        }
        OutputFormat::Json => Some(Format::Named("json")),
    }
}

/// Models think or do not; those with a word for the effort know three.
fn think(request: &Request, target: &Target, dropped: &mut Vec<String>) -> Option<Think> {
    let level = |effort: Effort| {
        Think::Level(match effort {
            Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        })
    };
    match (target.reasoning, request.reasoning?) {
        (ReasoningStyle::None, asked) => {
            note(dropped, "reasoning_effort", asked != Reasoning::Off);
            None
        }
        (_, Reasoning::Off) => Some(Think::Whether(false)),
        (ReasoningStyle::Effort, Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort))) => Some(level(effort)),
        (ReasoningStyle::Effort, Reasoning::Budget(tokens)) => Some(level(Effort::of_budget(tokens))),
        _ => Some(Think::Whether(true)),
    }
}
