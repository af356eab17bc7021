//! Models of the unified API: a row each, the configuration sealed as a whole. The port to groups and grants too.

use super::changes::{self, Kind};
use super::filter::{Conditions, page};
use super::row::{all, one};
use super::{Result, SqliteStore, StoreError, grants, groups};
use crate::domain::{Group, GroupId, Model, ModelId, UnixMillis};
use crate::store::names::{SEEDED, direction};
use crate::store::seal::Sealer;
use crate::store::sealed::{MODEL, Sealed, SealedModel, config_of, open_page};
use crate::store::text::folded;
use crate::store::{
    FirstModels, Grant, GrantAction, GrantFilter, Granted, Grantee, ModelFilter, ModelStore, Page, Paging,
};
use async_trait::async_trait;
use rusqlite::{ToSql, Transaction, named_params, params};
use std::sync::Arc;

#[async_trait]
impl ModelStore for SqliteStore {
    async fn seed_models(&self, first: &FirstModels) -> Result<bool> {
        let (first, sealer) = (first.clone(), Arc::clone(&self.sealer));
        self.write(move |tx| seed(tx, &sealer, &first)).await
    }

    async fn insert_model(&self, model: &Model) -> Result<ModelId> {
        let (model, sealer) = (model.clone(), Arc::clone(&self.sealer));
        self.write(move |tx| insert(tx, &sealer, &model)).await
    }

    async fn update_model(&self, model: &Model) -> Result<()> {
        let (model, sealer) = (model.clone(), Arc::clone(&self.sealer));
        self.write(move |tx| update(tx, &sealer, &model)).await
    }

    async fn delete_model(&self, id: ModelId) -> Result<()> {
        self.write(move |tx| {
            grants::revoke_everywhere(tx, id)?;
            if tx.prepare_cached("DELETE FROM models WHERE id = ?")?.execute([id.0])? == 0 {
                return Err(StoreError::NotFound);
            }
            changes::note_numbered(tx, Kind::Model, id.0)
        })
        .await
    }

    async fn model(&self, id: ModelId) -> Result<Option<Model>> {
        let sealer = Arc::clone(&self.sealer);
        self.lookup(move |tx| find(tx, &sealer, id)).await
    }

    async fn model_named(&self, name: &str) -> Result<Option<Model>> {
        let (name, sealer) = (name.to_owned(), Arc::clone(&self.sealer));
        self.lookup(move |tx| find_by(tx, &sealer, "name", &name)).await
    }

    async fn list_models(&self, filter: &ModelFilter) -> Result<Page<Model>> {
        let (filter, sealer) = (filter.clone(), Arc::clone(&self.sealer));
        self.lookup(move |tx| list(tx, &sealer, &filter)).await
    }

    async fn insert_group(&self, group: &Group) -> Result<GroupId> {
        let group = group.clone();
        self.write(move |tx| groups::insert(tx, &group)).await
    }

    async fn update_group(&self, group: &Group) -> Result<()> {
        let group = group.clone();
        self.write(move |tx| groups::update(tx, &group)).await
    }

    async fn delete_group(&self, id: GroupId) -> Result<()> {
        self.write(move |tx| groups::delete(tx, id)).await
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        self.lookup(move |tx| groups::find(tx, id)).await
    }

    async fn list_groups(&self, name: Option<&str>, paging: Paging) -> Result<Page<Group>> {
        let name = name.map(str::to_owned);
        self.lookup(move |tx| groups::list(tx, name.as_deref(), paging)).await
    }

    async fn grant(&self, grantee: Grantee, model: ModelId, action: GrantAction, at: UnixMillis) -> Result<Granted> {
        self.write(move |tx| grants::grant(tx, grantee, model, action, at)).await
    }

    async fn list_grants(&self, filter: &GrantFilter) -> Result<Page<Grant>> {
        let (filter, sealer) = (filter.clone(), Arc::clone(&self.sealer));
        self.scan(move |tx| grants::list(tx, &sealer, &filter)).await
    }
}

/// A store that has ever had a model or a group of its own counts as seeded: it has been used.
fn seed(tx: &Transaction<'_>, sealer: &Sealer, first: &FirstModels) -> Result<bool> {
    let new = tx.execute("INSERT INTO milestones (name) VALUES (?) ON CONFLICT DO NOTHING", [SEEDED])? == 1;
    let used = tx.prepare("SELECT 1 FROM sqlite_sequence WHERE name IN ('models', 'groups') AND seq > 0")?.exists([])?;
    if !new || used {
        return Ok(false);
    }
    let group = groups::insert(tx, &first.group)?;
    for model in &first.models {
        let id = insert(tx, sealer, model)?;
        grants::grant(tx, Grantee::Group(group), id, GrantAction::Bind, model.created_at)?;
    }
    Ok(true)
}

