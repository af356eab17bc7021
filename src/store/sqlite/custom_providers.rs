//! Custom providers: a row each, their routes as JSON.

use super::changes::{self, Kind};
use super::row::{all, one};
use super::{Result, SqliteStore, StoreError};
use crate::domain::{CustomProvider, CustomProviderId};
use crate::store::CustomProviderStore;
use crate::store::rows::CUSTOM_PROVIDER;
use crate::store::text::json_text;
use async_trait::async_trait;
use rusqlite::{Transaction, named_params, params};

#[async_trait]
impl CustomProviderStore for SqliteStore {
    async fn insert_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        let provider = provider.clone();
        self.write(move |tx| {
            let inserted = tx
                .prepare_cached(
                    "INSERT INTO custom_providers (id, revision, name, created_at, updated_at, routes, \
                     authentication_param) VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    provider.id.as_bytes(),
                    provider.name,
                    provider.created_at.0,
                    provider.updated_at.0,
                    json_text(&provider.routes)?,
                    provider.authentication_param,
                ])?;
            if inserted == 0 {
                let known = find(tx, provider.id)?.is_some();
                return Err(if known { StoreError::Conflict } else { StoreError::DuplicateName });
            }
            changes::note(tx, Kind::CustomProvider, provider.id.as_bytes())
        })
        .await
    }

    async fn update_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        let provider = provider.clone();
        self.write(move |tx| {
            let updated = tx
                .prepare_cached(
                    "UPDATE custom_providers SET revision = revision + 1, updated_at = :updated_at, \
                     routes = :routes, authentication_param = :authentication_param \
                     WHERE id = :id AND revision = :revision",
                )?
                .execute(named_params! {
                    ":id": provider.id.as_bytes(),
                    ":revision": provider.revision,
                    ":updated_at": provider.updated_at.0,
                    ":routes": json_text(&provider.routes)?,
                    ":authentication_param": provider.authentication_param,
                })?;
            if updated == 0 {
                let known = find(tx, provider.id)?.is_some();
                return Err(if known { StoreError::Conflict } else { StoreError::NotFound });
            }
            changes::note(tx, Kind::CustomProvider, provider.id.as_bytes())
        })
        .await
    }

    async fn custom_provider(&self, id: CustomProviderId) -> Result<Option<CustomProvider>> {
        self.lookup(move |tx| find(tx, id)).await
    }

    async fn custom_provider_named(&self, name: &str) -> Result<Option<CustomProvider>> {
        let name = name.to_owned();
        self.lookup(move |tx| {
            one(tx, &format!("SELECT {CUSTOM_PROVIDER} FROM custom_providers WHERE name = ?"), [name])
        })
        .await
    }

    async fn list_custom_providers(&self) -> Result<Vec<CustomProvider>> {
        let sql = format!("SELECT {CUSTOM_PROVIDER} FROM custom_providers ORDER BY created_at, seq");
        self.lookup(move |tx| all(tx, &sql, [])).await
    }
}

pub(super) fn find(tx: &Transaction<'_>, id: CustomProviderId) -> Result<Option<CustomProvider>> {
    one(tx, &format!("SELECT {CUSTOM_PROVIDER} FROM custom_providers WHERE id = ?"), [id.as_bytes()])
}
