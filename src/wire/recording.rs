//! How long a recording plays, from its container's own structure, while its bytes pass: nothing is decoded, and of the
//! bytes only a few are ever held. A file that breaks off counts as far as it came.

mod frames;
mod matroska;
mod ogg;
mod riff;

use frames::{Adts, Mpeg};
use matroska::Matroska;
use ogg::Ogg;
use riff::Riff;

/// Most bytes that a step may ask to see at once.
const WINDOW: usize = 512;
/// Bytes that are searched for a beginning.
const SEARCH: u64 = 64 * 1024;

/// What a look at the next bytes leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Look again when this many bytes are there.
    More(usize),
    /// Look again past so many bytes.
    Skip(u64),
    /// All that matters was seen.
    Done,
}

#[derive(Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Riff(Riff),
    Mpeg(Mpeg),
    Adts(Adts),
    Ogg(Ogg),
    Matroska(Matroska),
    /// Inside the boxes of an MP4.
    Boxes,
    /// Samples and their rate are written in the head.
    Told {
        samples: u64,
        rate: u64,
    },
    /// None of them.
    Foreign,
}

/// Follows a recording.
#[derive(Debug, Default)]
pub struct Recording {
    format: Format,
    window: Vec<u8>,
    need: usize,
    skip: u64,
    /// Bytes in which no beginning was found.
    searched: u64,
    done: bool,
    total: u64,
}

impl Recording {
    pub fn push(&mut self, piece: &[u8]) {
        self.total = self.total.saturating_add(piece.len() as u64);
        let mut rest = piece;
        while !self.done {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
            self.skip -= skipped as u64;
            rest = rest.get(skipped..).unwrap_or_default();
            let wanted = self.need.max(1).saturating_sub(self.window.len()).min(rest.len());
            let (now, later) = rest.split_at_checked(wanted).unwrap_or((rest, b""));
            self.window.extend_from_slice(now);
            rest = later;
            if self.skip > 0 || self.window.len() < self.need.max(1) {
                return;
            }
            match self.step() {
                Step::More(need) if need > self.window.len() && need <= WINDOW => self.need = need,
                Step::Skip(bytes) if bytes > 0 => {
                    self.need = 1;
                    let held = self.window.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
                    self.window.drain(..held);
                    self.skip = bytes - held as u64;
                }
                _ => self.done = true,
            }
        }
    }

    fn step(&mut self) -> Step {
        let window = &*self.window;
        match &mut self.format {
            Format::Unknown => {
                let (format, step) =
                    if self.searched < SEARCH { recognise(window) } else { (Format::Foreign, Step::Done) };
                self.format = format;
                self.searched += u64::from(step == Step::Skip(1));
                match step {
                    // Its own first look needs no more than is there.
                    Step::More(need) if need <= self.window.len() => self.step(),
                    step => step,
                }
            }
            Format::Riff(riff) => riff.step(window),
            Format::Mpeg(mpeg) => mpeg.step(window),
            Format::Adts(adts) => adts.step(window),
            Format::Ogg(ogg) => ogg.step(window),
            Format::Matroska(matroska) => matroska.step(window),
            Format::Boxes => {
                let (told, step) = boxes(window);
                if let Some((samples, rate)) = told {
                    self.format = Format::Told { samples, rate };
                }
                step
            }
            Format::Told { .. } | Format::Foreign => Step::Done,
        }
    }

    /// Bytes that have passed.
    pub fn bytes(&self) -> u64 {
        self.total
    }

    /// Milliseconds, rounded; `None` when the file does not tell.
    pub fn millis(&self) -> Option<u64> {
        let found = match &self.format {
            Format::Riff(riff) => riff.millis(self.skip),
            Format::Mpeg(mpeg) => mpeg.millis(),
            Format::Adts(adts) => adts.millis(),
            Format::Ogg(ogg) => ogg.millis(),
            Format::Matroska(matroska) => matroska.millis(),
            Format::Told { samples, rate } => millis(*samples, *rate),
            Format::Unknown | Format::Boxes | Format::Foreign => None,
        };
        found.filter(|millis| *millis > 0)
    }
}

fn recognise(window: &[u8]) -> (Format, Step) {
    if window.len() < 12 {
        return (Format::Unknown, Step::More(12));
    }
    let begins = |sign: &[u8]| window.starts_with(sign);
    if (begins(b"RIFF") || begins(b"RF64")) && window.get(8..12) == Some(b"WAVE") {
        return (Format::Riff(Riff::default()), Step::Skip(12));
    }
    if begins(b"fLaC") {
        return flac(window);
    }
    if begins(b"OggS") {
        return (Format::Ogg(Ogg::default()), Step::More(27));
    }
    if begins(b"\x1a\x45\xdf\xa3") {
        return (Format::Matroska(Matroska::default()), Step::More(16));
    }
    if window.get(4..8) == Some(b"ftyp") {
        return (Format::Boxes, Step::More(16));
    }
    if begins(b"ID3") {
        // Its length has seven bits in each byte; a footer is another ten bytes.
        let length = window.get(6..10).unwrap_or_default().iter().fold(0, |n, b| n << 7 | u64::from(b & 0x7f));
        let footer = if window.get(5).is_some_and(|flags| flags & 0x10 != 0) { 10 } else { 0 };
        return (Format::Unknown, Step::Skip(10 + length + footer));
    }
    if frames::is_mpeg(window) {
        return (Format::Mpeg(Mpeg::default()), Step::More(frames::MPEG_HEAD));
    }
    if frames::is_adts(window) {
        return (Format::Adts(Adts::default()), Step::More(frames::ADTS_HEAD));
    }
    (Format::Unknown, Step::Skip(1))
}

/// The first block of a FLAC file says everything.
fn flac(window: &[u8]) -> (Format, Step) {
    if window.len() < 26 {
        return (Format::Unknown, Step::More(26));
    }
    // Twenty bits of rate, eight of channels and sample size, thirty-six of length.
    let packed = be(window, 18, 8).unwrap_or_default();
    (Format::Told { samples: packed & 0xf_ffff_ffff, rate: packed >> 44 }, Step::Done)
}

/// The next box of an MP4, and the film's length with its units per second when that is in it.
fn boxes(window: &[u8]) -> (Option<(u64, u64)>, Step) {
    if window.len() < 16 {
        return (None, Step::More(16));
    }
    let size = match be(window, 0, 4) {
        Some(1) => be(window, 8, 8).unwrap_or_default(),
        Some(size) => size,
        None => 0,
    };
    match window.get(4..8) {
        Some(b"moov") => (None, Step::Skip(8)),
        Some(b"mvhd") if window.len() < 40 => (None, Step::More(40)),
        Some(b"mvhd") => {
            let told = match window.get(8) {
                Some(1) => be(window, 32, 8).zip(be(window, 28, 4)),
                _ => be(window, 24, 4).zip(be(window, 20, 4)),
            };
            // All ones and zero mean that nobody knew.
            let known = told.filter(|(length, _)| !matches!(*length, 0 | 0xffff_ffff | u64::MAX));
            (known, Step::Done)
        }
        // A box without a size goes to the end.
        _ if size < 8 => (None, Step::Done),
        _ => (None, Step::Skip(size)),
    }
}

/// Bytes as a number, the greatest first.
fn be(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Bytes as a number, the greatest last.
fn le(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Milliseconds of so many units at so many a second.
fn millis(units: u64, rate: u64) -> Option<u64> {
    let scaled = u128::from(units) * 1000 + u128::from(rate) / 2;
    u64::try_from(scaled.checked_div(u128::from(rate))?).ok()
}

#[cfg(test)]
mod tests;
