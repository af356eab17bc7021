//! Counts in memory, in shards behind short locks. One admission locks one shard once: check and take are one step.
//!
//! Memory: 24 bytes (and the map's slack) for every key that ever spent, because a total budget may be given to any
//! key later; 40 for every key that ever spent under a quota or was given a balance; the larger [`Entry`] only for keys
//! with rules, and only while it holds something that would be missed.
//! Rates count at admission, spend at settlement. Holds expire by themselves; a request that outlives its hold is
//! still counted when it settles.

use super::entry::{Entry, Lasting, Tally, clamp};
use super::recent::RecentlySettled;
use crate::domain::{Account, KeyId, Money, UnixMillis, Window};
use crate::limits::{
    Ask, Counters, CountersUnavailable, Counts, Held, Rules, Settlement, Since, Standing, Verdict, decide,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// A power of two, far above any core count.
const SHARDS: usize = 64;
/// How often an asking key makes its shard look for entries to drop.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How much is kept, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Footprint {
    /// Keys with a running rate, budget window or hold.
    pub active_keys: u64,
    /// Keys whose total spend is known.
    pub totals: u64,
    /// Keys with an account.
    pub accounts: u64,
}

/// [`Counters`] of a single process.
pub struct MemoryCounters {
    shards: Box<[Shard]>,
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounters").field("footprint", &self.footprint()).finish_non_exhaustive()
    }
}

/// What a settlement found of its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Met {
    /// What was set aside for it.
    pub(super) hold: Option<Money>,
    /// The window that its key's spend is counted in.
    pub(super) window: Option<Window>,
}

/// Two cache lines, so that neighbours do not slow each other down.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    entries: HashMap<KeyId, Entry>,
    totals: HashMap<KeyId, Money>,
    accounts: HashMap<KeyId, Account>,
    recent: RecentlySettled,
    swept: UnixMillis,
    /// Over all entries of the shard, kept up with every change.
    in_flight: u64,
    held_units: i128,
}

impl Default for MemoryCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryCounters {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// [`Counters::admit`] without a future: it never waits.
    pub fn admit_now(&self, ask: &Ask) -> Verdict {
        if ask.rules.is_empty() {
            return Verdict::Admitted { rate: None };
        }
        self.keys(ask.key, |keys| keys.admit(ask))
    }

    /// Whether anything was ever counted of this key, or told: what the ledger says of it may be behind that.
    pub fn knows(&self, key: KeyId) -> bool {
        self.keys(key, |keys| {
            keys.totals.contains_key(&key) || keys.accounts.contains_key(&key) || keys.entries.contains_key(&key)
        })
    }

    /// What the ledger says a key has spent. At start, before serving: replaces what was counted.
    pub fn seed_total(&self, key: KeyId, spent: Money) {
        self.keys(key, |keys| keys.totals.insert(key, spent));
    }

    /// What the ledger says of a key's quota and balance; replaces what was counted.
    pub fn seed_account(&self, key: KeyId, account: Account) {
        self.keys(key, |keys| {
            // One that nothing has happened to is what every key has.
            if account == Account::default() {
                keys.accounts.remove(&key);
            } else {
                keys.accounts.insert(key, account);
            }
        });
    }

    /// What the ledger says a key has spent in the window that began at `start`; replaces what was counted.
    pub fn seed_window(&self, key: KeyId, window: Window, start: UnixMillis, spent: Money) {
        if !spent.is_zero() {
            self.keys(key, |keys| {
                keys.entries.entry(key).or_default().window = Some(Tally { window, start, value: spent });
            });
        }
    }

    /// How many requests the ledger shows in the rate window that began at `start`; replaces what was counted.
    pub fn seed_rate(&self, key: KeyId, window: Window, start: UnixMillis, admitted: u64) {
        if admitted > 0 {
            self.keys(key, |keys| {
                keys.entries.entry(key).or_default().rate = Some(Tally { window, start, value: admitted });
            });
        }
    }

    /// Takes an ask that another process has admitted, whatever the counts say. After the seeds, which do not know it.
    pub fn adopt(&self, ask: &Ask) {
        self.keys(ask.key, |keys| {
            let lasting = keys.lasting(ask.key);
            keys.change(ask.key, |entry| {
                entry.counts(ask, lasting);
                entry.take(ask);
            });
        });
    }

