//! What OpenAI keeps: uploads in parts, assistants, threads and their runs.

use serde_json::{Value, json};

use super::super::reply::{Pieces, Reply};
use super::{Ask, CREATED, text, usage};

/// Assistants and all that belongs to them answer only to clients that name the beta.
pub fn refused_without_beta(ask: &Ask<'_>, tail: &str) -> Option<Reply> {
    let family = tail.split('/').next().unwrap_or_default();
    let needs = matches!(family, "assistants" | "threads" | "vector_stores");
    let has = ask.head.header("openai-beta").is_some_and(|value| value.contains("assistants=v2"));
    let message = "You must provide the 'OpenAI-Beta' header to access the Assistants API.";
    (needs && !has).then(|| Reply::error(400, "invalid_request_error", Some("invalid_beta"), message))
}

/// `/v1/uploads` and what is below it.
pub fn upload(ask: &Ask<'_>, tail: &str) -> Reply {
    let number = ask.number;
    if tail.ends_with("/parts") {
        let answer = json!({
            "id": format!("part_{number:024}"), "object": "upload.part", "created_at": CREATED, "upload_id": "upload_1",
            "body": {"length": ask.body.length, "sha256": ask.body.sha256},
        });
        return Reply::json(200, answer.to_string());
    }
    let status = match tail.rsplit('/').next() {
        Some("complete") => "completed",
        Some("cancel") => "cancelled",
        _ => "pending",
    };
    let file = json!({
        "id": "file-1", "object": "file", "bytes": 10, "created_at": CREATED, "filename": "a.jsonl",
        "purpose": "batch", "status": "processed",
    });
    let answer = json!({
        "id": "upload_1", "object": "upload", "bytes": 10, "created_at": CREATED, "filename": "a.jsonl",
        "purpose": "batch", "status": status, "expires_at": CREATED,
        "file": if status == "completed" { file } else { Value::Null },
    });
    Reply::json(200, answer.to_string())
}

/// A run: the order for it, or its whole story as named events.
pub fn run(ask: &Ask<'_>) -> Reply {
    let request: Value = serde_json::from_slice(&ask.body.kept).unwrap_or(Value::Null);
    // A run that the path names, or a new one.
    let named = ask.head.path().split('/').find(|part| part.starts_with("run_"));
    let id = named.map_or_else(|| format!("run_new{}", ask.number), ToOwned::to_owned);
    let run = |status: &str, usage: Value| {
        json!({
            "id": id, "object": "thread.run", "created_at": CREATED, "assistant_id": "asst_1",
            "thread_id": "thread_1", "status": status, "model": "gpt-4o", "instructions": "", "tools": [],
            "metadata": {}, "usage": usage,
        })
    };
    if request.get("stream") != Some(&Value::Bool(true)) {
        return Reply::json(200, run("queued", Value::Null).to_string());
    }
    let mut pieces = Pieces::default();
    pieces.event("thread.run.created", &run("queued", Value::Null).to_string());
    pieces.event("thread.run.in_progress", &run("in_progress", Value::Null).to_string());
    for piece in text::pieces(ask.act) {
        let delta = json!({
            "id": "msg_1", "object": "thread.message.delta",
            "delta": {"content": [{"index": 0, "type": "text", "text": {"value": piece}}]},
        });
        pieces.event("thread.message.delta", &delta.to_string());
    }
    let used = usage::chat(ask.act).and_then(|usage| serde_json::from_str(&usage).ok()).unwrap_or(Value::Null);
    pieces.event("thread.run.completed", &run("completed", used).to_string());
    pieces.event("done", "[DONE]");
    Reply::events(pieces)
}
