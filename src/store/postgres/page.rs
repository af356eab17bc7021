//! Lists, page by page, on one consistent view.

use super::Result;
use super::filter::Conditions;
use super::row::{all, one};
use crate::store::columns::FromRow;
use crate::store::{Page, Paging};
use deadpool_postgres::{Object, Transaction};
use tokio_postgres::IsolationLevel;

/// One consistent view that changes nothing: the rows of a page and their count fit together.
pub(super) async fn view(connection: &mut Object) -> Result<Transaction<'_>> {
    Ok(connection.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?)
}

/// What is listed.
pub(super) struct List<'a> {
    pub(super) columns: &'a str,
    /// With their joins.
    pub(super) tables: &'a str,
    pub(super) order: &'a str,
}

/// The rows of a page; and how many match in all, if that is asked for.
pub(super) async fn page<T: FromRow>(
    tx: &Transaction<'_>,
    list: List<'_>,
    mut conditions: Conditions,
    paging: Paging,
) -> Result<Page<T>> {
    let List { columns, tables, order } = list;
    // First, because the bounds of the page are parameters too.
    let count = if paging.count { count(tx, tables, &conditions).await? } else { 0 };
    let bounds = conditions.page(paging);
    let sql = format!("SELECT {columns} FROM {tables}{} ORDER BY {order}{bounds}", conditions.sql());
    Ok(Page { rows: all(tx, &sql, &conditions.parameters()).await?, count })
}

async fn count(tx: &Transaction<'_>, tables: &str, conditions: &Conditions) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {tables}{}", conditions.sql());
    Ok(one(tx, &sql, &conditions.parameters()).await?.unwrap_or_default())
}
