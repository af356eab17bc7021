//! Commits of configuration by their tokens: how a gateway knows that the database is still the one that it has read.
//!
//! Positions of the change feed cannot tell. A standby that takes over without the last commits gives their positions
//! again, and has soon gone past whatever was seen of them.

use super::{Result, StoreError};
use crate::store::columns::Columns;
use crate::store::{Commit, Point};
use deadpool_postgres::Transaction;

/// How many are kept. Who was away for more reads everything again, which is never wrong.
const KEPT: i64 = 10_000;

/// In a transaction that changes configuration, with its lock: tokens are in the order of commits.
pub(super) async fn add(tx: &Transaction<'_>) -> Result<()> {
    let sql = "WITH forgotten AS (DELETE FROM commits WHERE number <= (SELECT max(number) FROM commits) - $1) \
               INSERT INTO commits DEFAULT VALUES";
    tx.execute(&tx.prepare_cached(sql).await?, &[&KEPT]).await?;
    Ok(())
}

/// The newest one of a view that knows the one of `point`.
pub(super) async fn newest(tx: &Transaction<'_>, point: Point) -> Result<Option<Commit>> {
    let sql = "SELECT number, token, $1::bigint IS NULL OR EXISTS (SELECT FROM commits WHERE number = $1 AND token = $2) \
               FROM commits ORDER BY number DESC LIMIT 1";
    let (number, token) = (point.commit.map(|commit| commit.number), point.commit.map(|commit| commit.token));
    let row = tx.query_opt(&tx.prepare_cached(sql).await?, &[&number, &token]).await?;
    let Some(row) = row else {
        return if point.commit.is_none() { Ok(None) } else { Err(StoreError::OtherHistory) };
    };
    let mut columns = Columns::new(&row);
    let commit = Commit { number: columns.take()?, token: columns.take()? };
    if columns.take()? { Ok(Some(commit)) } else { Err(StoreError::OtherHistory) }
}

/// SQL for the position that a gateway shows, of its parameters from `first` on (position, number and token of a
/// commit): 0 when it shows another history than this one, NULL when it shows nothing.
pub(super) fn shown(first: usize) -> String {
    let (position, number, token) = (first, first + 1, first + 2);
    format!(
        "CASE WHEN ${number}::bigint IS NULL OR EXISTS (SELECT FROM commits WHERE number = ${number} \
         AND token = ${token}::uuid) THEN ${position}::bigint ELSE 0 END"
    )
}
