//! `POST /v1/messages`, unary and streamed: thoughts, text, tool calls. Usage is told at the beginning of a stream and
//! in totals at its end.

use super::super::super::act::{Call, Fault};
use super::super::super::reply::{Pieces, Reply};
use super::super::{Ask, text};
use super::{model, objection};
use serde_json::{Map, Value, json};

/// What every answer reports unless it is told otherwise.
const INPUT: u64 = 19;
const OUTPUT: u64 = 10;
/// Reported at the beginning of a stream, before anything is known.
const FIRST_OUTPUT: u64 = 1;

pub fn answer(ask: &Ask<'_>) -> Reply {
    if let Some(refused) = objection(ask, &["model", "max_tokens", "messages"]) {
        return refused;
    }
    if ask.call.streams() { Reply::events(stream(ask)) } else { Reply::json(200, unary(ask).to_string()) }
}

pub fn count(ask: &Ask<'_>) -> Reply {
    objection(ask, &["model", "messages"]).unwrap_or_else(|| {
        let count = json!({"input_tokens": ask.act.tokens.input.unwrap_or(INPUT)});
        Reply::json(200, count.to_string())
    })
}

/// A message as the API has it, also within the results of a batch.
pub fn unary(ask: &Ask<'_>) -> Value {
    let mut message = message(ask);
    message["content"] = Value::Array(blocks(ask));
    message["stop_reason"] = stop_reason(ask).into();
    message["stop_sequence"] = ask.act.stop_sequence.clone().into();
    if let Some(usage) = usage(ask) {
        message["usage"] = Value::Object(usage);
    }
    message
}

fn message(ask: &Ask<'_>) -> Value {
    json!({
        "id": format!("msg_{:024}", ask.number), "type": "message", "role": "assistant", "model": model(ask),
        "content": [], "stop_reason": null, "stop_sequence": null, "container": null,
    })
}

fn stop_reason<'a>(ask: &'a Ask<'_>) -> &'a str {
    let usual = if ask.act.calls.is_empty() { "end_turn" } else { "tool_use" };
    ask.act.finish_reason.as_deref().unwrap_or(usual)
}

fn blocks(ask: &Ask<'_>) -> Vec<Value> {
    let mut blocks = Vec::new();
    if ask.act.tokens.reasoning > 0 {
        blocks.push(json!({"type": "thinking", "thinking": "A thought.", "signature": "c2ln"}));
    }
    let said =
        if ask.act.calls.is_empty() { Some(text::whole(ask.act)) } else { text::before_calls(ask.act).map(Into::into) };
    blocks.extend(said.map(|text| json!({"type": "text", "text": text, "citations": null})));
    for (at, call) in ask.act.calls.iter().enumerate() {
        let input = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        let mut block = tool_use(ask, at, call);
        block["input"] = input;
        blocks.push(block);
    }
    blocks
}

fn tool_use(ask: &Ask<'_>, at: usize, call: &Call) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{:08}_{at}", ask.number), "name": call.name, "input": {}})
}

fn usage(ask: &Ask<'_>) -> Option<Map<String, Value>> {
    if ask.act.no_usage {
        return None;
    }
    if let Some(usage) = &ask.act.usage {
        return serde_json::from_str(usage.get()).ok();
    }
    let tokens = &ask.act.tokens;
    let usage = json!({
        "input_tokens": tokens.input.unwrap_or(INPUT),
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output.unwrap_or(OUTPUT),
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "server_tool_use": null,
        "service_tier": ask.act.service_tier.as_deref().unwrap_or("standard"),
        "inference_geo": "global",
    });
    usage.as_object().cloned()
}

/// What is told first, and what last.
fn in_two_parts(usage: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let late =
        |name: &str| matches!(name, "output_tokens" | "output_tokens_details" | "server_tool_use" | "iterations");
    let total = |name: &str| name.ends_with("input_tokens") || late(name);
    let pick = |holds: &dyn Fn(&str) -> bool| -> Map<String, Value> {
        usage.iter().filter(|(name, _)| holds(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut first = pick(&|name| !late(name));
    first.insert("output_tokens".to_owned(), FIRST_OUTPUT.into());
    (first, pick(&total))
}

fn stream(ask: &Ask<'_>) -> Pieces {
    let mut pieces = Pieces::default();
    let mut send = |event: Value| {
        let name = event["type"].as_str().unwrap_or_default().to_owned();
        pieces.event(&name, &event.to_string());
    };
    let (first, last) = usage(ask).map(|usage| in_two_parts(&usage)).unzip();
    let mut opening = message(ask);
    if let Some(first) = first {
        opening["usage"] = Value::Object(first);
    }
    send(json!({"type": "message_start", "message": opening}));
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>, send: &mut dyn FnMut(Value)| {
        send(json!({"type": "content_block_start", "index": index, "content_block": start}));
        if index == 0 {
            send(json!({"type": "ping"}));
        }
        for delta in deltas {
            send(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        send(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    if ask.act.tokens.reasoning > 0 {
        let deltas = vec![
            json!({"type": "thinking_delta", "thinking": "A thought."}),
            json!({"type": "signature_delta", "signature": "c2ln"}),
        ];
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas, &mut send);
    }
    if ask.act.calls.is_empty() {
        let deltas = text::pieces(ask.act).into_iter().map(|text| json!({"type": "text_delta", "text": text}));
        block(json!({"type": "text", "text": "", "citations": null}), deltas.collect(), &mut send);
    }
    if let Some(text) = text::before_calls(ask.act) {
        let deltas = vec![json!({"type": "text_delta", "text": text})];
        block(json!({"type": "text", "text": "", "citations": null}), deltas, &mut send);
    }
    for (at, call) in ask.act.calls.iter().enumerate() {
        let characters: Vec<char> = call.arguments.chars().collect();
        // The first piece of the arguments is empty.
        let parts = std::iter::once(String::new()).chain(characters.chunks(5).map(|part| part.iter().collect()));
        let deltas = parts.map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect();
        block(tool_use(ask, at, call), deltas, &mut send);
    }
    if !matches!(ask.act.fault, Some(Fault::NoTerminator)) {
        let delta = json!({"stop_reason": stop_reason(ask), "stop_sequence": ask.act.stop_sequence, "container": null});
        let usage = last.unwrap_or_default();
        send(json!({"type": "message_delta", "delta": delta, "usage": usage}));
        send(json!({"type": "message_stop"}));
    }
    pieces
}
