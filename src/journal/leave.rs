//! What the owner of a journal does to hand over to another process: it stops admitting, and says what it still holds.

use super::append::FileJournal;
use super::slots::Sign;
use crate::limits::Held;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Up until it is dropped.
#[derive(Debug)]
pub struct Offer {
    _sign: File,
}

impl FileJournal {
    /// Whether another process waits to take over.
    pub fn has_heir(&self) -> bool {
        Sign::Heir.is_up(self.directory()).unwrap_or(false)
    }

    /// Tells the heir that the sockets are on their way.
    ///
    /// # Errors
    /// It could not be told.
    pub fn offer(&self) -> io::Result<Offer> {
        self.raise(Sign::Leaving)
    }

    /// From now on no request is opened; the running ones are closed as ever. Not to be taken back.
    pub fn stop_opening(&self) {
        self.shared.state.lock().sealed_off = true;
    }

    /// Leaves to the heir whatever is not in the store, and what is held for running requests.
    /// After [`Self::stop_opening`], and after the drainer has stopped: the heir counts what the store has by now.
    ///
    /// # Errors
    /// The heir could not be told: it waits until this process ends.
    pub fn leave(&self, holds: &[Held]) -> io::Result<Offer> {
        if let Err(error) = write_holds(self.directory(), holds) {
            tracing::error!(%error, "what running requests hold cannot be handed over: their keys wait for their end");
            drop(std::fs::remove_file(holds_file(self.directory())));
        }
        self.raise(Sign::Left)
    }

    fn raise(&self, sign: Sign) -> io::Result<Offer> {
        let file = sign.raise(self.directory())?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Offer { _sign: file })
    }

    /// The one of its two that is this process's.
    pub fn directory(&self) -> &Path {
        &self.shared.settings.directory
    }
}

fn holds_file(directory: &Path) -> PathBuf {
    directory.join("holds.json")
}

fn write_holds(directory: &Path, holds: &[Held]) -> io::Result<()> {
    let path = holds_file(directory);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(holds)?)
}

/// What the owner said it holds; `None` when it could not say.
pub(super) fn read_holds(directory: &Path) -> Option<Vec<Held>> {
    let text = std::fs::read(holds_file(directory)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// An old list must not be taken for a new one.
pub(super) fn forget_holds(directory: &Path) {
    drop(std::fs::remove_file(holds_file(directory)));
}
