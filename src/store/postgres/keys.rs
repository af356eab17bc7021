//! Keys: rows with every rule of a key in its own column, so that an operator can read them.

use super::changes::{self, Kind};
use super::numbers;
use super::page::view;
use super::row::{Value, one, refused};
use super::{PostgresStore, Result, StoreError, accounts, change, grants, key_list, key_row, twice};
use crate::domain::{Account, Key, KeyDigest, KeyId, Money, UnixMillis};
use crate::store::rows::KEY;
use crate::store::{Books, KeyFilter, KeyStore, Numbered, Page};
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Transaction};

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
        let digest = one(&tx, "DELETE FROM keys WHERE id = $1 RETURNING digest", &[id.as_uuid()]).await?;
        changes::note_gone(&tx, id, &digest.ok_or(StoreError::NotFound)?).await?;
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
    one(client, &format!("SELECT number, {KEY} FROM keys WHERE {unique} = $1"), &[value]).await
}
