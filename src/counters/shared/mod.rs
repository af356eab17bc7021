//! [`SharedCounters`]: counts in Redis, for all gateways over one store.
//!
//! One admission is one script and one round trip (`admit.lua`); ends of requests are told in the background
//! (`tell`, `settle.lua`). What a gateway tells is how far *it* has come (`own`): positions that only grow. So telling can
//! be repeated, and counts that were lost come back exactly: the ledger says how far every gateway had come
//! (`rebuild.lua`), and each gateway that lives says the rest (`restate.lua`).
//!
//! A picture of the counts is kept in memory beside it. When Redis is away, it decides, from the last known values and
//! what is admitted here, and meanwhile learns from the ledger what others spend; what it let in is told when Redis is
//! back.
//!
//! # Invariants
//! - A hold goes in the same step in which its cost is counted.
//! - The counts of a key that are not there admit nobody: they are rebuilt first.
//! - Over a new link, nothing of a key is asked before all of this gateway was told again.

mod own;
mod rebuild;
mod script;
mod tell;
#[cfg(test)]
mod tests;

use super::memory::MemoryCounters;
use crate::domain::{Account, InstanceId, KeyId, Money, UnixMillis};
use crate::limits::{Ask, Counters, CountersUnavailable, Refusal, Settlement, SharedLedger, Verdict, decide};
use crate::redis::{Link, State};
use async_trait::async_trait;
use own::Own;
use parking_lot::Mutex;
use script::{Answer, Scripts, Terms};
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tell::Teller;
use tokio::sync::watch;

/// What is done with requests while Redis is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnOutage {
    /// Each gateway enforces limits by its own counts.
    #[default]
    Local,
    /// Requests of keys with limits are refused.
    Deny,
}

/// [`Counters`] of many gateways.
pub struct SharedCounters {
    core: Arc<Core>,
    teller: Teller,
}

/// What admissions and the teller share.
struct Core {
    link: Link,
    state: watch::Receiver<State>,
    scripts: Scripts,
    ledger: Arc<dyn SharedLedger>,
    instance: InstanceId,
    on_outage: OnOutage,
    picture: Arc<MemoryCounters>,
    own: Own,
    turns: rebuild::Turns,
    /// Keys whose counts were made lately: the ledger is asked again when it has what was on its way.
    rebuilt: Mutex<VecDeque<(Instant, KeyId)>>,
    /// Keys of which the ledger was told something other than events; their counts are to be made again.
    outdated: Mutex<HashSet<KeyId>>,
    /// Messages on their way.
    telling: AtomicUsize,
}

impl fmt::Debug for SharedCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCounters").field("instance", &self.core.instance).finish_non_exhaustive()
    }
}

/// Why the shared counts did not decide.
enum Away {
    Link,
    Ledger,
}

