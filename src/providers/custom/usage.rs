//! What an answer reports of its consumption, in either of the two shapes that most APIs copied.

use crate::domain::Usage;
use crate::providers::openai::read_usage;
use crate::wire::json_walk::{member, members, whole_number};

/// The last usage object at the top of an answer or frame, or in its `message` or `response`.
pub(super) fn find(text: &[u8]) -> Option<Usage> {
    let mut found = None;
    for m in members(text) {
        let told = match m.key {
            b"usage" => read(m.value),
            b"message" | b"response" => member(m.value, "usage").and_then(|inner| read(inner.value)),
            _ => None,
        };
        found = told.or(found);
    }
    found
}

/// `prompt_tokens` include what was cached; `input_tokens` beside `cache_..._input_tokens` do not.
fn read(text: &[u8]) -> Option<Usage> {
    let usage = read_usage(text)?;
    let number = |object: &[u8], name: &str| member(object, name).and_then(|m| whole_number(m.value));
    let written = number(text, "cache_creation_input_tokens").unwrap_or(0);
    let by_lifetime = member(text, "cache_creation").map_or(&b"{}"[..], |m| m.value);
    let long = number(by_lifetime, "ephemeral_1h_input_tokens").unwrap_or(0).min(written);
    let beside = Usage {
        cache_read_text: number(text, "cache_read_input_tokens").unwrap_or(0),
        cache_write_5m: written - long,
        cache_write_1h: long,
        ..Usage::default()
    };
    Some(usage.plus(&beside))
}

/// Both sides as last told: a later report that leaves its prompt out does not take it back.
pub(super) fn later(before: Option<Usage>, told: Usage) -> Usage {
    match before {
        Some(before) if told.prompt_tokens() == 0 => Usage {
            out_text: told.out_text,
            out_audio: told.out_audio,
            out_image: told.out_image,
            out_reasoning: told.out_reasoning,
            ..before
        },
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read() {
        for (text, expected) in [
            (
                r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
                Some(Usage { in_text: 6, cache_read_text: 4, out_text: 5, ..Usage::default() }),
            ),
            (
                r#"{"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":100,
                    "cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":20}}}"#,
                Some(Usage {
                    in_text: 10,
                    cache_read_text: 100,
                    cache_write_5m: 10,
                    cache_write_1h: 20,
                    out_text: 5,
                    ..Usage::default()
                }),
            ),
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#,
                Some(Usage { in_text: 7, out_text: 1, ..Usage::default() }),
            ),
            (r#"{"usage":null}"#, None),
            (r#"{"message":"usage"}"#, None),
            ("[]", None),
        ] {
            assert_eq!(find(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_later_report_may_leave_the_prompt_out() {
        let first = Usage { in_text: 7, cache_read_text: 3, out_text: 1, ..Usage::default() };
        let both = later(Some(first), Usage { out_text: 20, ..Usage::default() });
        assert_eq!((both.in_text, both.cache_read_text, both.out_text), (7, 3, 20));
        let whole = Usage { in_text: 8, out_text: 2, ..Usage::default() };
        assert_eq!(later(Some(both), whole.clone()), whole);
    }
}
