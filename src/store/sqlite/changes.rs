//! The change feed: a number per commit, the last change of each row, deletions kept as tombstones.
//!
//! A secret that was replaced is a row of its own, so that each of them is told to whoever still knows it, however many
//! came after, and whoever had the same one since. It stands before the row of its key: a key that took an old secret
//! back is told last.
//!
//! A kind that this version does not know is a later version's, which shares the file during an upgrade: it is passed
//! over, and what is known is told all the same.

use super::{Result, SqliteStore, custom_providers, groups, models, routes, settings};
use crate::domain::{GroupId, KeyId, ModelId};
use crate::store::columns::Columns;
pub(super) use crate::store::names::Kind;
use crate::store::rows::KEY;
use crate::store::seal::Sealer;
use crate::store::{Change, ChangeFeed, Changes, Point};
use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};
use std::sync::Arc;
use uuid::Uuid;

/// Rows per answer: bounds memory while a million keys are loaded.
const PAGE: i64 = 10_000;

// REPLACE drops the row's older change, so the feed stays as long as there are rows, however often they change.
const NOTE: &str = "INSERT OR REPLACE INTO changes (kind, row_id, gone) VALUES (?, ?, ?)";

/// In the transaction that changes the row.
pub(super) fn note(tx: &Transaction<'_>, kind: Kind, id: &[u8]) -> Result<()> {
    tx.prepare_cached(NOTE)?.execute(params![kind.name(), id, None::<[u8; 32]>])?;
    Ok(())
}

/// In the transaction that deletes the key.
/// LIMIT: tombstones stay for good, about 80 bytes each.
pub(super) fn note_gone(tx: &Transaction<'_>, id: KeyId, digest: &[u8; 32]) -> Result<()> {
    tx.prepare_cached(NOTE)?.execute(params![Kind::Key.name(), id.as_bytes(), digest])?;
    Ok(())
}

/// Before [`note`] of the key, in the transaction that replaces its secret.
/// LIMIT: stays for good, as a tombstone does.
pub(super) fn note_old_digest(tx: &Transaction<'_>, id: KeyId, digest: &[u8; 32]) -> Result<()> {
    let row = [&id.as_bytes()[..], digest].concat();
    tx.prepare_cached(NOTE)?.execute(params![Kind::OldDigest.name(), row, digest])?;
    Ok(())
}

/// As [`note`], for a row that is counted. A row that is not there any more is told as gone.
pub(super) fn note_numbered(tx: &Transaction<'_>, kind: Kind, id: i64) -> Result<()> {
    note(tx, kind, &id.to_be_bytes())
}

/// As [`note`], for every key that `condition` (with one `?`) is true of, before or after it is changed.
pub(super) fn note_keys(tx: &Transaction<'_>, condition: &str, parameter: i64) -> Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO changes (kind, row_id, gone) SELECT '{}', id, NULL FROM keys WHERE {condition}",
        Kind::Key.name()
    );
    tx.prepare_cached(&sql)?.execute([parameter])?;
    Ok(())
}

#[async_trait]
impl ChangeFeed for SqliteStore {
    async fn changes_since(&self, point: Point) -> Result<Changes> {
        let sealer = Arc::clone(&self.sealer);
        self.lookup(move |tx| {
            // Keys come with their change, not by a query each: a start reads them all. The plus keeps to the order of
            // positions, whatever an index of kinds may promise.
            let sql = format!(
                "SELECT position, kind, row_id, gone, seq, {KEY} FROM changes \
                 LEFT JOIN keys ON keys.id = changes.row_id AND changes.kind = '{}' \
                 WHERE position > ? AND +kind IN ({}) ORDER BY position LIMIT ?",
                Kind::Key.name(),
                Kind::ALL.map(|kind| format!("'{}'", kind.name())).join(", ")
            );
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query([point.position, PAGE])?;
            let mut found = Changes { point, changes: Vec::new() };
            while let Some(row) = rows.next()? {
                let mut columns = Columns::new(row);
                found.point.position = columns.take()?;
                let kind = columns.take()?;
                found.changes.extend(read(tx, &sealer, kind, columns)?);
            }
            Ok(found)
        })
        .await
    }
}

/// The change that a row of the feed stands for: `row_id`, `gone`, then the columns of a key. Living rows are read in
/// the same transaction, so they are there, unless an operator's SQL took them.
fn read(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    kind: Kind,
    mut columns: Columns<'_, Row<'_>>,
) -> Result<Option<Change>> {
    Ok(match kind {
        Kind::Key => {
            let id = columns.take()?;
            match columns.take()? {
                Some(digest) => Some(Change::KeyGone { id, digest }),
                None if columns.is_null()? => None,
                None => Some(Change::Key(Box::new(columns.take()?))),
            }
        }
        Kind::OldDigest => {
            let row: [u8; 48] = columns.take()?;
            let digest = columns.take()?;
            row.first_chunk().map(|id| Change::KeyGone { id: KeyId::from_uuid(Uuid::from_bytes(*id)), digest })
        }
        Kind::Setting => {
            let found = settings::find(tx, sealer, columns.take()?)?;
            found.map(|setting| Change::Setting(Box::new(setting)))
        }
        Kind::CustomProvider => {
            let found = custom_providers::find(tx, columns.take()?)?;
            found.map(|provider| Change::CustomProvider(Box::new(provider)))
        }
        Kind::Model => {
            let id = ModelId(i64::from_be_bytes(columns.take()?));
            let found = models::find(tx, sealer, id)?;
            Some(found.map_or(Change::ModelGone(id), |model| Change::Model(Box::new(model))))
        }
        Kind::Group => {
            let id = GroupId(i64::from_be_bytes(columns.take()?));
            let found = groups::find(tx, id)?;
            Some(found.map_or(Change::GroupGone(id), |group| Change::Group(Box::new(group))))
        }
        Kind::Standing => Some(Change::Standing(columns.take()?)),
        Kind::Route => {
            let id = columns.take()?;
            let found = routes::find(tx, id)?;
            Some(found.map_or(Change::RouteGone(id), |route| Change::Route(Box::new(route))))
        }
    })
}