    /// As [`Counters::settle`]; `None` when that was done before.
    pub(super) fn settle_now(&self, settlement: &Settlement) -> Option<Met> {
        self.keys(settlement.key, |keys| keys.settle(settlement))
    }

    /// As [`Counters::release`]; whether there was anything to release.
    pub(super) fn release_now(&self, ask: &Ask) -> bool {
        self.keys(ask.key, |keys| keys.release(ask))
    }

    /// Takes over what counts elsewhere, and the ask if it was admitted there.
    pub(super) fn learn(&self, ask: &Ask, counts: &Counts, admitted: bool) {
        self.keys(ask.key, |keys| {
            keys.totals.insert(ask.key, counts.total_spent);
            if ask.rules.quota.is_some() {
                keys.accounts.insert(ask.key, counts.account);
            }
            keys.change(ask.key, |entry| {
                entry.learn(ask, counts);
                if admitted {
                    entry.take(ask);
                }
            });
        });
    }

    /// Takes over what the ledger knows beyond what is counted here.
    pub fn raise(&self, key: KeyId, rules: &Rules, since: Since, standing: &Standing) {
        let spent = standing.spent.iter().fold(Money::ZERO, |sum, (_, spent)| sum.saturating_add(*spent));
        let admitted = standing.admitted.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        self.keys(key, |keys| {
            let total = keys.totals.entry(key).or_default();
            if spent >= *total {
                *total = spent;
                keys.accounts.insert(key, standing.account);
            }
            let entry = keys.entries.entry(key).or_default();
            if let Some((rule, start)) = rules.rate.zip(since.rate) {
                raise(&mut entry.rate, rule.window, start, admitted);
            }
            if let Some((rule, start)) = rules.window_budget.zip(since.window) {
                raise(&mut entry.window, rule.window, start, standing.window_spent);
            }
        });
    }

    /// What is set aside for the running requests of a key.
    pub(super) fn held_of(&self, key: KeyId) -> Vec<Held> {
        self.keys(key, |keys| keys.entries.get(&key).map(|entry| entry.held().collect()).unwrap_or_default())
    }

    /// Everything that is set aside now, for the process that takes over.
    pub fn held(&self) -> Vec<Held> {
        let mut held = Vec::new();
        for shard in &self.shards {
            held.extend(shard.0.lock().entries.values().flat_map(Entry::held));
        }
        held
    }

    /// A deleted key: nothing of it is kept. Its running requests count again when they settle.
    pub fn forget(&self, key: KeyId) {
        self.keys(key, |keys| {
            keys.totals.remove(&key);
            keys.accounts.remove(&key);
            if let Some(entry) = keys.entries.remove(&key) {
                keys.in_flight -= entry.holds.count();
                keys.held_units -= entry.holds.units();
            }
        });
    }

    /// Drops every entry that nobody would miss. Asking keys do this on their own for their shard;
    /// a call now and then covers shards where nobody asks any more.
    pub fn sweep(&self, now: UnixMillis) {
        for shard in &self.shards {
            shard.0.lock().sweep(now);
        }
    }

    pub fn footprint(&self) -> Footprint {
        self.shards.iter().fold(Footprint::default(), |sum, shard| {
            let keys = shard.0.lock();
            Footprint {
                active_keys: sum.active_keys + keys.entries.len() as u64,
                totals: sum.totals + keys.totals.len() as u64,
                accounts: sum.accounts + keys.accounts.len() as u64,
            }
        })
    }

    fn keys<T>(&self, key: KeyId, work: impl FnOnce(&mut Keys) -> T) -> T {
        // Key ids are random, so any byte spreads them evenly.
        let [.., last] = *key.as_bytes();
        let shard = usize::from(last) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "reduced modulo the number of shards, which are all there")]
        let shard = &self.shards[shard];
        work(&mut shard.0.lock())
    }
}

/// A count of the window that began at `start` is `value` at least.
fn raise<T: Copy + Ord>(tally: &mut Option<Tally<T>>, window: Window, start: UnixMillis, value: T) {
    match tally {
        Some(known) if known.window == window && known.start > start => {}
        Some(known) if known.window == window && known.start == start => known.value = known.value.max(value),
        _ => *tally = Some(Tally { window, start, value }),
    }
}

impl Keys {
    fn admit(&mut self, ask: &Ask) -> Verdict {
        self.sweep_when_due(ask.now);
        let lasting = self.lasting(ask.key);
        self.change(ask.key, |entry| {
            let verdict = decide(ask, &entry.counts(ask, lasting));
            if matches!(verdict, Verdict::Admitted { .. }) {
                entry.take(ask);
            }
            verdict
        })
    }

