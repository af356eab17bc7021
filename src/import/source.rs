//! The database of another product: one transaction that only reads and sees one moment, a page of rows at a time.

use super::record::Record;
use crate::store::postgres::foreign;
use anyhow::Context;
use tokio_postgres::{Client, IsolationLevel, Portal, Transaction};

/// Rows in memory at once. A row of history may carry whole conversations.
const PAGE: i32 = 200;

/// A connection.
pub(super) struct Source {
    client: Client,
}

/// One moment of a database.
pub(super) struct View<'a> {
    tx: Transaction<'a>,
}

/// Rows still to come.
pub(super) struct Rows {
    portal: Portal,
    table: &'static str,
    id: &'static str,
}

/// A table of the source, and the column that names its rows.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    /// Of SQL, names of columns.
    pub(super) order: &'static str,
}

impl Source {
    /// `url` may hold a password, so no error repeats it.
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = foreign::session(url).await.context("the source cannot be reached")?;
        // Doubles are written so that they are read back as they were, also by servers of long ago.
        client
            .batch_execute("SET extra_float_digits = 3; SET datestyle = 'ISO'")
            .await
            .context("the source refuses its settings")?;
        Ok(Self { client })
    }

    pub(super) async fn view(&mut self) -> anyhow::Result<View<'_>> {
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = builder.start().await.context("the source cannot be read")?;
        Ok(View { tx })
    }
}

impl View<'_> {
    /// In the search path, with any columns.
    pub(super) async fn has(&self, table: &str) -> anyhow::Result<bool> {
        let found = self.tx.query_one("SELECT to_regclass($1) IS NOT NULL", &[&quoted(table)]).await;
        Ok(found.context("the source cannot be read")?.try_get(0)?)
    }

    /// 0 when there is no such table.
    pub(super) async fn count(&self, table: &str) -> anyhow::Result<u64> {
        if !self.has(table).await? {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM {}", quoted(table));
        let count: i64 = self.tx.query_one(&sql, &[]).await.with_context(|| table.to_owned())?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// All of its rows. None when there is no such table.
    pub(super) async fn rows(&self, table: Table) -> anyhow::Result<Option<Rows>> {
        self.rows_where(table, "", &[]).await
    }

    /// Those of which `condition` (SQL, with `$1` and so on) is true.
    pub(super) async fn rows_where(
        &self,
        table: Table,
        condition: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> anyhow::Result<Option<Rows>> {
        if !self.has(table.name).await? {
            return Ok(None);
        }
        let sql = format!(
            "SELECT row_to_json(t)::text FROM {} AS t {condition} ORDER BY {}",
            quoted(table.name),
            table.order
        );
        let portal = self.tx.bind(&sql, parameters).await.with_context(|| table.name.to_owned())?;
        Ok(Some(Rows { portal, table: table.name, id: table.id }))
    }

    /// Two columns of text of every row that `sql` selects.
    pub(super) async fn pairs(&self, sql: &str, table: &'static str) -> anyhow::Result<Option<Rows>> {
        if !self.has(table).await? {
            return Ok(None);
        }
        let portal = self.tx.bind(sql, &[]).await.with_context(|| table.to_owned())?;
        Ok(Some(Rows { portal, table, id: "" }))
    }

    /// The next page; empty at the end.
    pub(super) async fn next(&self, rows: &Rows) -> anyhow::Result<Vec<Record>> {
        let page = self.tx.query_portal(&rows.portal, PAGE).await.with_context(|| rows.table.to_owned())?;
        let mut records = Vec::with_capacity(page.len());
        for row in page {
            let json: &str = row.try_get(0).with_context(|| rows.table.to_owned())?;
            records.push(Record::parse(json, rows.id).with_context(|| format!("{}: a row is unreadable", rows.table))?);
        }
        Ok(records)
    }
}

/// Names of tables are those of this program.
fn quoted(table: &str) -> String {
    format!("\"{table}\"")
}
