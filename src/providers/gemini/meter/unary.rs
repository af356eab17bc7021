//! An answer in one piece of JSON, or a list of pieces of one: passed on at once, kept by reference, read when it is over.

use super::bill::Bill;
use crate::providers::kept::Pieces;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::elements;
use bytes::Bytes;
use memchr::memmem;

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

impl ResponseMeter for Unary {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.pieces.keep(piece.clone());
        out.push(piece);
        Progress::More
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        let text = self.pieces.joined();
        let aborted = ending == Ending::Aborted;
        if self.pieces.is_cut() {
            // From the last usage on, as if the object began there.
            let from = memmem::rfind(&text, b"\"usageMetadata\"").and_then(|at| text.get(at..)).unwrap_or_default();
            self.bill.unread(b"");
            self.bill.piece(&[b"{", from].concat());
            return self.bill.reading(aborted);
        }
        let body = text.trim_ascii();
        let is_whole = if body.starts_with(b"[") {
            elements(body).for_each(|piece| {
                self.bill.piece(piece);
            });
            body.ends_with(b"]")
        } else {
            self.bill.piece(body) || !body.starts_with(b"{")
        };
        self.bill.reading(aborted || !is_whole)
    }

    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
