//! Keeps the snapshot up to date with the change feed: rows in, a new picture out. Never touches the database itself.

use super::{Change, ChangeFeed, Result, StoreError};
use crate::domain::KeyId;
use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The one writer of the current snapshot.
pub struct Loader {
    feed: Arc<dyn ChangeFeed>,
    current: Arc<ArcSwap<Snapshot>>,
    /// Refreshes go one after another, so that no older picture can replace a newer one. Held while the feed is read;
    /// requests never take it, they read `current`.
    turn: tokio::sync::Mutex<()>,
    /// See [`Self::take_restated`].
    restated: parking_lot::Mutex<Vec<KeyId>>,
    /// When the picture was last known to be up to date.
    fresh: parking_lot::Mutex<Instant>,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.load();
        f.debug_struct("Loader").field("position", &current.position()).field("keys", &current.keys()).finish()
    }
}

impl Loader {
    /// Starts with an empty snapshot: nobody is known until the first [`Loader::refresh`].
    pub fn new(feed: Arc<dyn ChangeFeed>) -> Self {
        Self {
            feed,
            current: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            turn: tokio::sync::Mutex::new(()),
            restated: parking_lot::Mutex::default(),
            fresh: parking_lot::Mutex::new(Instant::now()),
        }
    }

    /// How long ago the picture was last known to be up to date.
    pub fn age(&self) -> Duration {
        self.fresh.lock().elapsed()
    }

    /// Keys of which the ledger was told something, other than by their events, since the first picture; each call has
    /// the news of its own.
    pub fn take_restated(&self) -> Vec<KeyId> {
        std::mem::take(&mut *self.restated.lock())
    }

