//! Provider settings: parameters in clear, secrets sealed entry by entry.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::row::{all, one};
use super::{Result, SqliteStore, StoreError, models};
use crate::domain::{Setting, SettingId};
use crate::store::SettingStore;
use crate::store::seal::Sealer;
use crate::store::sealed::{SETTING, Sealed, SealedSetting, secrets_of};
use crate::store::text::json_text;
use async_trait::async_trait;
use rusqlite::{Transaction, named_params, params, params_from_iter};
use std::sync::Arc;

#[async_trait]
impl SettingStore for SqliteStore {
    async fn insert_setting(&self, setting: &Setting) -> Result<()> {
        let (setting, sealer) = (setting.clone(), Arc::clone(&self.sealer));
        self.write(move |tx| {
            let inserted = tx
                .prepare_cached(
                    "INSERT INTO provider_settings (id, revision, provider, name, created_at, updated_at, \
                     allowed_models, parameters, secrets, cost_map) \
                     VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![
                    setting.id.as_bytes(),
                    setting.provider,
                    setting.name,
                    setting.created_at.0,
                    setting.updated_at.0,
                    json_text(&setting.allowed_models)?,
                    json_text(&setting.parameters)?,
                    secrets_of(&setting, &sealer)?,
                    setting.cost_map.as_ref().map(json_text).transpose()?,
                ])?;
            if inserted == 0 {
                return Err(StoreError::Conflict);
            }
            changes::note(tx, Kind::Setting, setting.id.as_bytes())
        })
        .await
    }

    async fn update_setting(&self, setting: &Setting) -> Result<()> {
        let (setting, sealer) = (setting.clone(), Arc::clone(&self.sealer));
        self.write(move |tx| {
            let updated = tx
                .prepare_cached(
                    "UPDATE provider_settings SET revision = revision + 1, provider = :provider, name = :name, \
                     updated_at = :updated_at, allowed_models = :allowed_models, parameters = :parameters, \
                     secrets = :secrets, cost_map = :cost_map WHERE id = :id AND revision = :revision",
                )?
                .execute(named_params! {
                    ":id": setting.id.as_bytes(),
                    ":revision": setting.revision,
                    ":provider": setting.provider,
                    ":name": setting.name,
                    ":updated_at": setting.updated_at.0,
                    ":allowed_models": json_text(&setting.allowed_models)?,
                    ":parameters": json_text(&setting.parameters)?,
                    ":secrets": secrets_of(&setting, &sealer)?,
                    ":cost_map": setting.cost_map.as_ref().map(json_text).transpose()?,
                })?;
            if updated == 0 {
                let exists = tx
                    .prepare_cached("SELECT 1 FROM provider_settings WHERE id = ?")?
                    .exists([setting.id.as_bytes()])?;
                return Err(if exists { StoreError::Conflict } else { StoreError::NotFound });
            }
            changes::note(tx, Kind::Setting, setting.id.as_bytes())
        })
        .await
    }

    async fn setting(&self, id: SettingId) -> Result<Option<Setting>> {
        let sealer = Arc::clone(&self.sealer);
        self.lookup(move |tx| find(tx, &sealer, id)).await
    }

    async fn list_settings(&self, ids: Option<&[SettingId]>) -> Result<Vec<Setting>> {
        let (ids, sealer) = (ids.map(<[_]>::to_vec), Arc::clone(&self.sealer));
        self.lookup(move |tx| {
            let mut conditions = Conditions::default();
            if let Some(ids) = &ids {
                conditions.id_in("id", ids.iter().map(SettingId::as_bytes));
            }
            let sql = format!("SELECT {SETTING} FROM provider_settings{} ORDER BY created_at, id", conditions.sql());
            let rows: Vec<SealedSetting> = all(tx, &sql, params_from_iter(conditions.parameters()))?;
            rows.into_iter().map(|row| row.open(&sealer)).collect()
        })
        .await
    }
}

impl SqliteStore {
    /// Seals with the first master key what was sealed with an older one; afterwards the older ones may be dropped.
    /// Returns how many settings and models were touched. Nothing that requests can see changes.
    pub async fn reseal(&self) -> Result<usize> {
        let sealer = Arc::clone(&self.sealer);
        self.write(move |tx| {
            let rows: Vec<SealedSetting> = all(tx, &format!("SELECT {SETTING} FROM provider_settings"), [])?;
            let mut touched = 0;
            for row in rows.into_iter().filter(|row| !row.is_current(&sealer)) {
                let setting = row.open(&sealer)?;
                tx.prepare_cached("UPDATE provider_settings SET secrets = ? WHERE id = ?")?
                    .execute(params![secrets_of(&setting, &sealer)?, setting.id.as_bytes()])?;
                touched += 1;
            }
            Ok(touched + models::reseal(tx, &sealer)?)
        })
        .await
    }
}

pub(super) fn find(tx: &Transaction<'_>, sealer: &Sealer, id: SettingId) -> Result<Option<Setting>> {
    let sql = format!("SELECT {SETTING} FROM provider_settings WHERE id = ?");
    one(tx, &sql, [id.as_bytes()])?.map(|row: SealedSetting| row.open(sealer)).transpose()
}
