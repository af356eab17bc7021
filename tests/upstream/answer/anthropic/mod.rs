//! What the upstream answers when it plays Anthropic: that API's paths, checks, shapes of answers and of errors.
#![allow(clippy::indexing_slicing, reason = "a member of a JSON value is made by being written")]

mod batches;
mod complete;
mod files;
mod messages;
mod models;
#[cfg(test)]
mod tests;

use super::super::act::Act;
use super::super::reply::Reply;
use super::super::request::Head;
use super::{Ask, dictated, other};
use serde_json::{Value, json};

/// The versions of the API that exist.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

pub fn is_json_endpoint(head: &Head) -> bool {
    matches!(head.tail(), Some("messages" | "messages/count_tokens" | "messages/batches" | "complete"))
}

pub fn answer(ask: &Ask<'_>) -> Reply {
    if let Some(reply) = said(ask.act) {
        return reply;
    }
    let version = ask.head.header("anthropic-version");
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return error(400, "invalid_request_error", "anthropic-version: header is required");
    }
    let tail = ask.head.tail().unwrap_or_default();
    match (ask.head.method.as_str(), tail) {
        ("POST", "messages") => messages::answer(ask),
        ("POST", "messages/count_tokens") => messages::count(ask),
        ("POST", "complete") => complete::answer(ask),
        ("POST", "messages/batches") => batches::created(ask),
        ("GET", "messages/batches") => batches::list(),
        (_, _) if tail.starts_with("messages/batches/") => batches::one(ask, tail),
        ("GET", "models") => models::list(),
        ("GET", _) if tail.starts_with("models/") => models::one(tail),
        (_, _) if tail == "files" || tail.starts_with("files/") => files::answer(ask, tail),
        _ => other::echo(ask),
    }
}

/// What the behaviour says word for word, in this API's words where it only says a status.
fn said(act: &Act) -> Option<Reply> {
    match (act.status, &act.body, &act.frames) {
        (Some(status), None, None) if status >= 400 => Some(failure(status)),
        _ => dictated(act),
    }
}

pub fn error(status: u16, kind: &str, message: &str) -> Reply {
    let error = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_local"});
    Reply::json(status, error.to_string())
}

fn failure(status: u16) -> Reply {
    let (kind, message) = match status {
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "There is a problem with the payment."),
        403 => ("permission_error", "This key may not do that."),
        404 => ("not_found_error", "Not found."),
        413 => ("request_too_large", "Request exceeds the maximum size."),
        429 => ("rate_limit_error", "Too many requests."),
        504 => ("timeout_error", "The request took too long."),
        529 => ("overloaded_error", "Overloaded"),
        400..=499 => ("invalid_request_error", "The request was not valid."),
        _ => ("api_error", "The server had an error."),
    };
    error(status, kind, message)
}

/// The first fault of a body that runs a model, in this API's words.
fn objection(ask: &Ask<'_>, required: &[&str]) -> Option<Reply> {
    // A body that this cannot read (numbers beyond doubles, half emoji) is still JSON: nothing is checked then.
    let body: Value = serde_json::from_slice(&ask.body.kept).ok()?;
    let missing = required.iter().find(|name| body.get(**name).is_none());
    if let Some(name) = missing {
        return Some(error(400, "invalid_request_error", &format!("{name}: Field required")));
    }
    if ask.head.header("anthropic-version") == Some("2026-10-21")
        && let Some(name) = ["temperature", "top_p", "top_k"].into_iter().find(|name| body.get(*name).is_some())
    {
        return Some(error(400, "invalid_request_error", &format!("{name}: Extra inputs are not permitted")));
    }
    let model = model(ask);
    model.starts_with("no-such").then(|| error(404, "not_found_error", &format!("model: {model}")))
}

fn model<'a>(ask: &'a Ask<'_>) -> &'a str {
    let asked = ask.call.model.as_deref().unwrap_or("claude-opus-5-5");
    if asked.starts_with("upstream:") { "claude-opus-5-5" } else { asked }
}
