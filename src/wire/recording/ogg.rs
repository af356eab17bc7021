//! Ogg with Opus, Vorbis or FLAC in it: every page says how many samples were played by its end.

use super::{Step, be, le, millis};

const PAGE_HEAD: usize = 27;
/// Bytes of the first packet that say what it is.
const PACKET_HEAD: usize = 30;
const NO_POSITION: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Ogg {
    serial: Option<u64>,
    rate: u64,
    /// Samples at the beginning that are not played.
    pre_skip: u64,
    end: u64,
}

impl Ogg {
    pub(super) fn step(&mut self, window: &[u8]) -> Step {
        if window.len() < PAGE_HEAD {
            return Step::More(PAGE_HEAD);
        }
        if !window.starts_with(b"OggS") {
            return Step::Done;
        }
        let segments = usize::from(window.get(26).copied().unwrap_or_default());
        let Some(table) = window.get(PAGE_HEAD..PAGE_HEAD + segments) else {
            return Step::More(PAGE_HEAD + segments);
        };
        let content: usize = table.iter().map(|length| usize::from(*length)).sum();
        let serial = le(window, 14, 4);
        if self.serial.is_none() {
            let begin = PAGE_HEAD + segments;
            let Some(packet) = window.get(begin..begin + PACKET_HEAD.min(content)) else {
                return Step::More(begin + PACKET_HEAD.min(content));
            };
            self.serial = serial;
            self.codec(packet);
        }
        if let Some(position) = le(window, 6, 8).filter(|p| *p != NO_POSITION && serial == self.serial) {
            self.end = self.end.max(position);
        }
        Step::Skip((PAGE_HEAD + segments + content) as u64)
    }

    fn codec(&mut self, packet: &[u8]) {
        if packet.starts_with(b"OpusHead") {
            self.rate = 48_000;
            self.pre_skip = le(packet, 10, 2).unwrap_or_default();
        } else if packet.starts_with(b"\x01vorbis") {
            self.rate = le(packet, 12, 4).unwrap_or_default();
        } else if packet.starts_with(b"\x7fFLAC") {
            self.rate = be(packet, 27, 3).unwrap_or_default() >> 4;
        }
    }

    pub(super) fn millis(&self) -> Option<u64> {
        millis(self.end.saturating_sub(self.pre_skip), self.rate)
    }
}
