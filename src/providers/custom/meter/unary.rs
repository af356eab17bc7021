//! An answer in one piece of JSON: passed on at once, kept by reference, read when it is over.

use super::{Bill, Written};
use crate::providers::custom::usage;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::{member, members};
use bytes::Bytes;
use memchr::memmem;
use std::collections::VecDeque;

/// An answer longer than this is no longer kept whole; a usage mostly stands at its end.
const KEEP: usize = 8 * 1024 * 1024;
const TAIL: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Unary {
    bill: Bill,
    pieces: VecDeque<Bytes>,
    kept: usize,
    /// Bytes from the beginning that were let go.
    dropped: u64,
    keep: usize,
    tail: usize,
}

impl Unary {
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, pieces: VecDeque::new(), kept: 0, dropped: 0, keep: KEEP, tail: TAIL }
    }

    #[cfg(test)]
    pub(super) fn with_limits(bill: Bill, keep: usize, tail: usize) -> Self {
        Self { keep, tail, ..Self::new(bill) }
    }
}

impl ResponseMeter for Unary {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.kept += piece.len();
        self.pieces.push_back(piece.clone());
        let too_long = self.dropped > 0 || self.kept > self.keep;
        while too_long
            && let Some(first) = self.pieces.front()
            && self.kept - first.len() >= self.tail
        {
            self.kept -= first.len();
            self.dropped += first.len() as u64;
            self.pieces.pop_front();
        }
        out.push(piece);
        Progress::More
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        let text = self.pieces.iter().fold(Vec::with_capacity(self.kept), |mut all, piece| {
            all.extend_from_slice(piece);
            all
        });
        let mut written = Written::default();
        let truncated;
        let told = if self.dropped == 0 {
            let completion = self.bill.route.completion.as_ref().map(|at| at.text(&text));
            written.add(&completion.unwrap_or_default());
            let mut walk = members(&text);
            walk.by_ref().for_each(drop);
            let is_object = text.trim_ascii_start().starts_with(b"{");
            truncated = ending == Ending::Aborted || (is_object && !walk.is_whole());
            usage::find(&text)
        } else {
            written.beyond = self.dropped.saturating_add(self.kept as u64);
            truncated = ending == Ending::Aborted;
            // From the last `usage` on, as if the object began there.
            let from = memmem::rfind(&text, b"\"usage\"").and_then(|at| text.get(at..)).unwrap_or_default();
            usage::find(&[b"{", from].concat())
        };
        let failed = || member(&text, "error").is_some_and(|m| m.value != b"null");
        let usage = match told {
            Some(usage) => self.bill.reported(&usage, &written, true),
            // Some hubs tell their failures with status 200.
            None if self.dropped == 0 && written.is_empty() && failed() => crate::domain::Usage::default(),
            None => self.bill.counted(&written),
        };
        Reading { usage, truncated, ..Reading::default() }
    }

    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
