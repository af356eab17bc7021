//! Reports: points from sums where they answer, from events where they do not; percentiles exact up to a hundred thousand
//! events, then within 1 %.

use super::brief::whole_texts;
use super::cover::{Buckets, Cover, FAR, Finest};
use super::fold::{ALL_KEYS, latency_of};
use super::sums::{Asked, extent, saturated};
use super::{PostgresStore, Result, StoreError, twice};
use crate::store::columns::{Columns, read};
use crate::store::percentile::Latencies;
use crate::store::tally::{MOST_POINTS, place};
use crate::store::{Report, ReportFilter, ReportPoint};
use deadpool_postgres::Transaction;
use uuid::Uuid;

/// Up to so many events percentiles are exact. Beyond, from counts of latencies that are at most 1/128 off, unless the
/// filter asks for what only events know.
const EXACT_UP_TO: u64 = if cfg!(test) { 1_000 } else { 100_000 };

impl PostgresStore {
    pub(super) async fn make_report(&self, filter: &ReportFilter) -> Result<Report> {
        twice(|| async {
            let mut connection = self.scan_connection().await?;
            let tx = super::view(&mut connection).await?;
            report(&tx, filter).await
        })
        .await
    }
}

async fn report(tx: &Transaction<'_>, filter: &ReportFilter) -> Result<Report> {
    // A range without an end has no end of buckets either: what is not there is left out first.
    let Some((first, last)) = extent(tx).await? else { return Ok(Report::default()) };
    let range = (millis(filter.start).max(first), millis(filter.end).min(last));
    let points = points(tx, filter, range).await?;
    let events = points.iter().map(|point| point.requests).fold(0, u64::saturating_add);
    let latencies = if events > EXACT_UP_TO && !asks_events(filter) {
        rough_latencies(tx, filter, range).await?
    } else {
        latencies(tx, filter, range).await?
    };
    Ok(Report { points, latency_median_ms: latencies.percentile(0.5), latency_p99_ms: latencies.percentile(0.99) })
}

/// Seconds in milliseconds, near enough to now to calculate with.
fn millis(seconds: i64) -> i64 {
    seconds.saturating_mul(1000).clamp(-FAR, FAR)
}

/// Whether only events know the answer.
fn asks_events(filter: &ReportFilter) -> bool {
    let lists = [&filter.tags, &filter.custom_ids, &filter.user_ids];
    lists.iter().any(|list| !list.is_empty()) || filter.group_by.custom_id || filter.group_by.user_id
}

fn buckets(filter: &ReportFilter) -> Buckets {
    let length = filter.increment.max(1).saturating_mul(1000).min(4 * FAR);
    // Moved by whole buckets to where numbers are small; nothing is before.
    let start = i128::from(filter.start) * 1000;
    let skipped = ((i128::from(-FAR) - start).max(0) + i128::from(length) - 1) / i128::from(length);
    let base = i64::try_from(start + skipped * i128::from(length)).unwrap_or(FAR);
    Buckets { base, length }
}

