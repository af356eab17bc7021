//! The ledger: events in, once each, with sums and accounts beside them in the same transaction; events out by filter.

use super::brief::{LongTexts, briefs, whole_texts};
use super::cover::{Cover, Finest};
use super::filter::Conditions;
use super::fold::{FOLDED, Way, fold};
use super::lanes::Failure;
use super::row::storable;
use super::{PostgresStore, Result, StoreError, charges, objects, sums, twice};
use crate::domain::{Event, KeyId, Money, SettingId};
use crate::store::columns::read;
use crate::store::rows::{EVENT, event_order};
use crate::store::text::{json_or_null, json_text, or_null, stored};
use crate::store::{EventFilter, Page};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Of one statement: rows, and bytes of their bodies. The protocol takes 1 GB.
const MOST_ROWS: usize = 2_000;
const MOST_BYTES: usize = 16 << 20;

/// Up to so many events of a tag are found by it and then sorted; of more, those asked for are met soon in their order.
const FEW: u64 = if cfg!(test) { 3 } else { 1_000 };

/// How often a transaction is begun again that was in the way of another one.
const TRIES: u32 = 20;

/// Of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Kept,
    TakenBack,
}

impl PostgresStore {
    pub(super) async fn book(&self, events: &[Event], ending: Ending) -> Result<usize> {
        let mut tries = 1;
        loop {
            match self.try_to_book(events, ending).await {
                Err(error) if tries < TRIES && is_passing(&error) => {
                    tokio::time::sleep(Duration::from_millis(u64::from(5 * tries))).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_to_book(&self, events: &[Event], ending: Ending) -> Result<usize> {
        let mut connection = self.drain_connection().await?;
        let tx = connection.transaction().await?;
        let new = insert(&tx, events, self.instance.0).await?;
        match ending {
            Ending::Kept => tx.commit().await?,
            Ending::TakenBack => tx.rollback().await?,
        }
        Ok(new)
    }

    pub(super) async fn find_events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            let tx = super::view(&mut connection).await?;
            list(&tx, filter).await
        })
        .await
    }
}

/// The same transaction may well succeed when it is tried again: it lost against another one.
fn is_passing(error: &StoreError) -> bool {
    let (StoreError::Engine(source) | StoreError::Away(source)) = error else { return false };
    let code = source.downcast_ref::<Failure>().and_then(|failure| failure.client_error().code());
    // The last: a key was deleted while its account was being made.
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::FOREIGN_KEY_VIOLATION]
        .iter()
        .any(|passing| code == Some(passing))
}

/// Writes what is new, adds it to the sums and takes it from accounts; how many were new.
///
/// Locks are taken in the same order by everybody: charges, events, sums, accounts, objects, each by key.
async fn insert(tx: &Transaction<'_>, events: &[Event], instance: i32) -> Result<usize> {
    let mut named = HashSet::new();
    let events: Vec<&Event> = events.iter().filter(|event| named.insert(event.id)).collect();
    let borne_elsewhere = charges::bear(tx, &events).await?;
    let cost = |event: &Event| if borne_elsewhere.contains(&event.id) { Money::ZERO } else { event.cost };

    let mut by_id: Vec<_> = events.iter().map(|event| (*event, cost(event))).collect();
    by_id.sort_unstable_by_key(|(event, _)| event.id);
    let mut new: HashSet<Uuid> = HashSet::new();
    for part in parts(&by_id) {
        let mut long = LongTexts::default();
        let rows = Rows::of(part, &mut long)?;
        long.write(tx).await?;
        for row in rows.insert(tx, instance).await? {
            new.insert(row.try_get(0)?);
        }
    }
    let news: Vec<_> =
        events.into_iter().filter(|event| new.contains(event.id.as_uuid())).map(|event| (event, cost(event))).collect();
    charges::take_from_accounts(tx, &news).await?;
    objects::insert(tx, &news).await?;
    Ok(news.len())
}

/// Splits what one statement should not carry.
fn parts<'e, 'p>(events: &'p [(&'e Event, Money)]) -> impl Iterator<Item = &'p [(&'e Event, Money)]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(MOST_ROWS).take_while(|(event, _)| {
            let before = bytes;
            bytes += weight(event);
            before == 0 || bytes <= MOST_BYTES
        });
        let (part, more) = rest.split_at_checked(fitting.count())?;
        rest = more;
        (!part.is_empty()).then_some(part)
    })
}

/// About its bytes.
fn weight(event: &Event) -> usize {
    let json = |value: &Option<Box<RawValue>>| value.as_deref().map_or(0, |value| value.get().len());
    1_000
        + json(&event.request)
        + json(&event.response)
        + json(&event.metadata)
        + event.user_id.len()
        + event.path.len()
}

