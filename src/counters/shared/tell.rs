//! Tells the shared counters, in the background, what became of requests. Keys with news stand in a queue; what a key has
//! to tell is made when its turn comes, so that many ends of one key are one message.

use super::own::News;
use super::{Core, script};
use crate::domain::KeyId;
use crate::limits::Ask;
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Messages on their way at one time.
const AT_ONCE: usize = 64;
/// Questions to the ledger at one time.
const LOOKS_AT_ONCE: usize = 4;
/// Keys of a round while Redis is away.
const LOOKS_IN_AN_OUTAGE: usize = 2_000;
/// For what nobody waits for: spend of keys without a budget, keys to look at again.
const TICK: Duration = Duration::from_secs(1);

/// The background tasks; they end with it.
pub(super) struct Teller {
    core: Arc<Core>,
    queue: Arc<Queue>,
    runtime: Handle,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Queue {
    soon: Mutex<Vec<KeyId>>,
    later: Mutex<Vec<KeyId>>,
    wake: Notify,
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Teller {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let queue = Arc::new(Queue::default());
        let tasks = [tokio::spawn(run(core.clone(), queue.clone())), tokio::spawn(look_again(core.clone()))];
        Self { core, queue, runtime: Handle::current(), tasks }
    }

    /// `soon`: somebody may wait for what a hold keeps.
    pub(super) fn tell(&self, key: KeyId, soon: bool) {
        if soon {
            self.queue.soon.lock().push(key);
            self.queue.wake.notify_one();
        } else {
            self.queue.later.lock().push(key);
        }
    }

    pub(super) fn release(&self, ask: Ask) {
        let core = self.core.clone();
        self.runtime.spawn(async move {
            let places = script::places(core.link.prefix(), ask.key);
            let released = core.run(&core.scripts.release, &places, &script::release(core.instance, &ask)).await;
            if released.is_err() {
                core.own.lost(ask.key);
            }
        });
    }
}

async fn run(core: Arc<Core>, queue: Arc<Queue>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut state = core.state.clone();
    let mut current = None;
    loop {
        tokio::select! {
            () = queue.wake.notified() => {}
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                current = None;
            }
            _ = ticks.tick() => {
                let later = std::mem::take(&mut *queue.later.lock());
                queue.soon.lock().extend(later);
                // Whatever could not be told before.
                current = None;
            }
        }
        // Also while it is not yet settled: that is the time in which everybody tells what is lost.
        let Some(generation) = core.connected() else { continue };
        if current != Some(generation) {
            let behind = core.own.behind(generation);
            let core = &core;
            let tell = |key| async move { drop(core.tell_whole(key, generation).await) };
            stream::iter(behind).for_each_concurrent(AT_ONCE, tell).await;
            current = Some(generation);
        }
        let keys = std::mem::take(&mut *queue.soon.lock());
        stream::iter(keys).for_each_concurrent(AT_ONCE, |key| core.tell(key, generation)).await;
    }
}

/// Asks the ledger again for keys whose counts were made lately. Apart from the telling: the ledger may be slow.
async fn look_again(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        core.forget_outdated().await;
        stream::iter(core.due()).for_each_concurrent(LOOKS_AT_ONCE, |key| core.reconcile(key)).await;
        if core.generation().is_none() {
            let asked = core.own.asked_lately().into_iter().take(LOOKS_IN_AN_OUTAGE);
            let learn = |(key, rules, at)| core.learn_from_ledger(key, rules, at);
            stream::iter(asked).for_each_concurrent(LOOKS_AT_ONCE, learn).await;
        }
    }
}

impl Core {
    async fn tell(&self, key: KeyId, generation: u64) {
        self.telling.fetch_add(1, Ordering::SeqCst);
        self.tell_news(key, generation).await;
        self.telling.fetch_sub(1, Ordering::SeqCst);
    }

    async fn tell_news(&self, key: KeyId, generation: u64) {
        match self.own.news(key, generation) {
            News::Nothing => {}
            News::Whole => drop(self.tell_whole(key, generation).await),
            News::Ends { steps, ended } => {
                let places = script::places(self.link.prefix(), key);
                let arguments = script::settle(self.instance, &steps, &ended);
                if self.run(&self.scripts.settle, &places, &arguments).await.is_err() {
                    self.own.lost(key);
                }
            }
        }
    }

    /// Until the link can be trusted.
    #[cfg(test)]
    pub(super) async fn trusted(&self) {
        let mut state = self.state.clone();
        while self.generation().is_none() && state.changed().await.is_ok() {}
    }

    /// Everything that is still to be told, if the link stands; whether that was done in time.
    pub(super) async fn tell_all(&self, within: Duration) -> bool {
        let Some(generation) = self.generation() else { return false };
        let all = async {
            stream::iter(self.own.active()).for_each_concurrent(AT_ONCE, |key| self.tell(key, generation)).await;
            // What the background task has taken out of the lists and not delivered yet.
            while self.telling.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }
}
