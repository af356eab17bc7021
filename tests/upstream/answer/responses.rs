//! `POST /v1/responses`, unary and as named, numbered events.

use serde_json::{Value, json};

use super::super::act::{Call, Fault};
use super::super::reply::{Pieces, Reply};
use super::{Ask, CREATED, quote, text, usage};

pub fn answer(ask: &Ask<'_>) -> Reply {
    if ask.call.streams() {
        return Reply::events(stream(ask));
    }
    let items = if ask.act.calls.is_empty() {
        vec![message(ask, "completed", &text::whole(ask.act))]
    } else {
        calls(ask).map(|(at, call)| function_call(ask, at, call, "completed", &call.arguments)).collect()
    };
    Reply::json(200, response(ask, "completed", &items, true))
}

/// The response object. Made as text, so that a usage given word for word stays so.
fn response(ask: &Ask<'_>, status: &str, output: &[Value], done: bool) -> String {
    let usage = usage::responses(ask.act).filter(|_| done).unwrap_or_else(|| "null".to_owned());
    let output = Value::from(output.to_vec());
    let tier = if done { ask.tier() } else { "auto" };
    format!(
        r#"{{"id":"resp_{number:048}","object":"response","created_at":{CREATED},"status":{status},"background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":{model},"output":{output},"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"service_tier":{tier},"store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}"#,
        number = ask.number,
        status = quote(status),
        model = ask.model_json(),
        tier = quote(tier),
    )
}

fn calls<'a>(ask: &'a Ask<'_>) -> impl Iterator<Item = (usize, &'a Call)> {
    ask.act.calls.iter().enumerate()
}

fn message_id(ask: &Ask<'_>) -> String {
    format!("msg_{:048}", ask.number)
}

fn message(ask: &Ask<'_>, status: &str, text: &str) -> Value {
    let content = if text.is_empty() { json!([]) } else { json!([part(text)]) };
    json!({"id": message_id(ask), "type": "message", "status": status, "content": content, "role": "assistant"})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn call_id(ask: &Ask<'_>, at: usize) -> String {
    format!("fc_{:040}_{at}", ask.number)
}

fn function_call(ask: &Ask<'_>, at: usize, call: &Call, status: &str, arguments: &str) -> Value {
    json!({
        "id": call_id(ask, at), "type": "function_call", "status": status, "arguments": arguments,
        "call_id": format!("call_{:08}_{at}", ask.number), "name": call.name,
    })
}

fn stream(ask: &Ask<'_>) -> Pieces {
    let mut events = Events { pieces: Pieces::default(), sequence: 0 };
    for name in ["response.created", "response.in_progress"] {
        events.response(name, &response(ask, "in_progress", &[], false));
    }
    let items = if ask.act.calls.is_empty() { text_items(ask, &mut events) } else { call_items(ask, &mut events) };
    match ask.act.fault {
        Some(Fault::NoTerminator) => {}
        _ => events.response("response.completed", &response(ask, "completed", &items, true)),
    }
    events.pieces
}

fn text_items(ask: &Ask<'_>, events: &mut Events) -> Vec<Value> {
    let id = message_id(ask);
    let whole = text::whole(ask.act);
    events.event("response.output_item.added", json!({"output_index": 0, "item": message(ask, "in_progress", "")}));
    let place = json!({"item_id": id, "output_index": 0, "content_index": 0});
    events.event("response.content_part.added", with(&place, json!({"part": part("")})));
    for piece in text::pieces(ask.act) {
        let mut delta = json!({"delta": piece, "logprobs": []});
        if ask.act.obfuscation {
            delta = with(&delta, json!({"obfuscation": "kQ3vZ8xW"}));
        }
        events.event("response.output_text.delta", with(&place, delta));
    }
    events.event("response.output_text.done", with(&place, json!({"text": whole, "logprobs": []})));
    events.event("response.content_part.done", with(&place, json!({"part": part(&whole)})));
    let item = message(ask, "completed", &whole);
    events.event("response.output_item.done", json!({"output_index": 0, "item": &item}));
    vec![item]
}

fn call_items(ask: &Ask<'_>, events: &mut Events) -> Vec<Value> {
    let mut items = Vec::new();
    for (at, call) in calls(ask) {
        let opened = function_call(ask, at, call, "in_progress", "");
        events.event("response.output_item.added", json!({"output_index": at, "item": opened}));
        let place = json!({"item_id": call_id(ask, at), "output_index": at});
        let characters: Vec<char> = call.arguments.chars().collect();
        for piece in characters.chunks(5) {
            let delta = json!({"delta": piece.iter().collect::<String>()});
            events.event("response.function_call_arguments.delta", with(&place, delta));
        }
        let done = json!({"arguments": call.arguments, "name": call.name});
        events.event("response.function_call_arguments.done", with(&place, done));
        let item = function_call(ask, at, call, "completed", &call.arguments);
        events.event("response.output_item.done", json!({"output_index": at, "item": &item}));
        items.push(item);
    }
    items
}

fn with(base: &Value, more: Value) -> Value {
    let mut merged = base.clone();
    if let (Value::Object(merged), Value::Object(more)) = (&mut merged, more) {
        merged.extend(more);
    }
    merged
}

struct Events {
    pieces: Pieces,
    sequence: u64,
}

impl Events {
    fn event(&mut self, name: &str, fields: Value) {
        let all = with(&json!({"type": name, "sequence_number": self.sequence}), fields);
        self.pieces.event(name, &all.to_string());
        self.sequence = self.sequence.saturating_add(1);
    }

    fn response(&mut self, name: &str, response: &str) {
        let sequence = self.sequence;
        let json = format!(r#"{{"type":"{name}","sequence_number":{sequence},"response":{response}}}"#);
        self.pieces.event(name, &json);
        self.sequence = self.sequence.saturating_add(1);
    }
}
