//! The change feed: a number per commit, the last change of each row, deletions kept as tombstones.
//!
//! A secret that was replaced is a row of its own, so that each of them is told to whoever still knows it, however many
//! came after, and whoever had the same one since. It stands before the row of its key: a key that took an old secret
//! back is told last.
//!
//! Whatever notes a change also announces it: gateways hear of it when its transaction commits, never before.

use super::Result;
use crate::domain::KeyId;
pub(super) use crate::store::names::Kind;
use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

/// Where commits of configuration are announced. A notification says nothing but that there is something to read.
pub(super) const CHANNEL: &str = "tollgate_changes";

/// Notes the rows that `source` selects (kind, row, digest that is gone), each of them once. A row's older change is
/// moved to the end, so the feed stays as long as there are rows, however often they change.
fn noting(source: &str) -> String {
    format!(
        "WITH noted AS (INSERT INTO changes (kind, row_id, gone) {source} \
         ON CONFLICT ON CONSTRAINT changes_one_per_row DO UPDATE SET position = DEFAULT, gone = excluded.gone) \
         SELECT pg_notify('{CHANNEL}', '')"
    )
}

async fn run(tx: &Transaction<'_>, source: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<()> {
    let statement = tx.prepare_cached(&noting(source)).await?;
    tx.execute(&statement, parameters).await?;
    Ok(())
}

async fn put(tx: &Transaction<'_>, kind: Kind, row: &[u8], gone: Option<&[u8]>) -> Result<()> {
    run(tx, "VALUES ($1::text, $2::bytea, $3::bytea)", &[&kind.name(), &row, &gone]).await
}

/// In the transaction that changes the row, which [`super::change`] began.
pub(super) async fn note(tx: &Transaction<'_>, kind: Kind, id: &[u8]) -> Result<()> {
    put(tx, kind, id, None).await
}

/// As [`note`], for many rows in one statement. No id comes twice.
pub(super) async fn note_many(tx: &Transaction<'_>, kind: Kind, ids: &[&[u8]]) -> Result<()> {
    let source =
        "SELECT $1::text, id, NULL::bytea FROM unnest($2::bytea[]) WITH ORDINALITY AS given (id, place) ORDER BY place";
    run(tx, source, &[&kind.name(), &ids]).await
}

/// In the transaction that deletes the key.
/// LIMIT: tombstones stay for good, about 100 bytes each.
pub(super) async fn note_gone(tx: &Transaction<'_>, id: KeyId, digest: &[u8; 32]) -> Result<()> {
    put(tx, Kind::Key, id.as_bytes(), Some(digest)).await
}

/// Before [`note`] of the key, in the transaction that replaces its secret.
/// LIMIT: stays for good, as a tombstone does.
pub(super) async fn note_old_digest(tx: &Transaction<'_>, id: KeyId, digest: &[u8; 32]) -> Result<()> {
    let row = [&id.as_bytes()[..], digest].concat();
    put(tx, Kind::OldDigest, &row, Some(digest)).await
}

/// As [`note`], for a row that is counted. A row that is not there any more is told as gone.
pub(super) async fn note_numbered(tx: &Transaction<'_>, kind: Kind, id: i64) -> Result<()> {
    note(tx, kind, &id.to_be_bytes()).await
}

/// As [`note`], for every key that `condition` (with `$1`) is true of, before or after it is changed.
pub(super) async fn note_keys(tx: &Transaction<'_>, condition: &str, parameter: i64) -> Result<()> {
    let kind = Kind::Key.name();
    run(tx, &format!("SELECT '{kind}', uuid_send(id), NULL::bytea FROM keys WHERE {condition}"), &[&parameter]).await
}