/// The beginning, in seconds, of the bucket that begins at `at` milliseconds after the base.
fn beginning(filter: &ReportFilter, base: i64, number: i64) -> i64 {
    let increment = i128::from(filter.increment.max(1));
    let skipped = (i128::from(base) / 1000 - i128::from(filter.start)) / increment;
    let at = i128::from(filter.start) + (skipped + i128::from(number)) * increment;
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn asked(filter: &ReportFilter, cover: &Cover) -> Asked {
    let mut asked = Asked::new(cover);
    asked.of_keys(&filter.key_ids);
    asked.of_texts(&filter.custom_ids, &filter.user_ids, &filter.tags);
    asked
}

const NUMBERS: [&str; 6] = ["requests", "cost", "latency_ms", "prompt_tokens", "completion_tokens", "successes"];

async fn points(tx: &Transaction<'_>, filter: &ReportFilter, range: (i64, i64)) -> Result<Vec<ReportPoint>> {
    let buckets = buckets(filter);
    let cover = if asks_events(filter) { Cover::of_events(range) } else { Cover::in_buckets(range, buckets) };
    let mut asked = asked(filter, &cover);
    let (base, length) = (asked.bind(buckets.base), asked.bind(buckets.length));
    let by = filter.group_by;
    // Of nobody: NULL in events, all zero in sums.
    let key = format!("coalesce(key_id, '{}')", Uuid::nil());
    let groups = [
        (by.model, "model", "model"),
        (by.key, &key, "key_id"),
        (by.custom_id, "custom_id", "custom_id"),
        (by.user_id, "user_id", "user_id"),
    ]
    .into_iter()
    .filter(|(wanted, ..)| *wanted)
    .map(|(_, expression, name)| (expression.to_owned(), name));
    let bucket = (format!("(AT - {base}::bigint) / {length}::bigint"), "bucket");
    let columns: Vec<_> = [bucket].into_iter().chain(groups).collect();
    let outer = columns.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    let numbers: Vec<_> = NUMBERS.iter().map(|name| saturated(&format!("sum({name})"))).collect();
    let group = (1..=columns.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {outer}, {} FROM ({}) AS parts GROUP BY {group} HAVING sum(requests) > 0 LIMIT {}",
        numbers.join(", "),
        asked.parts(&columns, &NUMBERS),
        MOST_POINTS + 1,
    );
    let rows = tx.query(&sql, &asked.parameters()).await?;
    if rows.len() > MOST_POINTS {
        return Err(StoreError::TooLarge);
    }
    let mut points = rows.iter().map(|row| point(row, filter, buckets)).collect::<Result<Vec<_>>>()?;
    let texts = points.iter().flat_map(|point| [&*point.model, &*point.custom_id, &*point.user_id]).collect();
    let whole = whole_texts(tx, texts).await?;
    for point in &mut points {
        whole.restore_string(&mut point.model);
        whole.restore_string(&mut point.custom_id);
        whole.restore_string(&mut point.user_id);
    }
    points.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
    Ok(points)
}

fn point(row: &tokio_postgres::Row, filter: &ReportFilter, buckets: Buckets) -> Result<ReportPoint> {
    let mut columns = Columns::new(row);
    let at = beginning(filter, buckets.base, columns.take()?);
    let by = filter.group_by;
    let model = if by.model { columns.take()? } else { String::new() };
    let key = if by.key { Some(columns.take::<Uuid>()?).filter(|id| !id.is_nil()) } else { None };
    let mut text = |wanted| if wanted { columns.or_default() } else { Ok(String::new()) };
    let (custom_id, user_id) = (text(by.custom_id)?, text(by.user_id)?);
    Ok(ReportPoint {
        at,
        requests: columns.take()?,
        cost: columns.take()?,
        latency_ms: columns.take()?,
        prompt_tokens: columns.take()?,
        completion_tokens: columns.take()?,
        successes: columns.take()?,
        model,
        key_id: key.map(|id| id.to_string()).unwrap_or_default(),
        custom_id,
        user_id,
    })
}

/// Every latency, counted where it is stored.
async fn latencies(tx: &Transaction<'_>, filter: &ReportFilter, range: (i64, i64)) -> Result<Latencies> {
    let asked = asked(filter, &Cover::of_events(range));
    let mut latencies = Latencies::default();
    if let Some(events) = asked.events() {
        let sql = format!("SELECT latency_ms, count(*) {events} GROUP BY 1");
        for row in tx.query(&sql, &asked.parameters()).await? {
            let (latency, events) = read(&row)?;
            latencies.add_many(latency, events);
        }
    }
    Ok(latencies)
}

/// As counted in buckets: of all keys per hour, of each key per day.
async fn rough_latencies(tx: &Transaction<'_>, filter: &ReportFilter, range: (i64, i64)) -> Result<Latencies> {
    let of_all = filter.key_ids.is_empty();
    let cover = Cover::of(range, if of_all { Finest::Hour } else { Finest::Day });
    let mut latencies = Latencies::default();
    let [spans, from, to] = cover.sums();
    let keys: Vec<Uuid> =
        if of_all { vec![ALL_KEYS] } else { filter.key_ids.iter().map(|key| *key.as_uuid()).collect() };
    let sql = "SELECT bucket, sum(events)::bigint FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS piece (of, since, till) \
               JOIN latency_by_time ON span = of AND start >= since AND start < till WHERE key_id = ANY($4) GROUP BY 1";
    for row in tx.query(sql, &[&spans, &from, &to, &keys]).await? {
        let (bucket, events) = read(&row)?;
        latencies.add_many(latency_of(bucket), events);
    }
    let asked = asked(filter, &Cover { events: cover.events, ..Cover::default() });
    if let Some(events) = asked.events() {
        let sql = format!("SELECT latency_bucket(latency_ms), count(*) {events} GROUP BY 1");
        for row in tx.query(&sql, &asked.parameters()).await? {
            let (bucket, events) = read(&row)?;
            latencies.add_many(latency_of(bucket), events);
        }
    }
    Ok(latencies)
}
