//! What was consumed, in this API's words. A stream tells it twice: its end overwrites, member by member, what its
//! beginning said.

use super::super::Tokens;
use crate::wire::json_walk::{member, whole_number};
use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Usage {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    /// Of the writes, by how long they stay.
    write_5m: Option<u64>,
    write_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Usage {
    /// Takes every member that is there. What is absent, `null` or no number leaves what was known.
    pub(super) fn update(&mut self, usage: &[u8]) {
        let within = |outer: &[u8], name: &str| member(outer, name).and_then(|m| whole_number(m.value));
        let inner = |name: &str| member(usage, name).map(|m| m.value).unwrap_or_default();
        for (place, told) in [
            (&mut self.input, within(usage, "input_tokens")),
            (&mut self.cache_read, within(usage, "cache_read_input_tokens")),
            (&mut self.cache_write, within(usage, "cache_creation_input_tokens")),
            (&mut self.write_5m, within(inner("cache_creation"), "ephemeral_5m_input_tokens")),
            (&mut self.write_1h, within(inner("cache_creation"), "ephemeral_1h_input_tokens")),
            (&mut self.output, within(usage, "output_tokens")),
            (&mut self.thinking, within(inner("output_tokens_details"), "thinking_tokens")),
        ] {
            *place = told.or(*place);
        }
    }

    pub(super) fn tokens(&self) -> Tokens {
        let write_1h = self.write_1h.unwrap_or_default();
        let split = self.write_5m.unwrap_or_default().saturating_add(write_1h);
        // What a later total has more than the split is of the short kind.
        let cache_write = self.cache_write.unwrap_or(split);
        let output = self.output.unwrap_or_default();
        Tokens {
            input: self.input.unwrap_or_default(),
            cache_read: self.cache_read.unwrap_or_default(),
            cache_write,
            cache_write_1h: write_1h.min(cache_write),
            output,
            reasoning: self.thinking.unwrap_or_default().min(output),
        }
    }
}

/// What clients are told, in the order in which the API writes it.
#[derive(Serialize, Debug)]
pub(super) struct Told {
    input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    output_tokens: u64,
}

impl Told {
    /// The four members that every client of the API knows.
    pub(super) fn whole(tokens: &Tokens) -> Self {
        Self {
            input_tokens: tokens.input,
            cache_creation_input_tokens: Some(tokens.cache_write),
            cache_read_input_tokens: Some(tokens.cache_read),
            output_tokens: tokens.output,
        }
    }
    /// As a stream begins, when often nothing is known yet.
    pub(super) fn first(tokens: &Tokens) -> Self {
        let mut told = Self::whole(tokens);
        if *tokens == Tokens::default() {
            told.cache_creation_input_tokens = None;
            told.cache_read_input_tokens = None;
        }
        told
    }
}
