//! The change feed: a number per commit, the last change of each row, deletions kept as tombstones.

use super::row::Columns;
use super::{Result, SqliteStore, custom_providers, keys, settings};
use crate::domain::{CustomProviderId, KeyDigest, KeyId, SettingId};
use crate::store::{Change, ChangeFeed, Changes};
use async_trait::async_trait;
use rusqlite::{Transaction, params};
use std::sync::Arc;
use uuid::Uuid;

/// Rows per answer: bounds memory while a million keys are loaded.
const PAGE: i64 = 10_000;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Key,
    Setting,
    CustomProvider,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Setting => "setting",
            Self::CustomProvider => "custom_provider",
        }
    }
    fn parse(name: &str) -> Option<Self> {
        [Self::Key, Self::Setting, Self::CustomProvider].into_iter().find(|k| k.name() == name)
    }
}

// REPLACE drops the row's older change, so the feed stays as long as there are rows, however often they change.
const NOTE: &str = "INSERT OR REPLACE INTO changes (kind, row_id, gone) VALUES (?, ?, ?)";

/// In the transaction that changes the row.
pub(super) fn note(tx: &Transaction<'_>, kind: Kind, id: &[u8; 16]) -> Result<()> {
    tx.prepare_cached(NOTE)?.execute(params![kind.name(), id, None::<[u8; 32]>])?;
    Ok(())
}

/// In the transaction that deletes the key.
/// LIMIT: tombstones stay for good, about 80 bytes each.
pub(super) fn note_gone(tx: &Transaction<'_>, id: KeyId, digest: &[u8; 32]) -> Result<()> {
    tx.prepare_cached(NOTE)?.execute(params![Kind::Key.name(), id.as_bytes(), digest])?;
    Ok(())
}

#[async_trait]
impl ChangeFeed for SqliteStore {
    async fn changes_since(&self, position: i64) -> Result<Changes> {
        let sealer = Arc::clone(&self.sealer);
        self.lookup(move |tx| {
            // Keys come with their change, not by a query each: a start reads them all.
            let sql = format!(
                "SELECT position, kind, row_id, gone, {} FROM changes \
                 LEFT JOIN keys ON keys.id = changes.row_id AND changes.kind = '{}' \
                 WHERE position > ? ORDER BY position LIMIT ?",
                keys::COLUMNS,
                Kind::Key.name()
            );
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query([position, PAGE])?;
            let mut found = Changes { position, changes: Vec::new() };
            while let Some(row) = rows.next()? {
                let mut columns = Columns::new(row);
                found.position = columns.take()?;
                let kind = columns.named("kind of change", Kind::parse)?;
                let id: Uuid = columns.uuid()?;
                let gone: Option<[u8; 32]> = columns.take()?;
                // Live rows are read in the same transaction, so they are there, unless an operator's SQL took them.
                let change = match (kind, gone) {
                    (Kind::Key, Some(digest)) => {
                        Some(Change::KeyGone { id: KeyId::from_uuid(id), digest: KeyDigest::from_bytes(digest) })
                    }
                    (Kind::Key, None) if columns.is_null()? => None,
                    (Kind::Key, None) => Some(Change::Key(Box::new(keys::take(&mut columns)?))),
                    (Kind::Setting, _) => {
                        settings::find(tx, &sealer, SettingId::from_uuid(id))?.map(|s| Change::Setting(Box::new(s)))
                    }
                    (Kind::CustomProvider, _) => custom_providers::find(tx, CustomProviderId::from_uuid(id))?
                        .map(|p| Change::CustomProvider(Box::new(p))),
                };
                found.changes.extend(change);
            }
            Ok(found)
        })
        .await
    }
}
