//! Server-sent events on bytes: cuts a stream into complete events, however it was chunked, and looks into them.
//! An event that lies in one piece is a slice of that piece: nothing is copied or allocated for it.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use std::borrow::Cow;
use std::ops::Range;

/// Bytes of one event beyond which it is no longer held together.
pub const EVENT_LIMIT: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a stream consists of. All frames together are the stream, byte for byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A complete event with the blank line that ends it.
    Event(Event),
    /// A part of an event that is over the limit.
    Opaque(Bytes),
}

/// Cuts a stream into [`Frame`]s. Lines end with LF, CRLF or CR.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    /// The beginning of an event whose end was not seen yet.
    carry: BytesMut,
    /// Nothing of the current line was seen yet.
    line_empty: bool,
    /// The last byte was a CR; an LF after it belongs to it.
    after_cr: bool,
    /// That CR ended a blank line, so the event ends there, or after the LF.
    blank_cr: bool,
    /// The stream ends its lines with CRLF: a blank line's CR at the end of a piece waits for its LF.
    crlf: bool,
    /// Inside an event that is over the limit.
    skipping: bool,
    oversized: bool,
    /// No event was cut yet: a byte order mark may stand before the first one.
    first: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(EVENT_LIMIT)
    }
}

impl Framer {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            carry: BytesMut::new(),
            line_empty: true,
            after_cr: false,
            blank_cr: false,
            crlf: false,
            skipping: false,
            oversized: false,
            first: true,
        }
    }

    /// An event was over the limit: what it said is not known.
    pub fn was_oversized(&self) -> bool {
        self.oversized
    }

    /// Takes the next piece and hands each frame that it completes to `take`, in order.
    pub fn push(&mut self, piece: &Bytes, mut take: impl FnMut(Frame)) {
        let bytes: &[u8] = piece;
        let mut start = 0;
        let mut at = 0;
        loop {
            if self.after_cr && at < bytes.len() {
                self.after_cr = false;
                if bytes.get(at) == Some(&b'\n') {
                    at += 1;
                    self.crlf = true;
                }
                if std::mem::take(&mut self.blank_cr) {
                    self.cut(piece, start..at, &mut take);
                    start = at;
                }
                continue;
            }
            let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'\n', b'\r', rest)) else { break };
            let blank = self.line_empty && found == 0;
            at += found + 1;
            self.line_empty = true;
            if bytes.get(at - 1) == Some(&b'\r') {
                self.after_cr = true;
                self.blank_cr = blank;
                if at < bytes.len() || !blank || self.crlf {
                    continue;
                }
                // A stream of bare CRs: waiting for an LF would hold the event back until the next one.
                self.blank_cr = false;
            } else if !blank {
                continue;
            }
            self.cut(piece, start..at, &mut take);
            start = at;
        }
        if at < bytes.len() {
            self.line_empty = false;
        }
        if start < bytes.len() {
            self.keep(piece, start, &mut take);
        }
    }

    /// What is left when the stream is over: an event without its blank line.
    pub fn finish(&mut self) -> Option<Frame> {
        let first = std::mem::take(&mut self.first);
        let rest = self.carry.split().freeze();
        (!rest.is_empty()).then(|| Frame::Event(Event { raw: rest, first }))
    }

    fn cut(&mut self, piece: &Bytes, range: Range<usize>, take: &mut impl FnMut(Frame)) {
        let raw = if self.carry.is_empty() {
            piece.slice(range)
        } else {
            self.carry.extend_from_slice(piece.get(range).unwrap_or_default());
            self.carry.split().freeze()
        };
        let first = std::mem::take(&mut self.first);
        if std::mem::take(&mut self.skipping) || raw.len() > self.limit {
            self.oversized = true;
            take(Frame::Opaque(raw));
        } else {
            take(Frame::Event(Event { raw, first }));
        }
    }

    fn keep(&mut self, piece: &Bytes, start: usize, take: &mut impl FnMut(Frame)) {
        if self.skipping {
            return take(Frame::Opaque(piece.slice(start..)));
        }
        self.carry.extend_from_slice(piece.get(start..).unwrap_or_default());
        if self.carry.len() > self.limit {
            self.skipping = true;
            self.oversized = true;
            take(Frame::Opaque(self.carry.split().freeze()));
        }
    }
}

