//! From the files to the store: closed events in order, in batches, again until the store has them.
//!
//! The drainer reads the same files that recovery reads, so a store that was away for a day needs no more memory than
//! one that answers. Refusals ([`crate::ledger::Journal::note`]) ride along and may be dropped.

use super::append::{FileJournal, Shared};
use super::aside::{set_aside, set_aside_unreadable};
use super::payload;
use super::record::Kind;
use super::reject::isolate;
use super::segment::{FIRST, Reader, path_of};
use super::state::Cursor;
use crate::domain::{Event, EventId};
use crate::ledger::Journal;
use crate::store::{EventStore, StoreError};
use futures_util::FutureExt;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How events travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainSettings {
    /// Most events in one transaction of the store.
    pub batch: usize,
    /// And most bytes of them (one event may be larger).
    pub batch_bytes: u64,
    /// How long the first event of a batch waits for others.
    pub linger: Duration,
    /// A store that takes longer has failed this time.
    pub insert_timeout: Duration,
    /// Pause after a failure; doubles up to `retry_most`.
    pub retry_first: Duration,
    pub retry_most: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            batch: 500,
            batch_bytes: 8 << 20,
            linger: Duration::from_millis(100),
            insert_timeout: Duration::from_secs(30),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(2),
        }
    }
}

/// Failures in a row before single events are suspected.
const SUSPECT_AFTER: u32 = 3;
/// Refusals handed over per round, and rounds that one lot of them may fail.
const NOTES: usize = 200;
const NOTE_TRIES: u32 = 5;
/// Events that are remembered to be set aside. Beyond it one may be set aside twice.
const MOST_KNOWN: usize = 100_000;
/// Files are looked after this often even when nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// The running drain. Dropped without [`Drainer::stop`] it ends at once; nothing is lost.
pub struct Drainer {
    journal: Arc<FileJournal>,
    stop: watch::Sender<bool>,
    progress: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Drainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drainer").field("journal", &self.journal).finish_non_exhaustive()
    }
}

impl Drainer {
    /// Begins with what a former process left. Once per journal: a second one ends at once and says so in the log.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(journal: Arc<FileJournal>, store: Arc<dyn EventStore>, settings: DrainSettings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (done, progress) = watch::channel(());
        let Some(notes) = journal.noted.lock().take() else {
            tracing::error!("the journal has a drainer already");
            return Self { journal, stop, progress, task: tokio::spawn(std::future::ready(())) };
        };
        let worker = Worker {
            shared: journal.shared.clone(),
            outlet: Outlet { store, timeout: settings.insert_timeout },
            settings,
            tail: Tail::default(),
            set_aside: HashSet::new(),
            failures: 0,
            notes,
            noted: Vec::new(),
            note_failures: 0,
            stop: stopped,
            done,
        };
        Self { journal, stop, progress, task: tokio::spawn(worker.run()) }
    }

    /// Waits until the store has every closed event; `false` when it does not within the time.
    pub async fn caught_up(&self, within: Duration) -> bool {
        let mut progress = self.progress.clone();
        let wait = async {
            while self.journal.depth() > 0 {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(within, wait).await);
        self.journal.depth() == 0
    }

    /// Hands over what there is, then ends; whether the store has everything. What is left is drained at the next start.
    pub async fn stop(mut self, within: Duration) -> bool {
        self.stop.send_replace(true);
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            tracing::warn!(pending = self.journal.depth(), "events stay in the journal until the next start");
        }
        self.journal.depth() == 0
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The store with a time limit, and with its panics caught: they must not end the drain.
pub(super) struct Outlet {
    store: Arc<dyn EventStore>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum InsertError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not answer in time")]
    Timeout,
    #[error("the store panicked")]
    Panic,
}

impl InsertError {
    /// It says nothing about the events.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(self, Self::Timeout | Self::Store(StoreError::Away(_)))
    }
}

impl Outlet {
    pub(super) async fn insert(&self, events: &[Event]) -> Result<(), InsertError> {
        self.guard(self.store.insert_events(events)).await
    }

    /// Whether it would take this one.
    pub(super) async fn rehearse(&self, event: &Event) -> Result<(), InsertError> {
        self.guard(self.store.rehearse_events(std::slice::from_ref(event))).await
    }

