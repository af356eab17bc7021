//! Taking over from a former process, and leaving to the next: joins journal, counters and store to the server's ports.
//!
//! Counts change hands in an order that counts everything once. The former process admits nothing more; everything it
//! has closed is put in the store; the counters are seeded from the store; what still runs there is adopted, holds and
//! all; and from then on its journal, which nobody drains meanwhile, tells each end as it happens.
//!
//! Counts that all gateways share stay where they are: each process tells its own ends.

use super::counting::Counting;
use super::engine::Engine;
use super::{CATCH_UP, seed};
use crate::domain::time::Clock;
use crate::domain::{BillingZone, BudgetMode, Event, EventId, InstanceId, KeyId, Money, UnixMillis};
use crate::journal::{Drainer, Estate, FileJournal, Former, LOOK, Offer, Standing};
use crate::limits::{Ask, Counters, Held, Rules, Settlement};
use crate::server::{BeforeExit, Departure, Predecessor};
use crate::store::EventStore;
use crate::store::loader::Loader;
use crate::telemetry::RequestLog;
use crate::telemetry::log::LogGuard;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long the last events may take to reach the store at the end; what is left is drained at the next start.
const FLUSH: Duration = Duration::from_secs(20);
/// The same before a hand-over, where clients wait for it and the heir does the rest.
const SETTLE_UP: Duration = Duration::from_secs(2);
/// How often somebody who waits for the other process says so.
const STILL_WAITING: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(500);

/// What counts, and where the counts come from.
#[derive(Clone)]
pub(super) struct Books {
    pub(super) engine: Engine,
    pub(super) loader: Arc<Loader>,
    pub(super) counting: Counting,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) budget_mode: BudgetMode,
    pub(super) zone: BillingZone,
    /// Of a hold whose size is not known.
    pub(super) longest_hold: Duration,
}

impl Books {
    async fn inherit(&self, former: &mut Former) -> io::Result<(Arc<dyn EventStore>, InstanceId)> {
        let (events, instance) = self.engine.events_of(former.directory()).await.map_err(io::Error::other)?;
        let estate = former.estate(&*events).await?;
        self.loader.refresh().await.map_err(io::Error::other)?;
        let now = self.clock.now();
        seed(&self.counting.memory, &*self.engine.store, &self.loader, now).await.map_err(io::Error::other)?;
        if self.counting.is_alone() {
            estate.uncounted.iter().for_each(|event| self.settle(event));
            self.adopt(&estate, now);
        }
        tracing::info!(requests = estate.running.len(), "took over the counts of the former process");
        Ok((events, instance))
    }

    /// Everything of the journal in `directory` is in the ledger, events of these keys among it, and its process has
    /// ended: nothing of it is held any more, and its number is free.
    pub(super) async fn is_booked(&self, directory: &Path, instance: InstanceId, keys: &[KeyId]) {
        self.counting.bury(instance, keys).await;
        self.engine.is_booked(directory).await;
    }

    /// Requests that run in the former process count here as if they had been admitted here.
    fn adopt(&self, estate: &Estate, now: UnixMillis) {
        let known: Option<HashMap<EventId, &Held>> =
            estate.holds.as_ref().map(|holds| holds.iter().map(|held| (held.event, held)).collect());
        let snapshot = self.loader.current();
        let keys: HashMap<_, _> = snapshot.iter_keys().map(|key| (key.id, key)).collect();
        for event in &estate.running {
            let Some(key) = event.key_id.and_then(|id| keys.get(&id)) else { continue };
            let mut rules = Rules::of(key, self.budget_mode, &self.zone, now);
            // A window that is over counts nobody any more.
            rules.rate = rules.rate.filter(|rate| rate.window.bounds(event.created_at).0 == rate.window.bounds(now).0);
            if rules.is_empty() {
                continue;
            }
            let (hold, hold_expires) = match &known {
                Some(known) => known.get(&event.id).map_or((Money::ZERO, now), |held| (held.amount, held.expires)),
                // Nobody says how much: nothing that has a budget gets past it.
                None => (Money::MAX, now.plus(self.longest_hold)),
            };
            self.counting.memory.adopt(&Ask { key: key.id, rules, event: event.id, now, hold, hold_expires });
        }
    }

    fn settle(&self, event: &Event) {
        if let Some(settlement) = Settlement::of(event).filter(|_| self.counting.is_alone()) {
            self.counting.memory.settle(settlement);
        }
    }
}

