//! Gzip without compression (stored blocks), which every decoder accepts: enough to be an upstream that encodes
//! although it was asked not to.

use super::reply::Pieces;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The same pieces, each decodable as soon as it has arrived.
pub fn encode(pieces: &Pieces) -> Pieces {
    let mut encoded = Pieces::default();
    let mut sum = crc32fast::Hasher::new();
    let mut total = 0_u32;
    let mut piece = HEADER.to_vec();
    for plain in pieces.iter() {
        sum.update(plain);
        // The trailer holds the length modulo 2^32, which is what wrapping gives.
        #[expect(clippy::cast_possible_truncation, reason = "RFC 1952: length modulo 2^32")]
        let length = plain.len() as u32;
        total = total.wrapping_add(length);
        for block in plain.chunks(usize::from(u16::MAX)) {
            stored(&mut piece, block, false);
        }
        encoded.push(&piece);
        piece.clear();
    }
    stored(&mut piece, b"", true);
    piece.extend_from_slice(&sum.finalize().to_le_bytes());
    piece.extend_from_slice(&total.to_le_bytes());
    encoded.push(&piece);
    encoded
}

/// RFC 1951, 3.2.4: three header bits padded to a byte, length, its complement, the bytes.
fn stored(out: &mut Vec<u8>, block: &[u8], last: bool) {
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    out.push(u8::from(last));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(block);
}
