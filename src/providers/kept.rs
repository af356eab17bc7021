//! What is set aside of a response until it can be billed, within bounds: the text that was written, and the body itself.

use crate::metering::count::Encoding;
use crate::wire::json_walk::unescape;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;

/// The text of an answer, as it stood between quotes: resolved only if it must be counted.
#[derive(Debug, Default)]
pub(super) struct TextLog {
    raw: Vec<u8>,
    /// Bytes that came after the log was full.
    beyond: u64,
}

impl TextLog {
    /// Some 250 000 tokens: more than any model writes.
    const LIMIT: usize = 1024 * 1024;

    pub(super) fn add(&mut self, raw: &[u8]) {
        if self.raw.len() + raw.len() <= Self::LIMIT {
            self.raw.extend_from_slice(raw);
        } else {
            self.beyond += raw.len() as u64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.beyond == 0
    }

    pub(super) fn tokens(&self, encoding: Encoding) -> u64 {
        let text = unescape(&self.raw);
        let counted = if text.is_empty() { 0 } else { encoding.count(&text) };
        counted.saturating_add(self.beyond.div_ceil(4))
    }
}

/// A body longer than this is no longer kept whole; the usage stands at its end.
const KEEP: usize = 8 * 1024 * 1024;
const TAIL: usize = 64 * 1024;

/// A body by reference to the pieces it came in. Of one that is too long, the end.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// The beginning was let go.
    cut: bool,
    keep: usize,
    tail: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Self::new(KEEP, TAIL)
    }
}

impl Pieces {
    /// Beyond `keep` bytes, at least the last `tail` are kept.
    pub(super) const fn new(keep: usize, tail: usize) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, cut: false, keep, tail }
    }

    pub(super) fn keep(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        self.cut |= self.bytes > self.keep;
        while self.cut
            && let Some(first) = self.pieces.front()
            && self.bytes - first.len() >= self.tail
        {
            self.bytes -= first.len();
            self.pieces.pop_front();
        }
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn joined(&self) -> Cow<'_, [u8]> {
        match self.pieces.front() {
            Some(only) if self.pieces.len() == 1 => Cow::Borrowed(&**only),
            _ => Cow::Owned(self.pieces.iter().fold(Vec::with_capacity(self.bytes), |mut all, piece| {
                all.extend_from_slice(piece);
                all
            })),
        }
    }
}
