//! What an import notes and restores.

use super::changes::{self, Kind};
use super::events::{self, Charged};
use super::row::{all, one};
use super::{Result, SqliteStore, StoreError, accounts, keys};
use crate::domain::{Account, Event, EventId, Key, KeyId, Money};
use crate::store::rows::IMPORT_NOTE;
use crate::store::{ImportNote, ImportStore, Numbered};
use async_trait::async_trait;
use rusqlite::{Transaction, params};
use std::collections::{BTreeSet, HashMap};

#[async_trait]
impl ImportStore for SqliteStore {
    async fn import_note(&self, source: &str, kind: &str, source_id: &str) -> Result<Option<ImportNote>> {
        let (source, kind, source_id) = (source.to_owned(), kind.to_owned(), source_id.to_owned());
        self.lookup(move |tx| {
            let sql = format!("SELECT {IMPORT_NOTE} FROM imports WHERE source = ? AND kind = ? AND source_id = ?");
            one(tx, &sql, params![source, kind, source_id])
        })
        .await
    }

    async fn write_import_notes(&self, source: &str, kind: &str, notes: &[ImportNote]) -> Result<()> {
        let (source, kind, notes) = (source.to_owned(), kind.to_owned(), notes.to_vec());
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "INSERT OR REPLACE INTO imports (source, kind, source_id, target, revision) VALUES (?, ?, ?, ?, ?)",
            )?;
            for note in &notes {
                statement.execute(params![source, kind, note.source_id, note.target, note.revision])?;
            }
            Ok(())
        })
        .await
    }

    async fn number_from(&self, rows: Numbered, next: i64) -> Result<()> {
        self.write(move |tx| number_from(tx, rows, next.saturating_sub(1))).await
    }

    async fn insert_key_with_account(&self, key: &Key, account: Account) -> Result<()> {
        let key = key.clone();
        self.write(move |tx| {
            keys::insert(tx, &key)?;
            if account == Account::default() { Ok(()) } else { accounts::write(tx, key.id, account) }
        })
        .await
    }

    async fn replace_account(&self, key: KeyId, before: Account, account: Account) -> Result<()> {
        self.write(move |tx| match accounts::find(tx, key)? {
            None => Err(StoreError::NotFound),
            Some(found) if found != before => Err(StoreError::Conflict),
            Some(_) => {
                accounts::write(tx, key, account)?;
                restate(tx, [key])
            }
        })
        .await
    }

    async fn insert_history(&self, events: &[Event]) -> Result<usize> {
        let events = events.to_vec();
        self.write(move |tx| {
            restate(tx, events.iter().filter_map(|event| event.key_id))?;
            events::insert(tx, &events, Charged::Elsewhere)
        })
        .await
    }

    async fn known_events(&self, ids: &[EventId]) -> Result<Vec<EventId>> {
        let ids = ids.to_vec();
        self.lookup(move |tx| {
            let mut statement = tx.prepare_cached("SELECT 1 FROM events WHERE id = ?")?;
            let mut known = Vec::new();
            for id in ids {
                if statement.exists([id.as_bytes()])? {
                    known.push(id);
                }
            }
            Ok(known)
        })
        .await
    }

    async fn imported_spend(&self, source: &str) -> Result<Vec<(KeyId, Money)>> {
        let source = source.to_owned();
        let sql = "SELECT key_id, total FROM imported_spend WHERE source = ?";
        self.scan(move |tx| all(tx, sql, [source])).await
    }

    async fn import_spend(&self, source: &str, totals: &[(KeyId, Money)]) -> Result<()> {
        let (source, totals) = (source.to_owned(), totals.to_vec());
        self.write(move |tx| {
            restate(tx, totals.iter().map(|(key, _)| *key))?;
            import_spend(tx, &source, &totals)
        })
        .await
    }
}

/// A gateway that counts these keys asks the ledger again.
fn restate(tx: &Transaction<'_>, keys: impl IntoIterator<Item = KeyId>) -> Result<()> {
    let keys: BTreeSet<KeyId> = keys.into_iter().collect();
    keys.iter().try_for_each(|key| changes::note(tx, Kind::Standing, key.as_bytes()))
}

/// `last`: the highest that counts as given.
fn number_from(tx: &Transaction<'_>, rows: Numbered, last: i64) -> Result<()> {
    let table = match rows {
        Numbered::Key => {
            // Whoever looks for the next one looks past what was deleted.
            tx.execute("UPDATE key_numbers SET deleted = ?1 WHERE deleted < ?1", [last])?;
            return Ok(());
        }
        Numbered::Model => "models",
        Numbered::Group => "groups",
    };
    let known = tx.prepare_cached("SELECT 1 FROM sqlite_sequence WHERE name = ?")?.exists([table])?;
    let sql = if known {
        "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 AND seq < ?2"
    } else {
        "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)"
    };
    tx.execute(sql, params![table, last])?;
    Ok(())
}

fn import_spend(tx: &Transaction<'_>, source: &str, totals: &[(KeyId, Money)]) -> Result<()> {
    let before = "SELECT total FROM imported_spend WHERE source = ? AND key_id = ?";
    let mut write =
        tx.prepare_cached("INSERT OR REPLACE INTO imported_spend (source, key_id, total) VALUES (?, ?, ?)")?;
    let mut more = HashMap::new();
    for (key, total) in totals {
        let told: Option<Money> = one(tx, before, params![source, key.as_bytes()])?;
        let added = total.saturating_sub(told.unwrap_or_default());
        if told.is_none() || added > Money::ZERO {
            write.execute(params![source, key.as_bytes(), total.units()])?;
            more.insert(*key, added);
        }
    }
    events::add_to_spend(tx, &more)
}
