//! Signatures of thoughts, to the client and back. A call's stands in the call's id, spelt with the letters, digits, `-`
//! and `_` that every API allows in an id; a thought's is marked, so that the proof of another API is never sent here.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Between a call's id and its signature.
const IN_ID: &str = "__ts_";
/// Before the signature of a thought.
const OF_THOUGHT: &str = "gts.";
/// Longer ones do not travel: no header or store of a client is meant for them.
const LONGEST: usize = 32 * 1024;
/// What the API takes for a signature that was lost or never was: its own word for calls of another model's making.
pub(super) const UNKNOWN: &str = "skip_thought_signature_validator";

/// The id of a call with its signature. One that is no plain base64 is lost.
pub(super) fn into_id(id: &str, signature: Option<&str>) -> String {
    let spelt = signature
        .filter(|text| text.len() <= LONGEST)
        .and_then(|text| STANDARD.decode(text).ok())
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    match spelt {
        Some(spelt) => format!("{id}{IN_ID}{spelt}"),
        None => id.to_owned(),
    }
}

/// The id and the signature that stands in it.
pub(super) fn of_id(id: &str) -> (&str, Option<String>) {
    let split = id.split_once(IN_ID);
    match split.and_then(|(id, spelt)| Some((id, URL_SAFE_NO_PAD.decode(spelt).ok().filter(|b| !b.is_empty())?))) {
        Some((id, bytes)) => (id, Some(STANDARD.encode(bytes))),
        None => (id, None),
    }
}

/// Whether an id of the upstream's can carry a signature and be told from it again.
pub(super) fn is_plain_id(id: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&id.len()) && id.bytes().all(inside) && !id.contains(IN_ID)
}

pub(super) fn of_thought(signature: &str) -> String {
    format!("{OF_THOUGHT}{signature}")
}

/// Whether it was given by this API.
pub(in super::super) fn is_own_proof(signature: &str) -> bool {
    to_thought(signature).is_some()
}

/// The signature as the API gave it; `None` for that of another one.
pub(super) fn to_thought(marked: &str) -> Option<&str> {
    marked.strip_prefix(OF_THOUGHT)
}
