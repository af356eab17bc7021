//! What the upstream answers: one file per family of endpoints, as OpenAI's API reference describes them, and a folder
//! for each other API that it plays.

mod anthropic;
mod azure;
mod bedrock;
mod chat;
mod completions;
mod control;
mod embeddings;
mod files;
mod gemini;
mod media;
mod ollama;
mod open_models;
mod other;
mod responses;
mod stored;
mod text;
mod usage;

use super::act::{Act, Commands};
use super::house::Api;
use super::reply::{Pieces, Reply};
use super::request::{Body, Head};

pub use bedrock::{error as aws_error, is_bedrock};
pub use control::control;
pub use files::binary;

/// 2025-11-21T06:40:00Z; fixed, so that answers can be compared byte for byte.
const CREATED: u64 = 1_763_707_200;

/// Endpoints whose body must be JSON.
pub fn is_json_endpoint(api: Api, head: &Head) -> bool {
    match api {
        Api::Anthropic => return anthropic::is_json_endpoint(head),
        Api::Ollama => return ollama::is_json_endpoint(head),
        Api::Gemini => return gemini::is_json_endpoint(head),
        _ => {}
    }
    matches!(
        tail(api, head),
        Some(
            "chat/completions"
                | "completions"
                | "responses"
                | "embeddings"
                | "moderations"
                | "audio/speech"
                | "images/generations"
        )
    )
}

/// The operation that a path names, whatever fixed prefix a base URL has put before it.
fn tail(api: Api, head: &Head) -> Option<&str> {
    match api {
        Api::OpenAi | Api::Vllm => Some(head.tail().unwrap_or_default()),
        Api::Azure => azure::operation(head.path()),
        Api::Anthropic | Api::Ollama | Api::Gemini => None,
        // Below `/v1` itself there is another API.
        Api::DeepInfra => head.tail()?.strip_prefix("openai/"),
    }
}

pub fn answer(api: Api, head: &Head, body: &Body, call: &Commands<'_>, act: &Act, number: u64) -> Reply {
    let mut ask = Ask { api, head, body, call, act, number, answers_as: act.answers_as.clone() };
    if is_bedrock(head) {
        return bedrock::answer(head, body, act);
    }
    match api {
        Api::Anthropic => return Reply { api, ..anthropic::answer(&ask) },
        Api::Ollama => return Reply { api, ..ollama::answer(&ask) },
        Api::Gemini => return Reply { api, ..gemini::answer(&ask) },
        _ => {}
    }
    if let Some(reply) = dictated(act) {
        return Reply { api, ..reply };
    }
    let Some(tail) = tail(api, head) else {
        return refusal(api, 404, "not_found", "There is no such path.");
    };
    let reply = match api {
        Api::OpenAi | Api::Anthropic | Api::Ollama | Api::Gemini => {
            named(&ask, tail).unwrap_or_else(|| openai(&ask, tail))
        }
        Api::Azure => azure::answer(&mut ask, tail),
        Api::Vllm | Api::DeepInfra => {
            named(&ask, tail).or_else(|| open_models::answer(&ask, tail)).unwrap_or_else(|| openai(&ask, tail))
        }
    };
    Reply { api, ..reply }
}

/// An answer to a request that is not looked at further.
pub fn refusal(api: Api, status: u16, code: &str, message: &str) -> Reply {
    let reply = match api {
        Api::OpenAi | Api::DeepInfra => Reply::error(status, "invalid_request_error", Some(code), message),
        Api::Azure => azure::error(status, &format!("{code}: {message}")),
        Api::Vllm => open_models::error(status, &format!("{code}: {message}")),
        Api::Ollama => ollama::error(status, &format!("{code}: {message}")),
        Api::Gemini => gemini::error(status, &format!("{code}: {message}")),
        Api::Anthropic => {
            let kind = if status == 401 { "authentication_error" } else { "invalid_request_error" };
            anthropic::error(status, kind, &format!("{code}: {message}"))
        }
    };
    Reply { api, ..reply }
}

