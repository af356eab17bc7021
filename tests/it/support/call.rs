//! Requests that most tests send.

use super::Gateway;
use serde_json::{Value, json};

/// A chat body; `act` tells the local upstream how to answer.
pub fn chat_body(model: &str, act: &Value) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "user": act.to_string()})
}

pub fn stream_body(model: &str, act: &Value) -> Value {
    let mut body = chat_body(model, act);
    body["stream"] = json!(true);
    body
}

/// `POST /v1/chat/completions` with a plain gpt-4o question.
pub async fn chat(gateway: &Gateway, key: &str) -> reqwest::Response {
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key);
    request.json(&chat_body("gpt-4o", &json!({}))).send().await.expect("an answer")
}
