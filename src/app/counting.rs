//! Who counts: this process alone, or all gateways together in Redis; and who keeps answers.

use crate::admin::Dependency;
use crate::cache::{CacheLimits, MemoryCache, RedisCache};
use crate::counters::{MemoryCounters, OnOutage, SharedCounters};
use crate::domain::{InstanceId, KeyId, UnixMillis};
use crate::limits::{Counters, SharedLedger};
use crate::redis::{Link, LinkSettings, State};
use crate::routing::ResponseCache;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a start waits for Redis before it goes on without.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

const GOODBYE: Duration = Duration::from_secs(5);
/// A change of configuration is not held up for longer.
const BEFORE_A_LIMIT: Duration = Duration::from_millis(200);

/// A clone is the same.
#[derive(Clone)]
pub(super) struct Counting {
    /// The counts of this process, or its picture of the shared ones.
    pub(super) memory: Arc<MemoryCounters>,
    shared: Option<Shared>,
}

#[derive(Clone)]
struct Shared {
    counters: Arc<SharedCounters>,
    link: Link,
    on_outage: OnOutage,
}

impl Counting {
    pub(super) fn alone(memory: Arc<MemoryCounters>) -> Self {
        Self { memory, shared: None }
    }

    /// With all gateways over the ledger. `memory`: seeded from it. Waits for Redis, but not for ever.
    pub(super) async fn together(
        memory: Arc<MemoryCounters>,
        settings: LinkSettings,
        on_outage: OnOutage,
        ledger: Arc<dyn SharedLedger>,
        instance: InstanceId,
    ) -> anyhow::Result<Self> {
        let link = Link::open(settings);
        let counters = SharedCounters::open(link.clone(), ledger, instance, memory.clone(), on_outage);
        let counters = Arc::new(counters.await.context("store.url: the ledger cannot be read")?);
        let mut state = link.state();
        let settled = state.wait_for(|state| matches!(state, State::Up { settled: true, .. }));
        if tokio::time::timeout(FIRST_ANSWER, settled).await.is_err() {
            let why = match &*link.state().borrow() {
                State::Down { why } => why.to_string(),
                State::Up { .. } => "it has just started".to_owned(),
            };
            tracing::warn!(%why, "Redis is not there: limits are counted here until it is");
        }
        Ok(Self { memory, shared: Some(Shared { counters, link, on_outage }) })
    }

    pub(super) fn port(&self) -> Arc<dyn Counters> {
        match &self.shared {
            Some(shared) => shared.counters.clone(),
            None => self.memory.clone(),
        }
    }

    /// Whether counts change hands with the process that admits.
    pub(super) const fn is_alone(&self) -> bool {
        self.shared.is_none()
    }

    /// Events of these keys were left by a former process of this very instance, and are in the ledger now.
    pub(super) fn recovered(&self, keys: &[KeyId], now: UnixMillis) {
        if let Some(shared) = &self.shared {
            shared.counters.recovered(keys, now);
        }
    }

    /// The same of another instance, whose process has ended: what it held is free.
    pub(super) async fn bury(&self, instance: InstanceId, keys: &[KeyId]) {
        if let Some(shared) = self.shared.as_ref().filter(|_| !keys.is_empty()) {
            shared.counters.bury(instance, keys).await;
        }
    }

    /// The ledger says more of these keys than their events do.
    pub(super) async fn restate(&self, keys: &[KeyId]) {
        if let Some(shared) = &self.shared {
            shared.counters.restate(keys).await;
        }
    }

    pub(super) fn sweep(&self, now: UnixMillis) {
        match &self.shared {
            Some(shared) => shared.counters.sweep(now),
            None => self.memory.sweep(now),
        }
    }

    /// Tells what others are still to be told, before this process ends.
    pub(super) async fn flush(&self) {
        if let Some(shared) = &self.shared
            && !shared.counters.flush(GOODBYE).await
        {
            tracing::warn!("not everything was told to the shared counters; the ledger has it");
        }
    }

    /// Before others are told that a new limit is in force here: it counts what was spent before it.
    pub(super) async fn catch_up(&self) {
        if let Some(shared) = &self.shared {
            shared.counters.flush(BEFORE_A_LIMIT).await;
        }
    }

    /// For readiness.
    pub(super) fn report(&self) -> Dependency {
        let name = "counters".to_owned();
        let Some(shared) = &self.shared else {
            return Dependency { name, ok: true, vital: false, detail: "in memory".to_owned() };
        };
        let (ok, detail) = match &*shared.link.state().borrow() {
            State::Up { settled: true, .. } => (true, "ok".to_owned()),
            State::Up { settled: false, .. } => (false, "lost counts are being gathered".to_owned()),
            State::Down { why } => (false, why.to_string()),
        };
        Dependency { name, ok, vital: shared.on_outage == OnOutage::Deny, detail }
    }
}

/// Who keeps answers.
#[derive(Clone)]
pub(super) enum Answers {
    Here(Arc<MemoryCache>),
    Shared(Arc<RedisCache>),
}

impl Answers {
    pub(super) fn here(limits: CacheLimits) -> Self {
        Self::Here(Arc::new(MemoryCache::new(limits)))
    }

    /// On a link of their own: nobody who is counted waits behind a long answer.
    pub(super) fn shared(settings: LinkSettings, limits: CacheLimits) -> Self {
        let entry = usize::try_from(limits.entry).unwrap_or(usize::MAX);
        Self::Shared(Arc::new(RedisCache::new(Link::open(settings), entry)))
    }

    pub(super) fn port(&self) -> Arc<dyn ResponseCache> {
        match self {
            Self::Here(cache) => cache.clone(),
            Self::Shared(cache) => cache.clone(),
        }
    }

    pub(super) fn sweep(&self, now: UnixMillis) {
        if let Self::Here(cache) = self {
            cache.sweep(now);
        }
    }

    /// That they take in this process.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Here(cache) => cache.bytes(),
            Self::Shared(_) => 0,
        }
    }
}
