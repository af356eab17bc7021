//! What an answer says it consumed. Every family spells the same few numbers in its own way, and each name means the
//! same wherever it stands; cached tokens stand beside the input, not in it, but for one dialect.

use crate::domain::{Usage, UsageSource};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};
use http::HeaderMap;

/// Numbers as reported so far. A later report replaces what it names: totals are cumulative.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    /// All that was written to a cache, and the part of it that is kept for an hour.
    written: Option<u64>,
    written_1h: Option<u64>,
    /// Cached tokens are part of the input.
    inside: bool,
    thinking: Option<u64>,
    web_search: Option<u64>,
    inference_geo: Option<Box<str>>,
    speed: Option<Box<str>>,
}

impl Tally {
    /// Takes a usage object, or an answer that has the numbers at its top, over what is known.
    pub(super) fn overwrite(&mut self, text: &[u8]) {
        for m in members(text).filter(|m| m.value != b"null") {
            let number = || whole_number(m.value);
            let word = || string(m.value).map(|word| unescape(word).into());
            match m.key {
                b"input_tokens"
                | b"inputTokens"
                | b"inputTokenCount"
                | b"prompt_token_count"
                | b"inputTextTokenCount" => self.input = number().or(self.input),
                b"output_tokens" | b"outputTokens" | b"outputTokenCount" | b"generation_token_count" => {
                    self.output = number().or(self.output);
                }
                b"cache_read_input_tokens" | b"cacheReadInputTokens" | b"cacheReadInputTokenCount" => {
                    self.cache_read = number().or(self.cache_read);
                }
                b"cache_creation_input_tokens" | b"cacheWriteInputTokens" | b"cacheWriteInputTokenCount" => {
                    self.written = number().or(self.written);
                }
                b"cache_creation" => {
                    self.written_1h = number_in(m.value, "ephemeral_1h_input_tokens").or(self.written_1h);
                    let short = number_in(m.value, "ephemeral_5m_input_tokens");
                    let both = short.map(|n| n.saturating_add(self.written_1h.unwrap_or(0)));
                    self.written = self.written.max(both);
                }
                b"cacheDetails" => {
                    let hour = |detail: &&[u8]| member(detail, "ttl").is_some_and(|ttl| ttl.value == b"\"1h\"");
                    let tokens = elements(m.value).filter(hour).filter_map(|detail| number_in(detail, "inputTokens"));
                    self.written_1h = Some(tokens.fold(0, u64::saturating_add));
                }
                b"prompt_tokens" => {
                    self.inside = true;
                    self.input = number().or(self.input);
                }
                b"completion_tokens" => self.output = number().or(self.output),
                b"prompt_tokens_details" => self.cache_read = number_in(m.value, "cached_tokens").or(self.cache_read),
                b"output_tokens_details" => self.thinking = number_in(m.value, "thinking_tokens").or(self.thinking),
                b"completion_tokens_details" => {
                    self.thinking = number_in(m.value, "reasoning_tokens").or(self.thinking);
                }
                b"server_tool_use" => self.web_search = number_in(m.value, "web_search_requests").or(self.web_search),
                b"inference_geo" => self.inference_geo = word().or(self.inference_geo.take()),
                b"speed" => self.speed = word().or(self.speed.take()),
                // Results of the oldest family, one count each.
                b"results" => {
                    let counts = elements(m.value).filter_map(|result| number_in(result, "tokenCount"));
                    self.output = counts.reduce(u64::saturating_add).or(self.output);
                }
                _ => {}
            }
        }
    }

