//! Another process's journal, read while that process may still write it: to count what its last requests cost the
//! moment they end, and to book what it leaves behind.

use super::append::{FileJournal, OpenError};
use super::drain::{DrainSettings, Drainer};
use super::leave::{forget_holds, read_holds};
use super::payload;
use super::record::Kind;
use super::segment::{FIRST, Reader, list, path_of};
use super::slots::{Sign, Standing};
use super::{JournalSettings, Recovery};
use crate::domain::{Event, EventId};
use crate::limits::Held;
use crate::store::EventStore;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the former process is looked at.
pub const LOOK: Duration = Duration::from_millis(20);
/// Records and bytes in one reading.
const RECORDS: usize = 500;
const BYTES: u64 = 8 << 20;
/// Closed events that the store refuses; with more of them it counts as away.
const MOST_LATE: usize = 1000;
/// One attempt to bring everything to the store.
const ROUND: Duration = Duration::from_secs(60);

/// A former process that has, or had, the other directory of this journal.
#[derive(Debug)]
pub struct Former {
    settings: JournalSettings,
    /// By segment. Open files, so that nobody can take them away.
    readers: BTreeMap<u64, Reader>,
    /// As opened, of requests that have not ended.
    running: HashMap<EventId, Event>,
    /// Closed, and not in the store.
    late: Vec<Event>,
    heir: Option<File>,
}

/// What a former process that admits nothing any more leaves to its heir.
#[derive(Debug)]
pub struct Estate {
    /// As opened at admission. They will end: [`Former::follow`] tells.
    pub running: Vec<Event>,
    /// What is held for them; `None` when that is not known.
    pub holds: Option<Vec<Held>>,
    /// Closed, but the store has not taken them: not part of any sum that it knows.
    pub uncounted: Vec<Event>,
}

impl Former {
    pub(super) fn new(settings: JournalSettings) -> Self {
        Self { settings, readers: BTreeMap::new(), running: HashMap::new(), late: Vec::new(), heir: None }
    }

    /// Tells it that somebody is ready to take over, until this value is dropped.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn announce(&mut self) -> io::Result<()> {
        self.heir = Sign::Heir.raise(self.directory())?;
        if self.heir.is_some() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// # Errors
    /// Its directory cannot be read.
    pub fn standing(&self) -> io::Result<Standing> {
        Standing::of(self.directory())
    }

    /// Puts everything that it has closed into the store, and tells what still runs. To be called once it has left:
    /// what it closes from then on is nowhere but in its journal, until [`Self::follow`] finds it there.
    ///
    /// # Errors
    /// The journal cannot be read or the store takes nothing. Nothing is lost: call it again.
    pub async fn estate(&mut self, store: &dyn EventStore) -> io::Result<Estate> {
        let again = std::mem::take(&mut self.late);
        self.bring(store, again).await;
        loop {
            let closed = self.read()?;
            let Some(closed) = closed else { break };
            self.bring(store, closed).await;
            if self.late.len() > MOST_LATE {
                return Err(io::Error::other("the store does not take events"));
            }
        }
        Ok(Estate {
            running: self.running.values().cloned().collect(),
            holds: read_holds(self.directory()),
            uncounted: self.late.clone(),
        })
    }

    /// A failed insert has inserted nothing, so an event is either in the store or late, never both.
    async fn bring(&mut self, store: &dyn EventStore, events: Vec<Event>) {
        if events.is_empty() || store.insert_events(&events).await.is_ok() {
            return;
        }
        for event in events {
            if let Err(error) = store.insert_events(std::slice::from_ref(&event)).await {
                tracing::warn!(event.id = %event.id, %error, "an event of the former process is not in the store yet");
                self.late.push(event);
            }
        }
    }

