//! What a client asks for, read from its body.

use super::super::{BadRequest, Effort, OutputFormat, Reasoning, Request};
use super::json::{Node, Object};
use super::messages::Conversation;
use super::tools;

/// Tokens to think with, where a client wants thinking and says not how much.
const USUAL_BUDGET: u64 = 1024;

/// Members that are read, here or in [`tools`].
const KNOWN: [&str; 29] = [
    "model",
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "reasoning_effort",
    "thinking",
    "response_format",
    "user",
    "safety_identifier",
    "service_tier",
    "stream",
    "stream_options",
    "n",
    "best_of",
    "modalities",
    "verbosity",
    "web_search_options",
];

/// Names of what the canonical form cannot hold.
#[derive(Debug, Default)]
pub(super) struct Foreign(Vec<String>);

impl Foreign {
    const MOST: usize = 32;
    const LONGEST: usize = 64;

    /// Only names that may stand in a header, and not more than a header can hold.
    pub(super) fn add(&mut self, name: &str) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let sane = (1..=Self::LONGEST).contains(&name.len()) && name.bytes().all(plain);
        if sane && self.0.len() < Self::MOST && !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }
}

pub(in super::super) fn read_request(bytes: &[u8]) -> Result<Request, BadRequest> {
    let body = Node::whole(bytes)?.object()?;
    refuse_impossible(&body)?;
    let mut foreign = Foreign::default();
    let mut request = Request {
        model: body.need("model")?.text()?,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        max_tokens: match body.number("max_completion_tokens")? {
            Some(most) => Some(most),
            None => body.number("max_tokens")?,
        },
        temperature: body.float("temperature")?,
        top_p: body.float("top_p")?,
        top_k: body.number("top_k")?,
        // Zero is what a model does anyway.
        frequency_penalty: body.float("frequency_penalty")?.filter(|penalty| *penalty != 0.0),
        presence_penalty: body.float("presence_penalty")?.filter(|penalty| *penalty != 0.0),
        seed: body.get("seed").map(|seed| seed.signed()).transpose()?,
        stop: stop(&body)?,
        reasoning: reasoning(&body)?,
        output: output(&body)?,
        user: match body.text("safety_identifier")? {
            Some(user) => Some(user),
            None => body.text("user")?,
        }
        .filter(|user| !user.is_empty()),
        service_tier: service_tier(&body, &mut foreign)?,
        stream: body.flag("stream")?.unwrap_or(false),
        wants_usage: wants_usage(&body, &mut foreign)?,
        ..Request::default()
    };
    if request.model.is_empty() {
        return Err(body.need("model")?.wrong("is empty."));
    }
    request.tools = tools::read(&body, &mut foreign)?;
    request.tool_choice = tools::choice(&body, &mut request.tools)?;

    let messages = body.need("messages")?;
    let mut conversation = Conversation::default();
    for message in messages.elements()? {
        conversation.read(&message, &mut foreign)?;
    }
    conversation.finish(&mut request);
    if request.messages.is_empty() && request.system.is_empty() {
        return Err(messages.wrong("must hold something to answer."));
    }
    name_unknown(&body, &mut foreign)?;
    request.foreign = foreign.0;
    Ok(request)
}

/// What no other API can give.
fn refuse_impossible(body: &Object<'_>) -> Result<(), BadRequest> {
    for name in ["n", "best_of"] {
        if body.number(name)?.is_some_and(|count| count > 1) {
            return Err(BadRequest::unsupported(name, format!("{name} must be 1 for the model behind this name.")));
        }
    }
    if let Some(modalities) = body.get("modalities") {
        for kind in modalities.elements()? {
            if kind.text()? != "text" {
                let message = "The model behind this name answers with text only.";
                return Err(BadRequest::unsupported("modalities", message));
            }
        }
    }
    Ok(())
}

/// Names the members that nobody read and that ask for something.
fn name_unknown(body: &Object<'_>, foreign: &mut Foreign) -> Result<(), BadRequest> {
    if body.text("verbosity")?.is_some_and(|verbosity| verbosity != "medium") {
        foreign.add("verbosity");
    }
    // Its mere presence asks for a search.
    if body.get("web_search_options").is_some() {
        foreign.add("web_search_options");
    }
    for (name, value) in body.iter().filter(|(name, _)| !KNOWN.contains(name)) {
        if !value.is_empty() {
            foreign.add(name);
        }
    }
    Ok(())
}

fn stop(body: &Object<'_>) -> Result<Vec<String>, BadRequest> {
    let Some(stop) = body.get("stop") else { return Ok(Vec::new()) };
    let mut all = if stop.is_text() {
        vec![stop.text()?]
    } else {
        stop.elements()?.iter().map(Node::text).collect::<Result<_, _>>()?
    };
    all.retain(|text| !text.is_empty());
    Ok(all)
}

/// `thinking` says it exactly and wins over `reasoning_effort`.
fn reasoning(body: &Object<'_>) -> Result<Option<Reasoning>, BadRequest> {
    let effort = match body.get("reasoning_effort") {
        None => None,
        Some(node) => match node.text()?.as_str() {
            "none" => Some(Reasoning::Off),
            word => Some(Reasoning::Effort(
                Effort::parse(word).ok_or_else(|| node.wrong("is no effort that is known here."))?,
            )),
        },
    };
    let Some(thinking) = body.get("thinking") else { return Ok(effort) };
    let thinking = thinking.object()?;
    let kind = thinking.need("type")?;
    match kind.text()?.as_str() {
        "enabled" => Ok(Some(Reasoning::Budget(thinking.number("budget_tokens")?.unwrap_or(USUAL_BUDGET)))),
        "adaptive" => Ok(Some(Reasoning::Adaptive(match effort {
            Some(Reasoning::Effort(effort)) => Some(effort),
            _ => None,
        }))),
        "disabled" => Ok(Some(Reasoning::Off)),
        _ => Err(kind.wrong("must be enabled, adaptive or disabled.")),
    }
}

fn output(body: &Object<'_>) -> Result<Option<OutputFormat>, BadRequest> {
    let Some(format) = body.get("response_format") else { return Ok(None) };
    let format = format.object()?;
    let kind = format.need("type")?;
    match kind.text()?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::Json)),
        "json_schema" => {
            let schema = format.need("json_schema")?.object()?;
            Ok(Some(OutputFormat::Schema {
                name: schema.text("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| "response".into()),
                description: schema.text("description")?,
                schema: schema.need("schema")?.raw()?,
                strict: schema.flag("strict")?,
            }))
        }
        _ => Err(kind.wrong("must be text, json_object or json_schema.")),
    }
}

fn service_tier(body: &Object<'_>, foreign: &mut Foreign) -> Result<Option<String>, BadRequest> {
    let tier = body.text("service_tier")?;
    let known = tier.filter(|tier| {
        let known = matches!(tier.as_str(), "auto" | "default" | "flex" | "priority");
        if !known {
            foreign.add("service_tier");
        }
        known
    });
    Ok(known)
}

fn wants_usage(body: &Object<'_>, foreign: &mut Foreign) -> Result<bool, BadRequest> {
    let Some(options) = body.get("stream_options") else { return Ok(false) };
    let options = options.object()?;
    // Padding against eavesdroppers is each side's own affair.
    for (name, value) in options.iter().filter(|(n, _)| !matches!(*n, "include_usage" | "include_obfuscation")) {
        if !value.is_empty() {
            foreign.add(&format!("stream_options.{name}"));
        }
    }
    Ok(options.flag("include_usage")?.unwrap_or(false))
}
