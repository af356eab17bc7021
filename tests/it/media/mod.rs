//! Pictures, sound, files and assistants of OpenAI against the running program.

mod assistants;
mod billing;
mod clients;

mod uploads;

use crate::support::Gateway;
use serde_json::Value;

/// A form of fields and one file, and its content type.
pub(crate) fn form(fields: &[(&str, &str)], file: &str, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"{file}\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--cut--\r\n");
    body
}

/// Silence, 16 kHz, 16 bit, one channel.
pub(crate) fn wav(millis: usize) -> Vec<u8> {
    let data = 32 * millis;
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data".to_vec();
    file.extend_from_slice(&(data as u32).to_le_bytes());
    file.resize(file.len() + data, 0);
    file
}

pub(crate) async fn post_form(gateway: &Gateway, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = gateway.http.post(gateway.url(path)).bearer_auth("k");
    request.header("content-type", "multipart/form-data; boundary=cut").body(body).send().await.expect("an answer")
}

pub(crate) async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    gateway.http.post(gateway.url(path)).bearer_auth("k").json(body).send().await.expect("an answer")
}

/// The key's events in the order in which they began.
pub(crate) async fn events(gateway: &Gateway, key: &str, count: usize) -> Vec<Value> {
    let mut events = gateway.events_settled(key, count).await;
    events.sort_by_key(|e| e["id"].as_str().expect("an id").to_owned());
    events
}
