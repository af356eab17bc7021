//! Groups: a row each; what is granted to them is read from the grants.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::models::stale;
use super::numbers;
use super::page::{List, page};
use super::row::{Value, one, refused, storable};
use super::{Result, StoreError};
use crate::domain::{Group, GroupId};
use crate::store::rows::GROUP;
use crate::store::text::folded;
use crate::store::{Numbered, Page, Paging};
use deadpool_postgres::{GenericClient, Transaction};

/// The models that are granted to a group.
const MODELS: &str = "ARRAY(SELECT g.model_id FROM group_grants AS g WHERE g.group_id = groups.id ORDER BY g.id)";

pub(super) async fn insert(tx: &Transaction<'_>, group: &Group) -> Result<GroupId> {
    let id = numbers::next(tx, Numbered::Group, 1).await?;
    let statement = tx
        .prepare_cached(
            "INSERT INTO groups (id, revision, name, name_folded, code, created_at, updated_at) \
             VALUES ($1, 1, $2, $3, $4, $5, $6)",
        )
        .await?;
    let (name, code) = (storable(&group.name), group.code.as_deref().map(storable));
    let values: [Value<'_>; 6] = [&id, &name, &folded(&name), &code, &group.created_at.0, &group.updated_at.0];
    tx.execute(&statement, &values).await.map_err(refused)?;
    changes::note_numbered(tx, Kind::Group, id).await?;
    Ok(GroupId(id))
}

pub(super) async fn update(tx: &Transaction<'_>, group: &Group) -> Result<()> {
    let statement = tx
        .prepare_cached(
            "UPDATE groups SET revision = revision + 1, name = $3, name_folded = $4, code = $5, updated_at = $6 \
             WHERE id = $1 AND revision = $2",
        )
        .await?;
    let (name, code) = (storable(&group.name), group.code.as_deref().map(storable));
    let values: [Value<'_>; 6] = [&group.id.0, &group.revision, &name, &folded(&name), &code, &group.updated_at.0];
    if tx.execute(&statement, &values).await.map_err(refused)? == 0 {
        return Err(stale(tx, "groups", &group.id.0).await);
    }
    changes::note_numbered(tx, Kind::Group, group.id.0).await
}

/// Other writes wait for the time that its keys take, some microseconds each.
pub(super) async fn delete(tx: &Transaction<'_>, id: GroupId) -> Result<()> {
    changes::note_keys(tx, "group_id = $1", id.0).await?;
    let leave = "UPDATE keys SET group_id = NULL, revision = revision + 1 WHERE group_id = $1";
    tx.execute(&tx.prepare_cached(leave).await?, &[&id.0]).await?;
    // Its grants go with it: a foreign key says so.
    let delete = tx.prepare_cached("DELETE FROM groups WHERE id = $1").await?;
    if tx.execute(&delete, &[&id.0]).await? == 0 {
        return Err(StoreError::NotFound);
    }
    changes::note_numbered(tx, Kind::Group, id.0).await
}

pub(super) async fn find(client: &impl GenericClient, id: GroupId) -> Result<Option<Group>> {
    one(client, &format!("SELECT {GROUP}, {MODELS} FROM groups WHERE id = $1"), &[&id.0]).await
}

pub(super) async fn list(tx: &Transaction<'_>, name: Option<&str>, paging: Paging) -> Result<Page<Group>> {
    let mut conditions = Conditions::default();
    if let Some(name) = name {
        conditions.contains("name_folded", name);
    }
    let columns = &format!("{GROUP}, {MODELS}");
    page(tx, List { columns, tables: "groups", order: "id" }, conditions, paging).await
}
