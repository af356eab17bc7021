//! An answer in one piece of JSON: passed on at once, kept by reference, read when it is over.

use super::bill::{Bill, is_written};
use crate::domain::{Usage, UsageSource};
use crate::providers::kept::{Pieces, TextLog};
use crate::providers::openai::{Kind, usage};
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::strings;
use bytes::Bytes;
use memchr::memmem;
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct Unary {
    bill: Bill,
    pieces: Pieces,
}

impl Unary {
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, pieces: Pieces::default() }
    }

    #[cfg(test)]
    pub(super) fn with_limits(bill: Bill, keep: usize, tail: usize) -> Self {
        Self { bill, pieces: Pieces::new(keep, tail) }
    }
}

/// What was kept. After a cut: from the last `usage` on, as if the object began there.
fn text(pieces: &Pieces) -> Cow<'_, [u8]> {
    let text = pieces.joined();
    if !pieces.is_cut() {
        return text;
    }
    let from = memmem::rfind(&text, b"\"usage\"").and_then(|at| text.get(at..)).unwrap_or_default();
    Cow::Owned([b"{", from].concat())
}

impl ResponseMeter for Unary {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.pieces.keep(piece.clone());
        out.push(piece);
        Progress::More
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        let text = text(&self.pieces);
        let answer = usage::answer(self.bill.kind, &text);
        if let Some(model) = answer.model {
            self.bill.answered_by(model);
        }
        if let Some(tier) = answer.service_tier {
            self.bill.served_in(tier);
        }
        self.bill.drew(answer.drawn);
        let aborted = ending == Ending::Aborted;
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let truncated = aborted || (is_object && !answer.whole);
        match answer.usage {
            Some(usage) => self.bill.reported(usage, UsageSource::Upstream, truncated),
            // Free, and without a usage of its own.
            None if self.bill.kind == Kind::Moderations => self.bill.nothing(truncated),
            None if answer.failed && !answer.has_result => self.bill.nothing(truncated),
            None if truncated || self.pieces.is_cut() || answer.has_result => {
                let mut log = TextLog::default();
                strings(&text).filter(|(key, _)| is_written(key)).for_each(|(_, written)| log.add(written));
                self.bill.counted(&log, truncated)
            }
            None => self.bill.nothing(truncated),
        }
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.bill.also()
    }
    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
