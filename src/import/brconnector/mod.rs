//! BRConnector. Rows are counted there as here, so numbers stay where they are free; who took which one is noted.
//! History and totals come before the keys, so that no gateway that runs meanwhile ever sees a key without what it has
//! spent.

mod grants;
mod groups;
mod keys;
mod models;
mod threads;

use super::Options;
use super::record::{Read, Record};
use super::report::Fate;
use super::source::{Table, View};
use super::writer::{Placed, Row, Writer};
use anyhow::Context;

/// What has no counterpart here: its table, how the report names it, and why.
const LEFT_OUT: [(&str, &str, &str); 3] = [
    ("eiai_session", "sessions", "conversations have no counterpart here"),
    ("eiai_payment", "payments", "balances come with the keys, the history of payments has no counterpart here"),
    ("eiai_bot_connector", "bots", "bots have no counterpart here"),
];

pub(super) async fn import(view: &View<'_>, writer: &mut Writer, options: &Options) -> anyhow::Result<()> {
    if !view.has("eiai_key").await? {
        anyhow::bail!("the source has no table eiai_key: it is no database of BRConnector");
    }
    writer.source = identity(view).await?;
    let models = models::import(view, writer).await?;
    let groups = groups::import(view, writer).await?;
    grants::import_of_groups(view, writer, &groups, &models).await?;
    let keys = keys::identify(view, writer, &groups).await?;
    threads::import(view, writer, &keys, options).await?;
    keys::import_totals(view, writer, &keys).await?;
    let placed = keys::import(view, writer, &groups, options).await?;
    writer.flush().await?;
    grants::import_of_keys(view, writer, &placed, &models).await?;
    for (table, kind, why) in LEFT_OUT {
        let count = view.count(table).await?;
        writer.report.count(kind, Fate::LeftOut, count);
        if count > 0 {
            writer.report.remark(kind, "(all)", why);
        }
    }
    Ok(())
}

/// Two databases count their rows alike, so they are told apart by the moment of their first row, which a copy of the
/// database keeps.
async fn identity(view: &View<'_>) -> anyhow::Result<String> {
    let mut first: Option<Box<str>> = None;
    for (table, sql) in [
        ("eiai_key", "SELECT row_to_json(t)::text FROM (SELECT min(created_at) AS at FROM eiai_key) AS t"),
        ("eiai_model", "SELECT row_to_json(t)::text FROM (SELECT min(created_at) AS at FROM eiai_model) AS t"),
        ("eiai_group", "SELECT row_to_json(t)::text FROM (SELECT min(created_at) AS at FROM eiai_group) AS t"),
    ] {
        let Some(rows) = view.pairs(sql, table).await? else { continue };
        for record in view.next(&rows).await? {
            let at = record.text_or_null("at").ok().flatten();
            first = [first.take(), at].into_iter().flatten().min();
        }
    }
    Ok(format!("brconnector {}", first.context("the source is empty").unwrap_or_default()))
}

/// In the order of their numbers, so that each is free when its turn comes.
const fn table(name: &'static str) -> Table {
    Table { name, id: "id", order: "id" }
}

/// The number of a row of the source; 0 stands for none.
fn number(record: &Record, column: &str) -> Read<i64> {
    record.whole(column)
}

/// Tells when a row has another number here.
fn remark_number<R: Row>(writer: &mut Writer, id: &str, wanted: i64, placed: &Placed<R>, here: i64) {
    if !writer.dry && placed.fate != Fate::Different && wanted != here {
        writer.report.remark(R::KIND, id, format_args!("has the number {here} here"));
    }
}