    /// `None` when it was settled before.
    fn settle(&mut self, settlement: &Settlement) -> Option<Met> {
        if !self.recent.first(settlement.event) {
            return None;
        }
        let mut met = Met::default();
        // A cost of zero leaves no total behind: keys that only ever fail take no memory.
        if !settlement.cost.is_zero() {
            let total = self.totals.entry(settlement.key).or_default();
            *total = total.saturating_add(settlement.cost);
            if let Some(rule) = settlement.quota {
                self.accounts.entry(settlement.key).or_default().charge(settlement.cost, rule);
            }
        }
        if self.entries.contains_key(&settlement.key) {
            self.change(settlement.key, |entry| {
                met = Met { hold: entry.holds.remove(settlement.event), window: entry.budget_window() };
                entry.spend(settlement);
            });
        }
        Some(met)
    }

    /// Whether there was anything to release.
    fn release(&mut self, ask: &Ask) -> bool {
        let known = self.entries.contains_key(&ask.key) && self.recent.first(ask.event);
        if known {
            self.change(ask.key, |entry| entry.give_back(ask));
        }
        known
    }

    fn lasting(&self, key: KeyId) -> Lasting {
        Lasting { total_spent: self.totals.get(&key).copied().unwrap_or_default(), account: self.account(key) }
    }

    fn account(&self, key: KeyId) -> Account {
        self.accounts.get(&key).copied().unwrap_or_default()
    }

    /// Works on one entry and keeps the shard's sums of holds in step.
    fn change<T>(&mut self, key: KeyId, work: impl FnOnce(&mut Entry) -> T) -> T {
        let entry = self.entries.entry(key).or_default();
        let (count, units) = (entry.holds.count(), entry.holds.units());
        let result = work(entry);
        self.in_flight = self.in_flight + entry.holds.count() - count;
        self.held_units += entry.holds.units() - units;
        result
    }

    fn sweep_when_due(&mut self, now: UnixMillis) {
        // A clock that was set back must not stop sweeping.
        if now.since(self.swept) >= SWEEP_EVERY || now < self.swept {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: UnixMillis) {
        self.swept = now;
        self.entries.retain(|_, entry| !entry.is_idle(now));
        self.in_flight = self.entries.values().map(|e| e.holds.count()).sum();
        self.held_units = self.entries.values().map(|e| e.holds.units()).sum();
        let needed = self.entries.len() * 2 + 64;
        if self.entries.capacity() > 2 * needed {
            self.entries.shrink_to(needed);
        }
    }
}

#[async_trait]
impl Counters for MemoryCounters {
    async fn admit(&self, ask: &Ask) -> Result<Verdict, CountersUnavailable> {
        Ok(self.admit_now(ask))
    }

    fn settle(&self, settlement: Settlement) {
        self.settle_now(&settlement);
    }

    fn release(&self, ask: &Ask) {
        self.release_now(ask);
    }

    async fn spent(&self, key: KeyId) -> Result<Money, CountersUnavailable> {
        Ok(self.keys(key, |keys| keys.totals.get(&key).copied().unwrap_or_default()))
    }

    async fn account(&self, key: KeyId) -> Result<Account, CountersUnavailable> {
        Ok(self.keys(key, |keys| keys.account(key)))
    }

    async fn credit(&self, key: KeyId, amount: Money) {
        if amount <= Money::ZERO {
            return;
        }
        self.keys(key, |keys| {
            let balance = &mut keys.accounts.entry(key).or_default().balance;
            *balance = balance.saturating_add(amount);
        });
    }

    async fn reset_rate(&self, key: KeyId) {
        self.keys(key, |keys| {
            if let Some(entry) = keys.entries.get_mut(&key) {
                entry.rate = None;
            }
        });
    }

    async fn reset_window_budget(&self, key: KeyId) {
        self.keys(key, |keys| {
            if let Some(entry) = keys.entries.get_mut(&key) {
                entry.window = None;
            }
        });
    }

    fn holds(&self) -> (u64, Money) {
        let (count, units) = self.shards.iter().fold((0, 0), |(count, units), shard| {
            let keys = shard.0.lock();
            (count + keys.in_flight, units + keys.held_units)
        });
        (count, clamp(units))
    }
}
