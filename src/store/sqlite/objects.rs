//! Whose object is whose, and which were charged: written with the events that say so.

use super::row::one;
use super::{Result, SqliteStore};
use crate::domain::{Event, EventId, SettingId, StoredObject};
use crate::store::ObjectStore;
use crate::store::rows::OBJECT;
use async_trait::async_trait;
use rusqlite::{Transaction, params};

/// Whether another event bears the cost of anything that this one is charged for.
pub(super) fn is_charged_elsewhere(tx: &Transaction<'_>, event: &Event) -> Result<bool> {
    let Some(objects) = event.objects.as_deref() else { return Ok(false) };
    for id in &objects.charged {
        let sql = "SELECT event_id FROM charges WHERE provider = ? AND object_id = ?";
        let bearer: Option<EventId> = one(tx, sql, params![event.provider, id])?;
        if bearer.is_some_and(|bearer| bearer != event.id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Called for events that are new. The first that names an id wins.
pub(super) fn insert(tx: &Transaction<'_>, event: &Event) -> Result<()> {
    let (Some(objects), Some(owner)) = (event.objects.as_deref(), event.key_id) else { return Ok(()) };
    for made in &objects.made {
        tx.prepare_cached(
            "INSERT INTO objects (provider, id, kind, key_id, setting_id, charged_as, made_at) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (provider, id) DO NOTHING",
        )?
        .execute(params![
            event.provider,
            made.id,
            made.kind,
            owner.as_bytes(),
            event.setting_id.as_ref().map(SettingId::as_bytes),
            made.charged_as,
            event.created_at.0
        ])?;
    }
    for id in &objects.charged {
        tx.prepare_cached(
            "INSERT INTO charges (provider, object_id, event_id) VALUES (?, ?, ?) \
             ON CONFLICT (provider, object_id) DO NOTHING",
        )?
        .execute(params![event.provider, id, event.id.as_bytes()])?;
    }
    Ok(())
}

#[async_trait]
impl ObjectStore for SqliteStore {
    async fn objects(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<StoredObject>> {
        let (provider, ids) = (provider.to_owned(), ids.to_vec());
        self.lookup(move |tx| {
            let sql = format!("SELECT {OBJECT} FROM objects WHERE provider = ? AND id = ?");
            let mut found = Vec::new();
            for id in &ids {
                found.extend(one::<StoredObject>(tx, &sql, params![provider, id])?);
            }
            Ok(found)
        })
        .await
    }

    async fn charged(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<Box<str>>> {
        let (provider, ids) = (provider.to_owned(), ids.to_vec());
        self.lookup(move |tx| {
            let mut statement = tx.prepare_cached("SELECT 1 FROM charges WHERE provider = ? AND object_id = ?")?;
            let mut found = Vec::new();
            for id in &ids {
                if statement.exists(params![provider, id])? {
                    found.push(id.clone());
                }
            }
            Ok(found)
        })
        .await
    }
}
