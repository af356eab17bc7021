//! Provider settings: parameters in clear, secrets sealed entry by entry.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::models::stale;
use super::row::{Value, all, one, refused, storable};
use super::{PostgresStore, Result, change, models, twice};
use crate::domain::{Setting, SettingId};
use crate::store::SettingStore;
use crate::store::columns::read;
use crate::store::seal::Sealer;
use crate::store::sealed::{SETTING, Sealed, SealedSetting, secrets_of};
use crate::store::text::json_text;
use async_trait::async_trait;
use deadpool_postgres::GenericClient;

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
            &secrets_of(setting, &self.sealer)?,
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
            &secrets_of(setting, &self.sealer)?,
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
        let sql = format!("SELECT {SETTING} FROM provider_settings{} ORDER BY created_at, id", conditions.sql());
        let rows: Vec<SealedSetting> =
            twice(|| async { all(&self.connection().await?, &sql, &conditions.parameters()).await }).await?;
        rows.into_iter().map(|row| row.open(&self.sealer)).collect()
    }
}

impl PostgresStore {
    /// Seals with the first master key what was sealed with an older one; afterwards the older ones may be dropped.
    /// Returns how many settings and models were touched. Nothing that requests can see changes.
    pub async fn reseal(&self) -> Result<usize> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let rows = tx.query(&format!("SELECT {SETTING} FROM provider_settings"), &[]).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<SealedSetting>>>()?;
        let statement = tx.prepare_cached("UPDATE provider_settings SET secrets = $1 WHERE id = $2").await?;
        let mut touched = 0;
        for row in rows.into_iter().filter(|row| !row.is_current(&self.sealer)) {
            let setting = row.open(&self.sealer)?;
            let secrets = secrets_of(&setting, &self.sealer)?;
            tx.execute(&statement, &[&secrets, setting.id.as_uuid()]).await?;
            touched += 1;
        }
        touched += models::reseal(&tx, &self.sealer).await?;
        tx.commit().await?;
        Ok(touched)
    }
}

pub(super) async fn find(client: &impl GenericClient, sealer: &Sealer, id: SettingId) -> Result<Option<Setting>> {
    let sql = format!("SELECT {SETTING} FROM provider_settings WHERE id = $1");
    one(client, &sql, &[id.as_uuid()]).await?.map(|row: SealedSetting| row.open(sealer)).transpose()
}
