//! Counts a prompt by tokenizer, as far as that is worth its time. Close, not exact: pictures and documents are
//! guessed, tool definitions are counted as their JSON.

use super::Kind;
use crate::metering::count::{
    ANSWER_PRIMER, AUDIO_PER_SECOND, EXACT_LIMIT, Encoding, PER_IMAGE, PER_MESSAGE, PER_NAME, PER_SMALL_IMAGE,
    PER_TOOL, rough,
};
use crate::wire::json_walk::{elements, member, members, string, strings, unescape};

/// A page of a document, in tokens and in bytes of the file.
const PER_PAGE: u64 = 2_000;
const PAGE_BYTES: u64 = 50_000;
/// Bytes per second of uncompressed speech (24 kHz, 16 bit), and of any other recording.
const WAV_RATE: u64 = 48_000;
const AUDIO_RATE: u64 = 16_000;

/// Tokens of the prompt in a request body.
pub(super) fn tokens(kind: Kind, model: &str, body: &[u8]) -> u64 {
    let mut count = Count { encoding: Encoding::of_model(model), exact: EXACT_LIMIT, tokens: 0 };
    for m in members(body) {
        match (kind, m.key) {
            (Kind::Chat, b"messages") => {
                elements(m.value).for_each(|message| count.message(message));
                count.tokens += ANSWER_PRIMER;
            }
            (Kind::Responses, b"input") => {
                match string(m.value) {
                    Some(text) => {
                        count.text(text);
                        count.tokens += PER_MESSAGE;
                    }
                    None => elements(m.value).for_each(|item| count.message(item)),
                }
                count.tokens += ANSWER_PRIMER;
            }
            (Kind::Responses, b"instructions") => {
                count.tokens += PER_MESSAGE;
                string(m.value).into_iter().for_each(|text| count.text(text));
            }
            (Kind::Chat | Kind::Responses, b"tools" | b"functions") => {
                for tool in elements(m.value) {
                    count.text(tool);
                    count.tokens += PER_TOOL;
                }
            }
            (Kind::Chat, b"response_format") | (Kind::Responses, b"text") if m.value.starts_with(b"{") => {
                count.text(m.value);
            }
            (Kind::Completions, b"prompt") | (Kind::Embeddings | Kind::Moderations, b"input") => {
                count.sequence(m.value)
            }
            _ => {}
        }
    }
    count.tokens
}

struct Count {
    encoding: Encoding,
    /// Bytes that are still worth tokenizing.
    exact: usize,
    tokens: u64,
}

impl Count {
    fn text(&mut self, raw: &[u8]) {
        let text = unescape(raw);
        let tokens = match self.exact.checked_sub(text.len()) {
            Some(left) => {
                self.exact = left;
                self.encoding.count(&text)
            }
            None => rough(&text),
        };
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Text, a list of texts, a list of tokens, a list of those.
    fn sequence(&mut self, value: &[u8]) {
        if let Some(text) = string(value) {
            return self.text(text);
        }
        for element in elements(value) {
            match element.first() {
                Some(b'"') => self.text(string(element).unwrap_or_default()),
                Some(b'[') => self.tokens += elements(element).count() as u64,
                Some(b'{') => self.part(element),
                _ => self.tokens += 1,
            }
        }
    }

    fn message(&mut self, message: &[u8]) {
        self.tokens += PER_MESSAGE;
        for m in members(message) {
            match m.key {
                b"role" => self.tokens += 1,
                b"content" | b"output" => match string(m.value) {
                    Some(text) => self.text(text),
                    None => elements(m.value).for_each(|part| self.part(part)),
                },
                b"name" | b"arguments" | b"input" | b"refusal" => {
                    self.tokens += PER_NAME;
                    string(m.value).into_iter().for_each(|text| self.text(text));
                }
                b"tool_calls" | b"function_call" => {
                    let spoken = strings(m.value).filter(|(key, _)| matches!(*key, b"name" | b"arguments" | b"input"));
                    spoken.for_each(|(_, text)| self.text(text));
                }
                _ => {}
            }
        }
    }

    fn part(&mut self, part: &[u8]) {
        let text = |name: &str| member(part, name).and_then(|m| string(m.value));
        let found = |wanted: &[u8]| strings(part).find(|(key, _)| *key == wanted).map(|(_, value)| value);
        match text("type").unwrap_or_default() {
            b"image_url" | b"input_image" => {
                self.tokens += if found(b"detail") == Some(b"low") { PER_SMALL_IMAGE } else { PER_IMAGE };
            }
            b"input_audio" => {
                let rate = if found(b"format") == Some(b"wav") { WAV_RATE } else { AUDIO_RATE };
                let bytes = found(b"data").map_or(0, decoded_len);
                self.tokens += bytes.div_ceil(rate) * AUDIO_PER_SECOND;
            }
            b"file" | b"input_file" => {
                let bytes = found(b"file_data").map_or(0, decoded_len);
                self.tokens += bytes.div_ceil(PAGE_BYTES).max(1) * PER_PAGE;
            }
            _ => text("text").or_else(|| text("refusal")).into_iter().for_each(|t| self.text(t)),
        }
    }
}

/// Bytes that a base64 text stands for.
fn decoded_len(text: &[u8]) -> u64 {
    text.len() as u64 / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prompts_are_counted_as_the_provider_does() {
        // 3 for the message, 1 for the role, 4 for the text, 3 for the answer.
        let hello = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello, world!"}]}"#;
        assert_eq!(tokens(Kind::Chat, "gpt-4o", hello.as_bytes()), 11);
        let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Hello, world!"},
            {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#;
        assert_eq!(tokens(Kind::Chat, "gpt-4o", parts.as_bytes()), 11 + 85 + 1100);
        for (kind, body, count) in [
            (Kind::Completions, r#"{"prompt":"Hello, world!"}"#, 4),
            (Kind::Completions, r#"{"prompt":["Hello, world!","Hello, world!"]}"#, 8),
            (Kind::Embeddings, r#"{"input":[1,2,3]}"#, 3),
            (Kind::Embeddings, r#"{"input":[[1,2,3],[4]]}"#, 4),
            (Kind::Responses, r#"{"input":"Hello, world!"}"#, 10),
            (
                Kind::Responses,
                r#"{"instructions":"Hello, world!","input":[{"role":"user","content":[{"type":"input_text","text":"Hello, world!"}]}]}"#,
                18,
            ),
            (
                Kind::Chat,
                r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]}"#,
                3 + 1 + 1 + 1 + 3,
            ),
            (Kind::Chat, "not json", 0),
        ] {
            assert_eq!(tokens(kind, "gpt-4o", body.as_bytes()), count, "{body}");
        }
    }

    #[test]
    fn large_files_are_not_counted_as_text() {
        let data = "A".repeat(4_000_000);
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
        );
        assert_eq!(tokens(Kind::Chat, "gpt-4o", body.as_bytes()), 3 + 1 + 1100 + 3);
    }

    proptest! {
        #[test]
        fn the_count_stays_below_the_bound(
            texts in prop::collection::vec("\\PC{0,40}", 1..5),
            tool in "\\PC{0,20}",
        ) {
            let messages: Vec<_> = texts.iter().map(|t| serde_json::json!({"role": "user", "content": t})).collect();
            let tools = [serde_json::json!({"type": "function", "function": {"name": tool}})];
            let body = serde_json::json!({"model": "gpt-4o", "messages": messages, "tools": tools}).to_string();
            prop_assert!(tokens(Kind::Chat, "gpt-4o", body.as_bytes()) <= body.len() as u64);
        }
    }
}
