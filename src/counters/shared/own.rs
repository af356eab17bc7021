//! What this gateway itself has done with each key: positions that only grow, and what of them is still to be told.
//!
//! Positions are what makes telling safe: told twice or late they change nothing, and after a loss they can be told
//! again whole.

use super::script::{Statement, Step, Terms};
use crate::domain::{EventId, KeyId, Money, UnixMillis, Window};
use crate::limits::{Ask, Held, Rules};
use parking_lot::Mutex;
use std::collections::HashMap;

/// A power of two, far above any core count.
const SHARDS: usize = 64;
/// What was done with a key is told again after a loss for so long; then all of it is in the ledger.
const REMEMBERED_MILLIS: i64 = 15 * 60 * 1000;
/// A key that was asked for within this is asked for again soon.
const LATELY_MILLIS: i64 = 60_000;
/// Told one by one; with more in one go the whole is told instead.
const MOST_STEPS: usize = 64;
const MOST_ENDED: usize = 256;

/// No link has this generation.
pub(super) const NEVER: u64 = 0;

pub(super) struct Own {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    /// All-time spend that this instance has booked, of every key that it ever served.
    spent: HashMap<KeyId, Money>,
    active: HashMap<KeyId, Active>,
}

/// A key that was used lately.
#[derive(Debug, Default)]
struct Active {
    /// Of the link over which everything that is not listed below was told; [`NEVER`] = it has to be told whole.
    generation: u64,
    /// That whole is on its way.
    telling: bool,
    /// Admissions in a window.
    rate: Option<(Window, UnixMillis, u64)>,
    /// Admissions that have no answer yet: a hold of theirs may be there.
    asking: Vec<EventId>,
    steps: Vec<Step>,
    ended: Vec<(EventId, Money)>,
    terms: Terms,
    /// In the queue of what is told soon, and later.
    queued: [bool; 2],
    used: UnixMillis,
    /// Of the last admission.
    rules: Option<Rules>,
}

/// What is to be told of a key next.
#[derive(Debug)]
pub(super) enum News {
    Nothing,
    Ends {
        steps: Vec<Step>,
        ended: Vec<(EventId, Money)>,
    },
    /// Everything; holds come from elsewhere.
    Whole,
}

