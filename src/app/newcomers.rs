//! Keys that come into the picture with a past: another program (an import) wrote them with what they have spent and
//! what is on their account, and the counters of this process have not heard of it.

use crate::counters::MemoryCounters;
use crate::domain::time::Clock;
use crate::domain::{Key, KeyId, Window};
use crate::snapshot::Snapshot;
use crate::store::{SharedStore, StoreError};
use std::collections::HashSet;
use std::sync::Arc;

/// Looks at each new picture once.
pub(super) struct Newcomers {
    store: SharedStore,
    counters: Arc<MemoryCounters>,
    clock: Arc<dyn Clock>,
    /// The picture whose keys the counters know.
    seen: Arc<Snapshot>,
}

impl Newcomers {
    /// The counters know the keys of `seen`.
    pub(super) fn new(
        store: SharedStore,
        counters: Arc<MemoryCounters>,
        clock: Arc<dyn Clock>,
        seen: Arc<Snapshot>,
    ) -> Self {
        Self { store, counters, clock, seen }
    }

    /// Called for each new picture. Looks at every key when something has changed.
    pub(super) async fn look(&mut self, picture: Arc<Snapshot>) {
        let before = std::mem::replace(&mut self.seen, picture.clone());
        // Without more keys than before there is no new one, short of one that comes as another goes.
        if before.position() == picture.position() || picture.keys() <= before.keys() {
            return;
        }
        let mut new: Vec<Arc<Key>> =
            picture.iter_keys().filter(|key| before.key(&key.digest).is_none()).cloned().collect();
        if !new.is_empty() {
            // One with another secret is none: what it spends may not be in the ledger yet.
            let known: HashSet<KeyId> = before.iter_keys().map(|key| key.id).collect();
            new.retain(|key| !known.contains(&key.id));
        }
        if let Err(error) = self.seed(&new).await {
            tracing::warn!(%error, "what new keys have spent is not known until the next start");
        }
    }

    async fn seed(&self, new: &[Arc<Key>]) -> Result<(), StoreError> {
        // One that was made here may have been used already.
        let ids: Vec<KeyId> = new.iter().map(|key| key.id).filter(|id| !self.counters.knows(*id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut spent = HashSet::new();
        for (key, books) in self.store.books(&ids).await? {
            self.counters.seed_total(key, books.total);
            self.counters.seed_account(key, books.account);
            spent.insert(key);
        }
        // One that spent nothing in all did so in no window.
        let budgets =
            new.iter().filter(|key| spent.contains(&key.id)).filter_map(|key| Some((key.id, key.window_budget?)));
        let budgets: Vec<_> = budgets.map(|(id, budget)| (id, budget.window)).collect();
        for window in [Window::Minute, Window::Hour, Window::Day, Window::Month] {
            let keys: HashSet<KeyId> = budgets.iter().filter(|(_, of)| *of == window).map(|(id, _)| *id).collect();
            if keys.is_empty() {
                continue;
            }
            let (start, _) = window.bounds(self.clock.now());
            for spend in self.store.spends_since(start).await? {
                if keys.contains(&spend.key_id) {
                    self.counters.seed_window(spend.key_id, window, start, spend.total);
                }
            }
        }
        Ok(())
    }
}
