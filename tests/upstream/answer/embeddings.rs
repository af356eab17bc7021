//! `POST /v1/embeddings`: vectors that depend only on input and position, as numbers or in base64.

use std::fmt::Write as _;

use base64::Engine as _;
use serde_json::Value;

use super::super::reply::Reply;
use super::{Ask, usage};

const DIMENSIONS: usize = 1536;

pub fn answer(ask: &Ask<'_>) -> Reply {
    let dimensions = ask.call.dimensions.unwrap_or(DIMENSIONS).clamp(1, 4096);
    let base64 = ask.call.encoding_format.as_deref() == Some("base64");
    let Some(inputs) = inputs(ask) else {
        return Reply::error(400, "invalid_request_error", None, "An input is needed.");
    };
    let mut data = String::new();
    for index in 0..inputs {
        let comma = if index > 0 { "," } else { "" };
        let vector = if base64 { encoded(index, dimensions) } else { numbers(index, dimensions) };
        let written = write!(data, r#"{comma}{{"object":"embedding","index":{index},"embedding":{vector}}}"#);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    let usage = usage::embeddings(ask.act).map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default();
    Reply::json(200, format!(r#"{{"object":"list","data":[{data}],"model":{}{usage}}}"#, ask.model_json()))
}

/// A text or one array of token ids is one input; an array of either is several.
fn inputs(ask: &Ask<'_>) -> Option<usize> {
    match serde_json::from_str::<Value>(ask.call.input?.get()).ok()? {
        Value::String(_) => Some(1),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => Some(1),
        Value::Array(items) if !items.is_empty() => Some(items.len()),
        _ => None,
    }
}

/// In eighths, which are exact in a float: both encodings must give equal numbers.
fn value(index: usize, at: usize) -> f32 {
    let eighths = u16::try_from(index.wrapping_mul(7).wrapping_add(at.wrapping_mul(3)) % 16).unwrap_or(0);
    #[expect(clippy::float_arithmetic, reason = "an embedding is floats")]
    let value = f32::from(eighths) / 8.0 - 1.0;
    value
}

fn numbers(index: usize, dimensions: usize) -> String {
    let values: Vec<String> = (0..dimensions).map(|at| format!("{:?}", value(index, at))).collect();
    format!("[{}]", values.join(","))
}

fn encoded(index: usize, dimensions: usize) -> String {
    let bytes: Vec<u8> = (0..dimensions).flat_map(|at| value(index, at).to_le_bytes()).collect();
    format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes))
}
