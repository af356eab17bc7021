//! Quota and balance of keys: charged with the events that cost something, credited by people.
//!
//! Sums saturate as [`Money`] does instead of failing.

use super::row::{all as rows, one};
use super::sums::saturated;
use super::{Result, StoreError};
use crate::domain::{Account, KeyId, Money};
use crate::store::Books;
use crate::store::rows::ACCOUNT;
use deadpool_postgres::GenericClient;
use uuid::Uuid;

/// [`StoreError::NotFound`] for a key that does not exist.
pub(super) async fn credit(client: &impl GenericClient, key: KeyId, amount: Money) -> Result<Account> {
    // The key first, then its account: as whoever charges events or deletes the key.
    let sql = format!(
        "INSERT INTO accounts (key_id, month, month_fee, balance, credited) \
         SELECT known.id, 0, 0, $2::bigint, $2::bigint FROM (SELECT id FROM keys WHERE id = $1 FOR KEY SHARE) AS known \
         ON CONFLICT (key_id) DO UPDATE SET balance = {}, credited = {} RETURNING {ACCOUNT}",
        saturated("accounts.balance::numeric + excluded.balance"),
        saturated("accounts.credited::numeric + excluded.credited"),
    );
    let account = one(client, &sql, &[key.as_uuid(), &amount.max(Money::ZERO).units()]).await?;
    account.ok_or(StoreError::NotFound)
}

/// In the order of `ids`.
pub(super) async fn books(client: &impl GenericClient, ids: &[KeyId]) -> Result<Vec<(KeyId, Books)>> {
    let sql = format!(
        "SELECT asked.id, coalesce(a.month, 0), coalesce(a.month_fee, 0), coalesce(a.balance, 0), {} \
         FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place) \
         LEFT JOIN accounts AS a ON a.key_id = asked.id \
         LEFT JOIN LATERAL (SELECT sum(total) AS total FROM key_spend WHERE key_id = asked.id) AS s ON true \
         WHERE a.key_id IS NOT NULL OR s.total IS NOT NULL ORDER BY asked.place",
        saturated("coalesce(s.total, 0)"),
    );
    let ids: Vec<Uuid> = ids.iter().map(|id| *id.as_uuid()).collect();
    rows(client, &sql, &[&ids]).await
}

/// By key. Memory: one entry per account.
pub(super) async fn all(client: &impl GenericClient) -> Result<Vec<(KeyId, Account)>> {
    rows(client, &format!("SELECT key_id, {ACCOUNT} FROM accounts ORDER BY key_id"), &[]).await
}
