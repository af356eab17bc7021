//! `POST /v1/complete`: text completions, which report no usage.

use super::super::super::act::Fault;
use super::super::super::reply::{Pieces, Reply};
use super::super::{Ask, text};
use super::{model, objection};
use serde_json::{Value, json};

pub fn answer(ask: &Ask<'_>) -> Reply {
    if let Some(refused) = objection(ask, &["model", "max_tokens_to_sample", "prompt"]) {
        return refused;
    }
    if !ask.call.streams() {
        return Reply::json(200, completion(ask, &text::whole(ask.act), Some("stop_sequence")).to_string());
    }
    let mut pieces = Pieces::default();
    for piece in text::pieces(ask.act) {
        pieces.event("completion", &completion(ask, &piece, None).to_string());
        pieces.event("ping", r#"{"type": "ping"}"#);
    }
    if !matches!(ask.act.fault, Some(Fault::NoTerminator)) {
        pieces.event("completion", &completion(ask, "", Some("stop_sequence")).to_string());
    }
    Reply::events(pieces)
}

fn completion(ask: &Ask<'_>, text: &str, stop_reason: Option<&str>) -> Value {
    json!({
        "type": "completion", "id": format!("compl_{:024}", ask.number), "completion": text,
        "stop_reason": stop_reason, "model": model(ask), "stop": null, "log_id": "log",
    })
}
