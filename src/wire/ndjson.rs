//! Lines of JSON on bytes: cuts a stream into complete lines, however it was chunked. A line that lies in one piece is
//! a slice of that piece: nothing is copied for it.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// Bytes of one line beyond which it is no longer held together.
pub const LINE_LIMIT: usize = 1024 * 1024;

/// What a stream consists of. All frames together are the stream, byte for byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A complete line with the line feed that ends it.
    Line(Bytes),
    /// A part of a line that is over the limit.
    Opaque(Bytes),
}

/// Cuts a stream into [`Frame`]s.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    /// The beginning of a line whose end was not seen yet.
    carry: BytesMut,
    /// Inside a line that is over the limit.
    skipping: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(LINE_LIMIT)
    }
}

impl Lines {
    pub fn new(limit: usize) -> Self {
        Self { limit, carry: BytesMut::new(), skipping: false }
    }

    /// Takes the next piece and hands each frame that it completes to `take`, in order.
    pub fn push(&mut self, piece: &Bytes, mut take: impl FnMut(Frame)) {
        let mut start = 0;
        while let Some(found) = piece.get(start..).and_then(|rest| memchr(b'\n', rest)) {
            let end = start + found + 1;
            let line = self.joined(piece.slice(start..end));
            let whole = !std::mem::take(&mut self.skipping) && line.len() <= self.limit;
            take(if whole { Frame::Line(line) } else { Frame::Opaque(line) });
            start = end;
        }
        if start == piece.len() {
            return;
        }
        let rest = piece.slice(start..);
        if self.skipping {
            take(Frame::Opaque(rest));
        } else if self.carry.len() + rest.len() > self.limit {
            self.skipping = true;
            take(Frame::Opaque(self.joined(rest)));
        } else {
            self.carry.extend_from_slice(&rest);
        }
    }

    /// What is left when the stream is over: a line without its line feed.
    pub fn finish(&mut self) -> Option<Frame> {
        let rest = self.carry.split().freeze();
        (!rest.is_empty()).then_some(Frame::Line(rest))
    }

    fn joined(&mut self, rest: Bytes) -> Bytes {
        if self.carry.is_empty() {
            return rest;
        }
        self.carry.extend_from_slice(&rest);
        self.carry.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(body: &[u8], size: usize, limit: usize) -> Vec<Frame> {
        let mut lines = Lines::new(limit);
        let mut out = Vec::new();
        for piece in body.chunks(size.max(1)) {
            lines.push(&Bytes::copy_from_slice(piece), |frame| out.push(frame));
        }
        out.extend(lines.finish());
        out
    }

    fn line(text: &'static str) -> Frame {
        Frame::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_are_whole_however_they_were_cut() {
        let body = b"{\"a\":1}\r\n\n{\"b\":2}\nrest";
        for size in 1..=body.len() {
            assert_eq!(frames(body, size, 100), [line("{\"a\":1}\r\n"), line("\n"), line("{\"b\":2}\n"), line("rest")]);
        }
        assert_eq!(frames(b"", 1, 10), []);
    }

    #[test]
    fn a_line_over_the_limit_passes_in_parts_and_the_next_one_is_whole() {
        for size in 1..=14 {
            let found = frames(b"0123456789\nok\n", size, 8);
            assert_eq!(found.last(), Some(&line("ok\n")), "{size}");
            let opaque = found.iter().filter(|frame| matches!(frame, Frame::Opaque(_))).count();
            assert_eq!(found.len(), opaque + 1, "{size}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_out(body in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), size in 1..30usize, limit in 1..50usize) {
            let out: Vec<u8> = frames(&body, size, limit)
                .into_iter()
                .flat_map(|frame| match frame { Frame::Line(bytes) | Frame::Opaque(bytes) => bytes })
                .collect();
            prop_assert_eq!(out, body);
        }
    }
}
