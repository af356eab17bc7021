//! The ledger: events in, once each, with rollup and accounts beside them in the same transaction; events out by filter.

use super::accounts::Charges;
use super::filter::{Conditions, page};
use super::row::Columns;
use super::{Result, SqliteStore, objects};
use crate::domain::{Event, EventFlag, EventId, KeyId, Money, SettingId, UnixMillis, Usage};
use crate::store::text::{json_text, or_null, stored};
use crate::store::{EventFilter, EventOrder, Page};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Written and read in this order.
const COLUMNS: &str = "id, created_at, key_id, cost, latency_ms, status, provider, model, custom_id, user_id, tags, \
    flags, setting_id, method, path, usage, request_id, upstream_request_id, metadata, route";

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
        "INSERT INTO events ({COLUMNS}, prompt_tokens, completion_tokens) \
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
            list_or_null(&event.tags)?,
            list_or_null(&event.flags)?,
            event.setting_id.as_ref().map(SettingId::as_bytes),
            event.method,
            event.path,
            usage_or_null(&event.usage)?,
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
    let mut before = tx.prepare_cached("SELECT total FROM key_spend WHERE key_id = ?")?;
    let mut write = tx.prepare_cached(
        "INSERT INTO key_spend (key_id, total) VALUES (?, ?) \
         ON CONFLICT (key_id) DO UPDATE SET total = excluded.total",
    )?;
    for (key, sum) in spent {
        let total: Option<i64> = before.query_row([key.as_bytes()], |row| row.get(0)).optional()?;
        let total = Money::from_units(total.unwrap_or(0)).saturating_add(*sum);
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
    let order = match filter.order {
        EventOrder::OldestFirst => "created_at, id",
        EventOrder::NewestFirst => "created_at DESC, id DESC",
        EventOrder::CheapestFirst => "cost, created_at, id",
        EventOrder::DearestFirst => "cost DESC, created_at DESC, id DESC",
    };
    // The bodies are joined to the page, not to everything that is sorted.
    let sql = format!(
        "SELECT {COLUMNS}, b.request, b.response FROM (SELECT {COLUMNS} FROM events{} ORDER BY {order} LIMIT ? OFFSET ?) \
         LEFT JOIN event_bodies AS b ON b.event_id = id ORDER BY {order}",
        conditions.sql()
    );
    page(tx, &sql, "events", &conditions, filter.paging, read)
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

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let mut columns = Columns::new(row);
    Ok(Event {
        id: EventId::from_uuid(columns.uuid()?),
        created_at: UnixMillis(columns.take()?),
        key_id: columns.uuid_or_null()?.map(KeyId::from_uuid),
        cost: Money::from_units(columns.take()?),
        latency_ms: columns.count()?,
        status: columns.take()?,
        provider: columns.take()?,
        model: columns.take()?,
        custom_id: columns.text_or_null()?,
        user_id: columns.text_or_null()?,
        tags: columns.json_or_null()?.unwrap_or_default(),
        flags: columns.json_or_null::<Vec<EventFlag>>()?.unwrap_or_default(),
        setting_id: columns.uuid_or_null()?.map(SettingId::from_uuid),
        method: columns.take()?,
        path: columns.take()?,
        usage: columns.json_or_null()?.unwrap_or_default(),
        request_id: columns.text_or_null()?,
        upstream_request_id: columns.text_or_null()?,
        metadata: columns.json_or_null()?,
        route: columns.json_or_null()?,
        request: columns.json_or_null()?,
        response: columns.json_or_null()?,
        objects: None,
        quota: None,
    })
}

fn list_or_null<T: Serialize>(list: &[T]) -> Result<Option<String>> {
    if list.is_empty() { Ok(None) } else { json_text(list).map(Some) }
}

fn usage_or_null(usage: &Usage) -> Result<Option<String>> {
    if *usage == Usage::default() { Ok(None) } else { json_text(usage).map(Some) }
}