/// One complete event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    raw: Bytes,
    first: bool,
}

/// The data of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    None,
    /// One line: where it stands in [`Event::raw`].
    Line(Range<usize>),
    /// Several lines, joined with LF.
    Joined(Vec<u8>),
}

impl Event {
    /// The bytes as they came, blank line included.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    pub fn data(&self) -> Data {
        let mut data = Data::None;
        for (field, value) in self.fields() {
            if field != b"data" {
                continue;
            }
            let line = self.raw.get(value.clone()).unwrap_or_default();
            data = match data {
                Data::None => Data::Line(value),
                Data::Line(before) => Data::Joined([self.raw.get(before).unwrap_or_default(), b"\n", line].concat()),
                Data::Joined(mut joined) => {
                    joined.push(b'\n');
                    joined.extend_from_slice(line);
                    Data::Joined(joined)
                }
            };
        }
        data
    }

    /// The bytes that [`Event::data`] stands for.
    pub fn data_bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self.data() {
            Data::None => None,
            Data::Line(range) => self.raw.get(range).map(Cow::Borrowed),
            Data::Joined(joined) => Some(Cow::Owned(joined)),
        }
    }

    /// The last `event:` line.
    pub fn name(&self) -> Option<&[u8]> {
        self.fields().filter(|(field, _)| *field == b"event").last().and_then(|(_, value)| self.raw.get(value))
    }

    /// This event with other data; every other line stays as it is.
    #[must_use]
    pub fn with_data(&self, data: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(self.raw.len() + data.len() + 8);
        let mut written = false;
        for line in Lines::of(self) {
            let whole = self.raw.get(line.start..line.next).unwrap_or_default();
            if field_name(self.raw.get(line.start..line.end).unwrap_or_default()) != b"data" {
                out.extend_from_slice(whole);
            } else if !std::mem::replace(&mut written, true) {
                let ending = self.raw.get(line.end..line.next).unwrap_or_default();
                for part in data.split(|b| *b == b'\n') {
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(part);
                    out.extend_from_slice(if ending.is_empty() { b"\n" } else { ending });
                }
            }
        }
        out.freeze()
    }

    /// Field name and where its value stands; comments and blank lines left out.
    fn fields(&self) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        Lines::of(self).filter_map(|line| {
            let text = self.raw.get(line.start..line.end)?;
            let name = field_name(text);
            if name.is_empty() {
                return None;
            }
            let mut value = (line.start + name.len() + 1).min(line.end);
            if self.raw.get(value) == Some(&b' ') && value < line.end {
                value += 1;
            }
            Some((name, value..line.end))
        })
    }
}

/// What stands before the colon; empty for a comment.
fn field_name(line: &[u8]) -> &[u8] {
    match memchr::memchr(b':', line) {
        Some(colon) => line.get(..colon).unwrap_or_default(),
        None => line,
    }
}

struct Line {
    start: usize,
    /// Before the line end.
    end: usize,
    /// After it.
    next: usize,
}

struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn of(event: &'a Event) -> Self {
        let skip = if event.first && event.raw.starts_with(BOM) { BOM.len() } else { 0 };
        Self { raw: &event.raw, at: skip }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let start = self.at;
        let rest = self.raw.get(start..).filter(|r| !r.is_empty())?;
        let end = start + memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let next = match (self.raw.get(end), self.raw.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => end + 2,
            (Some(_), _) => end + 1,
            (None, _) => end,
        };
        self.at = next;
        Some(Line { start, end, next })
    }
}

#[cfg(test)]
mod tests;
