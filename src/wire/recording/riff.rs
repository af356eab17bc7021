//! WAV: chunks with their lengths; one says bytes a second, one holds the sound.

use super::{Step, le, millis};

#[derive(Debug, Default)]
pub(super) struct Riff {
    byte_rate: u64,
    /// Length of the sound as it is written down.
    data: Option<u64>,
}

impl Riff {
    pub(super) fn step(&mut self, window: &[u8]) -> Step {
        let Some(size) = le(window, 4, 4) else { return Step::More(8) };
        match window.get(..4) {
            Some(b"fmt ") => match le(window, 16, 4) {
                Some(rate) => self.byte_rate = rate,
                None => return Step::More(20),
            },
            Some(b"data") => {
                // A writer that could not seek back left nothing or all ones there: the sound goes to the end.
                let size = if size == 0 { u64::from(u32::MAX) } else { size };
                let size = if size >= 0xffff_ff00 { u64::MAX - 8 } else { size };
                self.data = Some(size);
                return Step::Skip(size + 8);
            }
            _ => {}
        }
        Step::Skip(8 + size + size % 2)
    }

    /// `missing`: bytes of the current chunk that have not come.
    pub(super) fn millis(&self, missing: u64) -> Option<u64> {
        let data = self.data?;
        millis(data - data.min(missing), self.byte_rate)
    }
}
