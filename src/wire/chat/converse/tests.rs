use crate::wire::chat::{
    Answer, Asked, BadRequest, CacheMark, CachePoints, Citation, Effort, Event, Failure, FailureKind, Family,
    MaxTokens, Message, OutputFormat, Part, Reasoning, ReasoningStyle, Request, Role, Sampling, Source, Stop,
    StreamReader as _, StreamWriter as _, Target, Text, Tokens, Tool, ToolCall, ToolChoice, Written, aws_error,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

mod answers;
mod failures;
mod reading;
mod streams;
mod turns;
mod writing;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn claude() -> Target {
    Target { family: Family::Claude, ..Target::default() }
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts }
}

fn assistant(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts }
}

/// One question of the user.
fn asking() -> Request {
    Request { messages: vec![user(vec![Part::text("hi")])], ..Request::default() }
}

fn call(id: &str, arguments: &str) -> Part {
    let (id, arguments) = (id.to_owned(), arguments.to_owned());
    Part::ToolCall(ToolCall { id, name: "f".into(), arguments, free_text: false, cache: None })
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult { id: id.into(), parts, is_error: false, cache: None }
}

fn tool(name: &str) -> Tool {
    let schema = Some(raw(r#"{"type":"object","properties":{"z":{},"a":{}}}"#));
    Tool { name: name.into(), description: Some("does".into()), schema, strict: None, free_text: false, cache: None }
}

fn marked() -> Option<CacheMark> {
    Some(CacheMark { ttl: Some("1h".into()) })
}

fn written(request: &Request, target: &Target) -> (Value, Vec<String>) {
    let Written { body, dropped, .. } = super::write_request(request, target).expect("a request");
    (serde_json::from_slice(&body).expect("JSON"), dropped)
}

fn refused(request: &Request, target: &Target) -> BadRequest {
    super::write_request(request, target).expect_err("a refusal")
}
