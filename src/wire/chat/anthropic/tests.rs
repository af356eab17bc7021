//! What the codec promises, by theme.

mod answers;
mod failures;
mod reading;
#[expect(clippy::needless_pass_by_value, reason = "events read better with their JSON in place")]
mod streams;
mod writing;

use super::super::{BadRequest, Request, Target};
use serde_json::{Value, json};

fn read(body: &Value) -> Result<Request, BadRequest> {
    super::read_request(body.to_string().as_bytes())
}

/// A request with one more member, or with another value for one.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]});
    body[name] = value;
    body
}

/// A request whose messages are these.
fn said(messages: Value) -> Value {
    with("messages", messages)
}

fn target() -> Target {
    Target { model: "claude-x".into(), ..Target::default() }
}
