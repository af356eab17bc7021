//! Between columns and values: reads a row of Postgres left to right.

use super::{Result, StoreError, engine};
use serde::de::DeserializeOwned;
use std::fmt;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use uuid::Uuid;

/// One parameter of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// Reads columns in the order of the statement. By position, because a full load reads millions of them.
pub(super) struct Columns<'r> {
    row: &'r Row,
    at: usize,
}

/// A stored value that this version does not know.
#[derive(Debug)]
struct Unreadable(&'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreadable {}", self.0)
    }
}
impl std::error::Error for Unreadable {}

impl<'r> Columns<'r> {
    pub(super) const fn new(row: &'r Row) -> Self {
        Self { row, at: 0 }
    }
    pub(super) fn take<T: FromSqlOwned>(&mut self) -> Result<T> {
        let value = self.row.try_get(self.at)?;
        self.at += 1;
        Ok(value)
    }
    /// A number that is never negative here.
    pub(super) fn count(&mut self) -> Result<u64> {
        self.take::<i64>().map(|n| u64::try_from(n).unwrap_or(0))
    }
    pub(super) fn uuid(&mut self) -> Result<Uuid> {
        self.take()
    }
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        <[u8; N]>::try_from(self.take::<Vec<u8>>()?).map_err(|_| engine(Unreadable("bytes")))
    }
    pub(super) fn text(&mut self) -> Result<Box<str>> {
        self.take()
    }
    /// NULL reads as empty.
    pub(super) fn text_or_null(&mut self) -> Result<Box<str>> {
        self.take::<Option<Box<str>>>().map(Option::unwrap_or_default)
    }
    /// Of a text column: JSON is kept as it was written.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_str(&self.text()?).map_err(engine)
    }
    pub(super) fn json_or_null<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let text = self.take::<Option<Box<str>>>()?;
        text.map(|text| serde_json::from_str(&text).map_err(engine)).transpose()
    }
    /// A name of a fixed set.
    pub(super) fn named<T>(&mut self, what: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        read(&self.text()?).ok_or_else(|| engine(Unreadable(what)))
    }
    pub(super) fn named_or_null<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(name) = self.take::<Option<Box<str>>>()? else { return Ok(None) };
        read(&name).map(Some).ok_or_else(|| engine(Unreadable(what)))
    }
}

/// Postgres has no text with a NUL in it: what a caller sent must not keep an event out of the ledger.
pub(super) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// What a refused write of configuration means to whoever asked for it: by the name of the constraint, which the schema
/// gives. What a row names (a group, a model) and is not there, or not any more, is [`StoreError::NotFound`].
pub(super) fn refused(error: tokio_postgres::Error) -> StoreError {
    let Some(cause) = error.as_db_error() else { return error.into() };
    let constraint = cause.constraint().unwrap_or_default();
    match *cause.code() {
        SqlState::FOREIGN_KEY_VIOLATION => StoreError::NotFound,
        SqlState::UNIQUE_VIOLATION if constraint == "keys_digest_unique" => StoreError::DuplicateKey,
        SqlState::UNIQUE_VIOLATION if constraint.ends_with("_unique") => StoreError::DuplicateName,
        SqlState::UNIQUE_VIOLATION => StoreError::Conflict,
        _ => error.into(),
    }
}
