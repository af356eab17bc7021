//! A start takes many questions to the store, and a database that many gateways share may go away between any two of
//! them: each is asked again until it is answered, and callers are told meanwhile that the gateway waits.

use super::CATCH_UP;
use super::waiting::WaitingRoom;
use crate::config::Config;
use crate::store::{Store, StoreError};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a store is asked whether it is there that keeps somebody waiting.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Patience<'a> {
    config: &'a Config,
    /// The store comes back by itself. A file of this machine does not.
    waits: bool,
    pause: Duration,
    room: Option<WaitingRoom>,
}

impl<'a> Patience<'a> {
    pub(super) const fn new(config: &'a Config, waits: bool) -> Self {
        Self { config, waits, pause: FIRST_PAUSE, room: None }
    }

    /// Says why, and lets some time pass, more each time.
    pub(super) async fn wait(&mut self, why: &impl Display) {
        tracing::error!(error = %why, again_in = ?self.pause, "waiting for the store");
        self.open_room().await;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Does it until the store answers.
    ///
    /// # Errors
    /// What the store answers, unless it is that it failed; that too, from a store that is not waited for.
    pub(super) async fn until_answered<T>(
        &mut self,
        step: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match step().await {
                Err(error @ (StoreError::Engine(_) | StoreError::Away(_))) if self.waits => self.wait(&error).await,
                done => {
                    self.pause = FIRST_PAUSE;
                    return done;
                }
            }
        }
    }

    /// Something that goes on by itself whenever the store is there. `left`: how much there is to do. `None`: for long
    /// that has not become less, although the store is there.
    pub(super) async fn until_done<T>(
        &mut self,
        store: &dyn Store,
        left: impl Fn() -> u64,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let (mut since, mut least) = (Instant::now(), u64::MAX);
        loop {
            if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
                return Some(done);
            }
            let now = left();
            if now < least {
                (since, least) = (Instant::now(), now);
                if now > 0 {
                    tracing::info!(events = now, "still booking");
                }
            }
            if self.waits
                && let Err(error) = store.ping().await
            {
                tracing::error!(%error, "waiting for the store");
                self.open_room().await;
                since = Instant::now();
            } else if since.elapsed() >= CATCH_UP {
                return None;
            }
        }
    }

    async fn open_room(&mut self) {
        if self.room.is_none() {
            self.room = Some(WaitingRoom::open(self.config).await);
        }
    }

    /// The ports are free when this returns.
    pub(super) async fn end(self) {
        if let Some(room) = self.room {
            room.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Sources, load};
    use crate::store::seal::{MasterKey, Sealer};
    use crate::store::sqlite::SqliteStore;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test(start_paused = true)]
    async fn as_long_as_it_becomes_less() {
        let directory = tempfile::tempdir().unwrap();
        let none = Sources { file: None, directory: directory.path().into(), environment: Environment::default() };
        let config = load(&none).unwrap().config;
        let sealer = Sealer::new(vec![MasterKey::load_or_create(&directory.path().join("key")).unwrap()]).unwrap();
        let store = SqliteStore::open(directory.path().join("db"), sealer).unwrap();
        let begun = Instant::now();
        let left = AtomicU64::new(300);
        let less = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.max(101) - 1)).unwrap();
        let done = Patience::new(&config, false).until_done(&store, less, std::future::pending::<()>()).await;
        assert_eq!(done, None);
        let (progress, stuck) = (200 * LOOK, CATCH_UP);
        assert!(begun.elapsed() >= progress + stuck && begun.elapsed() <= progress + stuck + 3 * LOOK);
    }
}
