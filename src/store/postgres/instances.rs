//! Which gateway of many this is: its sign of life, what it shows, and what it waits for of the others.

use super::claims::{Claim, NOW, VERSION};
use super::commits;
use super::lanes::lend;
use super::{PostgresStore, Result};
use crate::domain::InstanceId;
use crate::store::{Peers, Point};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Where gateways tell what they show. A notification says nothing but that there is something to read.
pub(super) const SHOWN: &str = "tollgate_shown";
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Not seen for so long: nobody waits for it.
const ALIVE_MS: i64 = 3_000;
/// How long a change waits for the other gateways.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);
/// How often it looks, in case a notification is lost.
const LOOK: Duration = Duration::from_millis(100);
/// How long a process that has the same number is reported after it was seen.
const TWIN: Duration = Duration::from_secs(10);

/// This process as one of the gateways.
#[derive(Debug)]
pub struct Instance {
    store: PostgresStore,
    directory: PathBuf,
    claim: Claim,
    process: Uuid,
    /// `None`: nothing yet.
    shown: Mutex<Option<Point>>,
    twin: Mutex<Option<Instant>>,
    /// Another journal has the number now.
    lost: AtomicBool,
    left: AtomicBool,
    /// Signs go out one after another: an older one that comes late would take a newer one back.
    signs: tokio::sync::Mutex<()>,
}

impl PostgresStore {
    /// The number of the journal in `directory`, which must exist: the one it had, or else one that is free. Signs of
    /// life go out until [`Instance::leave`].
    ///
    /// # Errors
    /// The store does not answer, or the file cannot be written.
    pub async fn join(&self, directory: &Path) -> Result<Arc<Instance>> {
        let process = Uuid::new_v4();
        let claim = self.claim(directory, Some(process)).await?;
        tracing::info!(instance = %claim.id, "one of the gateways on this store");
        let instance = Arc::new(Instance {
            store: self.booking_as(claim.id),
            directory: directory.to_owned(),
            claim,
            process,
            shown: Mutex::new(None),
            twin: Mutex::new(None),
            lost: AtomicBool::new(false),
            left: AtomicBool::new(false),
            signs: tokio::sync::Mutex::default(),
        });
        tokio::spawn(live(Arc::downgrade(&instance)));
        Ok(instance)
    }
}

async fn live(instance: std::sync::Weak<Instance>) {
    let mut beats = tokio::time::interval(HEARTBEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let Some(instance) = instance.upgrade() else { return };
        if instance.left.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = instance.beat().await {
            // That the store does not answer is told by whoever needs it.
            tracing::debug!(%error, "no sign of life could be given");
        }
    }
}

impl Instance {
    pub const fn id(&self) -> InstanceId {
        self.claim.id
    }

    /// The store for the events of this process.
    pub fn store(&self) -> PostgresStore {
        self.store.clone()
    }

