//! Grants of models to keys and to groups. A key's row repeats what is granted to it, because a start reads every key;
//! each write here brings that up to date in its own transaction.

use super::changes::{self, Kind};
use super::filter::{Conditions, page};
use super::keys::unknown_reference;
use super::row::{all, one};
use super::{Result, StoreError};
use crate::domain::{Key, ModelId, UnixMillis};
use crate::store::names::Side;
use crate::store::seal::Sealer;
use crate::store::sealed::{MODEL, SealedGrant, open_page};
use crate::store::{Grant, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, Page};
use rusqlite::Transaction;

/// What is repeated in the row of the key with that number.
const REPEAT: &str = "UPDATE keys SET revision = revision + ?2, model_ids = \
    (SELECT nullif(json_group_array(g.model_id ORDER BY g.id), '[]') FROM key_grants AS g WHERE g.key_number = ?1) \
    WHERE seq = ?1";

const KEYS: Side = Side::of(GranteeKind::Key, "seq");
const GROUPS: Side = Side::of(GranteeKind::Group, "seq");

/// The grants that a new key comes with.
pub(super) fn insert_with_key(tx: &Transaction<'_>, key: &Key) -> Result<()> {
    if key.models().is_empty() {
        return Ok(());
    }
    let number = number(tx, Grantee::Key(key.id))?;
    for model in key.models() {
        bind(tx, &KEYS, number, *model, key.created_at)?;
    }
    // The row is new: this is still its first revision.
    tx.prepare_cached(REPEAT)?.execute([number, 0])?;
    Ok(())
}

pub(super) fn grant(
    tx: &Transaction<'_>,
    grantee: Grantee,
    model: ModelId,
    action: GrantAction,
    at: UnixMillis,
) -> Result<Granted> {
    let side = match grantee {
        Grantee::Key(_) => KEYS,
        Grantee::Group(_) => GROUPS,
    };
    let number = number(tx, grantee)?;
    if !tx.prepare_cached("SELECT 1 FROM models WHERE id = ?")?.exists([model.0])? {
        return Err(StoreError::NotFound);
    }
    let sql = format!("DELETE FROM {} WHERE {} = ? AND model_id = ?", side.table, side.grantee);
    let unbind = || -> Result<bool> { Ok(tx.prepare_cached(&sql)?.execute([number, model.0])? > 0) };
    let (changed, granted) = match action {
        GrantAction::Bind => (bind(tx, &side, number, model, at)?, Granted::Yes),
        GrantAction::Unbind => (unbind()?, Granted::No),
        GrantAction::Toggle if unbind()? => (true, Granted::No),
        GrantAction::Toggle => (bind(tx, &side, number, model, at)?, Granted::Yes),
    };
    if changed {
        match grantee {
            Grantee::Key(_) => touch_key(tx, number)?,
            Grantee::Group(_) => touch_group(tx, number)?,
        }
    }
    Ok(granted)
}

/// Before the model is deleted.
pub(super) fn revoke_everywhere(tx: &Transaction<'_>, model: ModelId) -> Result<()> {
    for number in revoke(tx, &KEYS, model)? {
        touch_key(tx, number)?;
    }
    for id in revoke(tx, &GROUPS, model)? {
        touch_group(tx, id)?;
    }
    Ok(())
}

/// Whether it was not there before.
fn bind(tx: &Transaction<'_>, side: &Side, number: i64, model: ModelId, at: UnixMillis) -> Result<bool> {
    let sql = format!(
        "INSERT INTO {} ({}, model_id, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        side.table, side.grantee
    );
    let inserted = tx.prepare_cached(&sql)?.execute([number, model.0, at.0]).map_err(unknown_reference)?;
    Ok(inserted > 0)
}

/// The grantees that had it.
fn revoke(tx: &Transaction<'_>, side: &Side, model: ModelId) -> Result<Vec<i64>> {
    let sql = format!("DELETE FROM {} WHERE model_id = ? RETURNING {}", side.table, side.grantee);
    all(tx, &sql, [model.0])
}

/// By what grants name the grantee.
fn number(tx: &Transaction<'_>, grantee: Grantee) -> Result<i64> {
    let number = match grantee {
        Grantee::Key(id) => one(tx, "SELECT seq FROM keys WHERE id = ?", [id.as_bytes()])?,
        Grantee::Group(id) => one(tx, "SELECT id FROM groups WHERE id = ?", [id.0])?,
    };
    number.ok_or(StoreError::NotFound)
}

fn touch_key(tx: &Transaction<'_>, number: i64) -> Result<()> {
    tx.prepare_cached(REPEAT)?.execute([number, 1])?;
    changes::note_keys(tx, "seq = ?", number)
}

fn touch_group(tx: &Transaction<'_>, id: i64) -> Result<()> {
    tx.prepare_cached("UPDATE groups SET revision = revision + 1 WHERE id = ?")?.execute([id])?;
    changes::note_numbered(tx, Kind::Group, id)
}

pub(super) fn list(tx: &Transaction<'_>, sealer: &Sealer, filter: &GrantFilter) -> Result<Page<Grant>> {
    let side = Side::of(filter.kind, "seq");
    let joined = side.joined();
    let mut conditions = Conditions::default();
    if let Some(grantee) = filter.grantee {
        conditions.and(&format!("g.{} = ?", side.grantee), grantee);
    }
    if let Some(model) = filter.model {
        conditions.and("g.model_id = ?", model.0);
    }
    if let Some(text) = &filter.text {
        conditions.any_contains(&["o.name_folded", "m.name_folded"], text);
    }
    let sql = format!(
        "SELECT g.id, g.{}, o.name, g.created_at, {MODEL} FROM {}{} ORDER BY g.id LIMIT ? OFFSET ?",
        side.grantee,
        joined,
        conditions.sql()
    );
    open_page(page::<SealedGrant>(tx, &sql, &joined, &conditions, filter.paging)?, sealer)
}