    async fn guard(&self, answer: impl Future<Output = Result<usize, StoreError>>) -> Result<(), InsertError> {
        match tokio::time::timeout(self.timeout, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(result)) => Ok(result.map(drop)?),
            Ok(Err(_)) => Err(InsertError::Panic),
            Err(_) => Err(InsertError::Timeout),
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    outlet: Outlet,
    settings: DrainSettings,
    tail: Tail,
    /// Events that are in the file of rejected ones already. After a kill the journal may have one of them twice.
    set_aside: HashSet<EventId>,
    failures: u32,
    notes: mpsc::Receiver<Event>,
    noted: Vec<Event>,
    note_failures: u32,
    stop: watch::Receiver<bool>,
    done: watch::Sender<()>,
}

enum Round {
    /// More is waiting.
    Full,
    /// All that there was.
    Caught,
    Failed,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let stopping = *self.stop.borrow_and_update();
            match self.round(stopping).await {
                Round::Full => {}
                Round::Caught if stopping => break,
                Round::Caught => self.wait_for_work().await,
                Round::Failed => self.pause(self.backoff()).await,
            }
        }
        // The files that the last round emptied.
        let shared = self.shared;
        drop(tokio::task::spawn_blocking(move || shared.reclaim(true)).await);
    }

    async fn round(&mut self, stopping: bool) -> Round {
        let notes_gone = self.hand_over_notes(stopping).await;
        let batch = match self.read().await {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read");
                self.failures = self.failures.saturating_add(1);
                return Round::Failed;
            }
        };
        if batch.closes == 0 {
            self.commit(&batch);
            return match (notes_gone, self.notes.is_empty()) {
                (false, _) => Round::Failed,
                (true, true) => Round::Caught,
                (true, false) => Round::Full,
            };
        }
        if !self.hand_over(&batch).await {
            self.failures = self.failures.saturating_add(1);
            return Round::Failed;
        }
        self.commit(&batch);
        if batch.full { Round::Full } else { Round::Caught }
    }

    /// Reading and deleting files may block, so it happens elsewhere.
    async fn read(&mut self) -> io::Result<Batch> {
        let (shared, settings, mut tail) = (self.shared.clone(), self.settings, std::mem::take(&mut self.tail));
        let work = move || {
            shared.reclaim(false);
            let batch = tail.read(&shared, &settings);
            (tail, batch)
        };
        let (tail, batch) = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
        self.tail = tail;
        batch
    }

    /// Whether everything in the batch is in the store, or set aside.
    async fn hand_over(&mut self, batch: &Batch) -> bool {
        let known = &self.set_aside;
        let rest: Vec<Event>;
        let events = if known.is_empty() {
            &batch.events
        } else {
            rest = batch.events.iter().filter(|e| !known.contains(&e.id)).cloned().collect();
            &rest
        };
        if !events.is_empty()
            && let Err(error) = self.outlet.insert(events).await
        {
            if self.failures == 0 {
                tracing::error!(%error, events = events.len(), "the store does not take events; they wait in the journal");
            }
            if self.failures < SUSPECT_AFTER || !self.without_the_bad(&events.clone()).await {
                return false;
            }
        }
        for payload in &batch.unreadable {
            if !self.rejected(&set_aside_unreadable(&self.shared.settings.directory, Kind::Close, payload), None) {
                return false;
            }
        }
        true
    }

    async fn without_the_bad(&mut self, events: &[Event]) -> bool {
        let Some(condemned) = isolate(&self.outlet, events).await else { return false };
        for (index, why) in &condemned {
            let Some(event) = events.get(*index).filter(|event| !self.set_aside.contains(&event.id)) else { continue };
            tracing::error!(event.id = %event.id, error = %why, "the store refuses an event and is well otherwise");
            if !self.rejected(&set_aside(&self.shared.settings.directory, event), Some(event.id)) {
                return false;
            }
            self.set_aside.insert(event.id);
        }
        true
    }

    /// Counts and tells what became of an event that the store will not take; whether it is safe in the file.
    fn rejected(&self, result: &io::Result<()>, id: Option<EventId>) -> bool {
        match result {
            Ok(()) => {
                self.shared.rejected.fetch_add(1, Ordering::Relaxed);
                tracing::error!(event.id = ?id, "an event that cannot be stored is set aside in events.rejected");
            }
            Err(error) => tracing::error!(event.id = ?id, %error, "an event cannot be set aside"),
        }
        result.is_ok()
    }

    fn commit(&mut self, batch: &Batch) {
        if self.failures > 0 && batch.closes > 0 {
            tracing::info!("the store takes events again");
        }
        self.failures = 0;
        if self.set_aside.len() > MOST_KNOWN {
            self.set_aside.clear();
        }
        {
            let mut state = self.shared.state.lock();
            state.drained = batch.end;
            state.pending = state.pending.saturating_sub(batch.closes);
        }
        self.done.send_replace(());
    }

    /// Whether none is left in hand.
    async fn hand_over_notes(&mut self, stopping: bool) -> bool {
        while self.noted.len() < NOTES {
            let Ok(event) = self.notes.try_recv() else { break };
            self.noted.push(event);
        }
        // Not while the store is known to be away: it would cost a timeout each.
        if self.noted.is_empty() || (self.failures > 0 && !stopping) {
            return true;
        }
        if self.outlet.insert(&self.noted).await.is_err() {
            self.note_failures += 1;
            if !stopping && self.note_failures < NOTE_TRIES {
                return false;
            }
            self.shared.dropped_notes.fetch_add(self.noted.len() as u64, Ordering::Relaxed);
        }
        self.noted.clear();
        self.note_failures = 0;
        true
    }

    async fn wait_for_work(&mut self) {
        tokio::select! {
            () = self.shared.work.notified() => {}
            Some(event) = self.notes.recv() => self.noted.push(event),
            _ = self.stop.changed() => return,
            () = tokio::time::sleep(IDLE) => return,
        }
        self.pause(self.settings.linger).await;
    }

    async fn pause(&mut self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            _ = self.stop.changed() => {}
        }
    }

    fn backoff(&self) -> Duration {
        let doublings = self.failures.max(self.note_failures).saturating_sub(1).min(16);
        self.settings.retry_first.saturating_mul(1 << doublings).min(self.settings.retry_most)
    }
}

