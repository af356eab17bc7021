//! Stand-ins until the codecs bring their own.

use super::{Answer, Event, Failure, Format};
use serde_json::value::RawValue;

pub fn openai_error(failure: &Failure) -> serde_json::Value {
    serde_json::json!({"error": {"message": failure.message}})
}
pub fn anthropic_error(failure: &Failure) -> serde_json::Value {
    serde_json::json!({"type": "error", "error": {"message": failure.message}})
}
pub fn echo(_format: Format, _body: &[u8]) -> Option<Box<RawValue>> {
    None
}
#[derive(Debug)]
pub struct AnswerTool;
impl AnswerTool {
    pub fn new(_name: String) -> Self {
        Self
    }
    pub fn apply(&mut self, event: Event, out: &mut Vec<Event>) {
        out.push(event);
    }
    pub fn apply_whole(_name: &str, answer: Answer) -> Answer {
        answer
    }
}