/// One array per column, for one statement however many events.
#[derive(Default)]
struct Rows<'e> {
    ids: Vec<&'e Uuid>,
    created_at: Vec<i64>,
    cost: Vec<i64>,
    latency: Vec<i64>,
    prompt: Vec<i64>,
    completion: Vec<i64>,
    status: Vec<i32>,
    admitted: Vec<bool>,
    key: Vec<Option<&'e Uuid>>,
    setting: Vec<Option<&'e Uuid>>,
    texts: [Vec<Option<String>>; TEXT_COLUMNS.len()],
}

/// In the order of `Rows::texts`.
const TEXT_COLUMNS: [&str; 15] = [
    "model",
    "custom_id",
    "user_id",
    "tags",
    "provider",
    "method",
    "path",
    "flags",
    "usage",
    "request_id",
    "upstream_request_id",
    "metadata",
    "route",
    "request",
    "response",
];

impl<'e> Rows<'e> {
    fn of(events: &[(&'e Event, Money)], long: &mut LongTexts) -> Result<Self> {
        let mut rows = Self::default();
        for (event, cost) in events {
            rows.add(event, *cost, long)?;
        }
        Ok(rows)
    }

    fn add(&mut self, event: &'e Event, cost: Money, long: &mut LongTexts) -> Result<()> {
        let at = event.created_at.0;
        self.ids.push(event.id.as_uuid());
        self.created_at.push(at);
        self.cost.push(cost.units());
        self.latency.push(stored(event.latency_ms));
        self.prompt.push(stored(event.usage.prompt_tokens()));
        self.completion.push(stored(event.usage.completion_tokens()));
        self.status.push(i32::from(event.status));
        self.admitted.push(crate::store::counts_as_admission(event));
        self.key.push(event.key_id.as_ref().map(KeyId::as_uuid));
        self.setting.push(event.setting_id.as_ref().map(SettingId::as_uuid));
        let text = |text: &str| storable(text).into_owned();
        let texts = [
            Some(long.brief(&event.model, at).into_owned()),
            or_null(&event.custom_id).map(|text| long.brief(text, at).into_owned()),
            or_null(&event.user_id).map(|text| long.brief(text, at).into_owned()),
            array_or_null(&event.tags, long, at),
            Some(text(&event.provider)),
            Some(text(&event.method)),
            Some(text(&event.path)),
            json_or_null(&event.flags)?,
            json_or_null(&event.usage)?,
            or_null(&event.request_id).map(text),
            or_null(&event.upstream_request_id).map(text),
            json(event.metadata.as_deref()),
            event.route.as_deref().map(json_text).transpose()?,
            json(event.request.as_deref()),
            json(event.response.as_deref()),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.push(text);
        }
        Ok(())
    }

    /// The ids of those that were new.
    async fn insert(&self, tx: &Transaction<'_>, instance: i32) -> Result<Vec<Row>> {
        let statement = tx.prepare_cached(&insert_sql()).await?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
            &instance,
            &self.ids,
            &self.created_at,
            &self.cost,
            &self.latency,
            &self.prompt,
            &self.completion,
            &self.status,
            &self.admitted,
            &self.key,
            &self.setting,
        ];
        parameters.extend(self.texts.iter().map(|column| column as &(dyn ToSql + Sync)));
        Ok(tx.query(&statement, &parameters).await?)
    }
}

fn insert_sql() -> String {
    let names = TEXT_COLUMNS.join(", ");
    let places = (12..27).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ");
    let fixed =
        "id, created_at, cost, latency_ms, prompt_tokens, completion_tokens, status, admitted, key_id, setting_id";
    let values = names.replace("tags", "tags::text[]");
    format!(
        "WITH new AS (INSERT INTO events (instance, {fixed}, {names}) SELECT $1::integer, {fixed}, {values} \
         FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::integer[], \
             $9::boolean[], $10::uuid[], $11::uuid[], {places}) AS given ({fixed}, {names}) \
         ON CONFLICT (id) DO NOTHING RETURNING {FOLDED}), {}, \
         spent AS (INSERT INTO key_spend AS old (key_id, instance, total) \
             SELECT key_id, instance, {} FROM new WHERE key_id IS NOT NULL AND instance >= 0 GROUP BY 1, 2 ORDER BY 1, 2 \
             ON CONFLICT (key_id, instance) DO UPDATE SET total = {}) \
         SELECT id FROM new",
        fold("new", Way::Add),
        sums::saturated("sum(cost)"),
        sums::saturated("old.total::numeric + excluded.total"),
    )
}

/// As the engine writes an array.
fn array_or_null(texts: &[Box<str>], long: &mut LongTexts, at: i64) -> Option<String> {
    if texts.is_empty() {
        return None;
    }
    let quoted = texts.iter().map(|text| {
        let text = long.brief(text, at).replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{text}\"")
    });
    Some(format!("{{{}}}", quoted.collect::<Vec<_>>().join(",")))
}