impl SharedCounters {
    /// Tells in the background, on the runtime that this is called in. `picture`: seeded from the ledger; it must be
    /// nobody else's to admit with.
    ///
    /// # Errors
    /// The ledger does not say what this instance has booked.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(
        link: Link,
        ledger: Arc<dyn SharedLedger>,
        instance: InstanceId,
        picture: Arc<MemoryCounters>,
        on_outage: OnOutage,
    ) -> Result<Self, CountersUnavailable> {
        let own = Own::new();
        for (key, spent) in ledger.spent_by(instance).await? {
            own.seed(key, spent);
        }
        let (state, scripts, turns) = (link.state(), Scripts::new(), rebuild::Turns::new());
        let rebuilt = Mutex::default();
        let core = Core {
            link,
            state,
            scripts,
            ledger,
            instance,
            on_outage,
            picture,
            own,
            turns,
            rebuilt,
            outdated: Mutex::default(),
            telling: AtomicUsize::new(0),
        };
        let core = Arc::new(core);
        Ok(Self { teller: Teller::start(core.clone()), core })
    }

    /// Events of these keys were left by a former process of this instance, and are in the ledger: what its requests
    /// held goes, what they cost counts. In the background.
    pub fn recovered(&self, keys: &[KeyId], now: UnixMillis) {
        for key in keys {
            self.core.own.touch(*key, now);
            self.core.look_soon(*key);
        }
    }

    /// As [`Self::recovered`], of another instance, which has ended and whose number nobody else has yet. When Redis is
    /// away, its holds stay until they end by themselves or somebody with its number uses the key.
    pub async fn bury(&self, instance: InstanceId, keys: &[KeyId]) {
        keys.iter().for_each(|key| self.core.look_soon(*key));
        self.core.bury(instance, keys).await;
    }

    /// The ledger was told something of these keys that is not in their events, as by an import: their counts are made
    /// of it again when they are next used. At once, or as soon as Redis is there.
    pub async fn restate(&self, keys: &[KeyId]) {
        self.core.outdated.lock().extend(keys);
        self.core.forget_outdated().await;
    }

    /// Forgets what nobody will miss.
    pub fn sweep(&self, now: UnixMillis) {
        self.core.picture.sweep(now);
        let core = &self.core;
        core.own.sweep(now, core.generation().unwrap_or(own::NEVER), |key| !core.picture.held_of(key).is_empty());
    }

    /// Tells what is still to be told; whether all of it was told in time. Under load there is always something on its
    /// way, so that it may take all the time it is given.
    pub async fn flush(&self, within: Duration) -> bool {
        self.core.tell_all(within).await
    }
}

impl Core {
    /// Of the link, while it can be trusted.
    fn generation(&self) -> Option<u64> {
        match &*self.state.borrow() {
            State::Up { generation, settled: true } => Some(*generation),
            State::Up { .. } | State::Down { .. } => None,
        }
    }

    /// Of the link, while there is one.
    fn connected(&self) -> Option<u64> {
        match &*self.state.borrow() {
            State::Up { generation, .. } => Some(*generation),
            State::Down { .. } => None,
        }
    }

    async fn admit(&self, ask: &Ask) -> Result<Verdict, CountersUnavailable> {
        let Some(generation) = self.generation() else { return self.admit_alone(ask) };
        let told = self.own.asks(ask, generation);
        let mut asking = Asking { own: &self.own, ask, is_over: false };
        let answer = self.admit_shared(ask, generation, told).await;
        let verdict = match &answer {
            Ok(answer) => Ok(self.learn(ask, answer)),
            Err(_) => self.admit_alone(ask),
        };
        // The hold is known in the picture before it is no longer asked for, so it is always known by one of them.
        asking.is_over = true;
        verdict
    }

    async fn admit_shared(&self, ask: &Ask, generation: u64, told: bool) -> Result<Answer, Away> {
        if !told {
            self.tell_whole(ask.key, generation).await?;
        }
        if let Some(answer) = self.ask(ask).await? {
            return Ok(answer);
        }
        self.rebuild(ask, generation).await?;
        self.ask(ask).await?.ok_or(Away::Link)
    }

    async fn ask(&self, ask: &Ask) -> Result<Option<Answer>, Away> {
        let places = script::places(self.link.prefix(), ask.key);
        let arguments = script::admit(self.instance, ask);
        let answer = self.run(&self.scripts.admit, &places, &arguments).await?;
        script::read_admit(&answer).map_err(|error| {
            tracing::error!(%error, "an admission could not be read");
            Away::Link
        })
    }

    async fn run(
        &self,
        script: &crate::redis::Script,
        places: &[String],
        arguments: &script::Arguments,
    ) -> Result<redis::Value, Away> {
        let keys: Vec<&[u8]> = places.iter().map(String::as_bytes).collect();
        self.link.run(script, &keys, &arguments.as_slices()).await.map_err(|error| {
            tracing::debug!(%error, "the shared counters were not reached");
            Away::Link
        })
    }

