//! Provider settings: parameters in clear, secrets sealed entry by entry.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::models::stale;
use super::row::{Columns, Value, refused, storable};
use super::{PostgresStore, Result, change, models, twice};
use crate::domain::{Setting, SettingId, UnixMillis};
use crate::store::SettingStore;
use crate::store::seal::Sealer;
use crate::store::text::json_text;
use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use std::collections::BTreeMap;
use tokio_postgres::Row;

/// In the order in which [`read`] takes them.
const COLUMNS: &str =
    "id, revision, provider, name, created_at, updated_at, allowed_models, parameters, cost_map, secrets";

type SealedSecrets = BTreeMap<Box<str>, String>;

#[async_trait]
impl SettingStore for PostgresStore {
    async fn insert_setting(&self, setting: &Setting) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let statement = tx
            .prepare_cached(
                "INSERT INTO provider_settings (id, revision, provider, name, updated_at, allowed_models, parameters, \
                 secrets, cost_map, created_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .await?;
        let values: [Value<'_>; 9] = [
            setting.id.as_uuid(),
            &storable(&setting.provider),
            &storable(&setting.name),
            &setting.updated_at.0,
            &json_text(&setting.allowed_models)?,
            &json_text(&setting.parameters)?,
            &json_text(&seal(&self.sealer, setting)?)?,
            &setting.cost_map.as_ref().map(json_text).transpose()?,
            &setting.created_at.0,
        ];
        tx.execute(&statement, &values).await.map_err(refused)?;
        changes::note(&tx, Kind::Setting, setting.id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn update_setting(&self, setting: &Setting) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let statement = tx
            .prepare_cached(
                "UPDATE provider_settings SET revision = revision + 1, provider = $3, name = $4, updated_at = $5, \
                 allowed_models = $6, parameters = $7, secrets = $8, cost_map = $9 WHERE id = $1 AND revision = $2",
            )
            .await?;
        let values: [Value<'_>; 9] = [
            setting.id.as_uuid(),
            &setting.revision,
            &storable(&setting.provider),
            &storable(&setting.name),
            &setting.updated_at.0,
            &json_text(&setting.allowed_models)?,
            &json_text(&setting.parameters)?,
            &json_text(&seal(&self.sealer, setting)?)?,
            &setting.cost_map.as_ref().map(json_text).transpose()?,
        ];
        if tx.execute(&statement, &values).await? == 0 {
            return Err(stale(&tx, "provider_settings", setting.id.as_uuid()).await);
        }
        changes::note(&tx, Kind::Setting, setting.id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn setting(&self, id: SettingId) -> Result<Option<Setting>> {
        twice(|| async { find(&self.connection().await?, &self.sealer, id).await }).await
    }

    async fn list_settings(&self, ids: Option<&[SettingId]>) -> Result<Vec<Setting>> {
        let mut conditions = Conditions::default();
        if let Some(ids) = ids {
            conditions.id_in("id", ids.iter().map(|id| *id.as_uuid()));
        }
        let sql = format!("SELECT {COLUMNS} FROM provider_settings{} ORDER BY created_at, id", conditions.sql());
        twice(|| async {
            let connection = self.connection().await?;
            let rows = connection.query(&connection.prepare_cached(&sql).await?, &conditions.parameters()).await?;
            rows.iter().map(|row| open(&self.sealer, read(row)?)).collect()
        })
        .await
    }
}

impl PostgresStore {
    /// Seals with the first master key what was sealed with an older one; afterwards the older ones may be dropped.
    /// Returns how many settings and models were touched. Nothing that requests can see changes.
    pub async fn reseal(&self) -> Result<usize> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let rows = tx.query(&format!("SELECT {COLUMNS} FROM provider_settings"), &[]).await?;
        let statement = tx.prepare_cached("UPDATE provider_settings SET secrets = $1 WHERE id = $2").await?;
        let mut touched = 0;
        for row in rows.iter().map(read) {
            let row = row?;
            if row.1.values().all(|sealed| self.sealer.is_current(sealed)) {
                continue;
            }
            let setting = open(&self.sealer, row)?;
            let secrets = json_text(&seal(&self.sealer, &setting)?)?;
            tx.execute(&statement, &[&secrets, setting.id.as_uuid()]).await?;
            touched += 1;
        }
        touched += models::reseal(&tx, &self.sealer).await?;
        tx.commit().await?;
        Ok(touched)
    }
}

pub(super) async fn find(client: &impl GenericClient, sealer: &Sealer, id: SettingId) -> Result<Option<Setting>> {
    let statement = client.prepare_cached(&format!("SELECT {COLUMNS} FROM provider_settings WHERE id = $1")).await?;
    let row = client.query_opt(&statement, &[id.as_uuid()]).await?;
    row.map(|row| open(sealer, read(&row)?)).transpose()
}

fn seal(sealer: &Sealer, setting: &Setting) -> Result<SealedSecrets> {
    let mut sealed = SealedSecrets::new();
    for (entry, secret) in &setting.secrets {
        sealed.insert(entry.clone(), sealer.seal(setting.id, entry, secret)?);
    }
    Ok(sealed)
}

/// A setting without its secrets, and these as they are stored.
fn read(row: &Row) -> Result<(Setting, SealedSecrets)> {
    let mut columns = Columns::new(row);
    let setting = Setting {
        id: SettingId::from_uuid(columns.uuid()?),
        revision: columns.take()?,
        provider: columns.text()?,
        name: columns.text()?,
        created_at: UnixMillis(columns.take()?),
        updated_at: UnixMillis(columns.take()?),
        allowed_models: columns.json()?,
        parameters: columns.json()?,
        cost_map: columns.json_or_null()?,
        secrets: BTreeMap::new(),
    };
    Ok((setting, columns.json()?))
}

fn open(sealer: &Sealer, (mut setting, sealed): (Setting, SealedSecrets)) -> Result<Setting> {
    for (entry, sealed) in sealed {
        let secret = sealer.open(setting.id, &entry, &sealed)?;
        setting.secrets.insert(entry, secret);
    }
    Ok(setting)
}
