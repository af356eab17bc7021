//! What a request consumed: as the pieces of its answer tell it, or, as far as they do not, counted.

use crate::domain::{Usage, UsageSource};
use crate::metering::count::Encoding;
use crate::providers::gemini::endpoints::Kind;
use crate::providers::gemini::{prompt, request, usage};
use crate::providers::kept::TextLog;
use crate::providers::{Call, Reading};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Bill {
    kind: Kind,
    sent: Bytes,
    /// All candidates together.
    max_output: Option<u64>,
    candidates: u64,
    /// The tier that was asked for.
    tier: Box<str>,
    asked: Box<str>,
    answered: Option<Box<str>>,
    usage: Option<Usage>,
    /// The last usage was told together with the end of a candidate, or after it.
    is_final: bool,
    /// Candidates that have ended, a bit each.
    ended: u64,
    blocked: bool,
    failed: bool,
    has_result: bool,
    searches: u64,
    text: TextLog,
}

impl Bill {
    pub(super) fn new(kind: Kind, call: &Call, sent: &Bytes) -> Self {
        Self {
            kind,
            sent: sent.clone(),
            max_output: call.max_output.map(|each| each.saturating_mul(call.choices.max(1))),
            candidates: call.choices.max(1),
            tier: call.tier.clone(),
            asked: call.model.clone(),
            answered: None,
            usage: None,
            is_final: false,
            ended: 0,
            blocked: false,
            failed: false,
            has_result: false,
            searches: 0,
            text: TextLog::default(),
        }
    }

    /// A piece of an answer, or all of it. Returns whether the object was all there.
    pub(super) fn piece(&mut self, piece: &[u8]) -> bool {
        let mut walk = members(piece);
        let mut told = None;
        for m in walk.by_ref() {
            match m.key {
                b"candidates" => {
                    self.has_result = true;
                    elements(m.value).for_each(|candidate| self.candidate(candidate));
                }
                b"embedding" | b"embeddings" => self.has_result = true,
                b"promptFeedback" => self.blocked |= member(m.value, "blockReason").is_some_and(|m| m.value != b"null"),
                b"usageMetadata" => told = usage::of(m.value),
                b"modelVersion" => {
                    let name = string(m.value).filter(|name| !name.is_empty());
                    self.answered = name.map(|name| unescape(name).into()).or(self.answered.take());
                }
                b"error" => self.failed |= m.value != b"null",
                _ => {}
            }
        }
        if told.is_some() {
            self.usage = told;
            self.is_final = self.has_ended();
        }
        walk.is_whole()
    }

    fn candidate(&mut self, candidate: &[u8]) {
        let mut index = 0;
        let mut has_ended = false;
        for m in members(candidate) {
            match m.key {
                b"index" => index = whole_number(m.value).unwrap_or(0),
                b"finishReason" => has_ended = m.value != b"null",
                b"content" => self.content(m.value),
                b"groundingMetadata" => {
                    let queries = member(m.value, "webSearchQueries").map_or(0, |m| elements(m.value).count() as u64);
                    self.searches = self.searches.max(queries);
                }
                _ => {}
            }
        }
        if has_ended {
            self.ended |= 1 << index.min(63);
        }
    }

    fn content(&mut self, content: &[u8]) {
        for part in member(content, "parts").into_iter().flat_map(|m| elements(m.value)) {
            for m in members(part) {
                match m.key {
                    b"text" => string(m.value).into_iter().for_each(|text| self.text.add(text)),
                    b"functionCall" | b"executableCode" => self.text.add(m.value),
                    _ => {}
                }
            }
        }
    }

    /// Bytes of an answer that could not be looked into.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.has_result = true;
        self.text.add(bytes);
    }

    /// All candidates have ended, or there will be none.
    pub(super) fn has_ended(&self) -> bool {
        self.blocked || u64::from(self.ended.count_ones()) >= self.candidates
    }

    /// At least one candidate has ended.
    pub(super) fn has_some_end(&self) -> bool {
        self.blocked || self.ended > 0
    }

    /// Nothing more is to come: everything has ended and the usage is the last one, or the provider has failed.
    pub(super) fn is_over(&self) -> bool {
        self.failed || self.is_final
    }

    pub(super) fn reading(&self, truncated: bool) -> Reading {
        let usage = match &self.usage {
            Some(told) if !truncated => Usage { source: UsageSource::Upstream, ..told.clone() },
            // The input is exact, the output is what was said or what was seen of it.
            Some(told) => {
                let unseen = self.written().saturating_sub(told.completion_tokens());
                let out_text = told.out_text.saturating_add(unseen);
                Usage { out_text, source: UsageSource::Partial, ..told.clone() }
            }
            None if (self.failed && self.text.is_empty()) || !(self.has_result || truncated) => {
                return self.of(Usage::default(), truncated);
            }
            None => Usage {
                in_text: prompt::tokens(&self.sent),
                out_text: if self.kind.writes() { self.written() } else { 0 },
                source: UsageSource::Estimated,
                ..Usage::default()
            },
        };
        let tier = usage.service_tier.clone().or_else(|| Some(self.tier.clone()).filter(|tier| !tier.is_empty()));
        self.of(Usage { service_tier: tier, web_search: self.searches(), ..usage }, truncated)
    }

    /// Up to the second generation an answer that searched costs one search, however many there were.
    // LIMIT: what other tools of the provider cost by the call is not known here.
    fn searches(&self) -> u64 {
        let model = self.answered.as_deref().unwrap_or(&self.asked);
        if request::generation(model).is_some_and(|generation| generation < 3) {
            self.searches.min(1)
        } else {
            self.searches
        }
    }

    fn written(&self) -> u64 {
        let tokens = self.text.tokens(Encoding::O200k);
        self.max_output.map_or(tokens, |most| tokens.min(most))
    }

    fn of(&self, usage: Usage, truncated: bool) -> Reading {
        Reading { usage, model: self.answered.clone(), truncated, ..Reading::default() }
    }
}
