//! Threads as events: who, when, how many tokens, how much. What was said stays where it is.

use super::keys::Known;
use super::{number, table};
use crate::domain::{Event, EventId, UnixMillis, Usage, UsageSource};
use crate::import::record::{Read, Record, fault};
use crate::import::source::View;
use crate::import::writer::Writer;
use crate::import::{Options, derived, history};
use std::collections::HashMap;

const KIND: &str = "events";
const TABLE: &str = "eiai_thread";
/// What every call of the source was.
const PATH: &str = "/v1/chat/completions";
const OK: u16 = 200;

pub(super) async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    keys: &Known,
    options: &Options,
) -> anyhow::Result<()> {
    writer.report.mention(KIND);
    let names = names(view).await?;
    let since = options.history_since.to_string();
    let since = since.trim_end_matches('Z');
    let condition = "WHERE created_at >= $1::text::timestamp OR created_at IS NULL";
    let Some(rows) = view.rows_where(table(TABLE), condition, &[&since]).await? else { return Ok(()) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            break;
        }
        let mut events = Vec::with_capacity(page.len());
        for record in page {
            match read(&record, keys, &names) {
                Ok(event) => events.push(event),
                Err(why) => writer.report.broken(KIND, &record.id, why),
            }
        }
        history::put(writer, KIND, events).await?;
    }
    writer.report.remark(KIND, "(all)", "prompts and completions have no counterpart here");
    Ok(())
}

/// Name and provider of each model of the source.
async fn names(view: &View<'_>) -> anyhow::Result<HashMap<i64, (Box<str>, Box<str>)>> {
    let mut names = HashMap::new();
    let Some(rows) = view.rows(table("eiai_model")).await? else { return Ok(names) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(names);
        }
        for record in page {
            if let (Ok(id), Ok(name), Ok(provider)) =
                (number(&record, "id"), record.text("name"), record.text("provider"))
            {
                names.insert(id, (name, provider));
            }
        }
    }
}

fn read(record: &Record, keys: &Known, names: &HashMap<i64, (Box<str>, Box<str>)>) -> Read<Event> {
    let ended = record.timestamp("created_at")?.max(UnixMillis(0));
    let latency_ms = record.count("invocation_latency")?;
    let key = number(record, "key_id")?;
    let (model, provider) = names.get(&number(record, "model_id")?).cloned().unwrap_or_default();
    let usage = Usage {
        in_text: record.count("tokens_in")?,
        out_text: record.count("tokens_out")?,
        source: UsageSource::Upstream,
        ..Usage::default()
    };
    let cost = record.decimal_usd("fee")?;
    let began = UnixMillis(ended.0.saturating_sub(i64::try_from(latency_ms).unwrap_or(0)).max(0));
    let written = record.text("created_at")?;
    let parts = ["thread", &record.id, &written, &key.to_string(), &cost.to_string()];
    Ok(Event {
        id: event_id(began, &parts).ok_or_else(|| fault("created_at", "is too late"))?,
        created_at: ended,
        key_id: (key != 0).then(|| keys.id(key)),
        setting_id: None,
        tags: Vec::new(),
        provider,
        model,
        status: OK,
        method: "POST".into(),
        path: PATH.into(),
        latency_ms,
        cost,
        usage,
        flags: Vec::new(),
        custom_id: Box::default(),
        user_id: Box::default(),
        request_id: Box::default(),
        upstream_request_id: Box::default(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    })
}

/// A UUID v7 of that moment, the same at every run.
fn event_id(at: UnixMillis, parts: &[&str]) -> Option<EventId> {
    let millis = u64::try_from(at.0).ok().filter(|millis| *millis < 1 << 48)?;
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(derived(parts)) {
        *to = from;
    }
    Some(EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_moment_of_its_admission_in_its_id() {
        let at = UnixMillis(1_725_956_130_123);
        let id = event_id(at, &["thread", "1"]).unwrap();
        assert_eq!(id.made_at_millis(), Some(at.0));
        assert_eq!(Some(id), event_id(at, &["thread", "1"]));
        assert_ne!(Some(id), event_id(at, &["thread", "2"]));
        assert_ne!(Some(id), event_id(at, &["thread1"]));
        assert_eq!(event_id(UnixMillis(1 << 48), &[]), None);
    }
}
