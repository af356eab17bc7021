//! The numbers under which gateways book, each its own.
//!
//! A number belongs to a journal's directory, by a file in it: what a killed process left is booked under the number of
//! the one that admitted it. Whoever stops with an empty journal gives its number back.

use super::lanes::lend;
use super::{PostgresStore, Result, engine};
use crate::domain::InstanceId;
use deadpool_postgres::Transaction;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use uuid::Uuid;

/// Claims go one after another. Beside the locks of changes and migrations.
const CLAIM_LOCK: i64 = super::CONFIGURATION_LOCK + 2;
const FILE: &str = "instance";
/// Of the server, in milliseconds.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A number and what proves that it is a journal's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    pub(super) id: InstanceId,
    pub(super) token: Uuid,
}

impl Claim {
    fn read(directory: &Path) -> io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(directory.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let parts = text.trim().split_once(' ');
        // A file that was cut short is of no use; the number it had stays taken.
        Ok(parts.and_then(|(id, token)| Some(Self { id: InstanceId(id.parse().ok()?), token: token.parse().ok()? })))
    }

    /// Whole or not at all, readable by its owner only.
    fn write(self, directory: &Path) -> io::Result<()> {
        let new = directory.join("instance.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{} {}\n", self.id, self.token).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, directory.join(FILE))?;
        File::open(directory)?.sync_all()
    }
}

impl PostgresStore {
    /// The same store for the events of the journal in `directory`, whose process is another one or has ended.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub async fn booking_for(&self, directory: &Path) -> Result<Self> {
        Ok(self.booking_as(self.claim(directory, None).await?.id))
    }

    /// Gives back the number of `directory`, of which everything is in the ledger and whose process has ended.
    ///
    /// # Errors
    /// The store does not answer; the number stays taken.
    pub async fn release(&self, directory: &Path) -> Result<()> {
        let Some(claim) = Claim::read(directory).map_err(engine)? else { return Ok(()) };
        let connection = lend(&self.lanes.writes).await?;
        let sql = "UPDATE instances SET token = NULL, process = NULL, seen_at = 0 WHERE id = $1 AND token = $2";
        connection.execute(&connection.prepare_cached(sql).await?, &[&claim.id.0, &claim.token]).await?;
        // Whoever finds the file afterwards finds the number taken or free, and does not believe it.
        std::fs::remove_file(directory.join(FILE)).map_err(engine)
    }

    pub(super) async fn claim(&self, directory: &Path, process: Option<Uuid>) -> Result<Claim> {
        let mut connection = lend(&self.lanes.writes).await?;
        let tx = connection.transaction().await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&CLAIM_LOCK]).await?;
        let known = Claim::read(directory).map_err(engine)?;
        if let Some(claim) = known
            && take_again(&tx, claim, process).await?
        {
            tx.commit().await?;
            return Ok(claim);
        }
        let claim = take_free(&tx, process).await?;
        // Before the commit: a number that is taken and that nobody knows of would stay taken for ever.
        claim.write(directory).map_err(engine)?;
        tx.commit().await?;
        Ok(claim)
    }
}

/// Whether the number is still this journal's.
async fn take_again(tx: &Transaction<'_>, claim: Claim, process: Option<Uuid>) -> Result<bool> {
    let Some(process) = process else {
        let sql = "SELECT 1 FROM instances WHERE id = $1 AND token = $2";
        let row = tx.query_opt(sql, &[&claim.id.0, &claim.token]).await?;
        return Ok(row.is_some());
    };
    let sql = format!(
        "UPDATE instances SET process = $3, seen_at = {NOW}, position = NULL, version = $4 WHERE id = $1 AND token = $2"
    );
    Ok(tx.execute(&sql, &[&claim.id.0, &claim.token, &process, &VERSION]).await? > 0)
}

async fn take_free(tx: &Transaction<'_>, process: Option<Uuid>) -> Result<Claim> {
    let sql = "SELECT coalesce((SELECT min(id) FROM instances WHERE token IS NULL), \
               (SELECT coalesce(max(id), 0) + 1 FROM instances))";
    let id: i32 = tx.query_one(sql, &[]).await?.try_get(0)?;
    let claim = Claim { id: InstanceId(id), token: Uuid::new_v4() };
    let seen = if process.is_some() { NOW } else { "0" };
    let sql = format!(
        "INSERT INTO instances (id, token, process, seen_at, version) VALUES ($1, $2, $3, {seen}, $4) \
         ON CONFLICT (id) DO UPDATE SET token = excluded.token, process = excluded.process, \
         seen_at = excluded.seen_at, position = NULL, version = excluded.version"
    );
    tx.execute(&sql, &[&claim.id.0, &claim.token, &process, &VERSION]).await?;
    Ok(claim)
}
