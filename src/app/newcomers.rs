//! Keys with a past that the counters of this process have not heard of: another program (an import) wrote what they have
//! spent and what is on their account. They come into the picture with it, or are there already and get it.

use crate::counters::MemoryCounters;
use crate::domain::time::Clock;
use crate::domain::{BudgetMode, InstanceId, Key, KeyId, Money, SpendLimit, UnixMillis, Window};
use crate::limits::{Rules, Since, Standing};
use crate::snapshot::Snapshot;
use crate::store::{SharedStore, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The last events before somebody asks are in the ledger after this, usually much earlier.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// Keys of one question.
const AT_ONCE: usize = 1_000;
const WINDOWS: [Window; 4] = [Window::Minute, Window::Hour, Window::Day, Window::Month];

/// Looks at each new picture once.
pub(super) struct Newcomers {
    store: SharedStore,
    counters: Arc<MemoryCounters>,
    clock: Arc<dyn Clock>,
    /// The picture whose keys the counters know.
    seen: Arc<Snapshot>,
    /// Keys to ask the ledger about, and since when that can be answered.
    restated: Vec<(Instant, Vec<KeyId>)>,
}

impl Newcomers {
    /// The counters know the keys of `seen`.
    pub(super) fn new(
        store: SharedStore,
        counters: Arc<MemoryCounters>,
        clock: Arc<dyn Clock>,
        seen: Arc<Snapshot>,
    ) -> Self {
        Self { store, counters, clock, seen, restated: Vec::new() }
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

    /// The ledger was told something of these keys that is not in their events. Counts rise to what it says: at once, and
    /// again when what was counted here and was on its way to it is there too. Called often; usually there are none.
    pub(super) async fn restate(&mut self, keys: Vec<KeyId>) {
        let now = Instant::now();
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.restated).into_iter().partition(|(at, _)| *at <= now);
        self.restated = later;
        if !keys.is_empty() {
            self.restated.push((now + ON_ITS_WAY, keys.clone()));
            due.push((now, keys));
        }
        for (_, keys) in due {
            if let Err(error) = self.raise(&keys).await {
                tracing::warn!(%error, "what was imported for keys in use is asked for again");
                self.restated.push((now + ON_ITS_WAY, keys));
            }
        }
    }

    async fn raise(&self, keys: &[KeyId]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let asked: HashSet<KeyId> = keys.iter().copied().collect();
        let keys_of = self.seen.iter_keys().filter(|key| asked.contains(&key.id));
        let budgets: HashMap<KeyId, SpendLimit> =
            keys_of.filter_map(|key| Some((key.id, key.window_budget?))).collect();
        let spent = self.spent_in_windows(&budgets, now).await?;
        for some in keys.chunks(AT_ONCE) {
            for (key, books) in self.store.books(some).await? {
                let window_budget = budgets.get(&key).copied();
                let mode = BudgetMode::Observe;
                let rules = Rules { rate: None, total_budget: None, window_budget, quota: None, mode };
                let since = Since { rate: None, window: window_budget.map(|budget| budget.window.bounds(now).0) };
                let standing = Standing {
                    spent: vec![(InstanceId::default(), books.total)],
                    window_spent: spent.get(&key).copied().unwrap_or_default(),
                    account: books.account,
                    ..Standing::default()
                };
                self.counters.raise(key, &rules, since, &standing);
            }
        }
        Ok(())
    }

    async fn spent_in_windows(
        &self,
        budgets: &HashMap<KeyId, SpendLimit>,
        now: UnixMillis,
    ) -> Result<HashMap<KeyId, Money>, StoreError> {
        let mut spent = HashMap::new();
        for window in WINDOWS {
            let counts = |key: &KeyId| budgets.get(key).is_some_and(|budget| budget.window == window);
            if !budgets.keys().any(counts) {
                continue;
            }
            let all = self.store.spends_since(window.bounds(now).0).await?;
            spent.extend(all.into_iter().filter(|one| counts(&one.key_id)).map(|one| (one.key_id, one.total)));
        }
        Ok(spent)
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
        for window in WINDOWS {
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
