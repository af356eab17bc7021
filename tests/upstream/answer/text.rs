//! The words of an answer, whole and cut into the pieces of a stream.

use super::super::act::Act;

const DEFAULT: &str = "Hello! How can I help you today?";

pub fn whole(act: &Act) -> String {
    match (&act.content, act.content_bytes, act.chunks) {
        (Some(content), _, _) => content.clone(),
        (None, Some(bytes), _) => filler(bytes),
        (None, None, Some(chunks)) => counted(chunks).concat(),
        (None, None, None) => DEFAULT.to_owned(),
    }
}

/// What is said before tools are called: only what the behaviour gives.
pub fn before_calls(act: &Act) -> Option<&str> {
    act.content.as_deref().filter(|text| !text.is_empty() && !act.calls.is_empty())
}

pub fn pieces(act: &Act) -> Vec<String> {
    match act.chunks {
        Some(chunks) if act.content.is_none() && act.content_bytes.is_none() => counted(chunks),
        Some(chunks) => cut(&whole(act), chunks),
        None => whole(act).split_inclusive(' ').map(str::to_owned).collect(),
    }
}

/// Numbered words: a reader sees at once which piece is missing or out of order.
fn counted(chunks: usize) -> Vec<String> {
    (0..chunks).map(|at| format!(" tok{at}")).collect()
}

fn filler(bytes: usize) -> String {
    "lorem ipsum dolor sit amet ".chars().cycle().take(bytes).collect()
}

/// At most `chunks` pieces of whole characters.
fn cut(text: &str, chunks: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(chunks.max(1)).max(1);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// A vector that tells how long its text was, so that a test can see which text it belongs to.
pub fn vector(text: &serde_json::Value) -> serde_json::Value {
    let length = text.as_str().unwrap_or_default().len();
    // A quarter of it, exactly.
    serde_json::from_str(&format!("[{}e-2, 0.25]", length * 25)).unwrap_or_default()
}

/// One for each text of a list, or for the text alone.
pub fn vectors(texts: &serde_json::Value) -> serde_json::Value {
    match texts.as_array() {
        Some(texts) => texts.iter().map(vector).collect(),
        None => serde_json::json!([vector(texts)]),
    }
}
