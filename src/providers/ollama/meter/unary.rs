//! An answer in one piece of JSON: passed on at once, kept by reference, read when it is over.

use super::Bill;
use crate::providers::kept::{Pieces, TextLog};
use crate::providers::ollama::bound::add_written;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
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
}

/// What was kept. After a cut: from the counts on, as if the object began there.
fn text(pieces: &Pieces) -> Cow<'_, [u8]> {
    let text = pieces.joined();
    if !pieces.is_cut() {
        return text;
    }
    let from = memmem::rfind(&text, b"\"prompt_eval_count\"").and_then(|at| text.get(at..)).unwrap_or_default();
    Cow::Owned([b"{\"response\":\"\",", from].concat())
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
        let is_whole = self.bill.told.line(&text);
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let truncated = ending == Ending::Aborted || (is_object && !is_whole);
        let mut log = TextLog::default();
        add_written(&text, &mut log);
        self.bill.reading(&log, truncated)
    }

    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