fn insert(tx: &Transaction<'_>, sealer: &Sealer, model: &Model) -> Result<ModelId> {
    let sql = "INSERT INTO models (revision, name, name_folded, provider, multiple, price_in, price_out, config, \
        created_at, updated_at) VALUES (1, ?, ?, ?, ?, ?, ?, '', ?, ?) ON CONFLICT (name) DO NOTHING RETURNING id";
    let values = params![
        model.name,
        folded(&model.name),
        model.provider,
        model.multiple,
        model.price_in.units(),
        model.price_out.units(),
        model.created_at.0,
        model.updated_at.0,
    ];
    let id: ModelId = one(tx, sql, values)?.ok_or(StoreError::DuplicateName)?;
    // Sealed for its row, so only now.
    let config = config_of(id, &model.config, sealer)?;
    tx.prepare_cached("UPDATE models SET config = ? WHERE id = ?")?.execute(params![config, id.0])?;
    changes::note_numbered(tx, Kind::Model, id.0)?;
    Ok(id)
}

fn update(tx: &Transaction<'_>, sealer: &Sealer, model: &Model) -> Result<()> {
    check_update(tx, "models", model.id.0, model.revision, &model.name)?;
    tx.prepare_cached(
        "UPDATE models SET revision = revision + 1, name = :name, name_folded = :name_folded, provider = :provider, \
         multiple = :multiple, price_in = :price_in, price_out = :price_out, config = :config, \
         updated_at = :updated_at WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": model.id.0,
        ":name": model.name,
        ":name_folded": folded(&model.name),
        ":provider": model.provider,
        ":multiple": model.multiple,
        ":price_in": model.price_in.units(),
        ":price_out": model.price_out.units(),
        ":config": config_of(model.id, &model.config, sealer)?,
        ":updated_at": model.updated_at.0,
    })?;
    changes::note_numbered(tx, Kind::Model, model.id.0)
}

/// Whether a row of `table` may be written: it is the one that was read, and nobody else has the name. Holds until the
/// end of the transaction, which is the only one that writes.
pub(super) fn check_update(
    tx: &Transaction<'_>,
    table: &'static str,
    id: i64,
    revision: i64,
    name: &str,
) -> Result<()> {
    let stored: Option<i64> = one(tx, &format!("SELECT revision FROM {table} WHERE id = ?"), [id])?;
    if stored.ok_or(StoreError::NotFound)? != revision {
        return Err(StoreError::Conflict);
    }
    let taken =
        tx.prepare_cached(&format!("SELECT 1 FROM {table} WHERE name = ? AND id <> ?"))?.exists(params![name, id])?;
    if taken { Err(StoreError::DuplicateName) } else { Ok(()) }
}

pub(super) fn find(tx: &Transaction<'_>, sealer: &Sealer, id: ModelId) -> Result<Option<Model>> {
    find_by(tx, sealer, "id", &id.0)
}

fn find_by(tx: &Transaction<'_>, sealer: &Sealer, unique: &'static str, value: &dyn ToSql) -> Result<Option<Model>> {
    let sql = format!("SELECT {MODEL} FROM models AS m WHERE m.{unique} = ?");
    one(tx, &sql, [value])?.map(|row: SealedModel| row.open(sealer)).transpose()
}

fn list(tx: &Transaction<'_>, sealer: &Sealer, filter: &ModelFilter) -> Result<Page<Model>> {
    let mut conditions = Conditions::default();
    if let Some(name) = &filter.name {
        conditions.contains("m.name_folded", name);
    }
    if let Some(provider) = &filter.provider {
        conditions.and("m.provider = ?", provider.clone());
    }
    let direction = direction(filter.order);
    let sql = format!("SELECT {MODEL} FROM models AS m{} ORDER BY m.id {direction} LIMIT ? OFFSET ?", conditions.sql());
    open_page(page::<SealedModel>(tx, &sql, "models AS m", &conditions, filter.paging)?, sealer)
}

/// Seals again, with the first master key, what was sealed with another one; how many.
pub(super) fn reseal(tx: &Transaction<'_>, sealer: &Sealer) -> Result<usize> {
    let rows: Vec<SealedModel> = all(tx, &format!("SELECT {MODEL} FROM models AS m"), [])?;
    let mut touched = 0;
    for row in rows.into_iter().filter(|row| !row.is_current(sealer)) {
        let model = row.open(sealer)?;
        let config = config_of(model.id, &model.config, sealer)?;
        tx.prepare_cached("UPDATE models SET config = ? WHERE id = ?")?.execute(params![config, model.id.0])?;
        touched += 1;
    }
    Ok(touched)
}