    /// Tells of every event that is closed from now on, until the former process has ended and everything that it
    /// left is in the store, what a kill cut off included.
    pub async fn follow(mut self, store: Arc<dyn EventStore>, settle: impl Fn(&Event) + Send) -> Recovery {
        loop {
            // Looked at before reading: what it wrote up to its end is read then.
            let ended = matches!(self.standing(), Ok(Standing::Ended));
            self.tell(Some(&*store), &settle).await;
            if ended {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let journal = self.take().await;
        let recovery = journal.recovery().clone();
        // Bookings of what never ended; the drainer brings them to the store.
        self.tell(None, &settle).await;
        self.finish(journal, store).await;
        recovery
    }

    /// Books what a process left that has ended; returns when it is in the store, `None` when that took too long.
    ///
    /// # Errors
    /// Its journal cannot be opened.
    pub async fn book(self, store: Arc<dyn EventStore>, within: Duration) -> Result<Option<Recovery>, OpenError> {
        let journal = FileJournal::open(self.settings.clone())?;
        let recovery = journal.recovery().clone();
        let finished = tokio::time::timeout(within, self.finish(journal, store)).await;
        Ok(finished.is_ok().then_some(recovery))
    }

    async fn tell(&mut self, store: Option<&dyn EventStore>, settle: &(impl Fn(&Event) + Send)) {
        loop {
            match self.read() {
                Ok(Some(closed)) => {
                    closed.iter().for_each(settle);
                    // For whoever looks at the ledger meanwhile. What fails here is repeated at the end.
                    if let Some(store) = store.filter(|_| !closed.is_empty())
                        && let Err(error) = store.insert_events(&closed).await
                    {
                        tracing::warn!(%error, "events of the former process wait in its journal");
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the former process's journal cannot be read");
                    return;
                }
            }
        }
    }

    /// The journal of a process that has ended. Somebody who only looks may have it for a moment.
    async fn take(&self) -> FileJournal {
        loop {
            match FileJournal::open(self.settings.clone()) {
                Ok(journal) => return journal,
                Err(error) => {
                    tracing::warn!(%error, "the former process's journal cannot be taken over yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    async fn finish(&self, journal: FileJournal, store: Arc<dyn EventStore>) {
        let drainer = Drainer::start(Arc::new(journal), store, DrainSettings::default());
        while !drainer.caught_up(ROUND).await {
            tracing::warn!("events of the former process wait for the store");
        }
        drainer.stop(ROUND).await;
        forget_holds(self.directory());
    }

    /// The next closed events; `None` when there is nothing new. A record that is still being written is for later.
    fn read(&mut self) -> io::Result<Option<Vec<Event>>> {
        let directory = self.settings.directory.clone();
        let mut closed = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        // A file is written until the next one is there, so those in this list are complete up to the last.
        for segment in list(&directory)? {
            let Some(length) = self.open(segment)? else { continue };
            let Some(reader) = self.readers.get_mut(&segment) else { continue };
            reader.resume_at(reader.whole_until(), length);
            while let Some(found) = reader.next()? {
                records += 1;
                bytes += found.size;
                match payload::read(reader.payload(&found)) {
                    Ok(event) if found.kind == Kind::Open => {
                        self.running.insert(event.id, event);
                    }
                    Ok(event) => {
                        self.running.remove(&event.id);
                        closed.push(event);
                    }
                    // Whoever recovers this journal in the end sets it aside.
                    Err(error) => tracing::error!(segment, offset = found.offset, %error, "a record cannot be read"),
                }
                if records >= RECORDS || bytes >= BYTES {
                    return Ok(Some(closed));
                }
            }
        }
        Ok((records > 0).then_some(closed))
    }

    /// How long the file is now; `None` when it is gone, drained.
    fn open(&mut self, segment: u64) -> io::Result<Option<u64>> {
        let path = path_of(self.directory(), segment);
        let length = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if length <= FIRST {
            return Ok(None);
        }
        if let Entry::Vacant(place) = self.readers.entry(segment) {
            match Reader::open(&path, FIRST, length) {
                Ok(reader) => {
                    place.insert(reader);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(Some(length))
    }

    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }
}
