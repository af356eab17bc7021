//! Files: an upload is answered with what arrived, so that a test can compare.

use super::super::super::reply::Reply;
use super::super::Ask;
use super::super::files::{binary, described, parts};
use super::error;
use serde_json::{Value, json};

pub fn answer(ask: &Ask<'_>, tail: &str) -> Reply {
    let id = tail.trim_start_matches("files").trim_start_matches('/').trim_end_matches("/content");
    match ask.head.method.as_str() {
        "POST" if id.is_empty() => upload(ask),
        "GET" if id.is_empty() => {
            let list = json!({"data": [file("file_1", "data.txt", 4096)], "has_more": false});
            Reply::json(200, list.to_string())
        }
        "GET" if tail.ends_with("/content") => {
            Reply::bytes("application/octet-stream", binary(ask.act.content_bytes.unwrap_or(4096)))
        }
        "GET" => Reply::json(200, file(id, "data.txt", 4096).to_string()),
        "DELETE" => Reply::json(200, json!({"id": id, "type": "file_deleted"}).to_string()),
        _ => error(405, "invalid_request_error", "Method not allowed."),
    }
}

fn file(id: &str, name: &str, bytes: u64) -> Value {
    json!({
        "id": id, "type": "file", "filename": name, "mime_type": "text/plain", "size_bytes": bytes,
        "created_at": "2025-11-21T06:40:00Z", "downloadable": true,
    })
}

fn upload(ask: &Ask<'_>) -> Reply {
    let parts = match parts(ask) {
        Ok(parts) => parts,
        Err(message) => return error(400, "invalid_request_error", message),
    };
    let mut answer = file(&format!("file_{:024}", ask.number), "data.txt", ask.body.length);
    answer["body"] = json!({"length": ask.body.length, "sha256": ask.body.sha256});
    answer["parts"] = described(&parts);
    Reply::json(200, answer.to_string())
}
