//! The port to the ledger, and what it says was spent: per key, in all, in a range, since a moment.

use super::filter::Conditions;
use super::row::Columns;
use super::{Result, SqliteStore, events, key_list, report, retention};
use crate::domain::{Event, KeyId, Money, UnixMillis};
use crate::store::{EventFilter, EventStore, KeySpend, Order, Page, Report, ReportFilter, TopKeysFilter};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};
use std::collections::HashMap;

/// An event ends after it was admitted, so the index on its end bounds the search for admissions. A clock that was
/// set back between the two by more than this could hide one.
const CLOCK_SLACK_MS: i64 = 60_000;

/// An event without this flag was admitted (see `counts_as_admission`).
const ADMITTED: &str = "(flags IS NULL OR instr(flags, '\"refused\"') = 0)";

#[async_trait]
impl EventStore for SqliteStore {
    async fn insert_events(&self, events: &[Event]) -> Result<usize> {
        if events.is_empty() {
            return Ok(0);
        }
        let events = events.to_vec();
        self.write(move |tx| events::insert(tx, &events, events::Charged::Here)).await
    }

    async fn list_events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        self.find_events(filter).await
    }

    async fn report(&self, filter: &ReportFilter) -> Result<Report> {
        let filter = filter.clone();
        self.scan(move |tx| report::report(tx, &filter)).await
    }

    async fn top_keys(&self, filter: &TopKeysFilter) -> Result<Vec<KeySpend>> {
        let filter = filter.clone();
        self.scan(move |tx| top_keys(tx, &filter)).await
    }

    async fn custom_ids(&self, key: KeyId) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT custom_id FROM events WHERE key_id = ? AND custom_id IS NOT NULL ORDER BY custom_id";
        self.scan(move |tx| texts(tx, sql, key)).await
    }

    async fn user_ids(&self, key: KeyId) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT user_id FROM events WHERE key_id = ? AND user_id IS NOT NULL ORDER BY user_id";
        self.scan(move |tx| texts(tx, sql, key)).await
    }

    async fn delete_events_before(&self, before: UnixMillis, limit: u64) -> Result<u64> {
        self.write(move |tx| retention::delete_before(tx, before, limit)).await
    }

    async fn spend_of(&self, key: KeyId) -> Result<Option<Money>> {
        self.lookup(move |tx| {
            let total = tx
                .prepare_cached("SELECT total FROM key_spend WHERE key_id = ?")?
                .query_row([key.as_bytes()], |row| row.get(0))
                .optional()?;
            Ok(total.map(Money::from_units))
        })
        .await
    }

    async fn spends(&self) -> Result<Vec<KeySpend>> {
        self.scan(|tx| {
            let mut statement = tx.prepare_cached("SELECT key_id, total FROM key_spend ORDER BY key_id")?;
            let rows = statement.query_map([], key_and_cost)?;
            rows.map(|row| row.map(|(key_id, total)| KeySpend { key_id, total }).map_err(Into::into)).collect()
        })
        .await
    }

    async fn spends_since(&self, since: UnixMillis) -> Result<Vec<KeySpend>> {
        self.scan(move |tx| {
            let mut conditions = Conditions::default();
            conditions.literally("key_id IS NOT NULL");
            conditions.and("created_at >= ?", since.0);
            let mut spends = listed(sums(tx, &conditions)?);
            spends.sort_unstable_by_key(|s| s.key_id);
            Ok(spends)
        })
        .await
    }

    async fn admissions_since(&self, key: KeyId, since: UnixMillis) -> Result<u64> {
        self.scan(move |tx| {
            let sql =
                format!("SELECT count(*) FROM events WHERE created_at >= ? AND key_id = ? AND id >= ? AND {ADMITTED}");
            let mut statement = tx.prepare_cached(&sql)?;
            let parameters = params![earliest_end(since), key.as_bytes(), first_id(since)];
            Ok(statement.query_row(parameters, |row| Columns::new(row).count())?)
        })
        .await
    }

    async fn admissions_by_key_since(&self, since: UnixMillis) -> Result<Vec<(KeyId, u64)>> {
        self.scan(move |tx| {
            let sql = format!(
                "SELECT key_id, count(*) FROM events \
                 WHERE created_at >= ? AND key_id IS NOT NULL AND id >= ? AND {ADMITTED} GROUP BY key_id"
            );
            let mut statement = tx.prepare_cached(&sql)?;
            let rows = statement.query_map(params![earliest_end(since), first_id(since)], |row| {
                let mut columns = Columns::new(row);
                Ok((KeyId::from_uuid(columns.uuid()?), columns.count()?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn texts(tx: &Transaction<'_>, sql: &'static str, key: KeyId) -> Result<Vec<String>> {
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([key.as_bytes()], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn key_and_cost(row: &Row<'_>) -> rusqlite::Result<(KeyId, Money)> {
    let mut columns = Columns::new(row);
    Ok((KeyId::from_uuid(columns.uuid()?), Money::from_units(columns.take()?)))
}

/// Cost per key of the events that match. Memory: one entry per key.
fn sums(tx: &Transaction<'_>, conditions: &Conditions) -> Result<HashMap<KeyId, Money>> {
    let sql = format!("SELECT key_id, cost FROM events{}", conditions.sql());
    let mut statement = tx.prepare_cached(&sql)?;
    let mut sums: HashMap<KeyId, Money> = HashMap::new();
    for row in statement.query_map(params_from_iter(conditions.parameters()), key_and_cost)? {
        let (key, cost) = row?;
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(cost);
    }
    Ok(sums)
}

fn listed(sums: HashMap<KeyId, Money>) -> Vec<KeySpend> {
    sums.into_iter().map(|(key_id, total)| KeySpend { key_id, total }).collect()
}

fn top_keys(tx: &Transaction<'_>, filter: &TopKeysFilter) -> Result<Vec<KeySpend>> {
    let mut of_events = Conditions::default();
    of_events.within("created_at", filter.start, filter.end);
    of_events.literally("key_id IS NOT NULL");
    events::who(&mut of_events, &filter.key_ids, &[], &[], &filter.tags);
    if let Some(name) = &filter.name {
        of_events
            .and("key_id IN (SELECT id FROM keys WHERE instr(name_folded, ?) > 0)", crate::store::text::folded(name));
    }
    if let Some(revoked) = filter.revoked {
        of_events.and("key_id IN (SELECT id FROM keys WHERE revoked = ?)", revoked);
    }
    let mut sums = sums(tx, &of_events)?;

    let mut of_keys = Conditions::default();
    of_keys.within("created_at", filter.start, filter.end);
    of_keys.has_all("tags", &filter.tags);
    if !filter.key_ids.is_empty() {
        of_keys.id_in("id", filter.key_ids.iter().map(KeyId::as_bytes));
    }
    key_list::by_name_and_state(&mut of_keys, filter.name.as_deref(), filter.revoked);
    let sql = format!("SELECT id, 0 FROM keys{}", of_keys.sql());
    let mut statement = tx.prepare_cached(&sql)?;
    for row in statement.query_map(params_from_iter(of_keys.parameters()), key_and_cost)? {
        sums.entry(row?.0).or_default();
    }

    let mut spends = listed(sums);
    spends.sort_unstable_by_key(|s| (s.total, s.key_id));
    if filter.order == Order::Descending {
        spends.reverse();
    }
    let skip = usize::try_from(filter.paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(filter.paging.limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
    Ok(spends.into_iter().skip(skip).take(limit).collect())
}

const fn earliest_end(since: UnixMillis) -> i64 {
    since.0.saturating_sub(CLOCK_SLACK_MS)
}

/// The smallest id (UUID v7: 48 bits of milliseconds first) that can have been made at or after `since`.
fn first_id(since: UnixMillis) -> [u8; 16] {
    let millis = u64::try_from(since.0).unwrap_or(0).min((1 << 48) - 1);
    (u128::from(millis) << 80).to_be_bytes()
}
