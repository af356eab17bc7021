//! WebM: elements in elements. Its head tells the length, unless it was recorded live: then the last block does.

use super::{Step, be};

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_a966;
const CLUSTER: u64 = 0x1f43_b675;
const BLOCK_GROUP: u64 = 0xa0;
const SCALE: u64 = 0x002a_d7b1;
const DURATION: u64 = 0x4489;
const CLUSTER_TIME: u64 = 0xe7;
const SIMPLE_BLOCK: u64 = 0xa3;
const BLOCK: u64 = 0xa1;

/// Nanoseconds of a unit unless the file says otherwise.
const USUAL_SCALE: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Matroska {
    scale: Option<u64>,
    duration: Option<u64>,
    cluster: u64,
    last_block: u64,
}

impl Matroska {
    pub(super) fn step(&mut self, window: &[u8]) -> Step {
        if window.len() < 16 {
            return Step::More(16);
        }
        let Some((id, id_len)) = id(window) else { return Step::Done };
        let Some((size, size_len)) = size(window.get(id_len..).unwrap_or_default()) else { return Step::Done };
        let begin = id_len + size_len;
        if matches!(id, SEGMENT | INFO | CLUSTER | BLOCK_GROUP) {
            return Step::Skip(begin as u64);
        }
        // Only containers are of unknown size.
        let Some(size) = size else { return Step::Done };
        let number = |length: usize| be(window, begin, length);
        let short = usize::try_from(size).ok().filter(|n| *n <= 8);
        match (id, short) {
            (SCALE | DURATION | CLUSTER_TIME, Some(length)) => {
                let Some(value) = number(length) else { return Step::More(begin + length) };
                match id {
                    SCALE => self.scale = Some(value),
                    DURATION => self.duration = float(value, length),
                    _ => self.cluster = value,
                }
            }
            (SIMPLE_BLOCK | BLOCK, _) if size > 4 => {
                // After the track, which one byte numbers, signed and relative to its cluster.
                let Some(offset) = be(window, begin + 1, 2) else { return Step::More(begin + 3) };
                let time = if offset < 0x8000 {
                    self.cluster.saturating_add(offset)
                } else {
                    self.cluster.saturating_sub(0x1_0000 - offset)
                };
                self.last_block = self.last_block.max(time);
            }
            _ => {}
        }
        Step::Skip(size.saturating_add(begin as u64))
    }

    pub(super) fn millis(&self) -> Option<u64> {
        let units = self.duration.unwrap_or(self.last_block);
        let nanos = u128::from(units) * u128::from(self.scale.unwrap_or(USUAL_SCALE));
        u64::try_from((nanos + 500_000) / 1_000_000).ok()
    }
}

/// The name of an element with the bits that tell its length.
fn id(text: &[u8]) -> Option<(u64, usize)> {
    let length = text.first()?.leading_zeros() as usize + 1;
    (length <= 4).then(|| be(text, 0, length).map(|id| (id, length)))?
}

/// `None` inside: not known.
fn size(text: &[u8]) -> Option<(Option<u64>, usize)> {
    let length = text.first()?.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let mask = (1u64 << (7 * length)) - 1;
    let size = be(text, 0, length)? & mask;
    Some(((size != mask).then_some(size), length))
}

/// A floating-point number of four or eight bytes, as whole units.
fn float(bits: u64, length: usize) -> Option<u64> {
    let value = match length {
        4 => f64::from(f32::from_bits(u32::try_from(bits).ok()?)),
        8 => f64::from_bits(bits),
        _ => return None,
    };
    let sane = value.is_finite() && (0.0..1e15).contains(&value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative and in range")]
    sane.then_some(value.round() as u64)
}
