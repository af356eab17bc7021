//! Models, moderations, and an echo for every other path.

use serde_json::{Map, Value, json};

use super::super::reply::Reply;
use super::{Ask, CREATED};

const MODELS: [&str; 5] = ["gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small", "tts-1"];

pub fn models() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|id| one(id)).collect();
    Reply::json(200, json!({"object": "list", "data": data}).to_string())
}

pub fn model(ask: &Ask<'_>, tail: &str) -> Reply {
    let id = tail.trim_start_matches("models/");
    if !MODELS.contains(&id) {
        return Reply::error(404, "invalid_request_error", Some("model_not_found"), "No such model.");
    }
    if ask.head.method == "DELETE" {
        return Reply::json(200, json!({"id": id, "object": "model", "deleted": true}).to_string());
    }
    Reply::json(200, one(id).to_string())
}

fn one(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system"})
}

pub fn moderation(ask: &Ask<'_>) -> Reply {
    let result = json!({
        "flagged": false,
        "categories": {"violence": false, "hate": false, "harassment": false, "self-harm": false, "sexual": false},
        "category_scores": {"violence": 0.001, "hate": 0.001, "harassment": 0.001, "self-harm": 0.001, "sexual": 0.001},
    });
    let answer = json!({"id": format!("modr-{:024}", ask.number), "model": ask.model().unwrap_or_default(), "results": [result]});
    Reply::json(200, answer.to_string())
}

/// What arrived, so that a test can see that nothing was changed on the way.
pub fn echo(ask: &Ask<'_>) -> Reply {
    let head = ask.head;
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let headers: Map<String, Value> =
        head.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let body = ask.body.kept.get(..ask.body.kept.len().min(64 * 1024)).unwrap_or_default();
    let answer = json!({
        "object": "echo", "method": head.method, "path": path, "query": query, "headers": headers,
        "body": {"length": ask.body.length, "sha256": ask.body.sha256, "text": String::from_utf8_lossy(body)},
    });
    Reply::json(200, answer.to_string())
}
