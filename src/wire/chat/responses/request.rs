//! Reads a request: everything but its items and tools.

use super::super::members::{Members, as_text, name_foreign};
use super::super::{BadRequest, Effort, OutputFormat, Reasoning, Request, Text};
use super::{input, tools};

pub(crate) fn read_request(body: &[u8]) -> Result<Request, BadRequest> {
    let mut body = Members::of_body(body)?;
    refuse_what_is_stored(&mut body)?;
    let mut request = Request {
        model: body.needed("model")?,
        max_tokens: body.count("max_output_tokens")?,
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        parallel_tool_calls: body.boolean("parallel_tool_calls")?,
        service_tier: body.string("service_tier")?,
        stream: body.boolean("stream")?.unwrap_or(false),
        // The last event of every stream tells it.
        wants_usage: true,
        ..Request::default()
    };
    if let Some(text) = body.string("instructions")?.filter(|text| !text.is_empty()) {
        request.system.push(Text { text, cache: None });
    }
    let end_user = body.string("safety_identifier")?;
    request.user = body.string("user")?.filter(|_| end_user.is_none()).or(end_user);
    input::read(&mut body, &mut request)?;
    tools::read(&mut body, &mut request)?;
    reasoning(&mut body, &mut request)?;
    text(&mut body, &mut request)?;
    accept(&mut body, &mut request)?;
    body.name_the_rest("", &mut request.foreign);
    Ok(request)
}

/// Whoever refers to something that was to be remembered would get an answer to another question.
fn refuse_what_is_stored(body: &mut Members<'_>) -> Result<(), BadRequest> {
    for name in ["previous_response_id", "conversation", "prompt"] {
        if body.raw(name).is_some() {
            return Err(BadRequest::unsupported(
                name,
                format!("Nothing is stored here: {name} cannot be used. Send the whole conversation in input."),
            ));
        }
    }
    if body.boolean("background")? == Some(true) {
        return Err(BadRequest::unsupported(
            "background",
            "Nothing is stored here: responses cannot run in the background.",
        ));
    }
    Ok(())
}

fn reasoning(body: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let Some(mut asked) = body.object("reasoning")? else { return Ok(()) };
    if let Some(effort) = asked.string("effort")? {
        request.reasoning = Some(if effort == "none" {
            Reasoning::Off
        } else {
            Reasoning::Effort(Effort::parse(&effort).ok_or_else(|| {
                BadRequest::of(asked.path("effort"), "reasoning.effort is none of the efforts that there are.")
            })?)
        });
    }
    // All thinking that a model tells is in the answer: there is nothing to choose.
    asked.raw("summary");
    asked.raw("generate_summary");
    named_unless(&mut asked, "context", &["auto"], request);
    named_unless(&mut asked, "mode", &["standard"], request);
    asked.name_the_rest("reasoning.", &mut request.foreign);
    Ok(())
}

fn text(body: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    let Some(mut text) = body.object("text")? else { return Ok(()) };
    if let Some(mut format) = text.object("format")? {
        request.output = match format.needed("type")?.as_str() {
            "text" => None,
            "json_object" => Some(OutputFormat::Json),
            "json_schema" => {
                let missing = BadRequest::of(format.path("schema"), "text.format.schema is missing.");
                let schema = format.object("schema")?.and(format.raw("schema")).ok_or(missing)?;
                Some(OutputFormat::Schema {
                    name: format.needed("name")?,
                    description: format.string("description")?,
                    schema: schema.to_owned(),
                    strict: format.boolean("strict")?,
                })
            }
            _ => {
                return Err(BadRequest::unsupported(
                    format.path("type"),
                    "text.format.type must be text, json_object or json_schema.",
                ));
            }
        };
        format.name_the_rest("text.format.", &mut request.foreign);
    }
    named_unless(&mut text, "verbosity", &["medium"], request);
    text.name_the_rest("text.", &mut request.foreign);
    Ok(())
}

/// What changes nothing in the answer, or only when it has another value than the one that everybody sends.
fn accept(body: &mut Members<'_>, request: &mut Request) -> Result<(), BadRequest> {
    // Obfuscation is about the sizes of packets; metadata comes back in the answer and means nothing else.
    body.raw("stream_options");
    body.raw("metadata");
    named_unless(body, "truncation", &["disabled"], request);
    if body.count("top_logprobs")?.is_some_and(|most| most > 0) {
        name_foreign("top_logprobs", &mut request.foreign);
    }
    for (_, value) in body.list("include")? {
        if as_text(value).as_deref() != Some("reasoning.encrypted_content") {
            name_foreign("include", &mut request.foreign);
        }
    }
    Ok(())
}

/// Names the member unless it is absent or one of these texts.
fn named_unless(members: &mut Members<'_>, name: &str, usual: &[&str], request: &mut Request) {
    let Some(value) = members.raw(name) else { return };
    if !as_text(value).is_some_and(|text| usual.contains(&text.as_str())) {
        name_foreign(&members.path(name), &mut request.foreign);
    }
}
