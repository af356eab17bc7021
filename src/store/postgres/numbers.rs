//! Numbers that people use: counted up from 1, never given twice, and none is lost with what was rolled back.

use super::Result;
use crate::store::Numbered;
use deadpool_postgres::Transaction;

pub(super) const fn name(of: Numbered) -> &'static str {
    match of {
        Numbered::Key => "key",
        Numbered::Model => "model",
        Numbered::Group => "group",
    }
}

/// The first of `many` new ones, in the transaction that stores their rows.
pub(super) async fn next(tx: &Transaction<'_>, of: Numbered, many: usize) -> Result<i64> {
    let many = i64::try_from(many).unwrap_or(i64::MAX);
    let statement =
        tx.prepare_cached("UPDATE numbers SET last = last + $2 WHERE kind = $1 RETURNING last - $2 + 1").await?;
    Ok(tx.query_one(&statement, &[&name(of), &many]).await?.try_get(0)?)
}

/// Whether any was ever given.
pub(super) async fn ever_given(tx: &Transaction<'_>, of: Numbered) -> Result<bool> {
    let statement = tx.prepare_cached("SELECT last > 0 FROM numbers WHERE kind = $1").await?;
    Ok(tx.query_one(&statement, &[&name(of)]).await?.try_get(0)?)
}