/// The process before this one.
pub(super) struct Before {
    pub(super) former: Mutex<Option<Former>>,
    pub(super) books: Books,
    pub(super) runtime: &'static Runtime,
}

impl Before {
    fn standing(&self) -> io::Result<Standing> {
        self.former.lock().as_ref().map_or(Ok(Standing::Ended), Former::standing)
    }

    /// Blocks until it stands where it is waited for.
    fn wait(&self, what: &str, until: impl Fn(Standing) -> bool) -> io::Result<Standing> {
        let mut told = Instant::now();
        loop {
            let standing = self.standing()?;
            if until(standing) {
                return Ok(standing);
            }
            if told.elapsed() >= STILL_WAITING {
                tracing::warn!("still waiting {what}");
                told = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Predecessor for Before {
    fn serves(&self) -> bool {
        matches!(self.standing(), Ok(Standing::Serving | Standing::Leaving))
    }

    fn await_sockets(&self) -> io::Result<bool> {
        if let Some(former) = &mut *self.former.lock() {
            former.announce()?;
        }
        tracing::info!("ready to take over: send SIGQUIT to the process that serves");
        let standing = self.wait("for SIGQUIT at the process that serves", |s| s != Standing::Serving)?;
        Ok(standing == Standing::Leaving)
    }

    fn take_over(&self) -> io::Result<()> {
        let gone = |s| matches!(s, Standing::Left | Standing::Ended);
        self.wait("for the former process to stop admitting requests", gone)?;
        let Some(mut former) = self.former.lock().take() else { return Ok(()) };
        let begun = Instant::now();
        let (events, instance) = loop {
            match self.runtime.block_on(self.books.inherit(&mut former)) {
                Ok(theirs) => break theirs,
                Err(error) if begun.elapsed() >= CATCH_UP => return Err(error),
                Err(error) => tracing::error!(%error, "the counts of the former process cannot be taken over yet"),
            }
            std::thread::sleep(AGAIN);
        };
        let books = self.books.clone();
        self.runtime.spawn(async move {
            let directory = former.directory().to_owned();
            let left = former.follow(events, |event| books.settle(event)).await;
            books.is_booked(&directory, instance, &left.keys).await;
            tracing::info!(aborted = left.aborted, "everything that the former process left is booked");
        });
        Ok(())
    }
}

/// What is left to do when this process ends, or leaves to another.
pub(super) struct Last {
    pub(super) engine: Engine,
    pub(super) drainer: Mutex<Option<Drainer>>,
    pub(super) journal: Arc<FileJournal>,
    pub(super) counting: Counting,
    pub(super) request_log: Option<Arc<RequestLog>>,
    pub(super) log: Mutex<Option<LogGuard>>,
    /// What the heir was told, true as long as it is here.
    pub(super) told: Mutex<Vec<Offer>>,
}

impl Last {
    /// Whether all is in the store, and brought there by this process.
    async fn stop_draining(&self, within: Duration) -> bool {
        let drainer = self.drainer.lock().take();
        let Some(drainer) = drainer else { return false };
        let drained = drainer.stop(within).await;
        if !drained {
            tracing::warn!("the last events stay in the journal until the next process books them");
        }
        let left = self.journal.stats();
        drained && left.pending + left.running + left.unwritten + left.unbooked == 0
    }
}

#[async_trait]
impl BeforeExit for Last {
    async fn flush(&self) {
        let drained = self.stop_draining(FLUSH).await;
        // While the number is still this process's.
        self.counting.flush().await;
        self.engine.leave(drained).await;
    }

    fn close_log(&self) {
        if let Some(log) = &self.request_log {
            log.flush();
        }
        drop(self.log.lock().take());
    }
}

#[async_trait]
impl Departure for Last {
    fn has_heir(&self) -> bool {
        self.journal.has_heir()
    }

    fn offer(&self) -> io::Result<()> {
        self.told.lock().push(self.journal.offer()?);
        Ok(())
    }

    fn withdraw(&self) {
        self.told.lock().clear();
    }

    fn admitted(&self) -> u64 {
        self.journal.stats().running
    }

    async fn settle_up(&self) {
        self.stop_draining(SETTLE_UP).await;
    }

    fn leave(&self) {
        self.journal.stop_opening();
        match self.journal.leave(&self.counting.memory.held()) {
            Ok(told) => self.told.lock().push(told),
            Err(error) => tracing::error!(%error, "the heir cannot be told: it waits until this process has ended"),
        }
    }
}
