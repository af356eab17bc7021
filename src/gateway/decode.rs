//! Undoes a compression that was not asked for, so that usage can be read and the client gets plain bytes.

use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use std::fmt;
use std::io::Write as _;

/// Input is fed in slices of this size, so that one hostile piece cannot expand without bound at once.
const SLICE: usize = 16 * 1024;
/// A body that expands to more than this is passed as far as it got.
const MOST_OUTPUT: usize = 256 * 1024 * 1024;

pub(super) enum Decoder {
    Identity,
    /// An encoding we cannot undo: passes as it is, with its header.
    Opaque,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>, usize),
    Deflate(Box<ZlibDecoder<Vec<u8>>>, usize),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "Identity",
            Self::Opaque => "Opaque",
            Self::Gzip(..) => "Gzip",
            Self::Deflate(..) => "Deflate",
        })
    }
}

impl Decoder {
    pub(super) fn of(content_encoding: Option<&[u8]>) -> Self {
        match content_encoding.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"" | b"identity") => Self::Identity,
            Some(b"gzip" | b"x-gzip") => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())), 0),
            Some(b"deflate") => Self::Deflate(Box::new(ZlibDecoder::new(Vec::new())), 0),
            Some(_) => Self::Opaque,
        }
    }

    /// The bytes pass unchanged, so length and encoding headers stay true.
    pub(super) const fn is_identity(&self) -> bool {
        matches!(self, Self::Identity | Self::Opaque)
    }

    /// Plain bytes of this piece; `None` when there are none yet. Damaged input yields what could be decoded.
    pub(super) fn decode(&mut self, piece: Bytes) -> Option<Bytes> {
        match self {
            Self::Identity | Self::Opaque => Some(piece),
            Self::Gzip(decoder, total) => {
                for slice in piece.chunks(SLICE) {
                    if *total + decoder.get_ref().len() > MOST_OUTPUT || decoder.write_all(slice).is_err() {
                        break;
                    }
                }
                taken(decoder.get_mut(), total)
            }
            Self::Deflate(decoder, total) => {
                for slice in piece.chunks(SLICE) {
                    if *total + decoder.get_ref().len() > MOST_OUTPUT || decoder.write_all(slice).is_err() {
                        break;
                    }
                }
                taken(decoder.get_mut(), total)
            }
        }
    }

    /// The rest, at the end of the body.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        match self {
            Self::Identity | Self::Opaque => None,
            Self::Gzip(decoder, total) => {
                let _ = decoder.try_finish().is_ok();
                taken(decoder.get_mut(), total)
            }
            Self::Deflate(decoder, total) => {
                let _ = decoder.try_finish().is_ok();
                taken(decoder.get_mut(), total)
            }
        }
    }
}

fn taken(out: &mut Vec<u8>, total: &mut usize) -> Option<Bytes> {
    *total += out.len();
    (!out.is_empty()).then(|| Bytes::from(std::mem::take(out)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    #[test]
    fn gzip_is_undone_for_any_chunking() {
        let plain = b"{\"usage\":{\"prompt_tokens\":1}}".repeat(100);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        for size in [1, 7, packed.len()] {
            let mut decoder = Decoder::of(Some(b"GZIP"));
            let mut out = Vec::new();
            for piece in packed.chunks(size) {
                out.extend(decoder.decode(Bytes::copy_from_slice(piece)).unwrap_or_default());
            }
            out.extend(decoder.finish().unwrap_or_default());
            assert_eq!(out, plain, "{size}");
        }
    }

    #[test]
    fn damage_and_unknown_encodings_do_not_fail() {
        let mut decoder = Decoder::of(Some(b"gzip"));
        assert_eq!(decoder.decode(Bytes::from_static(b"not gzip")), None);
        let mut opaque = Decoder::of(Some(b"br"));
        assert_eq!(opaque.decode(Bytes::from_static(b"x")), Some(Bytes::from_static(b"x")));
        assert!(opaque.is_identity());
    }
}