impl Own {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard<T>(&self, key: KeyId, work: impl FnOnce(&mut Shard) -> T) -> T {
        // Key ids are random, so any byte spreads them evenly.
        let [.., last] = *key.as_bytes();
        let shard = usize::from(last) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "reduced modulo the number of shards, which are all there")]
        let shard = &self.shards[shard];
        work(&mut shard.lock())
    }

    /// What the ledger says this instance has booked. At start, before anything is spent.
    pub(super) fn seed(&self, key: KeyId, spent: Money) {
        self.shard(key, |shard| shard.spent.insert(key, spent));
    }

    /// Before an admission is asked for; whether all that came before has been told over this link.
    pub(super) fn asks(&self, ask: &Ask, generation: u64) -> bool {
        self.shard(ask.key, |shard| {
            let active = shard.active.entry(ask.key).or_default();
            active.asking.push(ask.event);
            active.used = active.used.max(ask.now);
            active.rules = Some(ask.rules);
            active.generation == generation && !active.telling
        })
    }

    /// Whether all of a key has been told over this link.
    pub(super) fn is_told(&self, key: KeyId, generation: u64) -> bool {
        self.shard(key, |shard| {
            shard.active.get(&key).is_some_and(|active| active.generation == generation && !active.telling)
        })
    }

    /// A key of which everything has to be told.
    pub(super) fn touch(&self, key: KeyId, now: UnixMillis) {
        self.shard(key, |shard| {
            let active = shard.active.entry(key).or_default();
            active.used = active.used.max(now);
            active.lose();
        });
    }

    /// After it, however it went.
    pub(super) fn asked(&self, key: KeyId, event: EventId) {
        self.change(key, |active| active.asking.retain(|asking| *asking != event));
    }

    /// How far the shared count of this instance had come with an admission.
    pub(super) fn admitted(&self, key: KeyId, window: Window, start: UnixMillis, count: u64) {
        self.change(key, |active| {
            active.rate = Some(match active.rate {
                Some((unit, at, own)) if unit == window && at >= start => (unit, at, own.max(count)),
                _ => (window, start, count),
            });
        });
    }

    /// One that was asked without the shared counts.
    pub(super) fn asked_here(&self, ask: &Ask, admitted: bool) {
        self.shard(ask.key, |shard| {
            let active = shard.active.entry(ask.key).or_default();
            active.used = active.used.max(ask.now);
            active.rules = Some(ask.rules);
            active.lose();
            let Some(rule) = ask.rules.rate.filter(|_| admitted) else { return };
            let (window, start) = (rule.window, rule.window.bounds(ask.now).0);
            active.rate = Some(match active.rate {
                Some((unit, at, own)) if unit == window && at >= start => (unit, at, own.saturating_add(1)),
                _ => (window, start, 1),
            });
        });
    }

    /// Taken back.
    pub(super) fn released(&self, key: KeyId, window: Window, start: UnixMillis) {
        self.change(key, |active| {
            if let Some((unit, at, own)) = &mut active.rate
                && (*unit, *at) == (window, start)
            {
                *own = own.saturating_sub(1);
            }
        });
    }

    /// The count was reset for everybody.
    pub(super) fn forget_rate(&self, key: KeyId) {
        self.change(key, |active| active.rate = None);
    }

    /// The end of a request. Whether its key has to be put into the queue of those that have news.
    pub(super) fn settled(
        &self,
        key: KeyId,
        (event, hold): (EventId, Option<Money>),
        cost: Money,
        terms: Terms,
        at: UnixMillis,
    ) -> bool {
        self.shard(key, |shard| {
            let spent = shard.spent.entry(key).or_default();
            *spent = spent.saturating_add(cost);
            let step = Step { spent: *spent, terms };
            if spent.is_zero() && hold.is_none() {
                shard.spent.remove(&key);
                return false;
            }
            let active = shard.active.entry(key).or_default();
            active.used = active.used.max(at);
            active.terms = terms;
            if active.generation != NEVER {
                match active.steps.last_mut() {
                    Some(last) if last.terms == terms => *last = step,
                    _ if cost.is_zero() => {}
                    _ => active.steps.push(step),
                }
                active.ended.extend(hold.map(|amount| (event, amount)));
                if active.steps.len() > MOST_STEPS || active.ended.len() > MOST_ENDED {
                    active.lose();
                }
            }
            let [soon, later] = &mut active.queued;
            !std::mem::replace(if hold.is_some() { soon } else { later }, true)
        })
    }

    /// What is to be told of a key now, over a link of this generation.
    pub(super) fn news(&self, key: KeyId, generation: u64) -> News {
        self.shard(key, |shard| {
            let Some(active) = shard.active.get_mut(&key) else { return News::Nothing };
            active.queued = [false; 2];
            if active.generation != generation {
                return News::Whole;
            }
            let (steps, ended) = (std::mem::take(&mut active.steps), std::mem::take(&mut active.ended));
            if steps.is_empty() && ended.is_empty() { News::Nothing } else { News::Ends { steps, ended } }
        })
    }

    /// Everything that is known of a key; what comes after it is listed again. To be followed by [`Self::told`] or
    /// [`Self::lost`]. `running`: the holds that are known.
    pub(super) fn whole(&self, key: KeyId, generation: u64, running: impl FnOnce() -> Vec<Held>) -> Statement {
        self.shard(key, |shard| {
            let spent = shard.spent.get(&key).copied();
            let active = shard.active.entry(key).or_default();
            (active.generation, active.telling) = (generation, true);
            active.steps.clear();
            active.ended.clear();
            let mut all: Vec<_> = active.asking.iter().map(|event| (*event, None)).collect();
            // After those that ask: an admission is among the holds before it is no longer among them.
            all.extend(running().into_iter().map(|held| (held.event, Some((held.amount, held.expires)))));
            let step = spent.map(|spent| Step { spent, terms: active.terms });
            Statement { step, rate: active.rate, running: all }
        })
    }

    pub(super) fn told(&self, key: KeyId) {
        self.change(key, |active| active.telling = false);
    }

    /// Telling failed: next time everything is told.
    pub(super) fn lost(&self, key: KeyId) {
        self.change(key, Active::lose);
    }

    /// All-time spend that this instance has booked of a key.
    pub(super) fn spent(&self, key: KeyId) -> Money {
        self.shard(key, |shard| shard.spent.get(&key).copied().unwrap_or_default())
    }

    /// Keys that were asked for lately, under which rules, and when.
    pub(super) fn asked_lately(&self) -> Vec<(KeyId, Rules, UnixMillis)> {
        let mut keys = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            keys.extend(shard.active.iter().filter_map(|(key, active)| Some((*key, active.rules?, active.used))));
        }
        let latest = keys.iter().map(|(_, _, used)| used.0).max().unwrap_or_default();
        keys.retain(|(_, _, used)| used.0 + LATELY_MILLIS >= latest);
        keys
    }

    /// Keys of which something was not told over a link of this generation.
    pub(super) fn behind(&self, generation: u64) -> Vec<KeyId> {
        let mut keys = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            keys.extend(shard.active.iter().filter(|(_, a)| a.generation != generation).map(|(key, _)| *key));
        }
        keys
    }

    /// Keys that were used lately.
    pub(super) fn active(&self) -> Vec<KeyId> {
        self.shards.iter().flat_map(|shard| shard.lock().active.keys().copied().collect::<Vec<_>>()).collect()
    }

    /// Forgets keys of which nobody could miss anything. `holds`: whether requests of a key run.
    pub(super) fn sweep(&self, now: UnixMillis, generation: u64, holds: impl Fn(KeyId) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.active.retain(|key, active| {
                let told = active.generation == generation && active.steps.is_empty() && active.ended.is_empty();
                let idle = active.used.0.saturating_add(REMEMBERED_MILLIS) < now.0;
                !(told && idle && active.asking.is_empty() && !holds(*key))
            });
        }
    }

    fn change(&self, key: KeyId, work: impl FnOnce(&mut Active)) {
        self.shard(key, |shard| {
            if let Some(active) = shard.active.get_mut(&key) {
                work(active);
            }
        });
    }
}

impl Active {
    fn lose(&mut self) {
        (self.generation, self.telling) = (NEVER, false);
        self.steps.clear();
        self.ended.clear();
    }
}
