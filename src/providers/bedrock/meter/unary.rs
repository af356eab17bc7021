//! An answer in one piece of JSON: passed on at once, kept by reference, read when it is over.

use super::bill::Bill;
use crate::providers::bedrock::endpoints::Kind;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::{member, members};
use bytes::Bytes;

/// An answer longer than this is not kept: its head tells the usage too. The service allows 25 MB.
const KEEP: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Unary {
    bill: Bill,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Unary {
    pub(super) fn new(bill: Bill) -> Self {
        Self { bill, pieces: Vec::new(), bytes: 0 }
    }
}

impl ResponseMeter for Unary {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes <= KEEP {
            self.pieces.push(piece.clone());
        } else {
            self.pieces = Vec::new();
        }
        out.push(piece);
        Progress::More
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        let joined;
        let text: &[u8] = match &*self.pieces {
            [only] => only,
            pieces => {
                joined = pieces.concat();
                &joined
            }
        };
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let mut walk = members(text);
        let some = walk.by_ref().count() > 0;
        let aborted = ending == Ending::Aborted;
        let too_long = self.bytes > KEEP;
        let truncated = aborted || (is_object && !too_long && !walk.is_whole());
        if !some && !truncated && !too_long {
            return self.bill.nothing(false);
        }
        if self.bill.kind == Kind::Generate {
            self.bill.cited(text);
            if let Some(output) = member(text, "output") {
                self.bill.wrote(output.value);
            }
            return self.bill.reading(true, truncated);
        }
        if self.bill.kind.is_converse() {
            self.bill.converse(text);
        } else {
            self.bill.own.overwrite(text);
            if let Some(usage) = member(text, "usage") {
                self.bill.own.overwrite(usage.value);
            }
        }
        self.bill.wrote(text);
        self.bill.reading(true, truncated)
    }

    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}
