//! Ids that every API takes.

use super::json::text;
use ring::digest::{SHA256, digest};
use std::borrow::Cow;

/// Most characters of a tool call's id.
const LIMIT: usize = 64;

/// The id of a tool call: as it is, or, where an API might refuse that, what always stands for it. So calls and their
/// results still belong together when they pass in different requests.
pub(super) fn tool_id(id: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if (1..=LIMIT).contains(&id.len()) && id.bytes().all(plain) { Cow::Borrowed(id) } else { made_id(id).into() }
}

/// An id made of what it stands for.
pub(super) fn made_id(seed: &str) -> String {
    let mut hex = hex::encode(digest(&SHA256, seed.as_bytes()));
    hex.truncate(24);
    format!("call_{hex}")
}

/// The id of an answer, made of the upstream's own where there is one.
pub(super) fn answer_id(upstream: &str, fresh: &str) -> String {
    let own = upstream.strip_prefix("msg_").or(upstream.strip_prefix("chatcmpl-")).unwrap_or(upstream);
    format!("chatcmpl-{}", if own.is_empty() { fresh } else { own })
}

/// Id and model of a chunk or answer, empty where they are not told.
pub(super) fn id_and_model(body: &[u8]) -> (String, String) {
    (text(body, "id").unwrap_or_default(), text(body, "model").unwrap_or_default())
}
