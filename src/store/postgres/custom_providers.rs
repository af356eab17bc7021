//! Custom providers: a row each, their routes as JSON.

use super::changes::{self, Kind};
use super::models::stale;
use super::row::{Value, all, one, refused, storable};
use super::{PostgresStore, Result, change, twice};
use crate::domain::{CustomProvider, CustomProviderId};
use crate::store::CustomProviderStore;
use crate::store::rows::CUSTOM_PROVIDER;
use crate::store::text::json_text;
use async_trait::async_trait;
use deadpool_postgres::GenericClient;

#[async_trait]
impl CustomProviderStore for PostgresStore {
    async fn insert_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let statement = tx
            .prepare_cached(
                "INSERT INTO custom_providers (id, revision, name, created_at, updated_at, routes, \
                 authentication_param) VALUES ($1, 1, $2, $3, $4, $5, $6)",
            )
            .await?;
        let values: [Value<'_>; 6] = [
            provider.id.as_uuid(),
            &storable(&provider.name),
            &provider.created_at.0,
            &provider.updated_at.0,
            &json_text(&provider.routes)?,
            &storable(&provider.authentication_param),
        ];
        tx.execute(&statement, &values).await.map_err(refused)?;
        changes::note(&tx, Kind::CustomProvider, provider.id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn update_custom_provider(&self, provider: &CustomProvider) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let statement = tx
            .prepare_cached(
                "UPDATE custom_providers SET revision = revision + 1, updated_at = $3, routes = $4, \
                 authentication_param = $5 WHERE id = $1 AND revision = $2",
            )
            .await?;
        let values: [Value<'_>; 5] = [
            provider.id.as_uuid(),
            &provider.revision,
            &provider.updated_at.0,
            &json_text(&provider.routes)?,
            &storable(&provider.authentication_param),
        ];
        if tx.execute(&statement, &values).await? == 0 {
            return Err(stale(&tx, "custom_providers", provider.id.as_uuid()).await);
        }
        changes::note(&tx, Kind::CustomProvider, provider.id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn custom_provider(&self, id: CustomProviderId) -> Result<Option<CustomProvider>> {
        twice(|| async { find(&self.connection().await?, id).await }).await
    }

    async fn custom_provider_named(&self, name: &str) -> Result<Option<CustomProvider>> {
        twice(|| async { find_by(&self.connection().await?, "name", &storable(name)).await }).await
    }

    async fn list_custom_providers(&self) -> Result<Vec<CustomProvider>> {
        let sql = format!("SELECT {CUSTOM_PROVIDER} FROM custom_providers ORDER BY created_at, seq");
        twice(|| async { all(&self.connection().await?, &sql, &[]).await }).await
    }
}

pub(super) async fn find(client: &impl GenericClient, id: CustomProviderId) -> Result<Option<CustomProvider>> {
    find_by(client, "id", id.as_uuid()).await
}

async fn find_by(
    client: &impl GenericClient,
    unique: &'static str,
    value: Value<'_>,
) -> Result<Option<CustomProvider>> {
    one(client, &format!("SELECT {CUSTOM_PROVIDER} FROM custom_providers WHERE {unique} = $1"), &[value]).await
}
