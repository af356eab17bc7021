//! Consumption in the words of this form, which counts what comes from a cache inside the prompt.

use super::super::Tokens;
use super::json::{get, number};
use serde::Serialize;

/// Of a `usage` object. Numbers that are absent, negative or broken are none.
pub(super) fn read(usage: &[u8]) -> Tokens {
    let detail = |of: &str, name: &str| get(usage, of).and_then(|details| number(details, name)).unwrap_or(0);
    let prompt = number(usage, "prompt_tokens").unwrap_or(0);
    let cache_read = detail("prompt_tokens_details", "cached_tokens").min(prompt);
    let cache_write = detail("prompt_tokens_details", "cache_write_tokens").min(prompt - cache_read);
    Tokens {
        input: prompt - cache_read - cache_write,
        cache_read,
        cache_write,
        cache_write_1h: 0,
        output: number(usage, "completion_tokens").unwrap_or(0),
        reasoning: detail("completion_tokens_details", "reasoning_tokens"),
    }
}

#[derive(Serialize, Debug)]
pub(in super::super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize, Debug)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize, Debug)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

pub(in super::super) const fn write(tokens: &Tokens) -> Usage {
    Usage {
        prompt_tokens: tokens.prompt(),
        completion_tokens: tokens.output,
        total_tokens: tokens.total(),
        prompt_tokens_details: PromptDetails {
            cached_tokens: tokens.cache_read,
            cache_write_tokens: tokens.cache_write,
        },
        completion_tokens_details: CompletionDetails { reasoning_tokens: tokens.reasoning },
    }
}
