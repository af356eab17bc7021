//! Counts a prompt by our tokenizer, stretched to what the family's own makes of it. Close, not exact.

use super::family::Family;
use crate::metering::count::{ANSWER_PRIMER, EXACT_LIMIT, Encoding, PER_IMAGE, PER_MESSAGE, PER_TOOL, rough};
use crate::wire::json_walk::{elements, members, string, unescape};

/// A page of a document, in tokens and in bytes of its base64.
const PER_PAGE: u64 = 2_000;
const PAGE_BYTES: u64 = 65_000;

/// Tokens of the prompt in a request body.
pub(super) fn tokens(family: Family, model: &str, body: &[u8]) -> u64 {
    let mut count = Count { exact: EXACT_LIMIT, tokens: 0, apart: 0 };
    for m in members(body) {
        match m.key {
            b"messages" => {
                for message in elements(m.value) {
                    count.apart += PER_MESSAGE;
                    count.message(message);
                }
                count.apart += ANSWER_PRIMER;
            }
            b"system" | b"prompt" | b"inputText" | b"texts" => count.content(m.value),
            b"tools" => elements(m.value).for_each(|tool| count.tool(tool)),
            b"toolConfig" => {
                let tools = members(m.value).filter(|m| m.key == b"tools").flat_map(|m| elements(m.value));
                tools.for_each(|tool| count.tool(tool));
            }
            _ => {}
        }
    }
    count.tokens.saturating_mul(family.per_hundred(model)).div_ceil(100).saturating_add(count.apart)
}

/// Tokens of a text that a model wrote, as it stood between quotes.
pub(super) fn written(family: Family, model: &str, raw: &[u8]) -> u64 {
    let text = unescape(raw);
    let tokens = if text.is_empty() { 0 } else { Encoding::O200k.count(&text) };
    tokens.saturating_mul(family.per_hundred(model)).div_ceil(100)
}

struct Count {
    /// Bytes that are still worth tokenizing.
    exact: usize,
    /// Of text.
    tokens: u64,
    /// Of everything else.
    apart: u64,
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
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn tool(&mut self, tool: &[u8]) {
        self.text(tool);
        self.apart += PER_TOOL;
    }

    fn message(&mut self, message: &[u8]) {
        for m in members(message) {
            match m.key {
                b"content" => self.content(m.value),
                b"tool_calls" => self.text(m.value),
                _ => {}
            }
        }
    }

    /// Text, or a list of texts or blocks.
    fn content(&mut self, value: &[u8]) {
        if let Some(text) = string(value) {
            return self.text(text);
        }
        for element in elements(value) {
            match string(element) {
                Some(text) => self.text(text),
                None => self.block(element),
            }
        }
    }

    fn block(&mut self, block: &[u8]) {
        for m in members(block) {
            match m.key {
                b"text" | b"thinking" => string(m.value).into_iter().for_each(|text| self.text(text)),
                b"content" => self.content(m.value),
                b"toolResult" => {
                    let inner = members(m.value).filter(|m| m.key == b"content");
                    inner.for_each(|m| self.content(m.value));
                }
                b"toolUse" | b"input" | b"json" | b"guardContent" | b"reasoningContent" => self.text(m.value),
                b"image" => self.apart += PER_IMAGE,
                b"type" if m.value == b"\"image\"" => self.apart += PER_IMAGE,
                b"document" => self.apart += (m.value.len() as u64).div_ceil(PAGE_BYTES) * PER_PAGE,
                b"type" if m.value == b"\"document\"" => {
                    self.apart += (block.len() as u64).div_ceil(PAGE_BYTES) * PER_PAGE;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_every_family_are_counted() {
        for (model, body, expected) in [
            // 4 tokens of text; 3 for the message and 3 for the answer.
            ("mistral.x", r#"{"messages":[{"role":"user","content":"Hello, world!"}]}"#, 5 + 6),
            ("amazon.nova-x", r#"{"messages":[{"role":"user","content":[{"text":"Hello, world!"}]}]}"#, 5 + 6),
            ("anthropic.claude-3-x", r#"{"prompt":"Hello, world!"}"#, 5),
            ("anthropic.claude-opus-5", r#"{"prompt":"Hello, world!"}"#, 6),
            ("meta.llama3", r#"{"prompt":"Hello, world!","max_gen_len":9}"#, 5),
            ("amazon.titan-embed-text-v2:0", r#"{"inputText":"Hello, world!"}"#, 4),
            ("cohere.embed-x", r#"{"texts":["Hello, world!","Hello, world!"]}"#, 8),
            ("mistral.x", r#"{"messages":[{"content":[{"image":{"source":{"bytes":"AAAA"}}}]}]}"#, 1_100 + 6),
            ("mistral.x", "not json", 0),
        ] {
            assert_eq!(tokens(Family::of(model), model, body.as_bytes()), expected, "{body}");
        }
    }
}
