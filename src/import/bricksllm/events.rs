//! Events, and what they add up to by key. Users' policies and actions are not kept.

use crate::domain::{Event, EventId, KeyId, Money, RouteId, Routed, UnixMillis, Usage, UsageSource};
use crate::import::Options;
use crate::import::history;
use crate::import::record::{Read, Record, fault};
use crate::import::source::{Table, View};
use crate::import::writer::Writer;
use serde_json::value::RawValue;
use std::collections::HashMap;

const KIND: &str = "events";
const TABLE: Table = Table { name: "events", id: "event_id", order: "created_at, event_id" };

pub(super) async fn import(view: &View<'_>, writer: &mut Writer, options: &Options) -> anyhow::Result<()> {
    writer.report.mention(KIND);
    let since = options.history_since.seconds();
    let Some(rows) = view.rows_where(TABLE, "WHERE created_at >= $1 OR created_at IS NULL", &[&since]).await? else {
        return Ok(());
    };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(());
        }
        let mut events = Vec::with_capacity(page.len());
        for record in page {
            match read(&record) {
                Ok(event) => events.push(event),
                Err(why) => writer.report.broken(KIND, &record.id, why),
            }
        }
        history::put(writer, KIND, events).await?;
    }
}

/// Of all events, also of those that are not brought. Memory: one entry per key.
pub(super) async fn import_totals(view: &View<'_>, writer: &mut Writer) -> anyhow::Result<()> {
    let sql = "SELECT row_to_json(t)::text FROM (SELECT key_id, cost_in_usd FROM events) AS t";
    let mut totals: HashMap<KeyId, Money> = HashMap::new();
    if let Some(rows) = view.pairs(sql, "events").await? {
        loop {
            let page = view.next(&rows).await?;
            if page.is_empty() {
                break;
            }
            for record in page {
                // What cannot be read was told with the events.
                let (Ok(Some(key)), Ok(cost)) = (record.uuid("key_id"), record.float_usd("cost_in_usd")) else {
                    continue;
                };
                let total = totals.entry(KeyId::from_uuid(key)).or_default();
                *total = total.saturating_add(cost);
            }
        }
    }
    Ok(history::put_totals(writer, totals).await?)
}

fn read(record: &Record) -> Read<Event> {
    let id = record.uuid("event_id")?.ok_or_else(|| fault("event_id", "is empty"))?;
    let status = u16::try_from(record.whole("status_code")?).map_err(|_| fault("status_code", "is no status"))?;
    let usage = Usage {
        in_text: record.count("prompt_token_count")?,
        out_text: record.count("completion_token_count")?,
        source: UsageSource::Upstream,
        ..Usage::default()
    };
    let none = usage.in_text == 0 && usage.out_text == 0;
    let route = record.uuid("route_id")?;
    Ok(Event {
        id: EventId::from_uuid(id),
        created_at: record.seconds("created_at")?.max(UnixMillis(0)),
        key_id: record.uuid("key_id")?.map(KeyId::from_uuid),
        setting_id: None,
        tags: record.texts("tags")?.into_iter().map(Into::into).collect(),
        provider: record.text("provider")?,
        model: record.text("model")?,
        status,
        method: record.text("method")?,
        path: record.text("path")?,
        latency_ms: record.count("latency_in_ms")?,
        cost: record.float_usd("cost_in_usd")?,
        usage: if none { Usage::default() } else { usage },
        flags: Vec::new(),
        custom_id: record.text("custom_id")?,
        user_id: record.text("user_id")?,
        request_id: record.text("correlation_id")?,
        upstream_request_id: Box::default(),
        metadata: kept(record, "metadata"),
        request: kept(record, "request"),
        response: kept(record, "response"),
        objects: None,
        quota: None,
        // Which step it was is not told.
        route: route.map(|id| Box::new(Routed { route: RouteId::from_uuid(id), step: 0, tries: Vec::new() })),
    })
}

/// An empty object stands for nothing.
fn kept(record: &Record, column: &str) -> Option<Box<RawValue>> {
    record.json(column).filter(|json| json.get() != "{}")
}
