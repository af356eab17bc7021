//! An answer in one piece of JSON: passed on at once, kept by reference, read when it is over.

use super::bill::{Bill, is_written};
use crate::domain::Usage;
use crate::providers::anthropic::{objects, usage};
use crate::providers::kept::{Pieces, TextLog};
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::strings;
use bytes::Bytes;
use memchr::memmem;
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct Unary {
    bill: Bill,
    pieces: Pieces,
    also: Vec<(Box<str>, Usage)>,
}

impl Unary {
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, pieces: Pieces::default(), also: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn with_limits(bill: Bill, keep: usize, tail: usize) -> Self {
        Self { pieces: Pieces::new(keep, tail), ..Self::new(bill) }
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
        let answer = usage::answer(&text);
        answer.model.into_iter().for_each(|model| self.bill.answered_by(model));
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let truncated = ending == Ending::Aborted || (is_object && !answer.whole);
        self.also = self.bill.also(&answer.tally);
        if !answer.tally.is_empty() {
            let made = objects::written(answer.content);
            return Reading { made, ..self.bill.reported(&answer.tally, truncated) };
        }
        if answer.failed && !answer.has_result {
            return self.bill.nothing(truncated);
        }
        if !(truncated || self.pieces.is_cut() || answer.has_result) {
            return self.bill.nothing(truncated);
        }
        let mut log = TextLog::default();
        strings(&text).filter(|(key, _)| is_written(key)).for_each(|(_, written)| log.add(written));
        self.bill.counted(&log, truncated)
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        std::mem::take(&mut self.also)
    }
    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
