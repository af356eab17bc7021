//! Deletes events that are older than the operator wants to keep, in batches with rests between, so that new events
//! and changes of configuration never wait for more than one of them.

use super::{EventStore, Result};
use crate::domain::UnixMillis;
use crate::domain::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Events in a batch: some tens of milliseconds of an embedded engine's one writer.
const BATCH: u64 = 500;
/// A batch is followed by a rest of so many times its length: deleting takes a quarter of the writer at most.
const REST: u32 = 3;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Keeps events for `days`, for ever running. A failure is logged and tried again at the next look.
///
/// `days` must cover every window that is rebuilt from events (a month), and begin only when the journal's leftovers
/// are in the store: an event that arrives again after its deletion would count twice.
pub async fn keep_for(days: u32, store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let before = UnixMillis(clock.now().0.saturating_sub(i64::from(days) * DAY_MS));
        match delete_before(&*store, before).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, days, "old events were deleted"),
            Err(error) => tracing::warn!(%error, "old events could not be deleted; the next try is in an hour"),
        }
    }
}

/// All of them; returns how many.
async fn delete_before(store: &dyn EventStore, before: UnixMillis) -> Result<u64> {
    let mut all = store.drop_events_before(before).await?;
    loop {
        let began = Instant::now();
        let deleted = store.delete_events_before(before, BATCH).await?;
        all += deleted;
        if deleted < BATCH {
            return Ok(all);
        }
        tokio::time::sleep(began.elapsed() * REST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;
    use crate::store::EventFilter;
    use crate::store::seal::{MasterKey, Sealer};
    use crate::store::sqlite::SqliteStore;
    use crate::store::suite::samples::{event, key_id};

    const NOW: i64 = 1_700_000_000_000;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> UnixMillis {
            UnixMillis(NOW)
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_too_old_goes_in_batches_while_new_events_come_in() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(vec![MasterKey::load_or_create(&folder.path().join("key")).unwrap()]).unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("store.db"), sealer).unwrap());
        let edge = NOW - 32 * DAY_MS;
        let old: Vec<_> = (0..2 * BATCH + 250).map(|n| event(n, UnixMillis(edge - 1), |_| {})).collect();
        let (first, second) = old.split_at(600);
        store.insert_events(first).await.unwrap();
        store.insert_events(second).await.unwrap();
        store.insert_events(&[event(9_000, UnixMillis(edge), |_| {})]).await.unwrap();
        let task = tokio::spawn(keep_for(32, store.clone() as _, Arc::new(Fixed)));
        let left = async || store.list_events(&EventFilter::default()).await.unwrap().rows.len();
        let mut new = 0;
        tokio::time::timeout(Duration::from_secs(20), async {
            while left().await != 1 + new {
                store.insert_events(&[event(10_000 + new as u64, UnixMillis(NOW), |_| {})]).await.unwrap();
                new += 1;
            }
        })
        .await
        .unwrap();
        task.abort();
        let counted = i64::try_from(old.len() + 1 + new).unwrap();
        assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(Money::from_units(counted * 9_300_000)));
    }
}
