//! How one event lies in a file.
//!
//! ```text
//! offset  size  what
//! 0       1     0xF7, rare in a payload (in no UTF-8 text): where reading may resume after damage
//! 1       1     kind: 1 = open, 2 = close
//! 2       4     length of the payload, little endian
//! 6       4     CRC-32 (IEEE) of bytes 1..6 and the payload, little endian
//! 10      n     the event, as [`super::payload`] says
//! ```
//! Zeros, which a file system may leave after a power cut, are not a record.

use super::payload;
use crate::domain::Event;
use std::io;

pub(super) const HEADER_BYTES: usize = 10;
const MARKER: u8 = 0xF7;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Open,
    Close,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Close => 2,
        }
    }
    const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::Close),
            _ => None,
        }
    }
}

/// The whole record, to be written in one piece.
pub(super) fn encode(kind: Kind, event: &Event) -> io::Result<Vec<u8>> {
    let mut record = Vec::with_capacity(512);
    record.resize(HEADER_BYTES, 0);
    payload::write(event, &mut record);
    begun(kind, record)
}

/// The same of a payload as it is.
pub(super) fn encode_payload(kind: Kind, payload: &[u8]) -> io::Result<Vec<u8>> {
    begun(kind, [&[0; HEADER_BYTES], payload].concat())
}

/// Writes the header into the room that was left for it.
fn begun(kind: Kind, mut record: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = record.len() - HEADER_BYTES;
    let length = u32::try_from(length).map_err(|_| io::Error::other("an event of more than 4 GiB"))?;
    if let Some((header, payload)) = record.split_first_chunk_mut::<HEADER_BYTES>() {
        *header = head(kind.code(), length, payload);
    }
    Ok(record)
}

fn head(code: u8, length: u32, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let [l0, l1, l2, l3] = length.to_le_bytes();
    let [c0, c1, c2, c3] = checksum(code, length, payload).to_le_bytes();
    [MARKER, code, l0, l1, l2, l3, c0, c1, c2, c3]
}

fn checksum(code: u8, length: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[code]);
    crc.update(&length.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// What the first bytes of a piece of a file are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decoded<'a> {
    Record {
        kind: Kind,
        payload: &'a [u8],
    },
    /// Cannot be told before this many bytes are there.
    Short {
        needs: usize,
    },
    Damaged,
}

pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some((&[marker, code, l0, l1, l2, l3, c0, c1, c2, c3], rest)) = bytes.split_first_chunk::<HEADER_BYTES>()
    else {
        return Decoded::Short { needs: HEADER_BYTES };
    };
    let Some(kind) = Kind::of(code).filter(|_| marker == MARKER) else {
        return Decoded::Damaged;
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let Some(payload) = rest.get(..length as usize) else {
        return Decoded::Short { needs: HEADER_BYTES + length as usize };
    };
    if checksum(code, length, payload) == u32::from_le_bytes([c0, c1, c2, c3]) {
        Decoded::Record { kind, payload }
    } else {
        Decoded::Damaged
    }
}

/// Where the next record may begin, not counting the first byte.
pub(super) fn resume(bytes: &[u8]) -> Option<usize> {
    let (_, rest) = bytes.split_first()?;
    memchr::memchr(MARKER, rest).map(|at| at + 1)
}
