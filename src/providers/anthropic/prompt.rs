//! Counts a prompt, as far as that is worth its time. There is no public tokenizer for these models: another one's
//! count is scaled. Close, not exact: within about a quarter for text; pictures and documents are guessed.

use super::Kind;
use crate::metering::count::{ANSWER_PRIMER, EXACT_LIMIT, Encoding, PER_MESSAGE, PER_TOOL, rough};
use crate::wire::json_walk::{elements, member, members, string, strings, unescape};

/// A picture of unknown size.
const PER_IMAGE: u64 = 1_600;
/// A page of a document, in tokens and in bytes of the file.
const PER_PAGE: u64 = 2_000;
const PAGE_BYTES: u64 = 50_000;

/// Tokens of the prompt in a request body.
pub(super) fn tokens(kind: Kind, model: &str, body: &[u8]) -> u64 {
    let mut count = Count { exact: EXACT_LIMIT, text: 0, other: 0 };
    for m in members(body) {
        match (kind, &*unescape(m.key)) {
            (Kind::Messages, "messages") => {
                for message in elements(m.value) {
                    count.other += PER_MESSAGE + 1;
                    members(message).filter(|c| c.is("content")).for_each(|c| count.content(c.value));
                }
                count.other += ANSWER_PRIMER;
            }
            (Kind::Messages, "system") => {
                count.other += PER_MESSAGE;
                count.content(m.value);
            }
            (Kind::Messages, "tools") => {
                for tool in elements(m.value) {
                    count.text(tool);
                    count.other += PER_TOOL;
                }
            }
            (Kind::Complete, "prompt") => string(m.value).into_iter().for_each(|text| count.text(text)),
            _ => {}
        }
    }
    scaled(model, count.text).saturating_add(count.other)
}

/// Tokens of a text by these models, from its tokens by the encoding that is at hand.
pub(super) fn scaled(model: &str, tokens: u64) -> u64 {
    let percent = if is_elder(model) { 115 } else { 135 };
    tokens.saturating_mul(percent).div_ceil(100)
}

/// Before 4.7, whose tokenizer yields more tokens. A name without a version is taken for a new one.
fn is_elder(model: &str) -> bool {
    let mut numbers = model
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| (1..=2).contains(&part.len()))
        .filter_map(|part| part.strip_prefix('v').unwrap_or(part).parse::<u32>().ok());
    let major = numbers.next();
    let minor = numbers.next().unwrap_or(0);
    major.is_some_and(|major| (major, minor) < (4, 7)) || model.contains("claude-instant")
}

struct Count {
    /// Bytes that are still worth tokenizing.
    exact: usize,
    /// Tokens of text, not scaled yet.
    text: u64,
    other: u64,
}

impl Count {
    fn text(&mut self, raw: &[u8]) {
        let text = unescape(raw);
        let tokens = match self.exact.checked_sub(text.len()) {
            Some(left) => {
                self.exact = left;
                Encoding::O200k.count(&text)
            }
            None => rough(&text),
        };
        self.text = self.text.saturating_add(tokens);
    }

    /// Text, or a list of blocks.
    fn content(&mut self, value: &[u8]) {
        match string(value) {
            Some(text) => self.text(text),
            None => elements(value).for_each(|block| self.block(block)),
        }
    }

    fn block(&mut self, block: &[u8]) {
        match member(block, "type").and_then(|m| string(m.value)).unwrap_or_default() {
            b"image" => self.other += PER_IMAGE,
            b"document" => {
                let data = strings(block).find(|(key, _)| *key == b"data").map_or(0, |(_, data)| data.len() as u64);
                // Base64 has four characters for three bytes.
                self.other += (data / 4 * 3).div_ceil(PAGE_BYTES).max(1) * PER_PAGE;
            }
            b"tool_use" | b"server_tool_use" => {
                members(block).filter(|m| m.is("name") || m.is("input")).for_each(|m| self.text(m.value));
            }
            _ => {
                for m in members(block) {
                    match m.key {
                        b"text" | b"thinking" | b"title" => string(m.value).into_iter().for_each(|t| self.text(t)),
                        b"content" => self.content(m.value),
                        _ => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_decide_the_scale() {
        for model in [
            "claude-2",
            "claude-2.1",
            "claude-v1",
            "claude-instant-1.2",
            "claude-3-opus-20240229",
            "claude-3-5-haiku-latest",
            "claude-sonnet-4-20250514",
            "claude-sonnet-4-5",
            "claude-opus-4-6-20260205",
        ] {
            assert_eq!(scaled(model, 100), 115, "{model}");
        }
        for model in ["claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-5", "claude-haiku-5-5", "claude-next", ""] {
            assert_eq!(scaled(model, 100), 135, "{model}");
        }
        assert_eq!((scaled("claude-3", 1), scaled("x", u64::MAX)), (2, u64::MAX.div_ceil(100)));
    }

    #[test]
    fn prompts_have_known_counts() {
        let hello = r#"{"role":"user","content":"Hello, world!"}"#;
        for (kind, body, count) in [
            (Kind::Messages, format!(r#"{{"messages":[{hello}]}}"#), 6 + 4 + 3),
            (Kind::Messages, format!(r#"{{"system":"Hello, world!","messages":[{hello}]}}"#), 11 + 3 + 4 + 3),
            (
                Kind::Messages,
                r#"{"messages":[{"content":[{"type":"text","text":"Hello, world!"},{"type":"image","source":{}},
                    {"type":"tool_result","content":[{"type":"text","text":"Hello, world!"}]}]}]}"#
                    .to_owned(),
                11 + 1600 + 4 + 3,
            ),
            (Kind::Complete, r#"{"prompt":"Hello, world!"}"#.to_owned(), 6),
            (Kind::Complete, "not json".to_owned(), 0),
            (Kind::Other, format!(r#"{{"messages":[{hello}]}}"#), 0),
        ] {
            assert_eq!(tokens(kind, "claude-opus-5-5", body.as_bytes()), count, "{body}");
        }
    }

    #[test]
    fn large_files_are_not_counted_as_text() {
        let data = "A".repeat(4_000_000);
        let body = format!(
            r#"{{"messages":[{{"content":[{{"type":"document","source":{{"type":"base64","data":"{data}"}}}}]}}]}}"#
        );
        assert_eq!(tokens(Kind::Messages, "claude-opus-5-5", body.as_bytes()), 60 * PER_PAGE + 4 + 3);
    }

    proptest! {
        #[test]
        fn any_body_is_counted_without_a_fault(noise in "\\PC{0,200}") {
            tokens(Kind::Messages, "claude", noise.as_bytes());
            let body = serde_json::json!({"messages": [{"content": noise}], "system": [{"type": "text", "text": noise}]});
            tokens(Kind::Messages, "claude", body.to_string().as_bytes());
        }
    }
}
