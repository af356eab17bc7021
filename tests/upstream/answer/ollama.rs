//! What the upstream answers when it plays Ollama: lines of JSON unless it is told not to stream, counts in the last one,
//! errors of one word and a text.
#![allow(clippy::indexing_slicing, reason = "a member of a JSON value is made by being written")]

use super::super::act::{Act, Fault};
use super::super::reply::{Pieces, Reply};
use super::super::request::Head;
use super::{Ask, dictated, text};
use serde_json::{Value, json};

const CREATED: &str = "2025-11-21T06:40:00.000000001Z";

pub fn is_json_endpoint(head: &Head) -> bool {
    head.method == "POST"
}

pub fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, json!({ "error": message }).to_string())
}

pub fn answer(ask: &Ask<'_>) -> Reply {
    match (ask.act.status, &ask.act.body, &ask.act.frames) {
        (Some(status), None, None) if status >= 400 => return error(status, "the server said no"),
        _ => {}
    }
    if let Some(mut reply) = dictated(ask.act) {
        if reply.streamed {
            "application/x-ndjson".clone_into(&mut reply.content_type);
        }
        return reply;
    }
    let body: Value = serde_json::from_slice(&ask.body.kept).unwrap_or_default();
    match (ask.head.method.as_str(), ask.head.path()) {
        ("POST", "/api/chat") => written(ask, &body, true),
        ("POST", "/api/generate") => written(ask, &body, false),
        ("POST", "/api/embed") => objection(&body).unwrap_or_else(|| {
            let input = ask.act.tokens.input.unwrap_or(8);
            let told = json!({"model": body["model"], "embeddings": text::vectors(&body["input"]), "prompt_eval_count": input});
            Reply::json(200, told.to_string())
        }),
        ("POST", "/api/show") => objection(&body).unwrap_or_else(|| {
            Reply::json(200, json!({"details": {"family": "llama"}, "capabilities": ["completion"]}).to_string())
        }),
        ("GET", "/api/tags") => {
            Reply::json(200, json!({"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]}).to_string())
        }
        _ => {
            let mut reply = Reply::bytes("text/plain", b"404 page not found".to_vec());
            reply.status = 404;
            reply
        }
    }
}

fn objection(body: &Value) -> Option<Reply> {
    let model = body["model"].as_str().unwrap_or_default();
    if model.is_empty() {
        return Some(error(400, "model is required"));
    }
    if model.starts_with("no-such") {
        return Some(error(404, &format!("model '{model}' not found")));
    }
    let odd = |message: &Value| {
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        !message["role"].is_string()
            || !(message["content"].is_string() || message["content"].is_null())
            || calls.iter().any(|call| !call["function"]["arguments"].is_object())
    };
    if body["messages"].as_array().is_some_and(|messages| messages.iter().any(odd)) {
        return Some(error(400, "json: cannot unmarshal a message"));
    }
    None
}

fn written(ask: &Ask<'_>, body: &Value, is_chat: bool) -> Reply {
    if let Some(refused) = objection(body) {
        return refused;
    }
    let act = ask.act;
    let model = act.answers_as.clone().map_or_else(|| body["model"].clone(), Value::from);
    let line = |said: &str, calls: Option<Value>, done: bool| {
        let mut line = json!({"model": model, "created_at": CREATED, "done": done});
        if is_chat {
            line["message"] = json!({"role": "assistant", "content": said});
            if let Some(calls) = calls {
                line["message"]["tool_calls"] = calls;
            }
        } else {
            line["response"] = json!(said);
        }
        if done {
            line["done_reason"] = json!(act.finish_reason.as_deref().unwrap_or("stop"));
            line["total_duration"] = json!(5_043_500_667_u64);
            if !act.no_usage {
                line["prompt_eval_count"] = json!(act.tokens.input.unwrap_or(19));
                line["eval_count"] = json!(act.tokens.output.unwrap_or(10));
            }
        }
        line
    };
    let calls = || {
        let made = |call: &super::super::act::Call| {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            json!({"function": {"name": call.name, "arguments": arguments}})
        };
        (!act.calls.is_empty()).then(|| act.calls.iter().map(made).collect::<Value>())
    };
    if body["stream"] == json!(false) {
        let said = if act.calls.is_empty() { text::whole(act) } else { String::new() };
        let mut line = line(&said, calls(), true);
        if let Some(thought) = &act.thought {
            line["message"]["thinking"] = json!(thought);
        }
        return Reply::json(200, line.to_string());
    }
    let mut pieces = Pieces::default();
    let mut put = |line: Value| pieces.push(format!("{line}\n").as_bytes());
    if let Some(thought) = &act.thought {
        let mut line = line("", None, false);
        line["message"]["thinking"] = json!(thought);
        put(line);
    }
    match calls() {
        Some(calls) => put(line("", Some(calls), false)),
        None => text::pieces(act).iter().for_each(|piece| put(line(piece, None, false))),
    }
    if !matches!(act.fault, Some(Fault::NoTerminator)) {
        put(line("", None, true));
    }
    let mut reply = Reply::events(pieces);
    "application/x-ndjson".clone_into(&mut reply.content_type);
    reply.error_frame = Some(b"{\"error\":\"model runner has unexpectedly stopped\"}\n".to_vec());
    reply
}