    /// What the shared counts said, in words, and in the picture.
    fn learn(&self, ask: &Ask, answer: &Answer) -> Verdict {
        let mut counts = answer.counts;
        let verdict = decide(ask, &counts);
        let untold = self.own.spent(ask.key).saturating_sub(answer.own_spent).max(Money::ZERO);
        counts.total_spent = counts.total_spent.saturating_add(untold);
        counts.window_spent = counts.window_spent.saturating_add(untold);
        if let Some(rule) = ask.rules.quota {
            counts.account.charge(untold, rule);
        }
        self.picture.learn(ask, &counts, answer.admitted);
        if let Some(rule) = ask.rules.rate.filter(|_| answer.admitted) {
            self.own.admitted(ask.key, rule.window, rule.window.bounds(ask.now).0, answer.own_admitted);
        }
        match (answer.admitted, verdict) {
            (true, Verdict::Admitted { .. }) | (false, Verdict::Refused(_)) => verdict,
            // The script has the word: it has taken, or not.
            (true, Verdict::Refused(_)) => {
                tracing::error!(key = %ask.key, "the script admitted what the rules refuse");
                Verdict::Admitted { rate: None }
            }
            (false, Verdict::Admitted { rate }) => {
                tracing::error!(key = %ask.key, "the script refused what the rules admit");
                Verdict::Refused(Refusal::TotalBudget { exhausted: false, rate })
            }
        }
    }

    /// Without the shared counts.
    fn admit_alone(&self, ask: &Ask) -> Result<Verdict, CountersUnavailable> {
        if self.on_outage == OnOutage::Deny {
            return Err(CountersUnavailable);
        }
        let verdict = self.picture.admit_now(ask);
        self.own.asked_here(ask, matches!(verdict, Verdict::Admitted { .. }));
        Ok(verdict)
    }
}

/// An admission that is on its way.
struct Asking<'a> {
    own: &'a Own,
    ask: &'a Ask,
    is_over: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.own.asked(self.ask.key, self.ask.event);
        // The client left: nobody will ever settle what may have been taken. The next statement takes it back.
        if !self.is_over {
            self.own.lost(self.ask.key);
        }
    }
}

#[async_trait]
impl Counters for SharedCounters {
    async fn admit(&self, ask: &Ask) -> Result<Verdict, CountersUnavailable> {
        if ask.rules.is_empty() {
            return Ok(Verdict::Admitted { rate: None });
        }
        self.core.admit(ask).await
    }

    fn settle(&self, settlement: Settlement) {
        let core = &self.core;
        let Some(met) = core.picture.settle_now(&settlement) else { return };
        let window = met.window.map(|window| (window, window.bounds(settlement.at).0));
        let terms = Terms { window, quota: settlement.quota };
        let (key, ended) = (settlement.key, (settlement.event, met.hold));
        if core.own.settled(key, ended, settlement.cost, terms, settlement.at) {
            self.teller.tell(key, met.hold.is_some());
        }
    }

    fn release(&self, ask: &Ask) {
        if self.core.picture.release_now(ask) {
            if let Some(rule) = ask.rules.rate {
                self.core.own.released(ask.key, rule.window, rule.window.bounds(ask.now).0);
            }
            self.teller.release(*ask);
        }
    }

    async fn spent(&self, key: KeyId) -> Result<Money, CountersUnavailable> {
        self.core.read(key).await.map(|(spent, _)| spent)
    }

    async fn account(&self, key: KeyId) -> Result<Account, CountersUnavailable> {
        self.core.read(key).await.map(|(_, account)| account)
    }

    async fn credit(&self, key: KeyId, amount: Money) {
        self.core.picture.credit(key, amount).await;
        // The ledger has it: counts that are there take it from there, those that are not find it there.
        if self.core.generation().is_some() {
            self.core.reconcile(key).await;
        }
    }

    async fn reset_rate(&self, key: KeyId) {
        self.core.picture.reset_rate(key).await;
        self.core.own.forget_rate(key);
        self.core.forget_field(key, "r").await;
    }

    async fn reset_window_budget(&self, key: KeyId) {
        self.core.picture.reset_window_budget(key).await;
        self.core.forget_field(key, "w").await;
    }

    fn holds(&self) -> (u64, Money) {
        self.core.picture.holds()
    }
}
