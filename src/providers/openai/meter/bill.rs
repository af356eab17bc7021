//! What a request consumed when the answer does not say: its prompt counted, and the text that was seen.

use crate::domain::{Usage, UsageSource};
use crate::metering::count::Encoding;
use crate::providers::kept::TextLog;
use crate::providers::openai::{Kind, bound, prompt};
use crate::providers::{Call, Reading};
use crate::wire::json_walk::{member, string, unescape};
use bytes::Bytes;

/// The request, as far as a bill needs it.
#[derive(Debug)]
pub(super) struct Bill {
    pub(super) kind: Kind,
    asked: Box<str>,
    /// All choices together.
    max_output: Option<u64>,
    sent: Bytes,
    /// The model that the answer names.
    answered: Option<Box<str>>,
    tier: Option<Box<str>>,
    /// What the provider's tools drew.
    drawn: Option<(Box<str>, Usage)>,
}

impl Bill {
    pub(super) fn new(kind: Kind, call: &Call, sent: &Bytes) -> Self {
        Self {
            kind,
            asked: call.model.clone(),
            max_output: call.max_output.map(|each| each.saturating_mul(call.choices.max(1))),
            sent: sent.clone(),
            answered: None,
            tier: None,
            drawn: None,
        }
    }

    pub(super) fn knows_model(&self) -> bool {
        self.answered.is_some()
    }

    /// The `model` of an answer or a chunk. Some first chunks have an empty one.
    pub(super) fn answered_by(&mut self, raw: &[u8]) {
        if !raw.is_empty() {
            self.answered = Some(unescape(raw).into());
        }
    }

    /// The last one wins.
    pub(super) fn served_in(&mut self, tier: &[u8]) {
        if self.tier.as_deref().map(str::as_bytes) != Some(tier) {
            self.tier = Some(unescape(tier).into());
        }
    }

    pub(super) fn drew(&mut self, drawn: Option<(Box<str>, Usage)>) {
        self.drawn = drawn.or(self.drawn.take());
    }

    pub(super) fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.drawn.take().into_iter().collect()
    }

    pub(super) fn reported(&self, usage: Usage, source: UsageSource, truncated: bool) -> Reading {
        let model = self.answered.as_deref().unwrap_or(&self.asked);
        let searched = u64::from(bound::searches_web(self.kind, model, &self.sent));
        let web_search = usage.web_search.max(searched);
        self.reading(Usage { web_search, source, ..usage }, truncated)
    }

    /// Prompt and visible text by our own count.
    // LIMIT: what a model thought without showing it cannot be counted.
    pub(super) fn counted(&self, text: &TextLog, truncated: bool) -> Reading {
        let encoding = Encoding::of_model(&self.asked);
        let output = text.tokens(encoding).saturating_sub(self.echoed(encoding));
        let usage = Usage {
            in_text: prompt::tokens(self.kind, &self.asked, &self.sent),
            out_text: self.max_output.map_or(output, |max| output.min(max)),
            source: UsageSource::Estimated,
            ..Usage::default()
        };
        self.reading(usage, truncated)
    }

    /// No result, no bill.
    pub(super) fn nothing(&self, truncated: bool) -> Reading {
        self.reading(Usage::default(), truncated)
    }

    fn reading(&self, usage: Usage, truncated: bool) -> Reading {
        Reading {
            usage: Usage { service_tier: self.tier.clone(), ..usage },
            model: self.answered.clone(),
            truncated,
            ..Reading::default()
        }
    }

    /// A completion may repeat its prompt, which is no output.
    fn echoed(&self, encoding: Encoding) -> u64 {
        let echo = || member(&self.sent, "echo").is_some_and(|m| m.value == b"true");
        if self.kind != Kind::Completions || !echo() {
            return 0;
        }
        let prompt = member(&self.sent, "prompt").and_then(|m| string(m.value)).map(unescape);
        prompt.map_or(0, |text| encoding.count(&text))
    }
}

/// Whether a member of a message, a choice or a call is text that the model wrote.
pub(super) fn is_written(key: &[u8]) -> bool {
    matches!(
        key,
        b"content"
            | b"arguments"
            | b"refusal"
            | b"reasoning_content"
            | b"reasoning"
            | b"text"
            | b"name"
            | b"transcript"
    )
}
