//! The ledger: events in, once each, with rollup and accounts beside them in the same transaction; events out by filter.

use super::accounts::Charges;
use super::filter::{Conditions, page};
use super::row::one;
use super::{Result, SqliteStore, objects};
use crate::domain::{Event, KeyId, Money, SettingId};
use crate::store::rows::{EVENT, event_order};
use crate::store::text::{json_or_null, json_text, or_null, stored};
use crate::store::{EventFilter, Page};
use rusqlite::{Transaction, params};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Whether events are charged for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    /// Added to the spend of their key and taken from its account.
    Here,
    /// By the product that they come from.
    Elsewhere,
}

/// Writes what is new and charges for it; how many were new.
pub(super) fn insert(tx: &Transaction<'_>, events: &[Event], charged: Charged) -> Result<usize> {
    let sql = format!(
        "INSERT INTO events ({EVENT}, prompt_tokens, completion_tokens) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut spent: HashMap<KeyId, Money> = HashMap::new();
    let mut charges = Charges::default();
    let mut new = 0;
    for event in events {
        let cost = if objects::is_charged_elsewhere(tx, event)? { Money::ZERO } else { event.cost };
        let inserted = statement.execute(params![
            event.id.as_bytes(),
            event.created_at.0,
            event.key_id.as_ref().map(KeyId::as_bytes),
            cost.units(),
            stored(event.latency_ms),
            event.status,
            event.provider,
            event.model,
            or_null(&event.custom_id),
            or_null(&event.user_id),
            json_or_null(&event.tags)?,
            json_or_null(&event.flags)?,
            event.setting_id.as_ref().map(SettingId::as_bytes),
            event.method,
            event.path,
            json_or_null(&event.usage)?,
            or_null(&event.request_id),
            or_null(&event.upstream_request_id),
            event.metadata.as_deref().map(RawValue::get),
            event.route.as_deref().map(json_text).transpose()?,
            stored(event.usage.prompt_tokens()),
            stored(event.usage.completion_tokens()),
        ])?;
        if inserted == 0 {
            continue;
        }
        new += 1;
        insert_bodies(tx, event)?;
        if let Some(key) = event.key_id.filter(|_| charged == Charged::Here) {
            let sum = spent.entry(key).or_default();
            *sum = sum.saturating_add(cost);
            if let Some(rule) = event.quota {
                charges.take(tx, key, cost, rule)?;
            }
        }
        objects::insert(tx, event)?;
    }
    add_to_spend(tx, &spent)?;
    charges.write(tx)?;
    Ok(new)
}

fn insert_bodies(tx: &Transaction<'_>, event: &Event) -> Result<()> {
    if event.request.is_some() || event.response.is_some() {
        tx.prepare_cached("INSERT INTO event_bodies (event_id, request, response) VALUES (?, ?, ?)")?.execute(
            params![
                event.id.as_bytes(),
                event.request.as_deref().map(RawValue::get),
                event.response.as_deref().map(RawValue::get),
            ],
        )?;
    }
    Ok(())
}

/// Adds outside of SQL, where a sum saturates as [`Money`] does instead of failing.
pub(super) fn add_to_spend(tx: &Transaction<'_>, spent: &HashMap<KeyId, Money>) -> Result<()> {
    let mut write = tx.prepare_cached(
        "INSERT INTO key_spend (key_id, total) VALUES (?, ?) \
         ON CONFLICT (key_id) DO UPDATE SET total = excluded.total",
    )?;
    for (key, sum) in spent {
        let before: Option<Money> = one(tx, "SELECT total FROM key_spend WHERE key_id = ?", [key.as_bytes()])?;
        let total = before.unwrap_or_default().saturating_add(*sum);
        write.execute(params![key.as_bytes(), total.units()])?;
    }
    Ok(())
}

impl SqliteStore {
    pub(super) async fn find_events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        let filter = filter.clone();
        self.scan(move |tx| list(tx, &filter)).await
    }
}

fn list(tx: &Transaction<'_>, filter: &EventFilter) -> Result<Page<Event>> {
    let mut conditions = Conditions::default();
    who(&mut conditions, &filter.key_ids, &filter.custom_ids, &filter.user_ids, &filter.tags);
    if let Some(start) = filter.start {
        conditions.and("created_at >= ?", start.saturating_mul(1000));
    }
    if let Some(end) = filter.end {
        conditions.and("created_at < ?", end.saturating_add(1).saturating_mul(1000));
    }
    if let Some(status) = filter.status {
        conditions.and("status = ?", i64::from(status));
    }
    let order = event_order(filter.order);
    // The bodies are joined to the page, not to everything that is sorted.
    let sql = format!(
        "SELECT {EVENT}, b.request, b.response FROM (SELECT {EVENT} FROM events{} ORDER BY {order} LIMIT ? OFFSET ?) \
         LEFT JOIN event_bodies AS b ON b.event_id = id ORDER BY {order}",
        conditions.sql()
    );
    page(tx, &sql, "events", &conditions, filter.paging)
}

/// The filters that lists and reports share; an empty one matches everything.
pub(super) fn who(
    conditions: &mut Conditions,
    key_ids: &[KeyId],
    custom_ids: &[String],
    user_ids: &[String],
    tags: &[String],
) {
    if !key_ids.is_empty() {
        conditions.id_in("key_id", key_ids.iter().map(KeyId::as_bytes));
    }
    if !custom_ids.is_empty() {
        conditions.one_of("custom_id", custom_ids);
    }
    if !user_ids.is_empty() {
        conditions.one_of("user_id", user_ids);
    }
    conditions.has_all("tags", tags);
}
