//! The files of a journal: their names, how one is made, and a reader that steps over damage.

use super::record::{Decoded, HEADER_BYTES, Kind, decode, resume};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// First bytes of every file: name and version of the format.
pub(super) const MAGIC: &[u8; 8] = b"TGJRNL\x00\x02";
/// Where the first record begins.
pub(super) const FIRST: u64 = MAGIC.len() as u64;
const READ_BYTES: usize = 256 * 1024;

/// A file that is appended to. The seam at which tests let a disk fail.
pub(super) trait Tape: Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Tape for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// One system call unless the disk takes less than the whole.
pub(super) fn write_whole(tape: &dyn Tape, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match tape.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(super) fn path_of(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:010}.journal"))
}

/// Numbers of the files that are there, in order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".journal")).and_then(|n| n.parse().ok()) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A record that was found. Its bytes are with the reader until the next one is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    /// Header included.
    pub(super) size: u64,
    payload: Range<usize>,
}

/// Reads records in order up to a given end. Bytes that are no record are stepped over and counted.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// Next record.
    at: u64,
    end: u64,
    /// Bytes of the file; `buffer[consumed]` is at `at`.
    buffer: Vec<u8>,
    consumed: usize,
    /// After the last record that was whole.
    whole_until: u64,
    damaged: u64,
}

impl Reader {
    /// Reads `[from, end)`; `from` must be the beginning of a record, or [`FIRST`].
    pub(super) fn open(path: &Path, from: u64, end: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, at: from, end, buffer: Vec::new(), consumed: 0, whole_until: from, damaged: 0 })
    }

    pub(super) const fn position(&self) -> u64 {
        self.at
    }
    pub(super) const fn whole_until(&self) -> u64 {
        self.whole_until
    }
    pub(super) const fn damaged_bytes(&self) -> u64 {
        self.damaged
    }

    /// The file has grown to `end`, or reading has to begin again at `from`.
    pub(super) fn resume_at(&mut self, from: u64, end: u64) {
        if from != self.at {
            self.at = from;
            self.whole_until = from;
            self.buffer.clear();
            self.consumed = 0;
        }
        self.end = end;
    }

    pub(super) fn payload(&self, found: &Found) -> &[u8] {
        self.buffer.get(found.payload.clone()).unwrap_or_default()
    }

    /// `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        while self.at < self.end {
            match decode(self.ahead()) {
                Decoded::Record { kind, payload } => {
                    let begin = self.consumed + HEADER_BYTES;
                    let found = Found {
                        kind,
                        offset: self.at,
                        size: (HEADER_BYTES + payload.len()) as u64,
                        payload: begin..begin + payload.len(),
                    };
                    self.advance(HEADER_BYTES + payload.len());
                    self.whole_until = self.at;
                    return Ok(Some(found));
                }
                // A length that leads beyond the end is a torn tail, or damaged itself.
                Decoded::Short { needs } if self.at + needs as u64 > self.end => self.skip_damage()?,
                Decoded::Short { needs } => self.fill(needs)?,
                Decoded::Damaged => self.skip_damage()?,
            }
        }
        Ok(None)
    }

    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.consumed..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.consumed += bytes;
        self.at += bytes as u64;
    }

    fn skip_damage(&mut self) -> io::Result<()> {
        if self.ahead().is_empty() {
            self.fill(1)?;
        }
        let skipped = resume(self.ahead()).unwrap_or(self.ahead().len());
        self.damaged += skipped as u64;
        self.advance(skipped);
        Ok(())
    }

    /// At least `needs` bytes ahead, which must lie before the end. A file that is shorter than it was said to be ends there.
    fn fill(&mut self, needs: usize) -> io::Result<()> {
        self.buffer.drain(..self.consumed.min(self.buffer.len()));
        self.consumed = 0;
        let mut have = self.buffer.len();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let want = needs.max(READ_BYTES).min(left);
        self.buffer.resize(want.max(have), 0);
        while have < needs {
            let place = self.buffer.get_mut(have..).unwrap_or_default();
            match self.file.read_at(place, self.at + have as u64) {
                Ok(0) => {
                    self.end = self.at + have as u64;
                    break;
                }
                Ok(read) => have += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.buffer.truncate(have);
        // One huge record must not keep its room for ever.
        if self.buffer.capacity() > 8 * READ_BYTES && want <= READ_BYTES {
            self.buffer.shrink_to(READ_BYTES);
        }
        Ok(())
    }
}
