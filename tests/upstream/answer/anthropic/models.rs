//! The list of models.

use super::super::super::reply::Reply;
use super::error;
use serde_json::{Value, json};

const MODELS: [&str; 3] = ["claude-opus-5-5", "claude-sonnet-4-5-20250929", "claude-haiku-5-5"];

fn model(id: &str) -> Value {
    json!({
        "id": id, "type": "model", "display_name": id, "created_at": "2025-09-29T00:00:00Z",
        "max_input_tokens": 200_000, "max_tokens": 64_000,
    })
}

pub fn list() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
    let list = json!({"data": data, "has_more": false, "first_id": MODELS[0], "last_id": MODELS[MODELS.len() - 1]});
    Reply::json(200, list.to_string())
}

pub fn one(tail: &str) -> Reply {
    let id = tail.trim_start_matches("models/");
    if MODELS.contains(&id) {
        return Reply::json(200, model(id).to_string());
    }
    error(404, "not_found_error", &format!("model: {id}"))
}
