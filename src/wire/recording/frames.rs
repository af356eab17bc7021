//! MP3 and raw AAC: no container, only frames. Each one says how long it is in bytes and in samples, so that counting
//! them is exact whatever the bit rate does.

use super::{Step, millis};

/// Bytes to see of a first frame: it may hold a table instead of sound.
pub(super) const MPEG_HEAD: usize = 40;
pub(super) const ADTS_HEAD: usize = 7;

/// Kilobits a second by the index in the header, less one.
type Bitrates = [u64; 14];
const FIRST_I: Bitrates = [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
const FIRST_II: Bitrates = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const FIRST_III: Bitrates = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const LOW_I: Bitrates = [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
const LOW: Bitrates = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

const ADTS_RATES: [u64; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

#[derive(Clone, Copy, Debug)]
struct Frame {
    bytes: u64,
    samples: u64,
    rate: u64,
}

/// Frames that follow each other without a gap. One that has no neighbour is none: other bytes can look like it.
#[derive(Debug, Default)]
struct Chain {
    pending: Option<Frame>,
    /// The pending one follows another.
    linked: bool,
    samples: u64,
    rate: u64,
    framed: u64,
    lost: u64,
}

impl Chain {
    fn next(&mut self, frame: Option<Frame>) -> Step {
        let Some(frame) = frame else {
            if std::mem::take(&mut self.linked) {
                self.count();
            }
            self.pending = None;
            self.lost += 1;
            return Step::Skip(1);
        };
        self.linked = self.pending.is_some();
        self.count();
        self.pending = Some(frame);
        Step::Skip(frame.bytes)
    }

    fn count(&mut self) {
        if let Some(frame) = self.pending.take() {
            self.samples += frame.samples;
            self.framed += frame.bytes;
            self.rate = frame.rate;
        }
    }

    fn millis(&self) -> Option<u64> {
        let last = self.pending.map_or(0, |frame| frame.samples);
        let rate = if self.rate == 0 { self.pending?.rate } else { self.rate };
        (self.lost <= self.framed).then(|| millis(self.samples + last, rate))?
    }
}

#[derive(Debug, Default)]
pub(super) struct Mpeg {
    chain: Chain,
    begun: bool,
}

impl Mpeg {
    pub(super) fn step(&mut self, window: &[u8]) -> Step {
        if window.len() < 4 {
            return Step::More(4);
        }
        let Some(frame) = mpeg(window) else { return self.chain.next(None) };
        if !std::mem::replace(&mut self.begun, true) && is_table(window) {
            return Step::Skip(frame.bytes);
        }
        self.chain.next(Some(frame))
    }

    pub(super) fn millis(&self) -> Option<u64> {
        self.chain.millis()
    }
}

pub(super) fn is_mpeg(window: &[u8]) -> bool {
    mpeg(window).is_some()
}

fn mpeg(window: &[u8]) -> Option<Frame> {
    let [0xff, b, c, _, ..] = *window else { return None };
    if b & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer) = (b >> 3 & 3, b >> 1 & 3);
    let first = version == 3;
    let rates = match (layer, first) {
        (3, true) => FIRST_I,
        (2, true) => FIRST_II,
        (1, true) => FIRST_III,
        (3, false) => LOW_I,
        (1 | 2, false) => LOW,
        _ => return None,
    };
    let kbits = *rates.get(usize::from(c >> 4).checked_sub(1)?)?;
    let rate = *[44_100, 48_000, 32_000].get(usize::from(c >> 2 & 3))?;
    let rate = match version {
        3 => rate,
        2 => rate / 2,
        0 => rate / 4,
        _ => return None,
    };
    let padding = u64::from(c >> 1 & 1);
    let samples = match (layer, first) {
        (3, _) => 384,
        (1, false) => 576,
        _ => 1152,
    };
    let bytes = match layer {
        3 => (12_000 * kbits / rate + padding) * 4,
        _ => samples / 8 * 1000 * kbits / rate + padding,
    };
    (bytes > 4).then_some(Frame { bytes, samples, rate })
}

/// Encoders begin with a silent frame that holds a table for seeking.
fn is_table(window: &[u8]) -> bool {
    let (first, mono) =
        (window.get(1).is_some_and(|b| b & 0x18 == 0x18), window.get(3).is_some_and(|b| b & 0xc0 == 0xc0));
    let side = match (first, mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    matches!(window.get(4 + side..8 + side), Some(b"Xing" | b"Info")) || window.get(36..40) == Some(b"VBRI")
}

#[derive(Debug, Default)]
pub(super) struct Adts {
    chain: Chain,
}

impl Adts {
    pub(super) fn step(&mut self, window: &[u8]) -> Step {
        if window.len() < ADTS_HEAD { Step::More(ADTS_HEAD) } else { self.chain.next(adts(window)) }
    }

    pub(super) fn millis(&self) -> Option<u64> {
        self.chain.millis()
    }
}

pub(super) fn is_adts(window: &[u8]) -> bool {
    adts(window).is_some()
}

fn adts(window: &[u8]) -> Option<Frame> {
    let [0xff, b, c, d, e, f, g, ..] = *window else { return None };
    if b & 0xf6 != 0xf0 {
        return None;
    }
    let rate = *ADTS_RATES.get(usize::from(c >> 2 & 15))?;
    let bytes = u64::from(d & 3) << 11 | u64::from(e) << 3 | u64::from(f >> 5);
    let samples = 1024 * (u64::from(g & 3) + 1);
    (bytes > ADTS_HEAD as u64).then_some(Frame { bytes, samples, rate })
}
