//! Quota and balance of keys: charged with the events that cost something, credited by people.
//!
//! Sums are made outside of SQL, where they saturate as [`Money`] does instead of failing.

use super::row::{all as rows, one};
use super::{Result, StoreError};
use crate::domain::{Account, KeyId, Money, QuotaRule};
use crate::store::Books;
use crate::store::rows::ACCOUNT;
use rusqlite::{Transaction, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The accounts that a batch of events is taken from, as they are so far. Each is read and written once.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// `None` = there is no such key any more: it has no account, and gets none.
    accounts: HashMap<KeyId, Option<Account>>,
}

impl Charges {
    /// In the order of the events of a key. A cost of zero changes nothing.
    pub(super) fn take(&mut self, tx: &Transaction<'_>, key: KeyId, cost: Money, rule: QuotaRule) -> Result<()> {
        if cost.is_zero() {
            return Ok(());
        }
        let account = match self.accounts.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unread) => unread.insert(find(tx, key)?),
        };
        if let Some(account) = account {
            account.charge(cost, rule);
        }
        Ok(())
    }

    pub(super) fn write(self, tx: &Transaction<'_>) -> Result<()> {
        for (key, account) in self.accounts {
            if let Some(account) = account {
                write(tx, key, account)?;
            }
        }
        Ok(())
    }
}

/// [`StoreError::NotFound`] for a key that does not exist.
pub(super) fn credit(tx: &Transaction<'_>, key: KeyId, amount: Money) -> Result<Account> {
    let mut account = find(tx, key)?.ok_or(StoreError::NotFound)?;
    account.balance = account.balance.saturating_add(amount.max(Money::ZERO));
    write(tx, key, account)?;
    Ok(account)
}

/// In the order of `ids`.
pub(super) fn books(tx: &Transaction<'_>, ids: &[KeyId]) -> Result<Vec<(KeyId, Books)>> {
    let sql = "SELECT ifnull(a.month, 0), ifnull(a.month_fee, 0), ifnull(a.balance, 0), ifnull(s.total, 0) \
        FROM (SELECT ? AS id) AS asked \
        LEFT JOIN accounts AS a ON a.key_id = asked.id LEFT JOIN key_spend AS s ON s.key_id = asked.id \
        WHERE a.key_id IS NOT NULL OR s.key_id IS NOT NULL";
    let mut found = Vec::new();
    for id in ids {
        found.extend(one(tx, sql, [id.as_bytes()])?.map(|books: Books| (*id, books)));
    }
    Ok(found)
}

/// By key. Memory: one entry per account.
pub(super) fn all(tx: &Transaction<'_>) -> Result<Vec<(KeyId, Account)>> {
    rows(tx, &format!("SELECT key_id, {ACCOUNT} FROM accounts ORDER BY key_id"), [])
}

/// The account of a key, empty if nothing has been written to it; `None` when there is no such key.
pub(super) fn find(tx: &Transaction<'_>, key: KeyId) -> Result<Option<Account>> {
    let sql = "SELECT ifnull(a.month, 0), ifnull(a.month_fee, 0), ifnull(a.balance, 0) \
        FROM keys LEFT JOIN accounts AS a ON a.key_id = keys.id WHERE keys.id = ?";
    one(tx, sql, [key.as_bytes()])
}

pub(super) fn write(tx: &Transaction<'_>, key: KeyId, account: Account) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO accounts (key_id, month, month_fee, balance) VALUES (?, ?, ?, ?) ON CONFLICT (key_id) \
         DO UPDATE SET month = excluded.month, month_fee = excluded.month_fee, balance = excluded.balance",
    )?
    .execute(params![key.as_bytes(), account.month.0, account.month_fee.units(), account.balance.units()])?;
    Ok(())
}
