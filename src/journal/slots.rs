//! Who has which directory. A journal has two of them, so that a process and the one that takes over from it have one
//! each: the configured directory itself, and `second` in it. A process that starts takes the first that is free, and
//! looks after the other: what a former process left there, or is still writing there.
//!
//! Processes tell each other where they stand by locking files, so that nothing they said outlives them:
//!
//! | File | Locked by | As long as |
//! |---|---|---|
//! | `lock` | the owner of the directory | it lives |
//! | `heir` | the process with the other directory | it is ready to take over, and then follows the owner's journal |
//! | `leaving` | the owner | it gives its sockets away |
//! | `left` | the owner | it admits no requests any more; its last ones run |

use super::append::{FileJournal, OpenError};
use super::follow::Former;
use super::{JournalSettings, segment};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: &str = "second";
/// Somebody who looks at a sign holds it for a moment.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// What is told by a locked file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    Owned,
    Heir,
    Leaving,
    Left,
}

impl Sign {
    fn path(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Self::Owned => "lock",
            Self::Heir => "heir",
            Self::Leaving => "leaving",
            Self::Left => "left",
        })
    }

    /// Up until the file is dropped. `None`: somebody else has it up.
    pub(super) fn raise(self, directory: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(self.path(directory))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(super) fn is_up(self, directory: &Path) -> io::Result<bool> {
        let file = match File::open(self.path(directory)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Where the owner of a directory stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Serving,
    /// Gives its sockets away, and still admits requests.
    Leaving,
    /// Admits nothing any more.
    Left,
    /// Is gone, or never was.
    Ended,
}

impl Standing {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        // The owner last: an end that happens while we look is then seen.
        let (left, leaving) = (Sign::Left.is_up(directory)?, Sign::Leaving.is_up(directory)?);
        Ok(match (Sign::Owned.is_up(directory)?, left, leaving) {
            (false, ..) => Self::Ended,
            (true, true, _) => Self::Left,
            (true, false, true) => Self::Leaving,
            (true, false, false) => Self::Serving,
        })
    }
}

impl FileJournal {
    /// As [`FileJournal::open`], in the first directory that is free. Also gives the former process, when the other
    /// directory has something of one.
    ///
    /// # Errors
    /// As [`FileJournal::open`]. Another process serves from this journal and `upgrade` was not asked for; or it was,
    /// and two of them use the journal already.
    pub fn open_beside(settings: &JournalSettings, upgrade: bool) -> Result<(Self, Option<Former>), OpenError> {
        let io = |source| OpenError::Io { doing: "look after its directories", source };
        let first = settings.directory.clone();
        let second = first.join(SECOND);
        let (own, other) = match Self::open(settings.clone()) {
            Ok(journal) => (journal, second),
            Err(OpenError::InUse(taken)) => {
                if !upgrade && Standing::of(&first).map_err(io)? != Standing::Left {
                    return Err(OpenError::InUse(taken));
                }
                let settings = JournalSettings { directory: second, ..settings.clone() };
                (Self::open(settings).map_err(|error| both_taken(error, &first))?, first.clone())
            }
            Err(error) => return Err(error),
        };
        match Standing::of(&other).map_err(io)? {
            Standing::Ended if segment::list(&other).is_ok_and(|files| !files.is_empty()) => {}
            Standing::Ended => return Ok((own, None)),
            Standing::Left => {}
            Standing::Serving | Standing::Leaving if upgrade => {}
            Standing::Serving | Standing::Leaving => return Err(OpenError::InUse(first)),
        }
        Ok((own, Some(Former::new(JournalSettings { directory: other, ..settings.clone() }))))
    }
}

fn both_taken(error: OpenError, directory: &Path) -> OpenError {
    match error {
        OpenError::InUse(_) => OpenError::Upgrading(directory.to_owned()),
        error => error,
    }
}

/// Makes a journal's directory, for its owner's eyes only.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
