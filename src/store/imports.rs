//! The port of an import: what taking over another product's data needs beside the ports of every day.

use super::{Result, Store};
use crate::domain::{Account, Event, EventId, Key, KeyId, Money};
use async_trait::async_trait;

/// One row of a source, and what it became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportNote {
    /// As the source names the row.
    pub source_id: Box<str>,
    /// As this store names it, or what was written.
    pub target: Box<str>,
    /// Of the row here, when the import last wrote it: another one says that somebody else wrote it since.
    pub revision: i64,
}

/// Rows that are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbered {
    Key,
    Model,
    Group,
}

/// `source` names a product and one database of it, `kind` a kind of row.
#[async_trait]
pub trait ImportStore: Store {
    async fn import_note(&self, source: &str, kind: &str, source_id: &str) -> Result<Option<ImportNote>>;
    /// Replaces what was noted of the same rows.
    async fn write_import_notes(&self, source: &str, kind: &str, notes: &[ImportNote]) -> Result<()>;
    /// The next row of this kind gets `next`, or a higher number when that or a higher one was ever given.
    async fn number_from(&self, rows: Numbered, next: i64) -> Result<()>;
    /// As [`super::KeyStore::insert_key`], with the account that it begins with: nobody sees the one without the other.
    async fn insert_key_with_account(&self, key: &Key, account: Account) -> Result<()>;
    /// Sets the account, whatever it was: events that are booked later are charged to this one.
    /// [`super::StoreError::Conflict`] when it is not `before` any more, [`super::StoreError::NotFound`] without the key.
    async fn replace_account(&self, key: KeyId, before: Account, account: Account) -> Result<()>;
    /// As [`super::EventStore::insert_events`], but they charge nothing and add nothing to all-time spend: that is told
    /// by [`Self::import_spend`].
    async fn insert_history(&self, events: &[Event]) -> Result<usize>;
    /// Those of `ids` that are stored.
    async fn known_events(&self, ids: &[EventId]) -> Result<Vec<EventId>>;
    /// What `source` has added to the all-time spend of keys. Memory: one entry per key.
    async fn imported_spend(&self, source: &str) -> Result<Vec<(KeyId, Money)>>;
    /// Makes that at least these amounts; what was added before counts.
    async fn import_spend(&self, source: &str, totals: &[(KeyId, Money)]) -> Result<()>;
}
