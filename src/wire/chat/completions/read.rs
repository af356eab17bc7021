//! Reads a request for a completion.

use super::super::members::{Members, as_text, must_be};
use super::super::{BadRequest, Message, Part, Request, Role};

pub(crate) fn read_completion(body: &[u8]) -> Result<Request, BadRequest> {
    let mut body = Members::of_body(body)?;
    refuse_what_no_conversation_gives(&mut body)?;
    let mut request = Request {
        model: body.needed("model")?,
        messages: vec![Message { role: Role::User, parts: vec![Part::text(prompt(&mut body)?)] }],
        max_tokens: body.count("max_tokens")?,
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.count("top_k")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
        seed: body.read("seed", "a whole number")?,
        stop: stop(&mut body)?,
        user: body.string("user")?,
        stream: body.boolean("stream")?.unwrap_or(false),
        ..Request::default()
    };
    if let Some(mut options) = body.object("stream_options")? {
        request.wants_usage = options.boolean("include_usage")?.unwrap_or(false);
    }
    body.name_the_rest("", &mut request.foreign);
    Ok(request)
}

/// Each would be another answer than the one that was asked for, not a lesser one.
fn refuse_what_no_conversation_gives(body: &mut Members<'_>) -> Result<(), BadRequest> {
    for name in ["n", "best_of"] {
        if body.count(name)?.is_some_and(|count| count != 1) {
            return Err(BadRequest::unsupported(name, format!("{name} must be 1 for this model.")));
        }
    }
    let unsupported =
        |name: &str| Err(BadRequest::unsupported(name, format!("{name} is not supported by this model.")));
    if body.boolean("echo")? == Some(true) {
        return unsupported("echo");
    }
    if body.string("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return unsupported("suffix");
    }
    if body.raw("logprobs").is_some() {
        return unsupported("logprobs");
    }
    Ok(())
}

fn prompt(body: &mut Members<'_>) -> Result<String, BadRequest> {
    let missing = || BadRequest::of("prompt", "prompt is missing or empty.");
    let value = body.raw("prompt").ok_or_else(missing)?;
    let text = match as_text(value) {
        Some(text) => text,
        None => match body.list("prompt").map_err(|_| must_be("prompt", "a string"))?.as_slice() {
            [(_, only)] => as_text(only).ok_or_else(|| unsupported_prompt("Prompts must be text, not tokens."))?,
            [] => return Err(missing()),
            _ => return Err(unsupported_prompt("Only one prompt can be completed at a time.")),
        },
    };
    if text.is_empty() { Err(missing()) } else { Ok(text) }
}

fn unsupported_prompt(message: &str) -> BadRequest {
    BadRequest::unsupported("prompt", message)
}

fn stop(body: &mut Members<'_>) -> Result<Vec<String>, BadRequest> {
    let wrong = || must_be("stop", "a string or a list of strings");
    match body.raw("stop").and_then(as_text) {
        Some(text) => Ok(vec![text]),
        None => {
            let all = body.list("stop").map_err(|_| wrong())?;
            all.into_iter().map(|(_, value)| as_text(value).ok_or_else(wrong)).collect()
        }
    }
}
