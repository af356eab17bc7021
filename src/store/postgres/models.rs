//! Models of the unified API: a row each, the configuration sealed as a whole. The port to groups and grants too.

use super::changes::{self, Kind};
use super::filter::Conditions;
use super::numbers;
use super::page::{List, page, view};
use super::row::{Value, one, refused, storable};
use super::{PostgresStore, Result, StoreError, change, grants, groups, twice};
use crate::domain::{Group, GroupId, Model, ModelId, UnixMillis};
use crate::store::columns::read;
use crate::store::names::{SEEDED, direction};
use crate::store::seal::Sealer;
use crate::store::sealed::{MODEL, Sealed, SealedModel, config_of, open_page};
use crate::store::text::folded;
use crate::store::{
    FirstModels, Grant, GrantAction, GrantFilter, Granted, Grantee, ModelFilter, ModelStore, Numbered, Page, Paging,
};
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};

#[async_trait]
impl ModelStore for PostgresStore {
    async fn seed_models(&self, first: &FirstModels) -> Result<bool> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let seeded = seed(&tx, &self.sealer, first).await?;
        tx.commit().await?;
        Ok(seeded)
    }

    async fn insert_model(&self, model: &Model) -> Result<ModelId> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let id = insert(&tx, &self.sealer, model).await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn update_model(&self, model: &Model) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        update(&tx, &self.sealer, model).await?;
        Ok(tx.commit().await?)
    }

    async fn delete_model(&self, id: ModelId) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        grants::revoke_everywhere(&tx, id).await?;
        let statement = tx.prepare_cached("DELETE FROM models WHERE id = $1").await?;
        if tx.execute(&statement, &[&id.0]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        changes::note_numbered(&tx, Kind::Model, id.0).await?;
        Ok(tx.commit().await?)
    }

    async fn model(&self, id: ModelId) -> Result<Option<Model>> {
        twice(|| async { find(&self.connection().await?, &self.sealer, id).await }).await
    }

    async fn model_named(&self, name: &str) -> Result<Option<Model>> {
        twice(|| async { find_by(&self.connection().await?, &self.sealer, "name", &storable(name)).await }).await
    }

    async fn list_models(&self, filter: &ModelFilter) -> Result<Page<Model>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            list(&view(&mut connection).await?, &self.sealer, filter).await
        })
        .await
    }

    async fn insert_group(&self, group: &Group) -> Result<GroupId> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let id = groups::insert(&tx, group).await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn update_group(&self, group: &Group) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        groups::update(&tx, group).await?;
        Ok(tx.commit().await?)
    }

    async fn delete_group(&self, id: GroupId) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        groups::delete(&tx, id).await?;
        Ok(tx.commit().await?)
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        twice(|| async { groups::find(&self.connection().await?, id).await }).await
    }

    async fn list_groups(&self, name: Option<&str>, paging: Paging) -> Result<Page<Group>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            groups::list(&view(&mut connection).await?, name, paging).await
        })
        .await
    }

    async fn grant(&self, grantee: Grantee, model: ModelId, action: GrantAction, at: UnixMillis) -> Result<Granted> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        let granted = grants::grant(&tx, grantee, model, action, at).await?;
        tx.commit().await?;
        Ok(granted)
    }

    async fn list_grants(&self, filter: &GrantFilter) -> Result<Page<Grant>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            grants::list(&view(&mut connection).await?, &self.sealer, filter).await
        })
        .await
    }
}

/// A store that has ever had a model or a group of its own counts as seeded: it has been used.
async fn seed(tx: &Transaction<'_>, sealer: &Sealer, first: &FirstModels) -> Result<bool> {
    let new = tx.execute("INSERT INTO milestones (name) VALUES ($1) ON CONFLICT DO NOTHING", &[&SEEDED]).await? == 1;
    let used = numbers::ever_given(tx, Numbered::Model).await? || numbers::ever_given(tx, Numbered::Group).await?;
    if !new || used {
        return Ok(false);
    }
    let group = groups::insert(tx, &first.group).await?;
    for model in &first.models {
        let id = insert(tx, sealer, model).await?;
        grants::grant(tx, Grantee::Group(group), id, GrantAction::Bind, model.created_at).await?;
    }
    Ok(true)
}

