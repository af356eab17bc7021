//! The journal's promises, by theme: format, crash, disk, drain, aside, bounds, handover. The store is a fake that can fail.

mod aside;
mod bounds;
mod crash;
mod disk;
mod drain;
mod format;
mod handover;
mod payload;

use super::{DrainSettings, Drainer, FileJournal, JournalSettings, OpenError};
use crate::domain::{Event, EventFlag, EventId, KeyId, Money, UnixMillis, Usage, UsageSource};
use crate::store::{EventFilter, EventStore, KeySpend, Page, Report, ReportFilter, Result, StoreError, TopKeysFilter};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

fn id(n: u64) -> EventId {
    EventId::from_uuid(Uuid::from_u128(u128::from(n)))
}

/// As opened at admission: estimate, no status.
fn opened(n: u64) -> Event {
    Event {
        id: id(n),
        created_at: UnixMillis(1_000 + i64::try_from(n).unwrap()),
        key_id: None,
        setting_id: None,
        tags: vec![],
        provider: "p".into(),
        model: "m".into(),
        status: 0,
        method: "POST".into(),
        path: "/x".into(),
        latency_ms: 0,
        cost: Money::from_units(5),
        usage: Usage { in_text: 3, source: UsageSource::Estimated, ..Usage::default() },
        flags: vec![],
        custom_id: "".into(),
        user_id: "".into(),
        request_id: "".into(),
        upstream_request_id: "".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}

fn closed(n: u64) -> Event {
    Event {
        status: 200,
        cost: Money::from_units(11),
        usage: Usage { in_text: 4, source: UsageSource::Upstream, ..Usage::default() },
        ..opened(n)
    }
}

fn is_recovered(event: &Event) -> bool {
    event.has(EventFlag::Aborted) && event.has(EventFlag::Recovered)
}

/// What is set aside.
fn rejected(directory: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(directory.join("events.rejected")).unwrap_or_default();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Small limits, so that every file rotates within a test.
fn small(directory: &Path) -> JournalSettings {
    JournalSettings { max_bytes: 1 << 20, segment_bytes: 8 << 10, ..JournalSettings::new(directory) }
}

fn quick() -> DrainSettings {
    DrainSettings {
        linger: Duration::from_millis(2),
        retry_first: Duration::from_millis(5),
        retry_most: Duration::from_millis(20),
        insert_timeout: Duration::from_secs(5),
        ..DrainSettings::default()
    }
}

/// As the next process finds the directory, once the last task of the former one has let go of it.
async fn reopened(directory: &Path) -> FileJournal {
    let deadline = Instant::now() + SOON;
    loop {
        match FileJournal::open(small(directory)) {
            Err(OpenError::InUse(_)) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(2)).await,
            result => return result.unwrap(),
        }
    }
}

/// Waits for a condition instead of a time.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Everything that a drain of this journal puts into a fresh store.
async fn drained(journal: FileJournal) -> Arc<FakeStore> {
    let store = FakeStore::new();
    let drainer = Drainer::start(Arc::new(journal), store.clone(), quick());
    assert!(drainer.stop(SOON).await, "drained");
    store
}

/// An event store that keeps events by id, and fails as told.
#[derive(Default)]
struct FakeStore {
    rows: Mutex<HashMap<EventId, Event>>,
    order: Mutex<Vec<EventId>>,
    poison: Mutex<HashSet<EventId>>,
    down: AtomicBool,
    /// Away for two of three calls.
    flaps: AtomicBool,
    panics: AtomicBool,
    calls: AtomicU64,
    largest: AtomicU64,
}

impl FakeStore {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    fn ids(&self) -> Vec<EventId> {
        self.order.lock().clone()
    }
    fn row(&self, n: u64) -> Event {
        self.rows.lock().get(&id(n)).cloned().unwrap_or_else(|| panic!("event {n} is in the store"))
    }
    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
    /// Whether it would take these. An event is poison by what is in it, so one of the same id and without that is not.
    async fn answer(&self, events: &[Event]) -> Result<()> {
        tokio::task::yield_now().await;
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.largest.fetch_max(events.len() as u64, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "told to panic");
        let poison = self.poison.lock();
        let is_bad = |event: &Event| poison.contains(&event.id) && event.path == opened(0).path;
        if self.down.load(Ordering::SeqCst) || events.iter().any(is_bad) {
            return Err(StoreError::Engine("told to fail".into()));
        }
        if self.flaps.load(Ordering::SeqCst) && !self.calls.load(Ordering::SeqCst).is_multiple_of(3) {
            return Err(StoreError::Away("told to be away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl EventStore for FakeStore {
    async fn insert_events(&self, events: &[Event]) -> Result<usize> {
        self.answer(events).await?;
        let (mut rows, mut order) = (self.rows.lock(), self.order.lock());
        let before = rows.len();
        for event in events {
            if rows.insert(event.id, event.clone()).is_none() {
                order.push(event.id);
            }
        }
        Ok(rows.len() - before)
    }
    async fn rehearse_events(&self, events: &[Event]) -> Result<usize> {
        self.answer(events).await.map(|()| events.len())
    }
    async fn list_events(&self, _: &EventFilter) -> Result<Page<Event>> {
        Err(StoreError::NotFound)
    }
    async fn report(&self, _: &ReportFilter) -> Result<Report> {
        Err(StoreError::NotFound)
    }
    async fn top_keys(&self, _: &TopKeysFilter) -> Result<Vec<KeySpend>> {
        Err(StoreError::NotFound)
    }
    async fn custom_ids(&self, _: KeyId) -> Result<Vec<String>> {
        Err(StoreError::NotFound)
    }
    async fn user_ids(&self, _: KeyId) -> Result<Vec<String>> {
        Err(StoreError::NotFound)
    }
    async fn delete_events_before(&self, _: UnixMillis, _: u64) -> Result<u64> {
        Err(StoreError::NotFound)
    }
    async fn spend_of(&self, _: KeyId) -> Result<Option<Money>> {
        Err(StoreError::NotFound)
    }
    async fn spends(&self) -> Result<Vec<KeySpend>> {
        Err(StoreError::NotFound)
    }
    async fn spends_since(&self, _: UnixMillis) -> Result<Vec<KeySpend>> {
        Err(StoreError::NotFound)
    }
    async fn admissions_since(&self, _: KeyId, _: UnixMillis) -> Result<u64> {
        Err(StoreError::NotFound)
    }
}
