//! Deletes old events a few at a time. What they cost stays in the rollup of their keys, which nothing here touches.

use super::Result;
use crate::domain::UnixMillis;
use crate::store::text::stored;
use rusqlite::{Transaction, params};

/// Bodies go with their event (a foreign key says so). Freed pages are used again; the file does not shrink.
pub(super) const DELETE: &str =
    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE created_at < ? ORDER BY created_at LIMIT ?)";

/// How many were deleted.
pub(super) fn delete_before(tx: &Transaction<'_>, before: UnixMillis, limit: u64) -> Result<u64> {
    let deleted = tx.prepare_cached(DELETE)?.execute(params![before.0, stored(limit)])?;
    Ok(deleted as u64)
}
