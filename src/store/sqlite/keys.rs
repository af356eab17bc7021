//! Keys: rows with every rule of a key in its own column, so that an operator can read them.

use super::changes::{self, Kind};
use super::row::one;
use super::{Result, SqliteStore, StoreError, accounts, grants, key_list};
use crate::domain::{Account, BudgetMode, Key, KeyDigest, KeyId, Money, Role, UnixMillis};
use crate::store::rows::KEY;
use crate::store::text::{folded, json_text, stored};
use crate::store::{Books, KeyFilter, KeyStore, Page};
use async_trait::async_trait;
use rusqlite::{ToSql, Transaction, ffi, named_params};

const INSERT: &str = "INSERT INTO keys (id, revision, digest, hint, name, name_folded, tags, created_at, updated_at, \
    revoked, revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, rate_limit, rate_window, \
    total_budget, window_budget, window_budget_window, budget_mode, log_request, log_response, policy_id, \
    is_key_not_hashed, email, email_folded, role, group_id, quota) \
    VALUES (:id, 1, :digest, :hint, :name, :name_folded, :tags, :created_at, :updated_at, \
    :revoked, :revoked_reason, :single_setting, :setting_ids, :rotation, :allowed_paths, :ttl, :rate_limit, \
    :rate_window, :total_budget, :window_budget, :window_budget_window, :budget_mode, :log_request, :log_response, \
    :policy_id, :is_key_not_hashed, :email, :email_folded, :role, :group_id, :quota) \
    ON CONFLICT (digest) DO NOTHING";

const UPDATE: &str = "UPDATE keys SET revision = revision + 1, hint = :hint, name = :name, \
    name_folded = :name_folded, tags = :tags, updated_at = :updated_at, revoked = :revoked, \
    revoked_reason = :revoked_reason, single_setting = :single_setting, setting_ids = :setting_ids, \
    rotation = :rotation, allowed_paths = :allowed_paths, ttl = :ttl, rate_limit = :rate_limit, \
    rate_window = :rate_window, total_budget = :total_budget, window_budget = :window_budget, \
    window_budget_window = :window_budget_window, budget_mode = :budget_mode, log_request = :log_request, \
    log_response = :log_response, policy_id = :policy_id, is_key_not_hashed = :is_key_not_hashed, \
    email = :email, email_folded = :email_folded, role = :role, group_id = :group_id, quota = :quota \
    WHERE id = :id AND revision = :revision";

#[async_trait]
impl KeyStore for SqliteStore {
    async fn insert_keys(&self, keys: &[Key]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = keys.to_vec();
        self.write(move |tx| keys.iter().try_for_each(|key| insert(tx, key))).await
    }

    async fn update_key(&self, key: &Key) -> Result<()> {
        let key = key.clone();
        self.write(move |tx| {
            if bind(tx, UPDATE, &key, Extra::Update)? == 0 {
                return Err(if find(tx, key.id)?.is_some() { StoreError::Conflict } else { StoreError::NotFound });
            }
            changes::note(tx, Kind::Key, key.id.as_bytes())
        })
        .await
    }

    async fn delete_key(&self, id: KeyId) -> Result<()> {
        // Grants and account go with it: foreign keys say so.
        self.write(move |tx| {
            let digest = one(tx, "DELETE FROM keys WHERE id = ? RETURNING digest", [id.as_bytes()])?;
            changes::note_gone(tx, id, &digest.ok_or(StoreError::NotFound)?)
        })
        .await
    }

    async fn key(&self, id: KeyId) -> Result<Option<Key>> {
        self.lookup(move |tx| find(tx, id)).await
    }

    async fn list_keys(&self, filter: &KeyFilter) -> Result<Page<Key>> {
        let filter = filter.clone();
        self.scan(move |tx| key_list::list(tx, &filter)).await
    }

    async fn key_numbered(&self, number: i64) -> Result<Option<Key>> {
        self.lookup(move |tx| find_by(tx, "seq", &number)).await
    }

    async fn key_with_digest(&self, digest: &KeyDigest) -> Result<Option<Key>> {
        let digest = *digest;
        self.lookup(move |tx| find_by(tx, "digest", digest.as_bytes())).await
    }

    async fn replace_digest(
        &self,
        id: KeyId,
        revision: i64,
        digest: KeyDigest,
        hint: &str,
        at: UnixMillis,
    ) -> Result<()> {
        let hint = hint.to_owned();
        self.write(move |tx| {
            let before = find(tx, id)?.ok_or(StoreError::NotFound)?;
            if before.revision != revision {
                return Err(StoreError::Conflict);
            }
            if find_by(tx, "digest", digest.as_bytes())?.is_some_and(|other| other.id != id) {
                return Err(StoreError::DuplicateKey);
            }
            tx.prepare_cached(
                "UPDATE keys SET revision = revision + 1, digest = :digest, hint = :hint, updated_at = :at \
                 WHERE id = :id",
            )?
            .execute(named_params! {
                ":id": id.as_bytes(),
                ":digest": digest.as_bytes(),
                ":hint": hint,
                ":at": at.0,
            })?;
            changes::note_old_digest(tx, id, before.digest.as_bytes())?;
            changes::note(tx, Kind::Key, id.as_bytes())
        })
        .await
    }