async fn insert(tx: &Transaction<'_>, sealer: &Sealer, model: &Model) -> Result<ModelId> {
    let id = ModelId(numbers::next(tx, Numbered::Model, 1).await?);
    let statement = tx
        .prepare_cached(
            "INSERT INTO models (id, revision, name, name_folded, provider, multiple, price_in, price_out, config, \
             updated_at, created_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .await?;
    let name = storable(&model.name);
    let values: [Value<'_>; 10] = [
        &id.0,
        &name,
        &folded(&name),
        &storable(&model.provider),
        &model.multiple,
        &model.price_in.units(),
        &model.price_out.units(),
        &config_of(id, &model.config, sealer)?,
        &model.updated_at.0,
        &model.created_at.0,
    ];
    tx.execute(&statement, &values).await.map_err(refused)?;
    changes::note_numbered(tx, Kind::Model, id.0).await?;
    Ok(id)
}

async fn update(tx: &Transaction<'_>, sealer: &Sealer, model: &Model) -> Result<()> {
    let statement = tx
        .prepare_cached(
            "UPDATE models SET revision = revision + 1, name = $3, name_folded = $4, provider = $5, multiple = $6, \
             price_in = $7, price_out = $8, config = $9, updated_at = $10 WHERE id = $1 AND revision = $2",
        )
        .await?;
    let name = storable(&model.name);
    let values: [Value<'_>; 10] = [
        &model.id.0,
        &model.revision,
        &name,
        &folded(&name),
        &storable(&model.provider),
        &model.multiple,
        &model.price_in.units(),
        &model.price_out.units(),
        &config_of(model.id, &model.config, sealer)?,
        &model.updated_at.0,
    ];
    if tx.execute(&statement, &values).await.map_err(refused)? == 0 {
        return Err(stale(tx, "models", &model.id.0).await);
    }
    changes::note_numbered(tx, Kind::Model, model.id.0).await
}

/// Why no row of `table` was updated: there is none with the id, or it is not the one that was read.
pub(super) async fn stale(tx: &Transaction<'_>, table: &'static str, id: Value<'_>) -> StoreError {
    let known = async {
        let statement = tx.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = $1")).await?;
        Ok::<_, StoreError>(tx.query_opt(&statement, &[id]).await?.is_some())
    };
    match known.await {
        Ok(true) => StoreError::Conflict,
        Ok(false) => StoreError::NotFound,
        Err(error) => error,
    }
}

pub(super) async fn find(client: &impl GenericClient, sealer: &Sealer, id: ModelId) -> Result<Option<Model>> {
    find_by(client, sealer, "id", &id.0).await
}

async fn find_by(
    client: &impl GenericClient,
    sealer: &Sealer,
    unique: &'static str,
    value: Value<'_>,
) -> Result<Option<Model>> {
    let sql = format!("SELECT {MODEL} FROM models AS m WHERE m.{unique} = $1");
    one(client, &sql, &[value]).await?.map(|row: SealedModel| row.open(sealer)).transpose()
}

async fn list(tx: &Transaction<'_>, sealer: &Sealer, filter: &ModelFilter) -> Result<Page<Model>> {
    let mut conditions = Conditions::default();
    if let Some(name) = &filter.name {
        conditions.contains("m.name_folded", name);
    }
    if let Some(provider) = &filter.provider {
        conditions.and("m.provider = ?", storable(provider).into_owned());
    }
    let order = format!("m.id {}", direction(filter.order));
    let list = List { columns: MODEL, tables: "models AS m", order: &order };
    open_page(page::<SealedModel>(tx, list, conditions, filter.paging).await?, sealer)
}

/// Seals again, with the first master key, what was sealed with another one; how many.
pub(super) async fn reseal(tx: &Transaction<'_>, sealer: &Sealer) -> Result<usize> {
    let rows = tx.query(&format!("SELECT {MODEL} FROM models AS m"), &[]).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<SealedModel>>>()?;
    let statement = tx.prepare_cached("UPDATE models SET config = $1 WHERE id = $2").await?;
    let mut touched = 0;
    for row in rows.into_iter().filter(|row| !row.is_current(sealer)) {
        let model = row.open(sealer)?;
        let config = config_of(model.id, &model.config, sealer)?;
        tx.execute(&statement, &[&config, &model.id.0]).await?;
        touched += 1;
    }
    Ok(touched)
}
