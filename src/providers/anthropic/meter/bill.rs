//! What a request consumed: as reported, or, as far as the answer does not say, counted.

use crate::domain::{Usage, UsageSource};
use crate::metering::count::Encoding;
use crate::providers::anthropic::usage::Tally;
use crate::providers::anthropic::{Kind, prompt};
use crate::providers::kept::TextLog;
use crate::providers::{Call, Reading};
use crate::wire::json_walk::unescape;
use bytes::Bytes;

/// The request, as far as a bill needs it.
#[derive(Debug)]
pub(super) struct Bill {
    kind: Kind,
    asked: Box<str>,
    max_output: Option<u64>,
    sent: Bytes,
    /// The model that the answer names.
    answered: Option<Box<str>>,
}

impl Bill {
    pub(super) fn new(kind: Kind, call: &Call, sent: &Bytes) -> Self {
        Self { kind, asked: call.model.clone(), max_output: call.max_output, sent: sent.clone(), answered: None }
    }

    pub(super) fn is_completion(&self) -> bool {
        self.kind == Kind::Complete
    }

    pub(super) fn answered_by(&mut self, raw: &[u8]) {
        if !raw.is_empty() && self.answered.as_deref().map(str::as_bytes) != Some(raw) {
            self.answered = Some(unescape(raw).into());
        }
    }

    /// The provider's own and last word.
    pub(super) fn reported(&self, tally: &Tally, truncated: bool) -> Reading {
        self.reading(tally.usage(UsageSource::Upstream), truncated)
    }

    /// The provider's word up to a break: its input is exact, its output is what it said or what was seen of it.
    // LIMIT: what a model thought without showing it cannot be counted.
    pub(super) fn reported_in_part(&self, tally: &Tally, text: &TextLog) -> Reading {
        let mut usage = tally.usage(UsageSource::Partial);
        usage.out_text = usage.out_text.max(self.written(text));
        self.reading(usage, true)
    }

    /// Prompt and visible text by our own count.
    pub(super) fn counted(&self, text: &TextLog, truncated: bool) -> Reading {
        let usage = Usage {
            in_text: prompt::tokens(self.kind, &self.asked, &self.sent),
            out_text: self.written(text),
            source: UsageSource::Estimated,
            ..Usage::default()
        };
        self.reading(usage, truncated)
    }

    /// No result, no bill.
    pub(super) fn nothing(&self, truncated: bool) -> Reading {
        self.reading(Usage::default(), truncated)
    }

    /// Work beside what was reported for the whole.
    pub(super) fn also(&self, tally: &Tally) -> Vec<(Box<str>, Usage)> {
        tally.also(self.model())
    }

    fn model(&self) -> &str {
        self.answered.as_deref().unwrap_or(&self.asked)
    }

    fn written(&self, text: &TextLog) -> u64 {
        let tokens = prompt::scaled(self.model(), text.tokens(Encoding::O200k));
        self.max_output.map_or(tokens, |max| tokens.min(max))
    }

    fn reading(&self, usage: Usage, truncated: bool) -> Reading {
        Reading { usage, model: self.answered.clone(), truncated, ..Reading::default() }
    }
}

/// Whether a member of a block or a delta is text that the model wrote.
pub(super) fn is_written(key: &[u8]) -> bool {
    matches!(key, b"text" | b"thinking" | b"partial_json" | b"name" | b"completion")
}
