//! Whose object is whose, and which were charged: written with the events that say so.

use super::brief::brief;
use super::row::{all, storable};
use super::{PostgresStore, Result, twice};
use crate::domain::{Event, KeyId, MadeObject, Money, SettingId, StoredObject};
use crate::store::ObjectStore;
use crate::store::rows::OBJECT;
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use std::collections::BTreeMap;

/// Called for events that are new. The first that names an id wins.
pub(super) async fn insert(tx: &Transaction<'_>, events: &[(&Event, Money)]) -> Result<()> {
    let mut first: BTreeMap<(String, String), (&Event, KeyId, &MadeObject)> = BTreeMap::new();
    for (event, _) in events {
        let (Some(objects), Some(owner)) = (event.objects.as_deref(), event.key_id) else { continue };
        for made in &objects.made {
            let name = (brief(&event.provider).into_owned(), brief(&made.id).into_owned());
            first.entry(name).or_insert((event, owner, made));
        }
    }
    if first.is_empty() {
        return Ok(());
    }
    // In the order of their keys: two gateways cannot wait for each other in a circle.
    let sql = tx
        .prepare_cached(
            "INSERT INTO objects (provider, id, kind, key_id, setting_id, charged_as, made_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (provider, id) DO NOTHING",
        )
        .await?;
    for ((provider, id), (event, owner, made)) in &first {
        let (kind, charged_as) = (storable(&made.kind), made.charged_as.as_deref().map(storable));
        let setting = event.setting_id.as_ref().map(SettingId::as_uuid);
        tx.execute(&sql, &[provider, id, &kind, owner.as_uuid(), &setting, &charged_as, &event.created_at.0]).await?;
    }
    Ok(())
}

#[async_trait]
impl ObjectStore for PostgresStore {
    async fn objects(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<StoredObject>> {
        let asked = Asked::new(ids);
        let sql = format!("SELECT {OBJECT} FROM objects WHERE provider = $1 AND id = ANY($2)");
        let rows: Vec<StoredObject> =
            twice(|| async { all(&self.connection().await?, &sql, &[&brief(provider), &asked.stored()]).await })
                .await?;
        Ok(rows.into_iter().map(|object| StoredObject { id: asked.as_asked(object.id), ..object }).collect())
    }

    async fn charged(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<Box<str>>> {
        let asked = Asked::new(ids);
        let sql = "SELECT object_id FROM charges WHERE provider = $1 AND object_id = ANY($2)";
        let ids: Vec<Box<str>> =
            twice(|| async { all(&self.connection().await?, sql, &[&brief(provider), &asked.stored()]).await }).await?;
        Ok(ids.into_iter().map(|id| asked.as_asked(id)).collect())
    }
}

/// Ids as they are stored, each with the text that was asked for.
struct Asked<'i>(BTreeMap<String, &'i str>);

impl<'i> Asked<'i> {
    fn new(ids: &'i [Box<str>]) -> Self {
        Self(ids.iter().map(|id| (brief(id).into_owned(), &**id)).collect())
    }
    fn stored(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
    fn as_asked(&self, stored: Box<str>) -> Box<str> {
        self.0.get(&*stored).map_or(stored, |asked| (*asked).into())
    }
}
