//! The binary event stream of AWS (`application/vnd.amazon.eventstream`), both ways: a message is a prelude, typed
//! headers, a payload, and two checksums. Sans IO, in pieces of any size. Nothing leaves here whose sums do not fit.

use bytes::{Buf, Bytes, BytesMut};

/// Length, header length and their checksum.
const PRELUDE: usize = 12;
/// Prelude and the checksum at the end.
const FRAME: usize = 16;
/// What the format allows, which bounds what is held back.
const MAX_HEADERS: usize = 128 * 1024;
const MAX_PAYLOAD: usize = 24 * 1024 * 1024;

/// Why a stream cannot be followed any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("the checksum of a prelude is wrong")]
    PreludeChecksum,
    #[error("a length is impossible or too large")]
    Length,
    #[error("the checksum of a message is wrong")]
    Checksum,
    #[error("the headers of a message are malformed")]
    Headers,
}

/// The value of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Milliseconds since 1970.
    Time(i64),
    Uuid([u8; 16]),
}

/// A message whose checksums were right and whose headers can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    raw: Bytes,
    headers: usize,
}

impl Message {
    /// As it came.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: self.raw.get(PRELUDE..PRELUDE + self.headers).unwrap_or_default() }
    }
    /// A header that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers().find_map(|header| match header {
            Some((found, Value::Text(text))) if found == name => Some(text),
            _ => None,
        })
    }
    pub fn payload(&self) -> &[u8] {
        let end = self.raw.len().saturating_sub(4);
        self.raw.get(PRELUDE + self.headers..end).unwrap_or_default()
    }
}

/// Name and value of each header; `None` as the last item when the rest is malformed.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Option<(&'a str, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let header = header(&mut self.rest);
        if header.is_none() {
            self.rest = &[];
        }
        Some(header)
    }
}

fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Value<'a>)> {
    let length = usize::from(take::<1>(rest)?[0]);
    let name = std::str::from_utf8(slice(rest, length)?).ok()?;
    let value = match take::<1>(rest)?[0] {
        0 => Value::Bool(true),
        1 => Value::Bool(false),
        2 => Value::I8(i8::from_be_bytes(take(rest)?)),
        3 => Value::I16(i16::from_be_bytes(take(rest)?)),
        4 => Value::I32(i32::from_be_bytes(take(rest)?)),
        5 => Value::I64(i64::from_be_bytes(take(rest)?)),
        6 => Value::Bytes(counted(rest)?),
        7 => Value::Text(std::str::from_utf8(counted(rest)?).ok()?),
        8 => Value::Time(i64::from_be_bytes(take(rest)?)),
        9 => Value::Uuid(take(rest)?),
        _ => return None,
    };
    Some((name, value))
}

fn counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(take(rest)?);
    slice(rest, usize::from(length))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

/// Cuts a body into messages. After a fault it takes nothing more: where the next message begins cannot be known.
#[derive(Debug, Default)]
pub struct Framer {
    kept: BytesMut,
    /// Of the message under way: all of it, and its headers.
    lengths: Option<(usize, usize)>,
    fault: Option<Fault>,
}

impl Framer {
    /// Calls `found` for every message that `piece` completes, in order. A message that stands in one piece is a
    /// slice of it.
    ///
    /// # Errors
    /// The stream is broken, now or since an earlier piece; messages before that were given to `found`.
    pub fn push(&mut self, piece: &Bytes, mut found: impl FnMut(Message)) -> Result<(), Fault> {
        let mut rest = piece.clone();
        loop {
            if let Some(fault) = self.fault {
                return Err(fault);
            }
            let wanted = self.lengths.map_or(PRELUDE, |(total, _)| total);
            let whole = if self.kept.is_empty() && rest.len() >= wanted {
                // The prelude is only looked at, and stays where it is.
                if self.lengths.is_some() { rest.split_to(wanted) } else { rest.slice(..wanted) }
            } else {
                let missing = wanted.saturating_sub(self.kept.len()).min(rest.len());
                self.kept.extend_from_slice(&rest.split_to(missing));
                if self.kept.len() < wanted {
                    return Ok(());
                }
                match self.lengths {
                    Some(_) => self.kept.split().freeze(),
                    None => Bytes::copy_from_slice(&self.kept),
                }
            };
            let step = match self.lengths.take() {
                None => prelude(&whole).map(|lengths| self.lengths = Some(lengths)),
                Some((_, headers)) => message(whole, headers).map(&mut found),
            };
            if let Err(fault) = step {
                self.fault = Some(fault);
                self.kept = BytesMut::new();
            }
        }
    }

    /// A message was begun and not completed, or the stream broke.
    pub fn is_unfinished(&self) -> bool {
        self.lengths.is_some() || !self.kept.is_empty() || self.fault.is_some()
    }
}

/// Total length and length of the headers.
fn prelude(mut bytes: &[u8]) -> Result<(usize, usize), Fault> {
    let sum = crc32fast::hash(bytes.get(..8).unwrap_or_default());
    let (total, headers) = (length(bytes.get_u32())?, length(bytes.get_u32())?);
    if bytes.get_u32() != sum {
        return Err(Fault::PreludeChecksum);
    }
    let payload = total.checked_sub(FRAME).and_then(|rest| rest.checked_sub(headers)).ok_or(Fault::Length)?;
    if headers > MAX_HEADERS || payload > MAX_PAYLOAD { Err(Fault::Length) } else { Ok((total, headers)) }
}

fn length(number: u32) -> Result<usize, Fault> {
    usize::try_from(number).map_err(|_| Fault::Length)
}

fn message(raw: Bytes, headers: usize) -> Result<Message, Fault> {
    let (body, mut sum) = raw.split_last_chunk::<4>().map(|(body, sum)| (body, &sum[..])).ok_or(Fault::Length)?;
    if sum.get_u32() != crc32fast::hash(body) {
        return Err(Fault::Checksum);
    }
    let message = Message { raw, headers };
    if message.headers().any(|header| header.is_none()) { Err(Fault::Headers) } else { Ok(message) }
}

/// A message of our own; `None` when a name, a value or the payload is longer than the format allows.
pub fn encode(headers: &[(&str, Value<'_>)], payload: &[u8]) -> Option<Bytes> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).ok()?);
        block.extend_from_slice(name.as_bytes());
        put(&mut block, *value)?;
    }
    if block.len() > MAX_HEADERS || payload.len() > MAX_PAYLOAD {
        return None;
    }
    let total = block.len() + payload.len() + FRAME;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&u32::try_from(total).ok()?.to_be_bytes());
    out.extend_from_slice(&u32::try_from(block.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    Some(out.into())
}

fn put(out: &mut Vec<u8>, value: Value<'_>) -> Option<()> {
    let mut counted = |kind: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).ok()?;
        out.push(kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
        Some(())
    };
    let (kind, fixed): (u8, &[u8]) = match value {
        Value::Bytes(bytes) => return counted(6, bytes),
        Value::Text(text) => return counted(7, text.as_bytes()),
        Value::Bool(yes) => (u8::from(!yes), &[]),
        Value::I8(n) => (2, &n.to_be_bytes()),
        Value::I16(n) => (3, &n.to_be_bytes()),
        Value::I32(n) => (4, &n.to_be_bytes()),
        Value::I64(n) => (5, &n.to_be_bytes()),
        Value::Time(n) => (8, &n.to_be_bytes()),
        Value::Uuid(uuid) => (9, &uuid.clone()),
    };
    out.push(kind);
    out.extend_from_slice(fixed);
    Some(())
}

#[cfg(test)]
mod tests;
