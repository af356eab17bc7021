//! [`FileJournal`]: [`crate::ledger::Journal`] in a directory of append-only files, and [`Drainer`], which carries what
//! is in them to the store.
//!
//! # What is where
//! - `record`: how one event lies in a file, `payload`: its fields. `segment`: the files, and reading them past any damage.
//! - `state`: what is known of files and running requests. `append`: the port and its one write path. `sync`: the thread that makes it durable.
//! - `recover`: what a former process left, at start. `reclaim`: which files may go.
//! - `slots`: two directories for two processes while one hands over. `leave`: the one that goes. `follow`: the one that comes.
//! - `drain`: closed events to the store. `reject`: which event the store will not take. `aside`: where that one goes.
//!
//! # Invariants
//! - Every event reaches the store by being read back from the files, the same way on a good day and after an outage
//!   or a crash. Memory holds the ids of requests in flight and one batch, never the backlog.
//! - A file is deleted when it is the oldest, everything closed in it is in the store, and nothing opened in it is still
//!   running. Oldest first, so no `open` is ever left behind whose `close` is gone. A request that runs for long does
//!   not keep its file: its `open` is written again at the end.
//! - The store takes an event once, by its id. That makes every repetition here harmless.

mod append;
mod aside;
mod drain;
mod follow;
mod leave;
mod payload;
mod reclaim;
mod record;
mod recover;
mod reject;
mod segment;
mod slots;
mod state;
mod sync;
#[cfg(test)]
mod tests;

pub use append::{FileJournal, OpenError, Stats};
pub use drain::{DrainSettings, Drainer};
pub use follow::{Estate, Former, LOOK};
pub use leave::Offer;
pub use recover::Recovery;
pub use slots::Standing;

use std::path::PathBuf;
use std::time::Duration;

/// Where the journal is and what it may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalSettings {
    /// Created when absent. One process at a time, or two while one takes over from the other.
    pub directory: PathBuf,
    /// Above this (less what running requests need to end) no request is opened. At least 1 MiB.
    pub max_bytes: u64,
    /// A file of this size is followed by the next; at least 4 KiB, at most an eighth of `max_bytes`.
    pub segment_bytes: u64,
    /// How long a record may be in the hands of the operating system only. At least 1 ms.
    pub sync_interval: Duration,
    /// Events of [`crate::ledger::Journal::note`] that may wait for the store.
    pub notes: usize,
}

impl JournalSettings {
    /// The defaults: 1 GiB in files of 64 MiB, on disk within 50 ms.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_bytes: 1 << 30,
            segment_bytes: 64 << 20,
            sync_interval: Duration::from_millis(50),
            notes: 10_000,
        }
    }
}