/// JSON escapes a NUL, so it has none itself.
fn json(value: Option<&RawValue>) -> Option<String> {
    value.map(|value| value.get().to_owned())
}

async fn list(tx: &Transaction<'_>, filter: &EventFilter) -> Result<Page<Event>> {
    let mut conditions = Conditions::default();
    who(&mut conditions, &filter.key_ids, &filter.custom_ids, &filter.user_ids, &filter.tags);
    if let Some(start) = filter.start {
        conditions.and("created_at >= ?", start.saturating_mul(1000));
    }
    if let Some(end) = filter.end {
        conditions.and("created_at < ?", end.saturating_add(1).saturating_mul(1000));
    }
    if let Some(status) = filter.status {
        conditions.and("status = ?", i32::from(status));
    }
    let order = event_order(filter.order);
    let count = if filter.paging.count { Some(count(tx, filter, &conditions).await?) } else { None };
    let few = !filter.tags.is_empty() && is_few(tx, count, &conditions).await?;
    // What is sorted is only the ids: rows are wide.
    let page = conditions.page(filter.paging);
    let matching = conditions.sql();
    let (found, source) = if few {
        let found = format!("WITH found AS MATERIALIZED (SELECT id, created_at, cost FROM events{matching}) ");
        (found, "found".to_owned())
    } else {
        (String::new(), format!("events{matching}"))
    };
    let sql = format!(
        "{found}SELECT {EVENT}, request, response FROM events JOIN (SELECT id FROM {source} ORDER BY {order}{page}) AS page USING (id) \
         ORDER BY {order}",
    );
    let rows = tx.query(&sql, &conditions.parameters()).await?;
    let mut rows = rows.iter().map(read).collect::<Result<Vec<Event>>>()?;
    restore(tx, &mut rows).await?;
    Ok(Page { rows, count: count.unwrap_or(0) })
}

/// The planner knows only tags that are frequent. It would look for one that hardly any event carries, or none, in all
/// events in their order: minutes, where the index of tags has them at once.
async fn is_few(tx: &Transaction<'_>, count: Option<u64>, conditions: &Conditions) -> Result<bool> {
    if let Some(count) = count {
        return Ok(count <= FEW);
    }
    let sql = format!("SELECT count(*) FROM (SELECT FROM events{} LIMIT {}) AS few", conditions.sql(), FEW + 1);
    Ok(read::<u64>(&tx.query_one(&sql, &conditions.parameters()).await?)? <= FEW)
}

/// From the sums when they know: counting a hundred million rows takes minutes.
async fn count(tx: &Transaction<'_>, filter: &EventFilter, conditions: &Conditions) -> Result<u64> {
    let of_events = !filter.custom_ids.is_empty() || !filter.user_ids.is_empty() || !filter.tags.is_empty();
    if of_events || filter.status.is_some() {
        let sql = format!("SELECT count(*) FROM events{}", conditions.sql());
        return read(&tx.query_one(&sql, &conditions.parameters()).await?);
    }
    let from = filter.start.map_or(i64::MIN, |start| start.saturating_mul(1000));
    let to = filter.end.map_or(i64::MAX, |end| end.saturating_add(1).saturating_mul(1000));
    let mut asked = sums::Asked::new(&Cover::of((from, to), Finest::Hour));
    asked.of_keys(&filter.key_ids);
    let sql =
        format!("SELECT {} FROM ({}) AS parts", sums::saturated("sum(requests)"), asked.parts(&[], &["requests"]));
    read(&tx.query_one(&sql, &asked.parameters()).await?)
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
        conditions.id_in("key_id", key_ids.iter().map(|key| *key.as_uuid()));
    }
    if !custom_ids.is_empty() {
        conditions.one_of("custom_id", &briefs(custom_ids));
    }
    if !user_ids.is_empty() {
        conditions.one_of("user_id", &briefs(user_ids));
    }
    conditions.has_all("tags", &briefs(tags));
}

/// Puts whole texts where short forms are.
async fn restore(client: &impl GenericClient, events: &mut [Event]) -> Result<()> {
    let mut texts: Vec<&str> = Vec::new();
    for event in &*events {
        texts.extend([&*event.model, &*event.custom_id, &*event.user_id]);
        texts.extend(event.tags.iter().map(|tag| &**tag));
    }
    let whole = whole_texts(client, texts).await?;
    for event in events {
        whole.restore(&mut event.model);
        whole.restore(&mut event.custom_id);
        whole.restore(&mut event.user_id);
        event.tags.iter_mut().for_each(|tag| whole.restore(tag));
    }
    Ok(())
}
