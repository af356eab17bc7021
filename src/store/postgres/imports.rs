//! What an import notes and restores.

use super::changes;
use super::row::{all, one};
use super::{PostgresStore, Result, StoreError, change, keys, numbers};
use crate::domain::{Account, Event, EventId, InstanceId, Key, KeyId, Money};
use crate::store::columns::read;
use crate::store::names::Kind;
use crate::store::rows::{ACCOUNT, IMPORT_NOTE};
use crate::store::{EventStore, ImportNote, ImportStore, Numbered};
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Who books what came with an import: no gateway is counted below 0.
const IMPORTS: InstanceId = InstanceId(-1);

#[async_trait]
impl ImportStore for PostgresStore {
    async fn import_note(&self, source: &str, kind: &str, source_id: &str) -> Result<Option<ImportNote>> {
        let sql = format!("SELECT {IMPORT_NOTE} FROM imports WHERE source = $1 AND kind = $2 AND source_id = $3");
        one(&self.connection().await?, &sql, &[&source, &kind, &source_id]).await
    }

    async fn write_import_notes(&self, source: &str, kind: &str, notes: &[ImportNote]) -> Result<()> {
        let mut connection = self.connection().await?;
        let tx = connection.transaction().await?;
        let sql = "INSERT INTO imports (source, kind, source_id, target, revision) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (source, kind, source_id) DO UPDATE SET target = excluded.target, revision = excluded.revision";
        let statement = tx.prepare_cached(sql).await?;
        for note in notes {
            tx.execute(&statement, &[&source, &kind, &note.source_id, &note.target, &note.revision]).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn number_from(&self, rows: Numbered, next: i64) -> Result<()> {
        let mut connection = self.connection().await?;
        let tx = change(&mut connection).await?;
        let sql = "UPDATE numbers SET last = $2 WHERE kind = $1 AND last < $2";
        tx.execute(sql, &[&numbers::name(rows), &next.saturating_sub(1)]).await?;
        Ok(tx.commit().await?)
    }

    async fn insert_key_with_account(&self, key: &Key, account: Account) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        keys::insert(&tx, std::slice::from_ref(key)).await?;
        if account != Account::default() {
            write_account(&tx, key.id, Account::default(), account).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn replace_account(&self, key: KeyId, before: Account, account: Account) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        // Of the key, so that an account that is not there cannot be made beside this.
        let known = tx.query_opt("SELECT 1 FROM keys WHERE id = $1 FOR UPDATE", &[key.as_uuid()]).await?;
        known.ok_or(StoreError::NotFound)?;
        let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE key_id = $1 FOR UPDATE");
        let found: Option<Account> = tx.query_opt(&sql, &[key.as_uuid()]).await?.as_ref().map(read).transpose()?;
        if found.unwrap_or_default() != before {
            return Err(StoreError::Conflict);
        }
        write_account(&tx, key, before, account).await?;
        restate(&tx, [key]).await?;
        Ok(tx.commit().await?)
    }

    async fn insert_history(&self, events: &[Event]) -> Result<usize> {
        let new = self.booking_as(IMPORTS).insert_events(events).await?;
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        restate(&tx, events.iter().filter_map(|event| event.key_id)).await?;
        tx.commit().await?;
        Ok(new)
    }

    async fn known_events(&self, ids: &[EventId]) -> Result<Vec<EventId>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| *id.as_uuid()).collect();
        all(&self.connection().await?, "SELECT id FROM events WHERE id = ANY ($1)", &[&ids]).await
    }

    async fn imported_spend(&self, source: &str) -> Result<Vec<(KeyId, Money)>> {
        let sql = "SELECT key_id, total FROM imported_spend WHERE source = $1";
        self.connection().await?.query(sql, &[&source]).await?.iter().map(read).collect()
    }

    async fn import_spend(&self, source: &str, totals: &[(KeyId, Money)]) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = change(&mut connection).await?;
        restate(&tx, totals.iter().map(|(key, _)| *key)).await?;
        let told = tx
            .prepare_cached(
                "INSERT INTO imported_spend AS s (source, key_id, total) VALUES ($1, $2, $3) \
                 ON CONFLICT (source, key_id) DO UPDATE SET total = greatest(s.total, excluded.total)",
            )
            .await?;
        for (key, total) in totals {
            tx.execute(&told, &[&source, key.as_uuid(), &total.units()]).await?;
        }
        let instance = IMPORTS.0;
        tx.execute(
            "INSERT INTO key_spend AS s (key_id, instance, total) \
             SELECT key_id, $1, least(sum(total), 9223372036854775807)::bigint FROM imported_spend GROUP BY key_id \
             ON CONFLICT (key_id, instance) DO UPDATE SET total = excluded.total WHERE s.total <> excluded.total",
            &[&instance],
        )
        .await?;
        tx.execute(
            "DELETE FROM key_spend AS s WHERE instance = $1 \
             AND NOT EXISTS (SELECT FROM imported_spend AS i WHERE i.key_id = s.key_id)",
            &[&instance],
        )
        .await?;
        Ok(tx.commit().await?)
    }
}

/// Gateways that count these keys ask the ledger again.
async fn restate(tx: &Transaction<'_>, keys: impl IntoIterator<Item = KeyId>) -> Result<()> {
    let keys: BTreeSet<KeyId> = keys.into_iter().collect();
    let ids: Vec<&[u8]> = keys.iter().map(|key| &key.as_bytes()[..]).collect();
    if ids.is_empty() { Ok(()) } else { changes::note_many(tx, Kind::Standing, &ids).await }
}

/// What the balance is more than before counts as credited.
async fn write_account(tx: &Transaction<'_>, key: KeyId, before: Account, account: Account) -> Result<()> {
    let credited = account.balance.saturating_sub(before.balance).max(Money::ZERO);
    tx.execute(
        "INSERT INTO accounts AS a (key_id, month, month_fee, balance, credited) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (key_id) DO UPDATE SET month = excluded.month, month_fee = excluded.month_fee, \
         balance = excluded.balance, \
         credited = least(a.credited::numeric + excluded.credited, 9223372036854775807)::bigint",
        &[key.as_uuid(), &account.month.0, &account.month_fee.units(), &account.balance.units(), &credited.units()],
    )
    .await?;
    Ok(())
}
