//! Routes: a row each, with its steps as JSON.

use super::changes::{self, Kind};
use super::models::stale;
use super::row::{Value, all, one, refused, storable};
use super::{PostgresStore, Result, StoreError, change, twice};
use crate::domain::{Route, RouteId};
use crate::store::RouteStore;
use crate::store::names::{format_name, strategy_name};
use crate::store::rows::ROUTE;
use crate::store::text::json_text;
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

#[async_trait]
impl RouteStore for PostgresStore {
    async fn insert_route(&self, route: &Route) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        insert(&tx, route).await?;
        Ok(tx.commit().await?)
    }

    async fn update_route(&self, route: &Route) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        update(&tx, route).await?;
        Ok(tx.commit().await?)
    }

    async fn delete_route(&self, id: RouteId) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let statement = tx.prepare_cached("DELETE FROM routes WHERE id = $1").await?;
        if tx.execute(&statement, &[id.as_uuid()]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        changes::note(&tx, Kind::Route, id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn route(&self, id: RouteId) -> Result<Option<Route>> {
        twice(|| async { find(&self.connection().await?, id).await }).await
    }

    async fn list_routes(&self) -> Result<Vec<Route>> {
        let sql = format!("SELECT {ROUTE} FROM routes ORDER BY created_at, seq");
        twice(|| async { all(&self.connection().await?, &sql, &[]).await }).await
    }
}

async fn insert(tx: &Transaction<'_>, route: &Route) -> Result<()> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO routes (id, revision, name, path, created_at, updated_at, key_ids, steps, cache, \
             retry_strategy, request_format) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .await?;
    let values: [Value<'_>; 10] = [
        route.id.as_uuid(),
        &storable(&route.name),
        &storable(&route.path),
        &route.created_at.0,
        &route.updated_at.0,
        &owners(route),
        &json_text(&route.steps)?,
        &json_text(&route.cache)?,
        &strategy_name(route.retry_strategy),
        &format_name(route.request_format),
    ];
    tx.execute(&statement, &values).await.map_err(refused)?;
    changes::note(tx, Kind::Route, route.id.as_bytes()).await
}

async fn update(tx: &Transaction<'_>, route: &Route) -> Result<()> {
    let statement = tx
        .prepare_cached(
            "UPDATE routes SET revision = revision + 1, name = $3, path = $4, updated_at = $5, key_ids = $6, \
             steps = $7, cache = $8, retry_strategy = $9, request_format = $10 WHERE id = $1 AND revision = $2",
        )
        .await?;
    let values: [Value<'_>; 10] = [
        route.id.as_uuid(),
        &route.revision,
        &storable(&route.name),
        &storable(&route.path),
        &route.updated_at.0,
        &owners(route),
        &json_text(&route.steps)?,
        &json_text(&route.cache)?,
        &strategy_name(route.retry_strategy),
        &format_name(route.request_format),
    ];
    if tx.execute(&statement, &values).await.map_err(refused)? == 0 {
        return Err(stale(tx, "routes", route.id.as_uuid()).await);
    }
    changes::note(tx, Kind::Route, route.id.as_bytes()).await
}

fn owners(route: &Route) -> Vec<Uuid> {
    route.key_ids.iter().map(|id| *id.as_uuid()).collect()
}

pub(super) async fn find(client: &impl GenericClient, id: RouteId) -> Result<Option<Route>> {
    one(client, &format!("SELECT {ROUTE} FROM routes WHERE id = $1"), &[id.as_uuid()]).await
}
