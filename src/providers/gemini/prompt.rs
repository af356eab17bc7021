//! Counts a prompt by a tokenizer that is not the model's own: close, not exact. Media are guessed by their bytes.

use super::request::{is, named};
use crate::metering::count::{ANSWER_PRIMER, Encoding, PER_IMAGE, PER_MESSAGE, PER_TOOL};
use crate::providers::kept::TextLog;
use crate::wire::json_walk::{elements, member, members, string};

/// Bytes of a recording or document that are one token.
const MEDIA_BYTES: u64 = 500;

#[derive(Debug, Default)]
struct Count {
    text: TextLog,
    others: u64,
}

/// Tokens of the prompt in a request body.
pub(super) fn tokens(body: &[u8]) -> u64 {
    let mut count = Count::default();
    for m in members(body) {
        if is(m.key, "contents") {
            count.others += ANSWER_PRIMER;
            // One content may stand without its list.
            if m.value.starts_with(b"{") {
                count.content(m.value);
            }
            elements(m.value).for_each(|content| count.content(content));
        } else if is(m.key, "content") || is(m.key, "system_instruction") {
            count.content(m.value);
        } else if is(m.key, "requests") {
            elements(m.value).flat_map(|r| named(r, "content")).for_each(|content| count.content(content.value));
        } else if is(m.key, "tools") {
            count.text.add(m.value);
            count.others += (elements(m.value).count() as u64).saturating_mul(PER_TOOL);
        }
    }
    count.text.tokens(Encoding::O200k).saturating_add(count.others)
}

impl Count {
    fn content(&mut self, content: &[u8]) {
        self.others += PER_MESSAGE;
        for parts in named(content, "parts") {
            if parts.value.starts_with(b"{") {
                self.part(parts.value);
            }
            elements(parts.value).for_each(|part| self.part(part));
        }
    }

    fn part(&mut self, part: &[u8]) {
        for m in members(part) {
            if is(m.key, "text") {
                string(m.value).into_iter().for_each(|text| self.text.add(text));
            } else if is(m.key, "function_call") || is(m.key, "function_response") {
                self.text.add(m.value);
            } else if is(m.key, "inline_data") {
                let is_image =
                    named(m.value, "mime_type").any(|m| string(m.value).is_some_and(|t| t.starts_with(b"image/")));
                let bytes = member(m.value, "data").map_or(0, |m| m.value.len() as u64 / 4 * 3);
                self.others += if is_image { PER_IMAGE } else { bytes.div_ceil(MEDIA_BYTES) };
            } else if is(m.key, "file_data") {
                self.others += PER_IMAGE;
            }
        }
    }
}
