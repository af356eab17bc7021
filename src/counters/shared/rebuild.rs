//! Counts that are not there, or that something is missing of: made of what the ledger and this gateway know.

use super::script;
use super::{Away, Core};
use crate::domain::{Account, InstanceId, KeyId, Money, UnixMillis, Window};
use crate::limits::{Ask, CountersUnavailable, Rules, Since, Standing};
use futures_util::{StreamExt as _, stream};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// Other gateways' last events before a rebuild are in the ledger after this, usually much earlier.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// Keys that are looked at again. Beyond it the oldest are let go: their gateways tell with their next request.
const MOST_REBUILT: usize = 100_000;
/// Messages on their way at one time.
const AT_ONCE: usize = 64;
const STRIPES: usize = 64;

/// Whole statements and rebuilds of a key go one after another, and admissions wait for them. Striped by key.
pub(super) struct Turns(Box<[Mutex<()>]>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| Mutex::new(())).collect())
    }

    async fn of(&self, key: KeyId) -> MutexGuard<'_, ()> {
        let [.., last] = *key.as_bytes();
        #[expect(clippy::indexing_slicing, reason = "reduced modulo the number of stripes, which are all there")]
        self.0[usize::from(last) % STRIPES].lock().await
    }
}

impl Core {
    /// Makes the counts of a key, once for all who wait for it here.
    pub(super) async fn rebuild(&self, ask: &Ask, generation: u64) -> Result<(), Away> {
        {
            let _turn = self.turns.of(ask.key).await;
            let standing = self.standing(ask.key, script::since(ask)).await?;
            self.say_standing(ask.key, Some(ask), &standing).await?;
            // What the ledger does not have yet.
            self.say_whole(ask.key, generation).await?;
        }
        self.look_soon(ask.key);
        Ok(())
    }

    /// Tells everything of a key over this link, unless that was done meanwhile.
    pub(super) async fn tell_whole(&self, key: KeyId, generation: u64) -> Result<(), Away> {
        let _turn = self.turns.of(key).await;
        if self.own.is_told(key, generation) {
            return Ok(());
        }
        self.say_whole(key, generation).await
    }

    /// With the turn of the key.
    async fn say_whole(&self, key: KeyId, generation: u64) -> Result<(), Away> {
        let statement = self.own.whole(key, generation, || self.picture.held_of(key));
        let places = script::places(self.link.prefix(), key);
        let said = self.run(&self.scripts.restate, &places, &script::restate(self.instance, &statement)).await;
        if said.is_err() {
            self.own.lost(key);
        } else {
            self.own.told(key);
        }
        said.map(drop)
    }

    /// Adds to the counts of a key what the ledger knows beyond them, if there are any. A failure is logged: the
    /// counts are the lower for it, until somebody asks for the ledger's word again.
    pub(super) async fn reconcile(&self, key: KeyId) {
        if let Ok(standing) = self.standing(key, Since::default()).await {
            // Counts that are not there are left alone: whoever asks for them knows the windows that count.
            drop(self.say_standing(key, None, &standing).await);
        }
    }

    /// Takes out what the requests of an instance hold that runs no more.
    pub(super) async fn bury(&self, instance: InstanceId, keys: &[KeyId]) {
        let nothing = script::restate(instance, &script::Statement::default());
        let bury = |key| {
            let nothing = &nothing;
            async move {
                let places = script::places(self.link.prefix(), key);
                drop(self.run(&self.scripts.restate, &places, nothing).await);
            }
        };
        stream::iter(keys.iter().copied()).for_each_concurrent(AT_ONCE, bury).await;
    }

    /// While the shared counts are away: what all gateways together have spent of a key, as far as the ledger has it.
    pub(super) async fn learn_from_ledger(&self, key: KeyId, rules: Rules, at: UnixMillis) {
        let start = |window: Window| window.bounds(at).0;
        let since = Since {
            rate: rules.rate.map(|rule| start(rule.window)),
            window: rules.window_budget.map(|rule| start(rule.window)),
        };
        if let Ok(standing) = self.standing(key, since).await {
            self.picture.raise(key, &rules, since, &standing);
        }
    }

    /// Asks the ledger about a key once more, when what was on its way is there.
    pub(super) fn look_soon(&self, key: KeyId) {
        let mut rebuilt = self.rebuilt.lock();
        rebuilt.push_back((Instant::now() + ON_ITS_WAY, key));
        if rebuilt.len() > MOST_REBUILT {
            rebuilt.pop_front();
        }
    }

    /// Keys that are due to be looked at again.
    pub(super) fn due(&self) -> Vec<KeyId> {
        let mut rebuilt = self.rebuilt.lock();
        let now = Instant::now();
        let due = rebuilt.iter().take_while(|(at, _)| *at <= now).count();
        rebuilt.drain(..due).map(|(_, key)| key).collect()
    }

    async fn standing(&self, key: KeyId, since: Since) -> Result<Standing, Away> {
        self.ledger.standing(key, since).await.map_err(|error| {
            tracing::warn!(%error, %key, "the ledger cannot say how a key stands");
            Away::Ledger
        })
    }

    async fn say_standing(&self, key: KeyId, ask: Option<&Ask>, standing: &Standing) -> Result<(), Away> {
        let [counts, _] = script::places(self.link.prefix(), key);
        self.run(&self.scripts.rebuild, &[counts], &script::rebuild(ask, standing)).await?;
        Ok(())
    }

    /// Forgets a count that a rule was changed of.
    pub(super) async fn forget_field(&self, key: KeyId, field: &str) {
        if self.generation().is_none() {
            return;
        }
        let [counts, _] = script::places(self.link.prefix(), key);
        if let Err(error) = self.link.command(redis::cmd("HDEL").arg(counts).arg(field)).await {
            tracing::warn!(%error, %key, "a count of a changed limit goes on");
        }
    }

    /// What was counted stays beside the counts that are not there then, and those who make them add it to what the
    /// ledger says, as after a loss. Every gateway does this, so that none has to be trusted to.
    pub(super) async fn forget_outdated(&self) {
        if self.generation().is_none() {
            return;
        }
        let keys = std::mem::take(&mut *self.outdated.lock());
        let forget = |key| async move {
            let [counts, _] = script::places(self.link.prefix(), key);
            if let Err(error) = self.link.command(redis::cmd("HDEL").arg(counts).arg("s")).await {
                tracing::debug!(%error, %key, "its counts are not made again yet");
                self.outdated.lock().insert(key);
            }
        };
        stream::iter(keys).for_each_concurrent(AT_ONCE, forget).await;
    }

    /// Spend and account as they count now; the ledger's word for a key that nobody counts.
    pub(super) async fn read(&self, key: KeyId) -> Result<(Money, Account), CountersUnavailable> {
        let [counts, _] = script::places(self.link.prefix(), key);
        let told = self.link.command(redis::cmd("HMGET").arg(counts).arg(&["s", "t", "a"])).await;
        if let Some(found) = told.ok().as_ref().and_then(script::read_books) {
            return Ok(found);
        }
        let standing = self.ledger.standing(key, Since::default()).await?;
        let spent = standing.spent.iter().fold(Money::ZERO, |sum, (_, spent)| sum.saturating_add(*spent));
        Ok((spent, standing.account))
    }
}
