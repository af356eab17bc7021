//! What a request consumed: by the answer's own numbers, else by those that the service puts beside it, else counted.

use crate::domain::{Usage, UsageSource};
use crate::providers::bedrock::endpoints::Kind;
use crate::providers::bedrock::family::Family;
use crate::providers::bedrock::generate::{self, Passages};
use crate::providers::bedrock::usage::Tally;
use crate::providers::bedrock::{bound, prompt, request};
use crate::providers::{Call, Reading};
use crate::wire::json_walk::{member, string, strings, unescape};
use bytes::Bytes;
use http::HeaderMap;

/// Some 250 000 tokens: more than any model writes.
const TEXT_LIMIT: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Bill {
    pub(super) kind: Kind,
    family: Family,
    model: Box<str>,
    /// All choices together.
    max_output: Option<u64>,
    sent: Bytes,
    /// Asked for, then served in.
    tier: Box<str>,
    served: Option<Box<str>>,
    /// The model that a router chose.
    routed: Option<Box<str>>,
    /// Of the model's own answer, of the service's account of it, and of the head.
    pub(super) own: Tally,
    pub(super) metrics: Tally,
    head: Tally,
    /// What the model wrote, as it stood between quotes, and the length of what came after that was full.
    text: Vec<u8>,
    beyond: u64,
    passages: Passages,
}

impl Bill {
    pub(super) fn new(kind: Kind, call: &Call, headers: &HeaderMap, sent: &Bytes) -> Self {
        let served = headers.get(request::SERVICE_TIER).and_then(|tier| tier.to_str().ok());
        Self {
            kind,
            family: bound::family(kind, call),
            model: call.model.clone(),
            max_output: call.max_output.map(|each| each.saturating_mul(call.choices.max(1))),
            sent: sent.clone(),
            tier: call.tier.clone(),
            served: served.map(Into::into),
            routed: None,
            own: Tally::default(),
            metrics: Tally::default(),
            head: Tally::of_headers(headers),
            text: Vec::new(),
            beyond: 0,
            passages: Passages::default(),
        }
    }

    /// Usage, tier and chosen model of a conversation: of its whole answer, or of the event at its end.
    pub(super) fn converse(&mut self, text: &[u8]) {
        let inner = |outer: &str, name: &str| string(member(member(text, outer)?.value, name)?.value);
        if let Some(usage) = member(text, "usage") {
            self.own.overwrite(usage.value);
        }
        if let Some(tier) = inner("serviceTier", "type") {
            self.served = Some(unescape(tier).into());
        }
        let router = member(text, "trace").and_then(|trace| member(trace.value, "promptRouter"));
        let routed = router.and_then(|router| member(router.value, "invokedModelId")).and_then(|id| string(id.value));
        self.routed = routed.map(|id| unescape(id).into()).or(self.routed.take());
    }

    /// Keeps the text of an answer or a part of one, for the case that nobody says what it cost.
    pub(super) fn wrote(&mut self, json: &[u8]) {
        for (_, raw) in strings(json).filter(|(key, _)| is_written(key)) {
            if self.text.len() + raw.len() <= TEXT_LIMIT {
                self.text.extend_from_slice(raw);
            } else {
                self.beyond += raw.len() as u64;
            }
        }
    }

    /// Passages that an answer was written from.
    pub(super) fn cited(&mut self, json: &[u8]) {
        self.passages.take(self.family, &self.model, json);
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty() || self.beyond > 0
    }

    /// `done`: the numbers are final.
    pub(super) fn reading(&self, done: bool, truncated: bool) -> Reading {
        if self.kind == Kind::Generate {
            let counted = prompt::written(self.family, &self.model, &self.text);
            let usage = Usage {
                in_text: generate::asked(self.family, &self.model, &self.sent).saturating_add(self.passages.tokens),
                out_text: counted.saturating_add(self.beyond.div_ceil(4)),
                source: UsageSource::Estimated,
                ..Usage::default()
            };
            return Reading { usage, truncated, ..Reading::default() };
        }
        let enough = |tally: &&Tally| tally.is_full() || (self.family == Family::Embedding && tally.has_input());
        let reports = [&self.own, &self.metrics, &self.head];
        let usage = match reports.into_iter().find(enough).filter(|_| done) {
            Some(tally) => tally.usage(UsageSource::Upstream),
            None => self.incomplete(reports.into_iter().find(|tally| tally.is_some())),
        };
        let asked = || Some(self.tier.clone()).filter(|tier| &**tier == "priority");
        let service_tier = self.served.clone().or_else(asked);
        Reading { usage: Usage { service_tier, ..usage }, model: self.routed.clone(), truncated, ..Reading::default() }
    }

    /// As much as was reported before the end, and the rest counted.
    // LIMIT: what a model thought without showing it cannot be counted.
    fn incomplete(&self, report: Option<&Tally>) -> Usage {
        let (none, source) =
            (Tally::default(), |known| if known { UsageSource::Partial } else { UsageSource::Estimated });
        let report = report.unwrap_or(&none);
        let mut usage = report.usage(source(report.has_input()));
        if !report.has_input() {
            usage.in_text = prompt::tokens(self.family, &self.model, &self.sent);
        }
        let counted = prompt::written(self.family, &self.model, &self.text).saturating_add(self.beyond.div_ceil(4));
        let counted = self.max_output.map_or(counted, |max| counted.min(max));
        usage.out_text = report.output().unwrap_or(0).max(if self.family == Family::Embedding { 0 } else { counted });
        usage
    }

    /// No result, no bill.
    pub(super) fn nothing(&self, truncated: bool) -> Reading {
        Reading { truncated, ..Reading::default() }
    }
}

/// Whether a member is text that the model wrote.
fn is_written(key: &[u8]) -> bool {
    matches!(
        key,
        b"text"
            | b"content"
            | b"completion"
            | b"generation"
            | b"outputText"
            | b"partial_json"
            | b"thinking"
            | b"input"
            | b"arguments"
    )
}
