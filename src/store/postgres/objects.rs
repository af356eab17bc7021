//! Whose object is whose, and which were charged: written with the events that say so.

use super::brief::brief;
use super::row::{Columns, storable};
use super::{PostgresStore, Result, twice};
use crate::domain::{Event, KeyId, MadeObject, Money, SettingId, StoredObject};
use crate::store::ObjectStore;
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use std::collections::BTreeMap;
use uuid::Uuid;

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
        let sql = "SELECT id, kind, key_id, setting_id, charged_as FROM objects WHERE provider = $1 AND id = ANY($2)";
        let rows = twice(|| async {
            let connection = self.connection().await?;
            let statement = connection.prepare_cached(sql).await?;
            Ok(connection.query(&statement, &[&brief(provider), &asked.stored()]).await?)
        })
        .await?;
        let read = |row: &tokio_postgres::Row| {
            let mut columns = Columns::new(row);
            Ok(StoredObject {
                id: asked.as_asked(columns.text()?),
                kind: columns.text()?,
                owner: KeyId::from_uuid(columns.uuid()?),
                setting: columns.take::<Option<Uuid>>()?.map(SettingId::from_uuid),
                charged_as: columns.take()?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn charged(&self, provider: &str, ids: &[Box<str>]) -> Result<Vec<Box<str>>> {
        let asked = Asked::new(ids);
        let sql = "SELECT object_id FROM charges WHERE provider = $1 AND object_id = ANY($2)";
        let rows = twice(|| async {
            let connection = self.connection().await?;
            let statement = connection.prepare_cached(sql).await?;
            Ok(connection.query(&statement, &[&brief(provider), &asked.stored()]).await?)
        })
        .await?;
        rows.iter().map(|row| Ok(asked.as_asked(Columns::new(row).text()?))).collect()
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