/// The model has to be there.
fn named(ask: &Ask<'_>, tail: &str) -> Option<Reply> {
    if !is_json_endpoint(ask.api, ask.head) || ask.head.method != "POST" {
        return None;
    }
    match ask.model() {
        None => Some(refusal(ask.api, 400, "missing", &format!("A model is needed for {tail}."))),
        Some(model) if model.starts_with("no-such") => {
            Some(refusal(ask.api, 404, "model_not_found", &format!("The model `{model}` does not exist.")))
        }
        Some(_) => None,
    }
}

fn openai(ask: &Ask<'_>, tail: &str) -> Reply {
    let head = ask.head;
    if let Some(refused) = stored::refused_without_beta(ask, tail) {
        return refused;
    }
    match (head.method.as_str(), tail) {
        ("POST", "chat/completions") => chat::answer(ask),
        ("POST", "completions") => completions::answer(ask),
        ("POST", "responses") => responses::answer(ask),
        ("POST", "embeddings") => embeddings::answer(ask),
        ("POST", "moderations") => other::moderation(ask),
        ("POST", "audio/speech") => media::speech(ask),
        ("POST", "audio/transcriptions") => media::transcription(ask),
        ("POST", "audio/translations") => media::translation(ask),
        ("POST", "images/generations") => media::images(ask, "image_generation"),
        ("POST", "images/edits") => media::images(ask, "image_edit"),
        ("POST", "images/variations") => {
            Reply::error(404, "invalid_request_error", None, "Invalid URL (POST /v1/images/variations)")
        }
        ("POST", _) if tail == "uploads" || tail.starts_with("uploads/") => stored::upload(ask, tail),
        ("POST", _)
            if tail.starts_with("threads/") && (tail.ends_with("/runs") || tail.ends_with("/submit_tool_outputs")) =>
        {
            stored::run(ask)
        }
        ("POST", "threads/runs") => stored::run(ask),
        ("GET", "models") => other::models(),
        ("GET" | "DELETE", _) if tail.starts_with("models/") => other::model(ask, tail),
        ("POST", "files") => files::upload(ask),
        ("GET" | "DELETE", _) if tail.starts_with("files/") => files::file(ask, tail),
        _ => other::echo(ask),
    }
}

/// One request and the behaviour that was chosen for it.
struct Ask<'a> {
    api: Api,
    head: &'a Head,
    body: &'a Body,
    call: &'a Commands<'a>,
    act: &'a Act,
    number: u64,
    /// In place of the model that was asked for.
    answers_as: Option<String>,
}

impl Ask<'_> {
    fn model(&self) -> Option<&str> {
        // A queued early answer has no body to take a model from.
        if self.act.early.is_some() {
            return Some("gpt-4o");
        }
        self.call.model.as_deref().map(|model| if model.starts_with("upstream:") { "gpt-4o" } else { model })
    }

    fn model_json(&self) -> String {
        quote(self.answers_as.as_deref().or(self.model()).unwrap_or("gpt-4o"))
    }

    fn tier(&self) -> &str {
        self.act.service_tier.as_deref().unwrap_or("default")
    }
}

/// A status, body or event stream that the behaviour gives word for word.
fn dictated(act: &Act) -> Option<Reply> {
    if let Some(frames) = &act.frames {
        let mut pieces = Pieces::default();
        frames.iter().for_each(|frame| pieces.push(frame.as_bytes()));
        let mut reply = Reply::events(pieces);
        reply.status = act.status.unwrap_or(200);
        return Some(reply);
    }
    match (act.status, &act.body) {
        (status, Some(body)) => Some(Reply::json(status.unwrap_or(200), body.clone())),
        (Some(status), None) if status >= 400 => Some(failure(status)),
        (Some(status), None) => Some(Reply::json(status, String::new())),
        (None, None) => None,
    }
}

fn failure(status: u16) -> Reply {
    let (kind, code, message) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key"), "Unknown API key."),
        404 => ("invalid_request_error", Some("model_not_found"), "No such model."),
        429 => ("requests", Some("rate_limit_exceeded"), "Too many requests."),
        400..=499 => ("invalid_request_error", None, "The request was not valid."),
        _ => ("server_error", None, "The server had an error."),
    };
    Reply::error(status, kind, code, message)
}

/// A JSON string.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
