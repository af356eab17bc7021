//! Message batches: ended as soon as they are asked about. Their results lie at an absolute address of the real API's
//! host, as they do there.

use super::super::super::reply::Reply;
use super::super::Ask;
use super::{error, messages, objection};
use serde_json::{Value, json};

const HOST: &str = "https://api.anthropic.com";

fn batch(id: &str, status: &str) -> Value {
    let ended = status == "ended";
    json!({
        "id": id, "type": "message_batch", "processing_status": status,
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2025-11-21T06:40:00Z", "expires_at": "2025-11-22T06:40:00Z", "archived_at": null,
        "cancel_initiated_at": null, "ended_at": ended.then_some("2025-11-21T06:41:00Z"),
        "results_url": ended.then(|| format!("{HOST}/v1/messages/batches/{id}/results")),
    })
}

pub fn created(ask: &Ask<'_>) -> Reply {
    objection(ask, &["requests"])
        .unwrap_or_else(|| Reply::json(200, batch(&format!("msgbatch_{:024}", ask.number), "in_progress").to_string()))
}

pub fn list() -> Reply {
    let data = [batch("msgbatch_b", "ended"), batch("msgbatch_a", "in_progress")];
    let list = json!({"data": data, "has_more": false, "first_id": "msgbatch_b", "last_id": "msgbatch_a"});
    Reply::json(200, list.to_string())
}

pub fn one(ask: &Ask<'_>, tail: &str) -> Reply {
    let mut rest = tail.trim_start_matches("messages/batches/").split('/');
    let id = rest.next().unwrap_or_default();
    match (ask.head.method.as_str(), rest.next()) {
        ("GET", None) => Reply::json(200, batch(id, "ended").to_string()),
        ("DELETE", None) => Reply::json(200, json!({"id": id, "type": "message_batch_deleted"}).to_string()),
        ("POST", Some("cancel")) => Reply::json(200, batch(id, "canceling").to_string()),
        ("GET", Some("results")) => {
            let result = json!({"type": "succeeded", "message": messages::unary(ask)});
            let line = format!("{}\n", json!({"custom_id": "one", "result": result}));
            Reply::bytes("application/x-jsonl", line.into_bytes())
        }
        _ => error(404, "not_found_error", "Not found."),
    }
}