    /// The picture right now. Hold it for one request, not longer.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The cell that requests read; it always shows the newest picture.
    pub fn cell(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.current)
    }

    /// Takes in everything that was committed before this was called, then shows it all at once; all of it from the
    /// beginning when the store has fallen back. On an error the picture stays as it was and the next call starts where
    /// this one did.
    pub async fn refresh(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        let before = self.current.load_full();
        let mut restated = Vec::new();
        let next = match self.read_on(Snapshot::clone(&before), &mut restated).await {
            Err(StoreError::OtherHistory) => {
                tracing::warn!("the store is not where it was, as after a fail-over: all of it is read again");
                self.read_on(Snapshot::default(), &mut restated).await?
            }
            read => read?,
        };
        if next.point() != before.point() {
            self.current.store(Arc::new(next));
        }
        // Who begins to count asks the ledger anyway.
        if before.position() != 0 {
            let mut told = self.restated.lock();
            told.append(&mut restated);
            told.sort_unstable();
            told.dedup();
        }
        *self.fresh.lock() = Instant::now();
        Ok(())
    }

    async fn read_on(&self, mut next: Snapshot, restated: &mut Vec<KeyId>) -> Result<Snapshot> {
        let mut page = self.feed.changes_since(next.point()).await?;
        // The second half stops at a feed that does not move on, instead of asking it for ever.
        while !page.changes.is_empty() && page.point.position > next.position() {
            // One page is read while the one before is taken in: a start with many keys is the shorter for it.
            let (feed, point) = (Arc::clone(&self.feed), page.point);
            let ahead = tokio::spawn(async move { feed.changes_since(point).await });
            restated.extend(page.changes.iter().filter_map(|change| match change {
                Change::Standing(key) => Some(*key),
                _ => None,
            }));
            next.absorb(page);
            page = ahead.await.map_err(|cut_short| StoreError::Engine(Box::new(cut_short)))??;
        }
        if page.changes.is_empty() {
            next.absorb(page);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::samples::{digest, key};
    use crate::store::{Changes, Commit, Point, StoreError};
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use uuid::Uuid;

    /// Changes in memory, a few per answer.
    #[derive(Default)]
    struct Feed {
        changes: Mutex<Vec<Change>>,
        fail_after: Mutex<Option<usize>>,
        asked: AtomicUsize,
        stuck: AtomicBool,
        /// Of the commit that answers carry; no other one is known.
        history: AtomicU64,
    }

    const PAGE: usize = 3;

    #[async_trait]
    impl ChangeFeed for Feed {
        async fn changes_since(&self, point: Point) -> Result<Changes> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.fail_after.lock().is_some_and(|n| asked >= n) {
                return Err(StoreError::NotFound);
            }
            let token = Uuid::from_u128(self.history.load(Ordering::SeqCst).into());
            let commit = Some(Commit { number: 1, token });
            if point.commit.is_some() && point.commit != commit {
                return Err(StoreError::OtherHistory);
            }
            let from = if self.stuck.load(Ordering::SeqCst) { 0 } else { usize::try_from(point.position).unwrap() };
            let changes: Vec<_> = self.changes.lock().iter().skip(from).take(PAGE).cloned().collect();
            let position = i64::try_from(from + changes.len()).unwrap();
            Ok(Changes { point: Point { position, commit }, changes })
        }
    }

    fn feed(keys: u64) -> Arc<Feed> {
        let feed = Feed::default();
        *feed.changes.lock() = (0..keys).map(|n| Change::Key(Box::new(key(n, |_| {})))).collect();
        Arc::new(feed)
    }

    #[tokio::test]
    async fn a_refresh_takes_every_page() {
        let feed = feed(10);
        let loader = Loader::new(Arc::clone(&feed) as _);
        assert_eq!(loader.current().keys(), 0);
        loader.refresh().await.unwrap();
        assert_eq!((loader.current().keys(), loader.current().position()), (10, 10));
        feed.changes.lock().push(Change::KeyGone { id: key(4, |_| {}).id, digest: digest(4) });
        loader.refresh().await.unwrap();
        assert!(loader.current().key(&digest(4)).is_none());
        assert_eq!(loader.cell().load().keys(), 9);
    }

    #[tokio::test]
    async fn a_store_that_fell_back_is_read_again_wherever_its_positions_are() {
        for now in [3, 10, 15] {
            let feed = feed(10);
            let loader = Loader::new(Arc::clone(&feed) as _);
            loader.refresh().await.unwrap();
            // Five of them are lost, and others have their positions.
            let kept = (0..now).map(|n| if n < 5 { n } else { 100 + n });
            *feed.changes.lock() = kept.clone().map(|n| Change::Key(Box::new(key(n, |_| {})))).collect();
            feed.history.store(2, Ordering::SeqCst);
            *feed.fail_after.lock() = Some(feed.asked.load(Ordering::SeqCst) + 2);
            assert!(loader.refresh().await.is_err());
            assert_eq!(loader.current().keys(), 10, "nothing half done");
            *feed.fail_after.lock() = None;
            loader.refresh().await.unwrap();
            let current = loader.current();
            assert!(kept.clone().all(|n| current.key(&digest(n)).is_some()), "{now}");
            assert_eq!((current.keys() as u64, current.position()), (now, now as i64));
        }
    }

    #[tokio::test]
    async fn without_news_the_picture_is_the_same_one() {
        let loader = Loader::new(feed(2));
        loader.refresh().await.unwrap();
        let before = loader.current();
        loader.refresh().await.unwrap();
        assert!(Arc::ptr_eq(&before, &loader.current()));
    }

    #[tokio::test]
    async fn a_failure_shows_nothing_half_done_and_the_next_refresh_heals() {
        let feed = feed(10);
        *feed.fail_after.lock() = Some(2);
        let loader = Loader::new(Arc::clone(&feed) as _);
        assert!(loader.refresh().await.is_err());
        assert_eq!((loader.current().keys(), loader.current().position()), (0, 0));
        *feed.fail_after.lock() = None;
        loader.refresh().await.unwrap();
        assert_eq!(loader.current().keys(), 10);
    }

    #[tokio::test]
    async fn a_feed_that_stands_still_is_not_asked_for_ever() {
        let feed = feed(3);
        feed.stuck.store(true, Ordering::SeqCst);
        let loader = Loader::new(Arc::clone(&feed) as _);
        loader.refresh().await.unwrap();
        assert_eq!(loader.current().keys(), 3);
        assert_eq!(feed.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn racing_refreshes_never_go_back() {
        let feed = feed(0);
        let loader = Arc::new(Loader::new(Arc::clone(&feed) as _));
        let tasks = (0..50u64).map(|n| {
            let (feed, loader) = (Arc::clone(&feed), Arc::clone(&loader));
            tokio::spawn(async move {
                feed.changes.lock().push(Change::Key(Box::new(key(n, |_| {}))));
                let before = loader.current().position();
                loader.refresh().await.unwrap();
                assert!(loader.current().position() >= before);
                assert!(loader.current().key(&digest(n)).is_some(), "own write unseen");
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let ids: std::collections::HashSet<KeyId> = loader.current().iter_keys().map(|k| k.id).collect();
        assert_eq!(ids.len(), 50);
    }
}
