//! Multipart uploads (answered with what arrived, so that a test can compare) and binary downloads.

use std::ops::Range;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::super::reply::Reply;
use super::{Ask, CREATED};

/// `POST /v1/files`: OpenAI's file object, and under `parts` the length and hash of each form field.
pub fn upload(ask: &Ask<'_>) -> Reply {
    let parts = match parts(ask) {
        Ok(parts) => parts,
        Err(message) => return Reply::error(400, "invalid_request_error", None, message),
    };
    let Some(file) = parts.iter().find(|part| part.filename.is_some()) else {
        return Reply::error(400, "invalid_request_error", None, "A file is needed.");
    };
    let purpose = parts.iter().find(|part| part.name == "purpose").map(|part| part.text.clone());
    let answer = json!({
        "id": format!("file-{:024}", ask.number), "object": "file", "bytes": file.length, "created_at": CREATED,
        "filename": file.filename, "purpose": purpose, "status": "processed",
        "body": {"length": ask.body.length, "sha256": ask.body.sha256},
        "parts": described(&parts),
    });
    Reply::json(200, answer.to_string())
}

pub fn file(ask: &Ask<'_>, tail: &str) -> Reply {
    let id = tail.trim_start_matches("files/").trim_end_matches("/content");
    if ask.head.method == "DELETE" {
        return Reply::json(200, json!({"id": id, "object": "file", "deleted": true}).to_string());
    }
    if tail.ends_with("/content") {
        return Reply::bytes("application/octet-stream", binary(ask.act.content_bytes.unwrap_or(4096)));
    }
    let answer = json!({
        "id": id, "object": "file", "bytes": 4096, "created_at": CREATED, "filename": "data.jsonl",
        "purpose": "batch", "status": "processed",
    });
    Reply::json(200, answer.to_string())
}

/// Every byte value, in an order that no text codec survives.
pub fn binary(length: usize) -> Vec<u8> {
    (0..=u8::MAX).rev().cycle().take(length).collect()
}

pub(super) struct Part {
    pub(super) name: String,
    filename: Option<String>,
    length: usize,
    sha256: String,
    /// Short fields only.
    pub(super) text: String,
}

pub(super) fn described(parts: &[Part]) -> Value {
    let one = |part: &Part| {
        (part.name.clone(), json!({"filename": part.filename, "length": part.length, "sha256": part.sha256}))
    };
    Value::Object(parts.iter().map(one).collect::<Map<String, Value>>())
}

pub(super) fn parts(ask: &Ask<'_>) -> Result<Vec<Part>, &'static str> {
    let content_type = ask.head.header("content-type").unwrap_or_default();
    let boundary = content_type
        .split(';')
        .find_map(|piece| piece.trim().strip_prefix("boundary="))
        .map(|boundary| boundary.trim_matches('"'))
        .filter(|_| content_type.starts_with("multipart/form-data"))
        .ok_or("A multipart form is needed.")?;
    if ask.body.length != ask.body.kept.len() as u64 {
        // Bigger than what is kept: the caller compares the hash of the whole body.
        return Ok(Vec::new());
    }
    let delimiter = format!("--{boundary}");
    let bytes = &ask.body.kept;
    let starts: Vec<usize> = memchr::memmem::find_iter(bytes, delimiter.as_bytes()).collect();
    let mut parts = Vec::new();
    for pair in starts.windows(2) {
        if let [start, end] = *pair {
            // A part begins after the delimiter's line end and ends before the next one's.
            let range = start.saturating_add(delimiter.len()).saturating_add(2)..end.saturating_sub(2);
            parts.push(part(bytes, range).ok_or("A form part is malformed.")?);
        }
    }
    if parts.is_empty() { Err("The form has no part.") } else { Ok(parts) }
}

fn part(bytes: &[u8], range: Range<usize>) -> Option<Part> {
    let part = bytes.get(range)?;
    let split = memchr::memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(part.get(..split)?).ok()?;
    let content = part.get(split.checked_add(4)?..)?;
    let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let text = content.get(..content.len().min(200)).unwrap_or_default();
    Some(Part {
        name: parameter(disposition, "name")?,
        filename: parameter(disposition, "filename"),
        length: content.len(),
        sha256: hex::encode(digest(&SHA256, content)),
        text: String::from_utf8_lossy(text).into_owned(),
    })
}

fn parameter(disposition: &str, name: &str) -> Option<String> {
    disposition.split(';').find_map(|piece| {
        let (have, value) = piece.trim().split_once('=')?;
        (have == name).then(|| value.trim_matches('"').to_owned())
    })
}
