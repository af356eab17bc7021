//! The file of events that the store will not take: one JSON line each, for the operator. The next start tries them again.

use super::record::{Kind, encode, encode_payload};
use super::segment::{MAGIC, list, path_of};
use super::state::State;
use crate::domain::Event;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "events.rejected";
/// What is not finished yet carries this.
const NEW: &str = "new";

/// A payload that is no event of the version that set it aside.
#[derive(Serialize, Deserialize)]
struct Unreadable {
    /// Base64.
    unreadable: String,
    /// Its request was never ended.
    #[serde(default)]
    opened: bool,
}

/// Appends to the file; on disk when it returns.
pub(super) fn set_aside(directory: &Path, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    // Bodies are kept as they came. Between their tokens a line may end, inside of a string it cannot.
    line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    append_line(directory, line)
}

/// The same for a payload that is no event of this version.
pub(super) fn set_aside_unreadable(directory: &Path, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let line = Unreadable { unreadable: STANDARD.encode(payload), opened: kind == Kind::Open };
    append_line(directory, serde_json::to_vec(&line)?)
}

fn append_line(directory: &Path, mut line: Vec<u8>) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(FILE))?;
    let whole = file.metadata()?.len();
    line.push(b'\n');
    if let Err(error) = file.write_all(&line) {
        // A part of it must not stay: the next line would begin there.
        file.set_len(whole)?;
        return Err(error);
    }
    file.sync_data()
}

/// Makes what a former process set aside the newest file of the journal, before that is read: a newer version, or a
/// database that was mended, may take it. A kill at any point leaves it in one of the two files or in both, and the
/// store takes an event once. Lines that nobody can read stay aside, and all of them when they are more than `most` bytes
/// or the disk takes no data.
pub(super) fn take_back(directory: &Path, most: u64) {
    if let Err(error) = try_to_take_back(directory, most) {
        tracing::error!(%error, "events that are set aside are not tried again at this start");
    }
}

fn try_to_take_back(directory: &Path, most: u64) -> io::Result<()> {
    let path = directory.join(FILE);
    let Some(file) = open(&path)? else { return Ok(()) };
    if file.metadata()?.len() > most {
        tracing::error!(file = %path.display(), most, "too many events are set aside to be tried again at once: divide the file");
        return Ok(());
    }
    let segment = list(directory)?.last().map_or(State::default().next_segment, |last| last + 1);
    let (mut again, mut kept) = (New::beside(&path_of(directory, segment))?, New::beside(&path)?);
    let (mut returned, mut left) = (0_u64, 0);
    again.out.write_all(MAGIC)?;
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        if let Some(record) = record_of(&line) {
            again.out.write_all(&record)?;
            returned += 1;
        } else {
            kept.out.write_all(&line)?;
            kept.out.write_all(b"\n")?;
            left += 1;
        }
    }
    if returned > 0 {
        again.finish()?;
        tracing::info!(events = returned, "events that were set aside are tried again");
    } else {
        again.discard()?;
    }
    // The journal has them, on disk: now they may go from here.
    File::open(directory)?.sync_all()?;
    if left > 0 {
        kept.finish()?;
        tracing::error!(lines = left, file = %path.display(), "lines that are no events stay set aside");
    } else {
        kept.discard()?;
        std::fs::remove_file(&path)?;
    }
    File::open(directory)?.sync_all()
}

/// How many are set aside.
pub(super) fn lines(directory: &Path) -> io::Result<u64> {
    let Some(file) = open(&directory.join(FILE))? else { return Ok(0) };
    BufReader::new(file).split(b'\n').try_fold(0, |lines, line| line.map(|_| lines + 1))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As the journal has it; `None`: no event.
fn record_of(line: &[u8]) -> Option<Vec<u8>> {
    if let Ok(event) = serde_json::from_slice::<Event>(line) {
        return encode(Kind::Close, &event).ok();
    }
    let found: Unreadable = serde_json::from_slice(line).ok()?;
    let payload = STANDARD.decode(found.unreadable).ok()?;
    encode_payload(if found.opened { Kind::Open } else { Kind::Close }, &payload).ok()
}

/// A file that takes its name once it is whole.
struct New {
    out: BufWriter<File>,
    /// Until then, and from then on.
    names: [PathBuf; 2],
}

impl New {
    fn beside(path: &Path) -> io::Result<Self> {
        let now = path.with_added_extension(NEW);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&now)?;
        Ok(Self { out: BufWriter::new(file), names: [now, path.to_owned()] })
    }

    fn finish(self) -> io::Result<()> {
        let [now, then] = self.names;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(now, then)
    }

    fn discard(self) -> io::Result<()> {
        let [now, _] = self.names;
        std::fs::remove_file(now)
    }
}
