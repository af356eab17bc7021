//! Rows of SQLite: how columns are stored in it, and statements that are read to their end.

use super::Result;
use crate::store::columns::{Cause, Columns, FromRow, read};
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Params, Row, Transaction};
use serde::de::DeserializeOwned;
use uuid::Uuid;

type Read<T> = std::result::Result<T, Cause>;

impl crate::store::columns::Row for Row<'_> {
    fn name(&self, at: usize) -> &str {
        self.as_ref().column_name(at).unwrap_or_default()
    }
    fn scalar<T: FromSql>(&self, at: usize) -> Read<Option<T>> {
        Ok(self.get(at)?)
    }
    fn text(&self, at: usize) -> Read<Option<&str>> {
        Ok(self.get_ref(at)?.as_str_or_null()?)
    }
    fn bytes(&self, at: usize) -> Read<Option<&[u8]>> {
        Ok(self.get_ref(at)?.as_blob_or_null()?)
    }
    fn uuid(&self, at: usize) -> Read<Option<Uuid>> {
        Ok(self.bytes(at)?.map(Uuid::from_slice).transpose()?)
    }
    fn list<T: DeserializeOwned>(&self, at: usize) -> Read<Option<Vec<T>>> {
        Ok(self.text(at)?.map(serde_json::from_str).transpose()?)
    }
}

impl Columns<'_, Row<'_>> {
    /// Whether the next one is NULL; does not take it.
    pub(super) fn is_null(&self) -> Result<bool> {
        Ok(self.row.get_ref(self.at)? == ValueRef::Null)
    }
}

/// The first row, if there is any.
pub(super) fn one<T: FromRow>(tx: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<Option<T>> {
    tx.prepare_cached(sql)?.query(parameters)?.next()?.map(read).transpose()
}

pub(super) fn all<T: FromRow>(tx: &Transaction<'_>, sql: &str, parameters: impl Params) -> Result<Vec<T>> {
    tx.prepare_cached(sql)?.query_and_then(parameters, |row| read(row))?.collect()
}
