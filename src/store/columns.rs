//! Between columns and values, whatever the engine: reads a row left to right.

use super::names::{Kind, format_named, strategy_named};
use super::{Result, engine};
use crate::domain::{
    BudgetMode, CustomProviderId, EventId, GrantId, GroupId, InstanceId, KeyDigest, KeyId, ModelId, Money,
    RequestFormat, RetryStrategy, Role, RouteId, SettingId, UnixMillis, Window,
};
use serde::de::DeserializeOwned;
use tokio_postgres::types::FromSqlOwned;
use uuid::Uuid;

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;
type Read<T> = std::result::Result<T, Cause>;

/// A row of an engine. `None` = NULL.
pub(super) trait Row {
    fn name(&self, at: usize) -> &str;
    /// What both engines read by themselves.
    fn scalar<T: rusqlite::types::FromSql + FromSqlOwned>(&self, at: usize) -> Read<Option<T>>;
    fn text(&self, at: usize) -> Read<Option<&str>>;
    fn bytes(&self, at: usize) -> Read<Option<&[u8]>>;
    fn uuid(&self, at: usize) -> Read<Option<Uuid>>;
    /// An engine without arrays has JSON.
    fn list<T: DeserializeOwned + FromSqlOwned>(&self, at: usize) -> Read<Option<Vec<T>>>;
}

/// Reads columns in the order of the statement. By position, because a full load reads millions of them.
pub(super) struct Columns<'r, R> {
    pub(super) row: &'r R,
    pub(super) at: usize,
}

/// A stored value that is not what its column should hold, or that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("column {column} cannot be read: {why}")]
struct Unreadable {
    column: String,
    why: Cause,
}

/// What the next columns stand for: one column, or several in a row.
pub(super) trait FromRow: Sized {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self>;
}

/// What one column stands for. NULL is `None`.
pub(super) trait FromColumn: Sized {
    fn read(row: &impl Row, at: usize) -> Read<Option<Self>>;
}

/// The whole row.
pub(super) fn read<T: FromRow>(row: &impl Row) -> Result<T> {
    Columns { row, at: 0 }.take()
}

impl<'r, R: Row> Columns<'r, R> {
    pub(super) const fn new(row: &'r R) -> Self {
        Self { row, at: 0 }
    }

    pub(super) fn take<T: FromRow>(&mut self) -> Result<T> {
        T::take(self)
    }

    /// NULL reads as empty.
    pub(super) fn or_default<T: FromColumn + Default>(&mut self) -> Result<T> {
        self.take::<Option<T>>().map(Option::unwrap_or_default)
    }

    /// NULL reads as empty.
    pub(super) fn list<T: DeserializeOwned + FromSqlOwned>(&mut self) -> Result<Vec<T>> {
        self.next(|row, at| row.list(at)).map(Option::unwrap_or_default)
    }

    /// Of a text column: JSON is kept as it was written.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.next(|row, at| Ok(serde_json::from_str(row.text(at)?.ok_or(NULL)?)?))
    }

    pub(super) fn json_or_null<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.next(|row, at| Ok(row.text(at)?.map(serde_json::from_str).transpose()?))
    }

    fn next<T>(&mut self, read: impl FnOnce(&'r R, usize) -> Read<T>) -> Result<T> {
        let at = self.at;
        self.at += 1;
        read(self.row, at).map_err(|why| engine(Unreadable { column: self.row.name(at).to_owned(), why }))
    }
}

const NULL: &str = "it is NULL";

impl<T: FromColumn> FromRow for T {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        columns.next(|row, at| Ok(T::read(row, at)?.ok_or(NULL)?))
    }
}

impl<T: FromColumn> FromRow for Option<T> {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        columns.next(T::read)
    }
}

impl<A: FromRow, B: FromRow> FromRow for (A, B) {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok((columns.take()?, columns.take()?))
    }
}

impl FromColumn for Uuid {
    fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
        row.uuid(at)
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
        Ok(row.bytes(at)?.map(Self::try_from).transpose()?)
    }
}

/// A number that is never negative here: the engines have none without a sign.
impl FromColumn for u64 {
    fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
        Ok(row.scalar::<i64>(at)?.map(|number| Self::try_from(number).unwrap_or(0)))
    }
}

macro_rules! scalars {
    ($($scalar:ty),+) => {$(
        impl FromColumn for $scalar {
            fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
                row.scalar(at)
            }
        }
    )+};
}
scalars!(bool, i16, i32, i64, Box<str>, String, Vec<u8>);

/// Values that are stored as another type.
macro_rules! stored_as {
    ($($stored:ty: $($value:ty = $from:expr),+;)+) => {$($(
        impl FromColumn for $value {
            fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
                Ok(<$stored>::read(row, at)?.map($from))
            }
        }
    )+)+};
}
stored_as! {
    i32: InstanceId = InstanceId;
    i64: Money = Money::from_units, UnixMillis = UnixMillis, ModelId = ModelId, GroupId = GroupId, GrantId = GrantId;
    [u8; 32]: KeyDigest = KeyDigest::from_bytes;
    Uuid: KeyId = KeyId::from_uuid, SettingId = SettingId::from_uuid, CustomProviderId = CustomProviderId::from_uuid,
        RouteId = RouteId::from_uuid, EventId = EventId::from_uuid;
}

/// Members of fixed sets, which are stored by name.
macro_rules! named {
    ($($value:ty = $named:expr),+ $(,)?) => {$(
        impl FromColumn for $value {
            fn read(row: &impl Row, at: usize) -> Read<Option<Self>> {
                let known = |name| $named(name).ok_or("this version does not know the name");
                Ok(row.text(at)?.map(known).transpose()?)
            }
        }
    )+};
}
named! {
    Window = Window::parse,
    BudgetMode = BudgetMode::parse,
    Role = Role::parse,
    RetryStrategy = strategy_named,
    RequestFormat = format_named,
    Kind = Kind::parse,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of<T: FromRow>(sql: &str) -> Result<T> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        read(rows.next().unwrap().unwrap())
    }

    #[test]
    fn null_is_none_where_it_may_be() {
        let read: (Option<Role>, (Option<Money>, u64)) = read_of("SELECT NULL, NULL, -1").unwrap();
        assert_eq!(read, (None, (None, 0)));
    }

    #[test]
    fn whatever_cannot_be_read_is_named() {
        let of_a_number = read_of::<(i64, i64)>("SELECT 1 AS one, NULL AS two").unwrap_err();
        let of_a_name = read_of::<Role>("SELECT 'nobody' AS role").unwrap_err();
        let of_bytes = read_of::<KeyDigest>("SELECT x'00' AS digest").unwrap_err();
        for (error, column) in [(of_a_number, "two"), (of_a_name, "role"), (of_bytes, "digest")] {
            assert!(error.to_string().contains(&format!("column {column} ")), "{error}");
        }
    }
}
