//! The port and its one write path: a record is encoded outside the lock and written by one system call
//! inside it, at the end of the newest file. Nothing is buffered in the process.
//!
//! A write that fails leaves the file as it was before, and the journal closed for new requests until `sync` finds that
//! the disk takes data again. What running requests close meanwhile waits in memory, within a bound.

use super::aside::{lines, take_back};
use super::record::{HEADER_BYTES, Kind, encode};
use super::recover::{self, Recovery};
use super::segment::{FIRST, MAGIC, Tape, path_of, write_whole};
use super::slots::{self, Sign};
use super::state::{Active, Cursor, Place, Segment, State, Synced};
use super::{JournalSettings, sync};
use crate::domain::Event;
use crate::ledger::{Journal, JournalError, Position};
use async_trait::async_trait;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Room that every running request has for its end. Bodies are left out of an event that would not fit.
const CLOSE_BYTES: u64 = 4 * 1024;
/// An ordinary request's record at its admission: a journal without room for it calls itself full.
const OPEN_BYTES: u64 = 512;
/// Written and taken back, to see whether the disk takes what an event needs.
static PROBE: [u8; 4 * 1024] = [0; 4 * 1024];
/// A disk that takes longer than this for a sync counts as failed for the one who waits.
const SYNC_WAIT: Duration = Duration::from_secs(30);

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process uses the journal in {}", .0.display())]
    InUse(PathBuf),
    #[error("two processes use the journal in {}: one of them is still handing over to the other", .0.display())]
    Upgrading(PathBuf),
    #[error("the journal cannot {doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
}

/// How the journal stands, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Closed events that the store does not have yet.
    pub pending: u64,
    /// Requests that are open.
    pub running: u64,
    /// In files, drained or not.
    pub bytes: u64,
    pub files: u64,
    /// Not yet on disk for certain.
    pub unsynced_bytes: u64,
    /// Closed events that wait in memory for the disk.
    pub unwritten: u64,
    /// Closed events that found no place even there; the next start books what their `open` said.
    pub unbooked: u64,
    /// Refusal events that found the queue full or the store away.
    pub dropped_notes: u64,
    /// Events that the store will not take, set aside in a file: what is in there now.
    pub rejected: u64,
    pub writable: bool,
}

/// [`Journal`] in files. Dropping it without [`super::Drainer::stop`] loses nothing: the next start drains what is left.
pub struct FileJournal {
    pub(super) shared: Arc<Shared>,
    syncing: Option<JoinHandle<()>>,
    /// Taken by the one drainer.
    pub(super) noted: Mutex<Option<mpsc::Receiver<Event>>>,
    recovery: Recovery,
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What makes a new file: tests hand in one that fails.
pub(super) type Create = Box<dyn Fn(&Path) -> io::Result<Arc<dyn Tape>> + Send + Sync>;

/// What the journal, its sync thread and its drainer share.
pub(super) struct Shared {
    pub(super) settings: JournalSettings,
    create: Create,
    pub(super) state: Mutex<State>,
    /// Wakes the sync thread.
    pub(super) wake: Condvar,
    pub(super) synced: watch::Sender<Synced>,
    /// Wakes the drainer.
    pub(super) work: Notify,
    notes: mpsc::Sender<Event>,
    pub(super) dropped_notes: AtomicU64,
    pub(super) rejected: AtomicU64,
    /// Locked as long as it is open.
    _lock: File,
}

impl FileJournal {
    /// Takes the directory, reads what a former process left there and books what that one never ended.
    /// Leftovers are in the store once [`super::Drainer::caught_up`] says so.
    ///
    /// # Errors
    /// Another process has the directory, or it cannot be read. A disk that only takes no data is no error:
    /// the journal is then not [writable](Journal::writable).
    pub fn open(settings: JournalSettings) -> Result<Self, OpenError> {
        Self::open_on(settings, Box::new(create_file))
    }

