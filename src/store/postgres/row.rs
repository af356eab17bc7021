//! Rows of Postgres: how columns are stored in it, statements that are read to their end, and refused writes.

use super::lanes::Failure;
use super::{Result, StoreError};
use crate::store::columns::{Cause, FromRow, read};
use deadpool_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, FromSqlOwned, ToSql};
use tokio_postgres::{Column, Row};
use uuid::Uuid;

/// One parameter of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

type Read<T> = std::result::Result<T, Cause>;

impl crate::store::columns::Row for Row {
    fn name(&self, at: usize) -> &str {
        self.columns().get(at).map_or("", Column::name)
    }
    fn scalar<T: FromSqlOwned>(&self, at: usize) -> Read<Option<T>> {
        get(self, at)
    }
    fn text(&self, at: usize) -> Read<Option<&str>> {
        get(self, at)
    }
    fn bytes(&self, at: usize) -> Read<Option<&[u8]>> {
        get(self, at)
    }
    fn uuid(&self, at: usize) -> Read<Option<Uuid>> {
        get(self, at)
    }
    fn list<T: FromSqlOwned>(&self, at: usize) -> Read<Option<Vec<T>>> {
        get(self, at)
    }
}

fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Read<T> {
    row.try_get(at).map_err(|error| Failure::from(error).into())
}

/// The row, if there is one.
pub(super) async fn one<T: FromRow>(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<Option<T>> {
    client.query_opt(&client.prepare_cached(sql).await?, parameters).await?.as_ref().map(read).transpose()
}

pub(super) async fn all<T: FromRow>(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<Vec<T>> {
    client.query(&client.prepare_cached(sql).await?, parameters).await?.iter().map(read).collect()
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
