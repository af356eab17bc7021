//! The port to the ledger, and what it says was spent: per key, in all, in a range, since a moment.

use super::filter::Conditions;
use super::row::{all, one};
use super::{Result, SqliteStore, events, key_list, report, retention};
use crate::domain::{Event, KeyId, Money, UnixMillis};
use crate::store::columns::read;
use crate::store::tally::{self, earliest_end, first_id};
use crate::store::{EventFilter, EventStore, KeySpend, Page, Report, ReportFilter, TopKeysFilter};
use async_trait::async_trait;
use rusqlite::{Transaction, params, params_from_iter};
use std::collections::HashMap;

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

    async fn rehearse_events(&self, events: &[Event]) -> Result<usize> {
        let events = events.to_vec();
        self.rehearse(move |tx| events::insert(tx, &events, events::Charged::Here)).await
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
        self.scan(move |tx| all(tx, sql, [key.as_bytes()])).await
    }

    async fn user_ids(&self, key: KeyId) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT user_id FROM events WHERE key_id = ? AND user_id IS NOT NULL ORDER BY user_id";
        self.scan(move |tx| all(tx, sql, [key.as_bytes()])).await
    }

    async fn delete_events_before(&self, before: UnixMillis, limit: u64) -> Result<u64> {
        self.write(move |tx| retention::delete_before(tx, before, limit)).await
    }

    async fn spend_of(&self, key: KeyId) -> Result<Option<Money>> {
        self.lookup(move |tx| one(tx, "SELECT total FROM key_spend WHERE key_id = ?", [key.as_bytes()])).await
    }

    async fn spends(&self) -> Result<Vec<KeySpend>> {
        self.scan(|tx| all(tx, "SELECT key_id, total FROM key_spend ORDER BY key_id", [])).await
    }

    async fn spends_since(&self, since: UnixMillis) -> Result<Vec<KeySpend>> {
        self.scan(move |tx| {
            let mut conditions = Conditions::default();
            conditions.literally("key_id IS NOT NULL");
            conditions.and("created_at >= ?", since.0);
            Ok(tally::by_key(sums(tx, &conditions)?))
        })
        .await
    }

    async fn admissions_since(&self, key: KeyId, since: UnixMillis) -> Result<u64> {
        self.scan(move |tx| {
            let sql =
                format!("SELECT count(*) FROM events WHERE created_at >= ? AND key_id = ? AND id >= ? AND {ADMITTED}");
            let (end, id) = (earliest_end(since), first_id(since.0));
            Ok(one(tx, &sql, params![end, key.as_bytes(), id.as_bytes()])?.unwrap_or_default())
        })
        .await
    }

    async fn admissions_by_key_since(&self, since: UnixMillis) -> Result<Vec<(KeyId, u64)>> {
        self.scan(move |tx| {
            let sql = format!(
                "SELECT key_id, count(*) FROM events \
                 WHERE created_at >= ? AND key_id IS NOT NULL AND id >= ? AND {ADMITTED} GROUP BY key_id"
            );
            all(tx, &sql, params![earliest_end(since), first_id(since.0).as_bytes()])
        })
        .await
    }
}

/// Cost per key of the events that match. Memory: one entry per key.
fn sums(tx: &Transaction<'_>, conditions: &Conditions) -> Result<HashMap<KeyId, Money>> {
    let sql = format!("SELECT key_id, cost FROM events{}", conditions.sql());
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.parameters()))?;
    let mut sums: HashMap<KeyId, Money> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (key, cost) = read(row)?;
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(cost);
    }
    Ok(sums)
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
    let sql = format!("SELECT id FROM keys{}", of_keys.sql());
    for key in all(tx, &sql, params_from_iter(of_keys.parameters()))? {
        sums.entry(key).or_default();
    }
    Ok(tally::top(sums, filter))
}
