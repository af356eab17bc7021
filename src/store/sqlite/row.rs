//! Between columns and values: reads a row of SQLite left to right.

use rusqlite::types::{FromSql, Type, ValueRef};
use rusqlite::{Error, Row};
use serde::de::DeserializeOwned;
use std::fmt;
use uuid::Uuid;

/// Reads columns in the order of the statement. By position, because a full load reads millions of them.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
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

impl<'r, 's> Columns<'r, 's> {
    pub(super) const fn new(row: &'r Row<'s>) -> Self {
        Self { row, at: 0 }
    }
    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let value = self.row.get(self.at);
        self.at += 1;
        value
    }
    /// Whether the next one is NULL; does not take it.
    pub(super) fn is_null(&self) -> rusqlite::Result<bool> {
        Ok(self.row.get_ref(self.at)? == ValueRef::Null)
    }
    /// A number that is never negative here.
    pub(super) fn count(&mut self) -> rusqlite::Result<u64> {
        self.take::<i64>().map(|n| u64::try_from(n).unwrap_or(0))
    }
    pub(super) fn uuid(&mut self) -> rusqlite::Result<Uuid> {
        self.take().map(Uuid::from_bytes)
    }
    pub(super) fn uuid_or_null(&mut self) -> rusqlite::Result<Option<Uuid>> {
        self.take::<Option<[u8; 16]>>().map(|id| id.map(Uuid::from_bytes))
    }
    /// NULL reads as empty.
    pub(super) fn text_or_null(&mut self) -> rusqlite::Result<Box<str>> {
        self.take::<Option<Box<str>>>().map(Option::unwrap_or_default)
    }
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        let at = self.at;
        self.json_or_null()?.ok_or(Error::InvalidColumnType(at, String::new(), Type::Null))
    }
    pub(super) fn json_or_null<T: DeserializeOwned>(&mut self) -> rusqlite::Result<Option<T>> {
        let at = self.at;
        self.at += 1;
        let text = self.row.get_ref(at)?.as_str_or_null()?;
        let read = |text| serde_json::from_str(text).map_err(|e| conversion(at, Box::new(e)));
        text.map(read).transpose()
    }
    /// A name of a fixed set.
    pub(super) fn named<T>(&mut self, what: &'static str, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        let at = self.at;
        self.named_or_null(what, read)?.ok_or(Error::InvalidColumnType(at, what.to_owned(), Type::Null))
    }
    pub(super) fn named_or_null<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> rusqlite::Result<Option<T>> {
        let at = self.at;
        self.at += 1;
        let Some(name) = self.row.get_ref(at)?.as_str_or_null()? else { return Ok(None) };
        read(name).map(Some).ok_or_else(|| conversion(at, Box::new(Unreadable(what))))
    }
}

fn conversion(at: usize, why: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::FromSqlConversionFailure(at, Type::Text, why)
}
