//! Keys: rows with every rule of a key in its own column, so that an operator can read them.

use super::changes::{self, Kind};
use super::numbers::{self, Numbered};
use super::page::view;
use super::row::{Columns, Value, refused};
use super::{PostgresStore, Result, StoreError, accounts, change, grants, key_list, key_row, twice};
use crate::domain::{
    Account, BudgetMode, GroupId, Key, KeyDigest, KeyId, Membership, ModelId, Money, RateLimit, Role, SettingId,
    SpendLimit, UnixMillis, Window,
};
use crate::store::{Books, KeyFilter, KeyStore, Page};
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

/// In the order in which [`take`] takes them.
pub(super) const COLUMNS: &str = "id, number, revision, digest, hint, name, tags, created_at, updated_at, revoked, \
    revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, rate_limit, rate_window, \
    total_budget, window_budget, window_budget_window, budget_mode, log_request, log_response, policy_id, \
    is_key_not_hashed, email, role, group_id, model_ids, quota";

#[async_trait]
impl KeyStore for PostgresStore {
    async fn insert_keys(&self, keys: &[Key]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        insert(&tx, keys).await?;
        Ok(tx.commit().await?)
    }

    async fn update_key(&self, key: &Key) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        if !key_row::update(&tx, key).await? {
            return Err(if find(&tx, key.id).await?.is_some() { StoreError::Conflict } else { StoreError::NotFound });
        }
        changes::note(&tx, Kind::Key, key.id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn delete_key(&self, id: KeyId) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        // Grants and account go with it: foreign keys say so.
        let statement = tx.prepare_cached("DELETE FROM keys WHERE id = $1 RETURNING digest").await?;
        let gone = tx.query_opt(&statement, &[id.as_uuid()]).await?.ok_or(StoreError::NotFound)?;
        changes::note_gone(&tx, id, &Columns::new(&gone).bytes()?).await?;
        Ok(tx.commit().await?)
    }

    async fn key(&self, id: KeyId) -> Result<Option<Key>> {
        twice(|| async { find(&self.connection().await?, id).await }).await
    }

    async fn list_keys(&self, filter: &KeyFilter) -> Result<Page<Key>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            key_list::list(&view(&mut connection).await?, filter).await
        })
        .await
    }

    async fn key_numbered(&self, number: i64) -> Result<Option<Key>> {
        twice(|| async { find_by(&self.connection().await?, "number", &number).await }).await
    }

    async fn key_with_digest(&self, digest: &KeyDigest) -> Result<Option<Key>> {
        twice(|| async { find_by(&self.connection().await?, "digest", &&digest.as_bytes()[..]).await }).await
    }

    async fn replace_digest(
        &self,
        id: KeyId,
        revision: i64,
        digest: KeyDigest,
        hint: &str,
        at: UnixMillis,
    ) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        // Nobody else changes it before the end of this transaction.
        let before = find(&tx, id).await?.ok_or(StoreError::NotFound)?;
        if before.revision != revision {
            return Err(StoreError::Conflict);
        }
        let statement = tx
            .prepare_cached(
                "UPDATE keys SET revision = revision + 1, digest = $2, hint = $3, updated_at = $4 WHERE id = $1",
            )
            .await?;
        let hint = super::row::storable(hint);
        tx.execute(&statement, &[id.as_uuid(), &&digest.as_bytes()[..], &hint, &at.0]).await.map_err(refused)?;
        changes::note_old_digest(&tx, id, before.digest.as_bytes()).await?;
        changes::note(&tx, Kind::Key, id.as_bytes()).await?;
        Ok(tx.commit().await?)
    }

    async fn credit(&self, id: KeyId, amount: Money) -> Result<Account> {
        accounts::credit(&self.write_connection().await?, id, amount).await
    }

    async fn books(&self, ids: &[KeyId]) -> Result<Vec<(KeyId, Books)>> {
        twice(|| async { accounts::books(&self.connection().await?, ids).await }).await
    }

    async fn accounts(&self) -> Result<Vec<(KeyId, Account)>> {
        twice(|| async { accounts::all(&self.scan_connection().await?).await }).await
    }
}

pub(super) async fn insert(tx: &Transaction<'_>, keys: &[Key]) -> Result<()> {
    let first = numbers::next(tx, Numbered::Key, keys.len()).await?;
    key_row::copy(tx, keys, first).await?;
    grants::insert_with_keys(tx, keys, first).await?;
    let ids: Vec<&[u8]> = keys.iter().map(|key| &key.id.as_bytes()[..]).collect();
    changes::note_many(tx, Kind::Key, &ids).await
}

pub(super) async fn find(client: &impl GenericClient, id: KeyId) -> Result<Option<Key>> {
    find_by(client, "id", id.as_uuid()).await
}

async fn find_by(client: &impl GenericClient, unique: &str, value: Value<'_>) -> Result<Option<Key>> {
    let statement = client.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE {unique} = $1")).await?;
    let row = client.query_opt(&statement, &[value]).await?;
    row.map(|row| take(&mut Columns::new(&row))).transpose()
}

/// Takes [`COLUMNS`], which may follow others.
pub(super) fn take(columns: &mut Columns<'_>) -> Result<Key> {
    let mut key = Key {
        id: KeyId::from_uuid(columns.uuid()?),
        number: columns.take()?,
        revision: columns.take()?,
        digest: KeyDigest::from_bytes(columns.bytes()?),
        hint: columns.text()?,
        name: columns.text()?,
        tags: columns.take::<Vec<Box<str>>>()?.into(),
        created_at: UnixMillis(columns.take()?),
        updated_at: UnixMillis(columns.take()?),
        revoked: columns.take()?,
        revoked_reason: columns.text()?,
        single_setting: columns.take()?,
        setting_ids: columns.take::<Vec<Uuid>>()?.into_iter().map(SettingId::from_uuid).collect(),
        rotation: columns.take()?,
        allowed_paths: columns.json()?,
        ttl: columns.text()?,
        rate: None,
        total_budget: None,
        window_budget: None,
        budget_mode: None,
        log_request: false,
        log_response: false,
        policy_id: Box::default(),
        is_key_not_hashed: false,
        membership: None,
    };
    let rate: (Option<i64>, _) = (columns.take()?, columns.named_or_null("window", Window::parse)?);
    if let (Some(limit), Some(window)) = rate {
        key.rate = Some(RateLimit { limit: u64::try_from(limit).unwrap_or(0), window });
    }
    key.total_budget = columns.take::<Option<i64>>()?.map(Money::from_units);
    let spend: (Option<i64>, _) = (columns.take()?, columns.named_or_null("window", Window::parse)?);
    if let (Some(limit), Some(window)) = spend {
        key.window_budget = Some(SpendLimit { limit: Money::from_units(limit), window });
    }
    key.budget_mode = columns.named_or_null("budget mode", BudgetMode::parse)?;
    key.log_request = columns.take()?;
    key.log_response = columns.take()?;
    key.policy_id = columns.text()?;
    key.is_key_not_hashed = columns.take()?;
    let membership = Membership {
        email: columns.take()?,
        role: columns.named_or_null("role", Role::parse)?.unwrap_or_default(),
        group: columns.take::<Option<i64>>()?.map(GroupId),
        models: columns.take::<Option<Vec<i64>>>()?.unwrap_or_default().into_iter().map(ModelId).collect(),
        quota: columns.take::<Option<i64>>()?.map(Money::from_units),
    };
    // Few of a million keys need the space.
    key.membership = (membership != Membership::default()).then(|| Box::new(membership));
    Ok(key)
}
