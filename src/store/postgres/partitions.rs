//! Months of the ledger: each is a table of its own, made ahead, and dropped as a whole when nothing in it is kept.
//!
//! What no month was made for goes to the one that takes everything, so that no event ever waits for a table.

use super::cover::HOUR;
use super::fold::{FOLDED, Way, fold};
use super::sums::fold_all;
use super::{Object, PostgresStore, Result};
use crate::domain::UnixMillis;
use crate::domain::window::Window;
use crate::store::tally::first_id;
use crate::store::text::stored;
use std::time::Duration;

/// So many months after the current one are made ahead.
const AHEAD: usize = 3;
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Nobody's request or report may wait longer for a month to come or go; it is tried again at the next look.
const PATIENCE: &str = "SET LOCAL lock_timeout = '500ms'";
/// Held while months are made, one gateway at a time, and while they are dropped, which may take minutes.
const MAKING: i64 = super::CONFIGURATION_LOCK + 2;
const DROPPING: i64 = super::CONFIGURATION_LOCK + 3;

/// A month, from its first moment to that of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Month {
    from: UnixMillis,
    to: UnixMillis,
}

impl Month {
    fn of(moment: UnixMillis) -> Self {
        let (from, to) = Window::Month.bounds(moment);
        Self { from, to }
    }
    fn next(self) -> Self {
        Self::of(self.to)
    }
    /// Of its table. Its beginning in hours is unique and reads back.
    fn table(self) -> String {
        format!("events_from_{}", self.from.0 / HOUR)
    }
    fn of_table(name: &str) -> Option<Self> {
        let hours: i64 = name.strip_prefix("events_from_")?.parse().ok()?;
        Some(Self::of(UnixMillis(hours.checked_mul(HOUR)?)))
    }
}

impl PostgresStore {
    /// Makes the months that will be needed, for ever running: now and once an hour. A failure is logged and tried again.
    pub async fn keep_months_ahead(self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Err(error) = self.make_months().await {
                tracing::warn!(%error, "tables of coming months could not be made; the next try is in an hour");
            }
        }
    }

    /// The month before the current one (late events), it, and those that come.
    pub(super) async fn make_months(&self) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let now = UnixMillis(connection.query_one(now, &[]).await?.try_get(0)?);
        let current = Month::of(now);
        let mut month = Month::of(UnixMillis(current.from.0.saturating_sub(1)));
        for _ in 0..AHEAD + 2 {
            make(&mut connection, month).await?;
            month = month.next();
        }
        Ok(())
    }

    /// At most `limit` events, the oldest first, and takes them out of the sums.
    pub(super) async fn delete_before(&self, before: UnixMillis, limit: u64) -> Result<u64> {
        let connection = self.write_connection().await?;
        let sql = format!(
            "WITH old AS (SELECT id FROM events WHERE created_at < $1 ORDER BY created_at LIMIT $2), \
             gone AS (DELETE FROM events USING old WHERE events.id = old.id RETURNING {}), {} SELECT count(*) FROM gone",
            FOLDED.split(", ").map(|column| format!("events.{column}")).collect::<Vec<_>>().join(", "),
            fold("gone", Way::Take),
        );
        let statement = connection.prepare_cached(&sql).await?;
        let deleted: i64 = connection.query_one(&statement, &[&before.0, &stored(limit)]).await?.try_get(0)?;
        let deleted = u64::try_from(deleted).unwrap_or(0);
        if deleted < limit {
            sweep(&connection, before).await?;
        }
        Ok(deleted)
    }

    /// Whole months in which every event ended before a moment; returns how many events went.
    pub(super) async fn drop_months_before(&self, before: UnixMillis) -> Result<u64> {
        let mut connection = self.write_connection().await?;
        let mut dropped = 0;
        for (name, month) in months(&connection).await? {
            if month.to <= before {
                dropped += drop_month(&mut connection, &name, before).await?;
            }
        }
        Ok(dropped)
    }
}

/// Whether a month has its table. Not by `to_regclass`: in the middle of a transaction that may remember what was.
const THERE: &str = "SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid \
    WHERE inhparent = 'events'::regclass AND child.relname = $1)";

/// Tables of months that there are, the oldest first.
async fn months(connection: &Object) -> Result<Vec<(String, Month)>> {
    let sql = "SELECT child.relname::text FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid \
               WHERE inhparent = 'events'::regclass";
    let rows = connection.query(sql, &[]).await?;
    let mut found = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        if let Some(month) = Month::of_table(&name) {
            found.push((name, month));
        }
    }
    found.sort_unstable_by_key(|(_, month)| month.from);
    Ok(found)
}

/// Events that came before it was there are moved into it.
async fn make(connection: &mut Object, month: Month) -> Result<()> {
    let name = month.table();
    if connection.query_one(THERE, &[&name]).await?.try_get(0)? {
        return Ok(());
    }
    let tx = connection.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MAKING]).await?;
    tx.batch_execute(PATIENCE).await?;
    if tx.query_one(THERE, &[&name]).await?.try_get(0)? {
        return Ok(());
    }
    // Bounds cannot be parameters; both are made here, of a number.
    let (from, to) = (first_id(month.from.0), first_id(month.to.0));
    // Apart and then joined, which locks out nobody but writers of the table for all else.
    tx.batch_execute(&format!(
        "CREATE TABLE {name} (LIKE events INCLUDING ALL); \
         LOCK TABLE events_other IN ACCESS EXCLUSIVE MODE; \
         WITH early AS (DELETE FROM events_other WHERE id >= '{from}' AND id < '{to}' RETURNING *) \
             INSERT INTO {name} SELECT * FROM early; \
         ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
    ))
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Unless something in it is to be kept: a request may end long after the month in which it was admitted.
async fn drop_month(connection: &mut Object, name: &str, before: UnixMillis) -> Result<u64> {
    let tx = connection.transaction().await?;
    // All events of the month are read.
    tx.batch_execute("SET LOCAL statement_timeout = 0").await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&DROPPING]).await?;
    tx.batch_execute(PATIENCE).await?;
    if !tx.query_one(THERE, &[&name]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    // `name` is one that this file gave: letters and digits.
    tx.batch_execute(&format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let kept = format!("SELECT EXISTS (SELECT FROM {name} WHERE created_at >= $1)");
    if tx.query_one(&kept, &[&before.0]).await?.try_get(0)? {
        return Ok(0);
    }
    let gone = fold_all(&tx, name, Way::Take).await?;
    tx.batch_execute(&format!("DROP TABLE {name}")).await?;
    tx.commit().await?;
    sweep(connection, before).await?;
    Ok(gone)
}

/// Sums of nothing, and long texts that no event carries any more.
async fn sweep(connection: &Object, before: UnixMillis) -> Result<()> {
    connection
        .execute("DELETE FROM usage_by_time WHERE start < $1 AND requests = 0 AND admitted = 0", &[&before.0])
        .await?;
    connection.execute("DELETE FROM latency_by_time WHERE start < $1 AND events = 0", &[&before.0]).await?;
    connection.execute("DELETE FROM long_texts WHERE seen < $1", &[&before.0]).await?;
    Ok(())
}
