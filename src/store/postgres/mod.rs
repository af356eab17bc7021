//! The shared store: one Postgres database, any number of gateways.
//!
//! A file per aggregate holds its SQL, as in `sqlite`. `row` says how columns are stored; filters become bound parameters
//! in `filter::Conditions`, never text. JSON is kept as text, as it was written: `jsonb` would reorder it and refuse some
//! of it.

mod accounts;
mod address;
mod brief;
mod changes;
mod charges;
mod claims;
mod commits;
mod connect;
mod cover;
mod custom_providers;
mod events;
mod feed;
mod filter;
mod fold;
pub mod foreign;
mod grants;
mod groups;
mod imports;
mod instances;
mod key_list;
mod key_row;
mod keys;
mod lanes;
mod lent;
mod models;
mod notify;
mod numbers;
mod objects;
mod page;
mod partitions;
mod probe;
mod refusal;
mod report;
mod rights;
mod routes;
mod row;
mod schema;
mod sessions;
mod settings;
mod spend;
mod standing;
mod sums;
#[cfg(test)]
mod tests;
mod tls;
mod watched;

pub use address::{BadSettings, PostgresSettings, TlsMode};
pub use instances::Instance;
pub use probe::{Probe, migrate, probe};

use super::seal::Sealer;
use super::{Result, Store, StoreError, engine};
use crate::domain::InstanceId;
use async_trait::async_trait;
use connect::{Connector, Purpose, is_broken};
use deadpool_postgres::{Object, Transaction};
use lanes::{Failure, Lanes, lend};
use notify::Heard;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Held by whoever changes configuration, so that positions of the change feed are given in the order of commits: a
/// number that is seen has none below it still to come. Chosen once, no other program has a reason to use it.
const CONFIGURATION_LOCK: i64 = 0x746f_6c6c_6761_7465;

/// How long a migration may take, waiting for another process's included.
const MIGRATION: Duration = Duration::from_secs(600);

/// Configuration and ledger in one database. A clone shares the connections.
#[derive(Clone)]
pub struct PostgresStore {
    lanes: Lanes,
    sealer: Arc<Sealer>,
    heard: Arc<Heard>,
    /// Who books the events that are inserted through this one.
    instance: InstanceId,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// No server can be used, which may change, or the migration failed.
    pub async fn open(settings: PostgresSettings, sealer: impl Into<Arc<Sealer>>) -> Result<Self> {
        let connector = Connector::new(settings).map_err(engine)?;
        let (mut client, _driver, reached) = connector.open(&Purpose::statements(MIGRATION)).await.map_err(engine)?;
        sessions::are_own(&connector, &client).await?;
        schema::migrate(&mut client).await?;
        tracing::info!(server = reached.place, tls = reached.tls, "connected to Postgres");
        let (lanes, heard) = (Lanes::new(&connector)?, notify::start(&connector));
        let store = Self { lanes, sealer: sealer.into(), heard, instance: InstanceId::default() };
        if let Err(error) = store.make_months().await {
            // Events are taken without them.
            tracing::warn!(%error, "tables of coming months could not be made");
        }
        Ok(store)
    }

    /// The same store for the events of `instance`.
    #[must_use]
    pub fn booking_as(&self, instance: InstanceId) -> Self {
        Self { instance, ..self.clone() }
    }

    /// Who books the events that are inserted through this one.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// For single rows and the change feed.
    async fn connection(&self) -> Result<Object> {
        lend(&self.lanes.lookups).await
    }

    /// For lists and reports.
    async fn scan_connection(&self) -> Result<Object> {
        lend(&self.lanes.scans).await
    }

    /// For changes of configuration.
    async fn write_connection(&self) -> Result<Object> {
        lend(&self.lanes.writes).await
    }

    /// For events from the journal.
    async fn drain_connection(&self) -> Result<Object> {
        lend(&self.lanes.drain).await
    }
}

/// Before a read is repeated: a server says that it ends a session a moment before it does, and until then the same
/// connection could be lent again.
const BETWEEN_READS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];

/// Does it again when its connection broke. Only for what may be done twice: reads.
async fn twice<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<T> {
    for pause in BETWEEN_READS {
        match attempt().await {
            Err(StoreError::Away(error))
                if error.downcast_ref::<Failure>().is_some_and(|failure| is_broken(failure.client_error())) =>
            {
                tracing::debug!(%error, "a read is repeated");
            }
            done => return done,
        }
        tokio::time::sleep(pause).await;
    }
    attempt().await
}

/// A transaction that changes configuration: one at a time over all gateways, and its change is announced with its commit.
async fn change(connection: &mut Object) -> Result<Transaction<'_>> {
    let tx = connection.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&CONFIGURATION_LOCK]).await?;
    commits::add(&tx).await?;
    Ok(tx)
}

/// A transaction that reads everything as of one moment.
async fn view(connection: &mut Object) -> Result<Transaction<'_>> {
    let level = tokio_postgres::IsolationLevel::RepeatableRead;
    Ok(connection.build_transaction().isolation_level(level).read_only(true).start().await?)
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<()> {
        twice(|| async {
            self.connection().await?.simple_query("SELECT 1").await?;
            Ok(())
        })
        .await
    }
    async fn schema_version(&self) -> Result<i64> {
        twice(|| async { schema::version(&*self.connection().await?).await }).await
    }
}
