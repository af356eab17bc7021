//! Custom providers: a row each, their routes as JSON.

use super::changes::{self, Kind};
use super::row::Columns;
use super::{Result, SqliteStore, StoreError};
use crate::domain::{CustomProvider, CustomProviderId, UnixMillis};
use crate::store::CustomProviderStore;
use crate::store::text::json_text;
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};

/// In the order in which [`read`] takes them.
const COLUMNS: &str = "id, revision, name, created_at, updated_at, routes, authentication_param";

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
            let sql = format!("SELECT {COLUMNS} FROM custom_providers WHERE name = ?");
            Ok(tx.prepare_cached(&sql)?.query_row([name], read).optional()?)
        })
        .await
    }

    async fn list_custom_providers(&self) -> Result<Vec<CustomProvider>> {
        self.lookup(|tx| {
            let sql = format!("SELECT {COLUMNS} FROM custom_providers ORDER BY created_at, seq");
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

pub(super) fn find(tx: &Transaction<'_>, id: CustomProviderId) -> Result<Option<CustomProvider>> {
    let sql = format!("SELECT {COLUMNS} FROM custom_providers WHERE id = ?");
    Ok(tx.prepare_cached(&sql)?.query_row([id.as_bytes()], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<CustomProvider> {
    let mut columns = Columns::new(row);
    Ok(CustomProvider {
        id: CustomProviderId::from_uuid(columns.uuid()?),
        revision: columns.take()?,
        name: columns.take()?,
        created_at: UnixMillis(columns.take()?),
        updated_at: UnixMillis(columns.take()?),
        routes: columns.json()?,
        authentication_param: columns.take()?,
    })
}
