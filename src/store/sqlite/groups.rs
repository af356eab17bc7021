//! Groups: a row each; what is granted to them is read from the grants.

use super::changes::{self, Kind};
use super::filter::{Conditions, page};
use super::models::check_update;
use super::row::one;
use super::{Result, StoreError};
use crate::domain::{Group, GroupId};
use crate::store::rows::GROUP;
use crate::store::text::folded;
use crate::store::{Page, Paging};
use rusqlite::{Transaction, named_params, params};

/// The models that are granted to a group.
const MODELS: &str =
    "(SELECT json_group_array(g.model_id ORDER BY g.id) FROM group_grants AS g WHERE g.group_id = groups.id)";

pub(super) fn insert(tx: &Transaction<'_>, group: &Group) -> Result<GroupId> {
    let sql = "INSERT INTO groups (revision, name, name_folded, code, created_at, updated_at) \
        VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING id";
    let values = params![group.name, folded(&group.name), group.code, group.created_at.0, group.updated_at.0];
    let id: GroupId = one(tx, sql, values)?.ok_or(StoreError::DuplicateName)?;
    changes::note_numbered(tx, Kind::Group, id.0)?;
    Ok(id)
}

pub(super) fn update(tx: &Transaction<'_>, group: &Group) -> Result<()> {
    check_update(tx, "groups", group.id.0, group.revision, &group.name)?;
    tx.prepare_cached(
        "UPDATE groups SET revision = revision + 1, name = :name, name_folded = :name_folded, code = :code, \
         updated_at = :updated_at WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": group.id.0,
        ":name": group.name,
        ":name_folded": folded(&group.name),
        ":code": group.code,
        ":updated_at": group.updated_at.0,
    })?;
    changes::note_numbered(tx, Kind::Group, group.id.0)
}

/// Other writes wait for the time that its keys take, some microseconds each.
pub(super) fn delete(tx: &Transaction<'_>, id: GroupId) -> Result<()> {
    changes::note_keys(tx, "group_id = ?", id.0)?;
    tx.prepare_cached("UPDATE keys SET group_id = NULL, revision = revision + 1 WHERE group_id = ?")?
        .execute([id.0])?;
    // Its grants go with it: a foreign key says so.
    if tx.prepare_cached("DELETE FROM groups WHERE id = ?")?.execute([id.0])? == 0 {
        return Err(StoreError::NotFound);
    }
    changes::note_numbered(tx, Kind::Group, id.0)
}

pub(super) fn find(tx: &Transaction<'_>, id: GroupId) -> Result<Option<Group>> {
    one(tx, &format!("SELECT {GROUP}, {MODELS} FROM groups WHERE id = ?"), [id.0])
}

pub(super) fn list(tx: &Transaction<'_>, name: Option<&str>, paging: Paging) -> Result<Page<Group>> {
    let mut conditions = Conditions::default();
    if let Some(name) = name {
        conditions.contains("name_folded", name);
    }
    let sql = format!("SELECT {GROUP}, {MODELS} FROM groups{} ORDER BY id LIMIT ? OFFSET ?", conditions.sql());
    page(tx, &sql, "groups", &conditions, paging)
}