    async fn credit(&self, id: KeyId, amount: Money) -> Result<Account> {
        self.write(move |tx| accounts::credit(tx, id, amount)).await
    }

    async fn books(&self, ids: &[KeyId]) -> Result<Vec<(KeyId, Books)>> {
        let ids = ids.to_vec();
        self.lookup(move |tx| accounts::books(tx, &ids)).await
    }

    async fn accounts(&self) -> Result<Vec<(KeyId, Account)>> {
        self.scan(accounts::all).await
    }
}

pub(super) fn insert(tx: &Transaction<'_>, key: &Key) -> Result<()> {
    if bind(tx, INSERT, key, Extra::Insert)? == 0 {
        return Err(StoreError::DuplicateKey);
    }
    grants::insert_with_key(tx, key)?;
    changes::note(tx, Kind::Key, key.id.as_bytes())
}

fn find(tx: &Transaction<'_>, id: KeyId) -> Result<Option<Key>> {
    find_by(tx, "id", id.as_bytes())
}

fn find_by(tx: &Transaction<'_>, unique: &'static str, value: &dyn ToSql) -> Result<Option<Key>> {
    one(tx, &format!("SELECT seq, {KEY} FROM keys WHERE {unique} = ?"), [value])
}

/// The parameters that only one of the two statements has.
#[derive(Clone, Copy)]
enum Extra {
    Insert,
    Update,
}

/// Runs [`INSERT`] or [`UPDATE`]; how many rows it touched.
fn bind(tx: &Transaction<'_>, sql: &str, key: &Key, extra: Extra) -> Result<usize> {
    let mut statement = tx.prepare_cached(sql)?;
    let (rate, spend) = (key.rate, key.window_budget);
    let role = (key.role() != Role::default()).then(|| key.role().name());
    let (tags, setting_ids, allowed_paths) =
        (json_text(&key.tags)?, json_text(&key.setting_ids)?, json_text(&key.allowed_paths)?);
    for (name, value) in named_params! {
        ":id": key.id.as_bytes(),
        ":hint": key.hint,
        ":name": key.name,
        ":name_folded": folded(&key.name),
        ":tags": tags,
        ":updated_at": key.updated_at.0,
        ":revoked": key.revoked,
        ":revoked_reason": key.revoked_reason,
        ":single_setting": key.single_setting,
        ":setting_ids": setting_ids,
        ":rotation": key.rotation,
        ":allowed_paths": allowed_paths,
        ":ttl": key.ttl,
        ":rate_limit": rate.map(|r| stored(r.limit)),
        ":rate_window": rate.map(|r| r.window.unit()),
        ":total_budget": key.total_budget.map(Money::units),
        ":window_budget": spend.map(|s| s.limit.units()),
        ":window_budget_window": spend.map(|s| s.window.unit()),
        ":budget_mode": key.budget_mode.map(BudgetMode::name),
        ":log_request": key.log_request,
        ":log_response": key.log_response,
        ":policy_id": key.policy_id,
        ":is_key_not_hashed": key.is_key_not_hashed,
        ":email": key.email(),
        ":email_folded": key.email().map(folded),
        ":role": role,
        ":group_id": key.group().map(|group| group.0),
        ":quota": key.quota().map(Money::units),
    } {
        bind_one(&mut statement, name, value)?;
    }
    match extra {
        Extra::Insert => {
            bind_one(&mut statement, ":digest", key.digest.as_bytes())?;
            bind_one(&mut statement, ":created_at", &key.created_at.0)?;
        }
        Extra::Update => bind_one(&mut statement, ":revision", &key.revision)?,
    }
    statement.raw_execute().map_err(unknown_reference)
}

/// What a row names (a group, a model) is not there, or not any more.
pub(super) fn unknown_reference(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error() {
        Some(cause) if cause.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY => StoreError::NotFound,
        _ => error.into(),
    }
}

fn bind_one(statement: &mut rusqlite::Statement<'_>, name: &str, value: &dyn ToSql) -> rusqlite::Result<()> {
    let index = statement.parameter_index(name)?.ok_or_else(|| rusqlite::Error::InvalidParameterName(name.into()))?;
    statement.raw_bind_parameter(index, value)
}