    async fn beat(&self) -> Result<()> {
        let _turn = self.signs.lock().await;
        if self.left.load(Ordering::Acquire) {
            return Ok(());
        }
        let connection = self.store.connection().await?;
        let sql = format!(
            "WITH before AS (SELECT process FROM instances WHERE id = $1 AND token = $2 FOR UPDATE) \
             UPDATE instances SET process = $3, seen_at = {NOW}, position = {} FROM before WHERE id = $1 \
             RETURNING before.process",
            commits::shown(4)
        );
        let (position, number, token) = self.shown();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&self.claim.id.0, &self.claim.token, &self.process, &position, &number, &token];
        let row = connection.query_opt(&connection.prepare_cached(&sql).await?, &values).await?;
        let Some(row) = row else { return self.take_back(&connection).await };
        let before: Option<Uuid> = row.try_get(0)?;
        if before.is_some_and(|process| process != self.process) && !self.left.load(Ordering::Acquire) {
            let news = self.twin.lock().replace(Instant::now()).is_none_or(|seen| seen.elapsed() > TWIN);
            if news {
                tracing::error!(
                    instance = %self.claim.id,
                    "another process has the same number: is its journal's directory a copy of this one's?"
                );
            }
        }
        self.lost.store(false, Ordering::Release);
        Ok(())
    }

    /// The store has forgotten this number, as one that was restored from a copy.
    async fn take_back(&self, connection: &deadpool_postgres::Object) -> Result<()> {
        let sql = format!(
            "INSERT INTO instances (id, token, process, seen_at, position, version) VALUES ($1, $2, $3, {NOW}, {}, $4) \
             ON CONFLICT (id) DO UPDATE SET token = excluded.token, process = excluded.process, \
             seen_at = excluded.seen_at, position = excluded.position, version = excluded.version \
             WHERE instances.token IS NULL",
            commits::shown(5)
        );
        let (position, number, token) = self.shown();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&self.claim.id.0, &self.claim.token, &self.process, &VERSION, &position, &number, &token];
        let taken = connection.execute(&connection.prepare_cached(&sql).await?, &values).await? > 0;
        if !taken && !self.lost.swap(true, Ordering::AcqRel) {
            tracing::error!(instance = %self.claim.id, "the number of this gateway was given to another one: restart it");
        }
        Ok(())
    }

    /// Position, and number and token of the commit.
    fn shown(&self) -> (Option<i64>, Option<i64>, Option<Uuid>) {
        let shown = *self.shown.lock();
        let commit = shown.and_then(|point| point.commit);
        (shown.map(|point| point.position), commit.map(|commit| commit.number), commit.map(|commit| commit.token))
    }

    /// The last sign: nobody waits for this gateway any more. `drained`: everything of its journal is in the ledger, so
    /// another one may have the number.
    ///
    /// # Errors
    /// The store does not answer; the number stays this journal's.
    pub async fn leave(&self, drained: bool) -> Result<()> {
        self.left.store(true, Ordering::Release);
        let _turn = self.signs.lock().await;
        if drained {
            return self.store.release(&self.directory).await;
        }
        let connection = lend(&self.store.lanes.writes).await?;
        let sql = "UPDATE instances SET seen_at = 0 WHERE id = $1 AND token = $2";
        connection.execute(&connection.prepare_cached(sql).await?, &[&self.claim.id.0, &self.claim.token]).await?;
        Ok(())
    }

    async fn tell(&self) -> Result<()> {
        let _turn = self.signs.lock().await;
        let connection = self.store.connection().await?;
        let sql = format!(
            "WITH told AS (UPDATE instances SET position = {}, seen_at = {NOW} WHERE id = $1 AND token = $2 RETURNING id) \
             SELECT pg_notify('{SHOWN}', '') FROM told",
            commits::shown(3)
        );
        let statement = connection.prepare_cached(&sql).await?;
        let (position, number, token) = self.shown();
        connection.execute(&statement, &[&self.claim.id.0, &self.claim.token, &position, &number, &token]).await?;
        Ok(())
    }

    /// How many live gateways beside this one do not show `position` yet.
    async fn behind(&self, position: i64) -> Result<i64> {
        let connection = self.store.connection().await?;
        let sql = format!(
            "SELECT count(*) FROM instances WHERE id <> $1 AND token IS NOT NULL AND position < $2 \
             AND seen_at > {NOW} - {ALIVE_MS}"
        );
        let row = connection.query_one(&connection.prepare_cached(&sql).await?, &[&self.claim.id.0, &position]).await?;
        Ok(row.try_get(0)?)
    }
}

#[async_trait]
impl Peers for Instance {
    async fn changed(&self) {
        self.store.changed().await;
    }

    async fn shows(&self, point: Point) {
        if self.shown.lock().replace(point) == Some(point) || self.left.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.tell().await {
            tracing::debug!(%error, "other gateways were not told what this one shows");
        }
    }

    async fn await_shown(&self, position: i64) {
        let waited = tokio::time::timeout(ACKNOWLEDGED, async {
            loop {
                let told = self.store.heard.shown.notified();
                let mut told = std::pin::pin!(told);
                // From here on nothing is missed.
                told.as_mut().enable();
                match self.behind(position).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "whether other gateways show a change is not known");
                        return;
                    }
                }
                // Late by one look, or in time.
                let _ = tokio::time::timeout(LOOK, told).await.is_ok();
            }
        });
        if waited.await.is_err() {
            tracing::warn!(position, "a change is stored and shown here, but not yet by every gateway");
        }
    }

    fn fault(&self) -> Option<&'static str> {
        if self.lost.load(Ordering::Acquire) {
            return Some("another gateway has the number of this one");
        }
        let twin = self.twin.lock().is_some_and(|seen| seen.elapsed() < TWIN);
        twin.then_some("another process has the same number as this one")
    }
}