    pub(super) fn open_on(mut settings: JournalSettings, create: Create) -> Result<Self, OpenError> {
        let io = |doing| move |source| OpenError::Io { doing, source };
        settings.max_bytes = settings.max_bytes.max(1 << 20);
        settings.segment_bytes = settings.segment_bytes.clamp(4096, settings.max_bytes / 8);
        settings.sync_interval = settings.sync_interval.max(Duration::from_millis(1));
        let directory = settings.directory.clone();
        slots::make(&directory).map_err(io("make its directory"))?;
        let lock = Sign::Owned.raise(&directory).map_err(io("make its lock"))?;
        let lock = lock.ok_or_else(|| OpenError::InUse(directory.clone()))?;
        // Far below what the journal may take, so that it never is full of what nobody takes.
        take_back(&directory, settings.max_bytes / 8);
        let (state, leftovers) = recover::read(&directory).map_err(io("read what a former process left"))?;
        let (notes, noted) = mpsc::channel(settings.notes.max(1));
        let shared = Arc::new(Shared {
            settings,
            create,
            state: Mutex::new(state),
            wake: Condvar::new(),
            synced: watch::Sender::new(Synced::default()),
            work: Notify::new(),
            notes,
            dropped_notes: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            _lock: lock,
        });
        let recovery = recover::book(&shared, &leftovers).map_err(io("book what a former process left"))?;
        let rejected = lines(&directory).map_err(io("count what is set aside"))?;
        shared.rejected.store(rejected, Ordering::Relaxed);
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new().name("journal-sync".into()).spawn(move || sync::run(&shared))
        };
        let syncing = Some(thread.map_err(io("start its thread"))?);
        Ok(Self { shared, syncing, noted: Mutex::new(Some(noted)), recovery })
    }

    /// What the former process left.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        Stats {
            pending: state.pending,
            running: state.opens.len() as u64,
            bytes: state.bytes,
            files: state.segments.len() as u64,
            unsynced_bytes: state.appended - state.synced,
            unwritten: state.unwritten.len() as u64,
            unbooked: state.unbooked,
            dropped_notes: self.shared.dropped_notes.load(Ordering::Relaxed),
            rejected: self.shared.rejected.load(Ordering::Relaxed),
            writable: self.shared.takes_more(&state, OPEN_BYTES),
        }
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.syncing.take() {
            // A panic there has been reported by its own hook.
            drop(thread.join());
        }
    }
}

#[async_trait]
impl Journal for FileJournal {
    fn open(&self, event: &Event) -> Result<(), JournalError> {
        let record = encode(Kind::Open, event)?;
        let mut state = self.shared.state.lock();
        if state.failed {
            return Err(io::Error::other("waiting for the disk to take data again").into());
        }
        if !self.shared.takes_more(&state, record.len() as u64) {
            return Err(JournalError::Full);
        }
        let at = match self.shared.append(&mut state, &record) {
            Ok(at) => at,
            Err(error) => {
                self.shared.fail(&mut state, &error);
                return Err(error.into());
            }
        };
        state.note_open(event.id, Place { at, size: record.len() as u64 });
        self.shared.wake_sync(&mut state);
        Ok(())
    }

    fn close(&self, event: &Event) -> Result<Position, JournalError> {
        let mut record = encode(Kind::Close, event)?;
        if (event.request.is_some() || event.response.is_some()) && self.shared.is_over_limit(record.len()) {
            let bare = Event { request: None, response: None, ..event.clone() };
            record = encode(Kind::Close, &bare)?;
        }
        let mut state = self.shared.state.lock();
        match self.shared.append(&mut state, &record) {
            Ok(_) => {
                state.note_close(event.id);
                let position = Position(state.appended);
                self.shared.wake_sync(&mut state);
                drop(state);
                self.shared.work.notify_one();
                Ok(position)
            }
            Err(error) => {
                self.shared.fail(&mut state, &error);
                state.keep_unwritten(event.id, record);
                Err(error.into())
            }
        }
    }

