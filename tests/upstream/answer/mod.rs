//! What the upstream answers: one file per family of endpoints, as OpenAI's API reference describes them.

mod chat;
mod completions;
mod control;
mod embeddings;
mod files;
mod media;
mod other;
mod responses;
mod stored;
mod text;
mod usage;

use super::act::{Act, Commands};
use super::reply::{Pieces, Reply};
use super::request::{Body, Head};

pub use control::control;
pub use files::binary;

/// 2025-11-21T06:40:00Z; fixed, so that answers can be compared byte for byte.
const CREATED: u64 = 1_763_707_200;

/// Endpoints whose body must be JSON.
pub fn is_json_endpoint(head: &Head) -> bool {
    matches!(
        head.tail(),
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

pub fn answer(head: &Head, body: &Body, call: &Commands<'_>, act: &Act, number: u64) -> Reply {
    if let Some(reply) = dictated(act) {
        return reply;
    }
    let tail = head.tail().unwrap_or_default();
    let ask = Ask { head, body, call, act, number };
    if is_json_endpoint(head) && head.method == "POST" {
        match ask.model() {
            None => return Reply::error(400, "invalid_request_error", None, "A model is needed."),
            Some(model) if model.starts_with("no-such") => {
                let message = format!("The model `{model}` does not exist.");
                return Reply::error(404, "invalid_request_error", Some("model_not_found"), &message);
            }
            Some(_) => {}
        }
    }
    if let Some(refused) = stored::refused_without_beta(&ask, tail) {
        return refused;
    }
    match (head.method.as_str(), tail) {
        ("POST", "chat/completions") => chat::answer(&ask),
        ("POST", "completions") => completions::answer(&ask),
        ("POST", "responses") => responses::answer(&ask),
        ("POST", "embeddings") => embeddings::answer(&ask),
        ("POST", "moderations") => other::moderation(&ask),
        ("POST", "audio/speech") => media::speech(&ask),
        ("POST", "audio/transcriptions") => media::transcription(&ask),
        ("POST", "audio/translations") => media::translation(&ask),
        ("POST", "images/generations") => media::images(&ask, "image_generation"),
        ("POST", "images/edits") => media::images(&ask, "image_edit"),
        ("POST", "images/variations") => {
            Reply::error(404, "invalid_request_error", None, "Invalid URL (POST /v1/images/variations)")
        }
        ("POST", _) if tail == "uploads" || tail.starts_with("uploads/") => stored::upload(&ask, tail),
        ("POST", _)
            if tail.starts_with("threads/") && (tail.ends_with("/runs") || tail.ends_with("/submit_tool_outputs")) =>
        {
            stored::run(&ask)
        }
        ("POST", "threads/runs") => stored::run(&ask),
        ("GET", "models") => other::models(),
        ("GET" | "DELETE", _) if tail.starts_with("models/") => other::model(&ask, tail),
        ("POST", "files") => files::upload(&ask),
        ("GET" | "DELETE", _) if tail.starts_with("files/") => files::file(&ask, tail),
        _ => other::echo(&ask),
    }
}

/// One request and the behaviour that was chosen for it.
struct Ask<'a> {
    head: &'a Head,
    body: &'a Body,
    call: &'a Commands<'a>,
    act: &'a Act,
    number: u64,
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
        quote(self.model().unwrap_or("gpt-4o"))
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
