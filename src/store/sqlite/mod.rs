//! The embedded store: one SQLite file in WAL mode, one writer, a few readers.
//!
//! A file per aggregate holds its SQL: `keys` (lists in `key_list`), `accounts`, `settings`, `custom_providers`, `models`,
//! `groups`, `grants`, `routes`, `imports`, `changes`, `events`, `objects`, `report`, `retention`, `spend`. `row` says how
//! columns are stored; filters become bound parameters in `filter::Conditions`, never text.

mod accounts;
mod changes;
mod custom_providers;
mod events;
mod filter;
mod grants;
mod groups;
mod imports;
mod key_list;
mod keys;
mod lane;
mod models;
mod objects;
mod report;
mod retention;
mod routes;
mod row;
mod schema;
mod settings;
mod spend;
#[cfg(test)]
mod tests;

use super::seal::Sealer;
use super::{Result, Store, StoreError, engine};
use async_trait::async_trait;
use lane::Lane;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::Arc;

/// Connections for point reads and the change feed: reports never make these wait.
const LOOKUPS: usize = 2;
/// Holds the index of a million ids, which a start would else read again for every key.
const LOOKUP_CACHE_KIB: u32 = 32 * 1024;
/// Connections for lists and reports.
const SCANS: usize = 3;
/// Scans do not come by a page twice.
const SCAN_CACHE_KIB: u32 = 2 * 1024;

/// Configuration and ledger in one file. Methods need a tokio runtime; the work runs on its blocking threads.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Lane,
    lookups: Lane,
    scans: Lane,
    sealer: Arc<Sealer>,
}

impl SqliteStore {
    /// Opens or makes the file (readable by its owner only) and its folder, and migrates it. Blocks.
    pub fn open(path: impl AsRef<Path>, sealer: Sealer) -> Result<Self> {
        let path = &schema::make_private(path.as_ref()).map_err(engine)?;
        let writer = schema::open_writer(path)?;
        let readers = |count, cache| (0..count).map(|_| schema::open_reader(path, cache)).collect::<Result<Vec<_>>>();
        Ok(Self {
            writer: Lane::new(vec![writer]),
            lookups: Lane::new(readers(LOOKUPS, LOOKUP_CACHE_KIB)?),
            scans: Lane::new(readers(SCANS, SCAN_CACHE_KIB)?),
            sealer: Arc::new(sealer),
        })
    }

    /// Runs `work` in one transaction that holds the write lock from its start, and commits it if it succeeds.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.writer.run(move |connection| in_transaction(connection, TransactionBehavior::Immediate, work)).await
    }

    /// As [`Self::write`], and takes it back.
    async fn rehearse<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let behavior = TransactionBehavior::Immediate;
        // A transaction that is let go of is rolled back.
        self.writer.run(move |connection| work(&connection.transaction_with_behavior(behavior)?)).await
    }

    /// Runs `work` on one consistent view, for single rows and the change feed.
    async fn lookup<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.lookups.run(move |connection| in_transaction(connection, TransactionBehavior::Deferred, work)).await
    }

    /// As [`Self::lookup`], for what may take long.
    async fn scan<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.scans.run(move |connection| in_transaction(connection, TransactionBehavior::Deferred, work)).await
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        self.lookup(|tx| Ok(tx.query_row("SELECT count(*) FROM (SELECT 1 FROM changes LIMIT 1)", [], |_| Ok(()))?))
            .await
    }
    async fn schema_version(&self) -> Result<i64> {
        self.lookup(|tx| schema::version(tx)).await
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // The file, the disk or somebody else's lock: nothing that was asked is at fault.
        use rusqlite::ErrorCode as Code;
        let away = matches!(
            error.sqlite_error_code(),
            Some(
                Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::SystemIoFailure
                    | Code::DiskFull
                    | Code::OutOfMemory
                    | Code::ReadOnly
                    | Code::CannotOpen
                    | Code::PermissionDenied
                    | Code::FileLockingProtocolFailed
                    | Code::OperationInterrupted
            )
        );
        if away { StoreError::Away(Box::new(error)) } else { engine(error) }
    }
}
