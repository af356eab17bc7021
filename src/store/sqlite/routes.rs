//! Routes: a row each, with its steps as JSON.

use super::changes::{self, Kind};
use super::row::{all, one};
use super::{Result, SqliteStore, StoreError};
use crate::domain::{Route, RouteId};
use crate::store::RouteStore;
use crate::store::names::{format_name, strategy_name};
use crate::store::rows::ROUTE;
use crate::store::text::json_text;
use async_trait::async_trait;
use rusqlite::{Transaction, named_params, params};

#[async_trait]
impl RouteStore for SqliteStore {
    async fn insert_route(&self, route: &Route) -> Result<()> {
        let route = route.clone();
        self.write(move |tx| insert(tx, &route)).await
    }

    async fn update_route(&self, route: &Route) -> Result<()> {
        let route = route.clone();
        self.write(move |tx| update(tx, &route)).await
    }

    async fn delete_route(&self, id: RouteId) -> Result<()> {
        self.write(move |tx| {
            if tx.prepare_cached("DELETE FROM routes WHERE id = ?")?.execute([id.as_bytes()])? == 0 {
                return Err(StoreError::NotFound);
            }
            changes::note(tx, Kind::Route, id.as_bytes())
        })
        .await
    }

    async fn route(&self, id: RouteId) -> Result<Option<Route>> {
        self.lookup(move |tx| find(tx, id)).await
    }

    async fn list_routes(&self) -> Result<Vec<Route>> {
        self.lookup(|tx| all(tx, &format!("SELECT {ROUTE} FROM routes ORDER BY created_at, seq"), [])).await
    }
}

fn insert(tx: &Transaction<'_>, route: &Route) -> Result<()> {
    let inserted = tx
        .prepare_cached(
            "INSERT INTO routes (id, revision, name, path, created_at, updated_at, key_ids, steps, cache, \
             retry_strategy, request_format) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            route.id.as_bytes(),
            route.name,
            route.path,
            route.created_at.0,
            route.updated_at.0,
            json_text(&route.key_ids)?,
            json_text(&route.steps)?,
            json_text(&route.cache)?,
            strategy_name(route.retry_strategy),
            format_name(route.request_format),
        ])?;
    if inserted == 0 {
        let known = find(tx, route.id)?.is_some();
        return Err(if known { StoreError::Conflict } else { StoreError::DuplicateName });
    }
    changes::note(tx, Kind::Route, route.id.as_bytes())
}

fn update(tx: &Transaction<'_>, route: &Route) -> Result<()> {
    check_update(tx, route)?;
    tx.prepare_cached(
        "UPDATE routes SET revision = revision + 1, name = :name, path = :path, updated_at = :updated_at, \
         key_ids = :key_ids, steps = :steps, cache = :cache, retry_strategy = :retry_strategy, \
         request_format = :request_format WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": route.id.as_bytes(),
        ":name": route.name,
        ":path": route.path,
        ":updated_at": route.updated_at.0,
        ":key_ids": json_text(&route.key_ids)?,
        ":steps": json_text(&route.steps)?,
        ":cache": json_text(&route.cache)?,
        ":retry_strategy": strategy_name(route.retry_strategy),
        ":request_format": format_name(route.request_format),
    })?;
    changes::note(tx, Kind::Route, route.id.as_bytes())
}

/// Whether it is the row that was read, and its path nobody else's. Holds until the end of the transaction, which is the
/// only one that writes.
fn check_update(tx: &Transaction<'_>, route: &Route) -> Result<()> {
    let stored: Option<i64> = one(tx, "SELECT revision FROM routes WHERE id = ?", [route.id.as_bytes()])?;
    if stored.ok_or(StoreError::NotFound)? != route.revision {
        return Err(StoreError::Conflict);
    }
    let taken = tx
        .prepare_cached("SELECT 1 FROM routes WHERE path = ? AND id <> ?")?
        .exists(params![route.path, route.id.as_bytes()])?;
    if taken { Err(StoreError::DuplicateName) } else { Ok(()) }
}

pub(super) fn find(tx: &Transaction<'_>, id: RouteId) -> Result<Option<Route>> {
    one(tx, &format!("SELECT {ROUTE} FROM routes WHERE id = ?"), [id.as_bytes()])
}
