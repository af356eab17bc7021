//! Grants of models to keys and to groups. A key's row repeats what is granted to it, because a start reads every key;
//! each write here brings that up to date in its own transaction.

use super::changes::{self, Kind};
use super::filter::{Conditions, page};
use super::keys::unknown_reference;
use super::models::{self, SealedModel};
use super::row::Columns;
use super::{Result, StoreError};
use crate::domain::{GrantId, Key, ModelId, UnixMillis};
use crate::store::seal::Sealer;
use crate::store::{Grant, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, Page};
use rusqlite::{OptionalExtension, Row, Transaction};

/// What is repeated in the row of the key with that number.
const REPEAT: &str = "UPDATE keys SET revision = revision + ?2, model_ids = \
    (SELECT nullif(json_group_array(g.model_id ORDER BY g.id), '[]') FROM key_grants AS g WHERE g.key_number = ?1) \
    WHERE seq = ?1";

/// The table of a kind of grantee, and its column that names the grantee.
struct Side {
    table: &'static str,
    grantee: &'static str,
    /// For lists: grants `g`, grantees `o`, models `m`.
    joined: &'static str,
}

const KEYS: Side = Side {
    table: "key_grants",
    grantee: "key_number",
    joined: "key_grants AS g JOIN keys AS o ON o.seq = g.key_number JOIN models AS m ON m.id = g.model_id",
};
const GROUPS: Side = Side {
    table: "group_grants",
    grantee: "group_id",
    joined: "group_grants AS g JOIN groups AS o ON o.id = g.group_id JOIN models AS m ON m.id = g.model_id",
};

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
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map([model.0], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// By what grants name the grantee.
fn number(tx: &Transaction<'_>, grantee: Grantee) -> Result<i64> {
    let number = match grantee {
        Grantee::Key(id) => tx
            .prepare_cached("SELECT seq FROM keys WHERE id = ?")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()?,
        Grantee::Group(id) => {
            tx.prepare_cached("SELECT id FROM groups WHERE id = ?")?.query_row([id.0], |row| row.get(0)).optional()?
        }
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
    let side = match filter.kind {
        GranteeKind::Key => KEYS,
        GranteeKind::Group => GROUPS,
    };
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
        "SELECT g.id, g.{}, o.name, g.created_at, {} FROM {}{} ORDER BY g.id LIMIT ? OFFSET ?",
        side.grantee,
        models::COLUMNS,
        side.joined,
        conditions.sql()
    );
    let sealed = page(tx, &sql, side.joined, &conditions, filter.paging, read)?;
    let open = |(grant, sealed): (Grant, String)| -> Result<Grant> {
        let model = models::open(sealer, (grant.model, sealed))?;
        Ok(Grant { model, ..grant })
    };
    let rows = sealed.rows.into_iter().map(open).collect::<Result<_>>()?;
    Ok(Page { rows, count: sealed.count })
}

/// A grant whose model is without its configuration, and this as it is stored.
fn read(row: &Row<'_>) -> rusqlite::Result<(Grant, String)> {
    let mut columns = Columns::new(row);
    let (id, grantee) = (GrantId(columns.take()?), columns.take()?);
    let (grantee_name, created_at) = (columns.take()?, UnixMillis(columns.take()?));
    let (model, sealed): SealedModel = models::take(&mut columns)?;
    Ok((Grant { id, grantee, grantee_name, created_at, model }, sealed))
}
