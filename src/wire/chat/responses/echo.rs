//! What a response object repeats of its request.

use super::super::members::Members;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// In the order of the response object.
const REPEATED: [&str; 15] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];

/// `None`: the body is no object.
pub(crate) fn echo(body: &[u8]) -> Option<Box<RawValue>> {
    let mut body = Members::of_body(body).ok()?;
    let repeated: BTreeMap<&str, &RawValue> =
        REPEATED.into_iter().filter_map(|name| body.raw(name).map(|value| (name, value))).collect();
    to_raw_value(&repeated).ok()
}

/// As every response object has it: what the request did not say is what the API takes for granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Echo {
    instructions: Option<Box<RawValue>>,
    max_output_tokens: Option<Box<RawValue>>,
    max_tool_calls: Option<Box<RawValue>>,
    metadata: Box<RawValue>,
    parallel_tool_calls: Box<RawValue>,
    prompt_cache_key: Option<Box<RawValue>>,
    reasoning: Box<RawValue>,
    safety_identifier: Option<Box<RawValue>>,
    service_tier: Box<RawValue>,
    temperature: Option<Box<RawValue>>,
    text: Box<RawValue>,
    tool_choice: Box<RawValue>,
    tools: Box<RawValue>,
    top_p: Option<Box<RawValue>>,
    user: Option<Box<RawValue>>,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            instructions: None,
            max_output_tokens: None,
            max_tool_calls: None,
            metadata: json("{}"),
            parallel_tool_calls: json("true"),
            prompt_cache_key: None,
            reasoning: json(r#"{"effort":null,"summary":null}"#),
            safety_identifier: None,
            service_tier: json(r#""default""#),
            temperature: None,
            text: json(r#"{"format":{"type":"text"}}"#),
            tool_choice: json(r#""auto""#),
            tools: json("[]"),
            top_p: None,
            user: None,
        }
    }
}

impl Echo {
    pub(super) fn of(echo: Option<&RawValue>) -> Self {
        echo.and_then(|echo| serde_json::from_str(echo.get()).ok()).unwrap_or_default()
    }
}

/// `text` is one of the constants above.
fn json(text: &'static str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
