//! Grants of models to keys and to groups. A key's row repeats what is granted to it, because a start reads every key;
//! each write here brings that up to date in its own transaction.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::key_row::distinct;
use super::page::{List, page};
use super::row::{all, one, refused};
use super::{Result, StoreError};
use crate::domain::{Key, ModelId, UnixMillis};
use crate::store::names::Side;
use crate::store::seal::Sealer;
use crate::store::sealed::{MODEL, SealedGrant, open_page};
use crate::store::{Grant, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, Page};
use deadpool_postgres::Transaction;

/// What is repeated in the rows of the keys with these numbers.
const REPEAT: &str = "UPDATE keys SET revision = revision + 1, model_ids = \
    (SELECT array_agg(g.model_id ORDER BY g.id) FROM key_grants AS g WHERE g.key_number = keys.number) \
    WHERE number = ANY($1) RETURNING uuid_send(id)";

const KEYS: Side = Side::of(GranteeKind::Key, "number");
const GROUPS: Side = Side::of(GranteeKind::Group, "number");

/// The grants that new keys come with, whose rows repeat them already. Numbered from `first` in their order.
pub(super) async fn insert_with_keys(tx: &Transaction<'_>, keys: &[Key], first: i64) -> Result<()> {
    let (mut numbers, mut models, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for (number, key) in (first..).zip(keys) {
        for model in distinct(key.models()) {
            numbers.push(number);
            models.push(model.0);
            times.push(key.created_at.0);
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    let statement = tx
        .prepare_cached(
            "INSERT INTO key_grants (key_number, model_id, created_at) SELECT key, model, at \
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS given (key, model, at, place) \
             ORDER BY place",
        )
        .await?;
    tx.execute(&statement, &[&numbers, &models, &times]).await.map_err(refused)?;
    Ok(())
}

pub(super) async fn grant(
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
    let number = number(tx, grantee).await?;
    let known = tx.prepare_cached("SELECT 1 FROM models WHERE id = $1").await?;
    tx.query_opt(&known, &[&model.0]).await?.ok_or(StoreError::NotFound)?;
    let (changed, granted) = match action {
        GrantAction::Bind => (bind(tx, &side, number, model, at).await?, Granted::Yes),
        GrantAction::Unbind => (unbind(tx, &side, number, model).await?, Granted::No),
        GrantAction::Toggle if unbind(tx, &side, number, model).await? => (true, Granted::No),
        GrantAction::Toggle => (bind(tx, &side, number, model, at).await?, Granted::Yes),
    };
    if changed {
        match grantee {
            Grantee::Key(_) => touch_keys(tx, &[number]).await?,
            Grantee::Group(_) => touch_groups(tx, &[number]).await?,
        }
    }
    Ok(granted)
}

/// Before the model is deleted.
pub(super) async fn revoke_everywhere(tx: &Transaction<'_>, model: ModelId) -> Result<()> {
    touch_keys(tx, &revoke(tx, &KEYS, model).await?).await?;
    touch_groups(tx, &revoke(tx, &GROUPS, model).await?).await
}

/// Whether it was not there before. Nobody else writes meanwhile; an id is spent only on a grant that is made.
async fn bind(tx: &Transaction<'_>, side: &Side, number: i64, model: ModelId, at: UnixMillis) -> Result<bool> {
    let Side { table, grantee, .. } = side;
    let sql = format!(
        "INSERT INTO {table} ({grantee}, model_id, created_at) SELECT $1::bigint, $2::bigint, $3::bigint \
         WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {grantee} = $1 AND model_id = $2)"
    );
    let statement = tx.prepare_cached(&sql).await?;
    Ok(tx.execute(&statement, &[&number, &model.0, &at.0]).await.map_err(refused)? > 0)
}

/// Whether it was there before.
async fn unbind(tx: &Transaction<'_>, side: &Side, number: i64, model: ModelId) -> Result<bool> {
    let sql = format!("DELETE FROM {} WHERE {} = $1 AND model_id = $2", side.table, side.grantee);
    Ok(tx.execute(&tx.prepare_cached(&sql).await?, &[&number, &model.0]).await? > 0)
}

/// The grantees that had it.
async fn revoke(tx: &Transaction<'_>, side: &Side, model: ModelId) -> Result<Vec<i64>> {
    let sql = format!("DELETE FROM {} WHERE model_id = $1 RETURNING {}", side.table, side.grantee);
    all(tx, &sql, &[&model.0]).await
}

/// By what grants name the grantee.
async fn number(tx: &Transaction<'_>, grantee: Grantee) -> Result<i64> {
    let number = match grantee {
        Grantee::Key(id) => one(tx, "SELECT number FROM keys WHERE id = $1", &[id.as_uuid()]).await?,
        Grantee::Group(id) => one(tx, "SELECT id FROM groups WHERE id = $1", &[&id.0]).await?,
    };
    number.ok_or(StoreError::NotFound)
}

async fn touch_keys(tx: &Transaction<'_>, numbers: &[i64]) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let rows = tx.query(&tx.prepare_cached(REPEAT).await?, &[&numbers]).await?;
    let ids: Vec<&[u8]> = rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
    changes::note_many(tx, Kind::Key, &ids).await
}

async fn touch_groups(tx: &Transaction<'_>, ids: &[i64]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached("UPDATE groups SET revision = revision + 1 WHERE id = ANY($1)").await?;
    tx.execute(&statement, &[&ids]).await?;
    let rows: Vec<_> = ids.iter().map(|id| id.to_be_bytes()).collect();
    let rows: Vec<&[u8]> = rows.iter().map(|row| &row[..]).collect();
    changes::note_many(tx, Kind::Group, &rows).await
}

pub(super) async fn list(tx: &Transaction<'_>, sealer: &Sealer, filter: &GrantFilter) -> Result<Page<Grant>> {
    let side = Side::of(filter.kind, "number");
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
    let columns = format!("g.id, g.{}, o.name, g.created_at, {MODEL}", side.grantee);
    let list = List { columns: &columns, tables: &joined, order: "g.id" };
    open_page(page::<SealedGrant>(tx, list, conditions, filter.paging).await?, sealer)
}