    /// The counts that an invocation's head tells.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Self {
            input: number("x-amzn-bedrock-input-token-count"),
            output: number("x-amzn-bedrock-output-token-count"),
            cache_read: number("x-amzn-bedrock-cache-read-input-token-count"),
            written: number("x-amzn-bedrock-cache-write-input-token-count"),
            ..Self::default()
        }
    }

    pub(super) fn has_input(&self) -> bool {
        self.input.is_some()
    }
    pub(super) fn output(&self) -> Option<u64> {
        self.output
    }
    /// Both sides are known.
    pub(super) fn is_full(&self) -> bool {
        self.input.is_some() && self.output.is_some()
    }
    /// One side is known.
    pub(super) fn is_some(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    pub(super) fn usage(&self, source: UsageSource) -> Usage {
        let count = |number: Option<u64>| number.unwrap_or(0);
        let written_1h = count(self.written_1h).min(count(self.written).max(count(self.written_1h)));
        let mut in_text = count(self.input);
        let mut cache_read = count(self.cache_read);
        if self.inside {
            cache_read = cache_read.min(in_text);
            in_text -= cache_read;
        }
        let out_text = count(self.output);
        Usage {
            in_text,
            cache_read_text: cache_read,
            cache_write_5m: count(self.written).saturating_sub(written_1h),
            cache_write_1h: written_1h,
            out_text,
            out_reasoning: count(self.thinking).min(out_text),
            web_search: count(self.web_search),
            inference_geo: self.inference_geo.clone(),
            speed: self.speed.clone(),
            source,
            ..Usage::default()
        }
    }
}

fn number_in(object: &[u8], name: &str) -> Option<u64> {
    whole_number(member(object, name)?.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Usage {
        let mut tally = Tally::default();
        tally.overwrite(text.as_bytes());
        tally.usage(UsageSource::None)
    }

    #[test]
    fn every_spelling_fills_the_same_buckets() {
        let plain = Usage { in_text: 12, out_text: 5, ..Usage::default() };
        let cached = Usage { cache_read_text: 100, cache_write_5m: 30, cache_write_1h: 10, ..plain.clone() };
        for (text, expected) in [
            (r#"{"inputTokens":12,"outputTokens":5,"totalTokens":17}"#, &plain),
            (r#"{"inputTokenCount":12,"outputTokenCount":5,"invocationLatency":420}"#, &plain),
            (r#"{"generation":"x","prompt_token_count":12,"generation_token_count":5}"#, &plain),
            (r#"{"inputTextTokenCount":12,"results":[{"tokenCount":2},{"tokenCount":3}]}"#, &plain),
            (r#"{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}"#, &plain),
            (
                r#"{"inputTokens":12,"outputTokens":5,"cacheReadInputTokens":100,"cacheWriteInputTokens":40,
                    "cacheDetails":[{"ttl":"1h","inputTokens":10},{"ttl":"5m","inputTokens":30}]}"#,
                &cached,
            ),
            (
                r#"{"input_tokens":12,"cache_read_input_tokens":100,"cache_creation_input_tokens":40,
                    "cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},"output_tokens":5}"#,
                &cached,
            ),
        ] {
            assert_eq!(&read(text), expected, "{text}");
        }
        let nova =
            read(r#"{"inputTokens":1,"outputTokens":2,"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4}"#);
        assert_eq!((nova.cache_read_text, nova.cache_write_5m), (3, 4));
        let inside = read(r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":99}}"#);
        assert_eq!((inside.in_text, inside.cache_read_text), (0, 10), "never below zero");
    }

    #[test]
    fn later_reports_replace_and_nonsense_is_nothing() {
        let mut tally = Tally::default();
        tally.overwrite(br#"{"input_tokens":20,"output_tokens":1,"cache_read_input_tokens":100}"#);
        tally.overwrite(br#"{"output_tokens":7,"input_tokens":null}"#);
        let usage = tally.usage(UsageSource::Upstream);
        assert_eq!((usage.in_text, usage.cache_read_text, usage.out_text), (20, 100, 7));
        for odd in ["null", "[]", r#"{"inputTokens":-1,"outputTokens":"5"}"#, r#"{"inputTokens":1.5}"#, ""] {
            assert_eq!(read(odd), Usage::default(), "{odd}");
        }
    }
}