    async fn synced(&self, position: Position) -> Result<(), JournalError> {
        let mut updates = self.shared.synced.subscribe();
        self.shared.hurry_sync(position);
        let decided = updates.wait_for(|s| s.covers(position.0).is_some());
        match tokio::time::timeout(SYNC_WAIT, decided).await {
            Ok(Ok(synced)) if synced.covers(position.0) == Some(true) => Ok(()),
            Ok(_) => Err(io::Error::other("the disk did not confirm").into()),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    fn note(&self, event: Event) {
        if self.shared.notes.try_send(event).is_err() {
            self.shared.dropped_notes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn depth(&self) -> u64 {
        self.shared.state.lock().pending
    }

    fn writable(&self) -> bool {
        let state = self.shared.state.lock();
        self.shared.takes_more(&state, OPEN_BYTES)
    }
}

impl Shared {
    /// Whether a request may be opened with a record of this size, so that it and all others can still end.
    fn takes_more(&self, state: &State, record: u64) -> bool {
        let reserved = (state.opens.len() as u64 + 1) * CLOSE_BYTES;
        !state.failed && !state.sealed_off && state.bytes + record + reserved <= self.settings.max_bytes
    }

    fn is_over_limit(&self, record: usize) -> bool {
        self.state.lock().bytes + record as u64 > self.settings.max_bytes
    }

    /// At the end of the newest file, or of a new one. On an error nothing was written.
    pub(super) fn append(&self, state: &mut State, record: &[u8]) -> io::Result<Cursor> {
        let (segment, tape) = self.newest(state)?;
        let offset = state.segments.get(&segment).map_or(FIRST, |s| s.bytes);
        if let Err(error) = write_whole(&*tape, record, offset) {
            // What was written of it must not stay: the next record begins there. If even that fails the file is
            // left behind, and readers step over the torn end.
            if tape.set_len(offset).is_err() {
                state.seal();
            }
            return Err(error);
        }
        let written = record.len() as u64;
        if let Some(s) = state.segments.get_mut(&segment) {
            s.bytes += written;
        }
        state.bytes += written;
        state.appended += written;
        Ok(Cursor { segment, offset })
    }

    fn newest(&self, state: &mut State) -> io::Result<(u64, Arc<dyn Tape>)> {
        let current = state.active.as_ref().map(|a| (a.segment, a.tape.clone()));
        let is_full = |segment| state.segments.get(segment).is_none_or(|s| s.bytes >= self.settings.segment_bytes);
        match current {
            Some((segment, tape)) if !is_full(&segment) => Ok((segment, tape)),
            // No new file can be had: the old one serves beyond its size.
            Some(current) => self.begin_segment(state).or(Ok(current)),
            None => self.begin_segment(state),
        }
    }

    fn begin_segment(&self, state: &mut State) -> io::Result<(u64, Arc<dyn Tape>)> {
        let segment = state.next_segment;
        state.next_segment += 1;
        let path = path_of(&self.settings.directory, segment);
        let tape = (self.create)(&path)?;
        if let Err(error) = write_whole(&*tape, MAGIC, 0) {
            drop(std::fs::remove_file(&path));
            return Err(error);
        }
        state.seal();
        state.segments.insert(segment, Segment { bytes: FIRST, opens: 0 });
        state.bytes += FIRST;
        state.names_changed = true;
        state.active = Some(Active { segment, tape: tape.clone() });
        Ok((segment, tape))
    }

    /// Writes 4 KiB where the next record goes, takes them back, and has the disk confirm. Then what waited in memory.
    pub(super) fn probe(&self) {
        let mut state = self.state.lock();
        if let Err(error) = self.try_probe(&mut state) {
            tracing::debug!(%error, "the journal's disk still takes no data");
            return;
        }
        state.failed = false;
        while let Some((id, record)) = state.next_unwritten() {
            if let Err(error) = self.append(&mut state, &record) {
                state.fail(&error);
                state.back_to_unwritten(id, record);
                return;
            }
            state.note_close(id);
        }
        drop(state);
        tracing::info!("the journal can be written again");
        self.work.notify_one();
    }

    fn try_probe(&self, state: &mut State) -> io::Result<()> {
        let (segment, tape) = self.newest(state)?;
        let offset = state.segments.get(&segment).map_or(FIRST, |s| s.bytes);
        let written = write_whole(&*tape, &PROBE, offset);
        let undone = tape.set_len(offset);
        if undone.is_err() {
            state.seal();
        }
        written.and(undone).and_then(|()| tape.sync())
    }

    /// Closes the journal for new requests and has the sync thread look after the disk.
    fn fail(&self, state: &mut MutexGuard<'_, State>, error: &io::Error) {
        state.fail(error);
        self.wake_sync(state);
    }

    fn wake_sync(&self, state: &mut MutexGuard<'_, State>) {
        if std::mem::take(&mut state.sync_asleep) {
            self.wake.notify_one();
        }
    }

    fn hurry_sync(&self, position: Position) {
        let mut state = self.state.lock();
        if state.synced < position.0 {
            state.sync_urgent = true;
            state.sync_asleep = false;
            self.wake.notify_one();
        }
    }
}

fn create_file(path: &Path) -> io::Result<Arc<dyn Tape>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(Arc::new(file))
}

const _: () = assert!(HEADER_BYTES as u64 + 512 < CLOSE_BYTES);