struct Batch {
    events: Vec<Event>,
    /// Records that are whole but no event of this version.
    unreadable: Vec<Vec<u8>>,
    /// Both of these.
    closes: u64,
    /// Where the next batch begins.
    end: Cursor,
    full: bool,
}

/// The reading end: one open file at most.
#[derive(Default)]
struct Tail {
    open: Option<(u64, Reader)>,
}

impl Tail {
    /// The closed events that follow what is drained.
    fn read(&mut self, shared: &Shared, settings: &DrainSettings) -> io::Result<Batch> {
        let end = shared.state.lock().drained;
        let mut batch = Batch { events: Vec::new(), unreadable: Vec::new(), closes: 0, end, full: false };
        let mut bytes = 0;
        while let Some((length, sealed)) = next_segment(shared, &mut batch.end) {
            let Some(reader) = self.reader(shared, batch.end, length)? else {
                batch.end = Cursor { segment: batch.end.segment + 1, offset: FIRST };
                continue;
            };
            while let Some(found) = reader.next()? {
                batch.end.offset = reader.position();
                if found.kind == Kind::Open {
                    continue;
                }
                batch.closes += 1;
                bytes += found.size;
                match payload::read(reader.payload(&found)) {
                    Ok(event) => batch.events.push(event),
                    Err(_) => batch.unreadable.push(reader.payload(&found).to_vec()),
                }
                if batch.closes >= settings.batch as u64 || bytes >= settings.batch_bytes {
                    batch.full = true;
                    return Ok(batch);
                }
            }
            batch.end.offset = length;
            if !sealed {
                break;
            }
            batch.end = Cursor { segment: batch.end.segment + 1, offset: FIRST };
        }
        Ok(batch)
    }

    fn reader(&mut self, shared: &Shared, at: Cursor, length: u64) -> io::Result<Option<&mut Reader>> {
        if self.open.as_ref().is_none_or(|(segment, _)| *segment != at.segment) {
            let path = path_of(&shared.settings.directory, at.segment);
            match Reader::open(&path, at.offset, length) {
                Ok(reader) => self.open = Some((at.segment, reader)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    tracing::error!(segment = at.segment, "a journal file was removed by somebody else");
                    self.open = None;
                    return Ok(None);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(self.open.as_mut().map(|(_, reader)| {
            reader.resume_at(at.offset, length);
            reader
        }))
    }
}

/// Moves the cursor to a file that exists; its length, and whether it is complete.
fn next_segment(shared: &Shared, at: &mut Cursor) -> Option<(u64, bool)> {
    let state = shared.state.lock();
    let (segment, info) = state.segments.range(at.segment..).next()?;
    if *segment > at.segment {
        *at = Cursor { segment: *segment, offset: FIRST };
    }
    let sealed = state.active.as_ref().is_none_or(|a| a.segment != *segment);
    Some((info.bytes, sealed))
}
