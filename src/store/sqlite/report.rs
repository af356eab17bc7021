//! Reports: one pass over the matching events fills buckets, groups and latencies.
//!
//! Summed here rather than in SQL, because one pass serves points and percentiles and sums saturate like [`Money`].

use super::events::who;
use super::filter::Conditions;
use super::{Result, StoreError};
use crate::domain::Money;
use crate::store::columns::Columns;
use crate::store::percentile::Latencies;
use crate::store::tally::{MOST_POINTS, place};
use crate::store::{GroupBy, Report, ReportFilter, ReportPoint};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Transaction, params_from_iter};
use std::collections::HashMap;
use uuid::Uuid;

/// Bucket, then the numbers that stand for model, key, custom id and user id.
type Group = (i64, [u32; 4]);

pub(super) fn report(tx: &Transaction<'_>, filter: &ReportFilter) -> Result<Report> {
    let mut conditions = Conditions::default();
    conditions.within("created_at", filter.start, filter.end);
    who(&mut conditions, &filter.key_ids, &filter.custom_ids, &filter.user_ids, &filter.tags);
    let sql = format!(
        "SELECT created_at, status, cost, latency_ms, prompt_tokens, completion_tokens, {} FROM events{}",
        group_columns(filter.group_by),
        conditions.sql()
    );
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.parameters()))?;
    let mut building = Building::new(filter);
    while let Some(row) = rows.next()? {
        building.add(row)?;
    }
    Ok(building.finish())
}

/// Model, key, custom id and user id; NULL for those that are not asked for.
fn group_columns(by: GroupBy) -> String {
    let column = |wanted: bool, name: &'static str| if wanted { name } else { "NULL" };
    [
        column(by.model, "model"),
        column(by.key, "key_id"),
        column(by.custom_id, "custom_id"),
        column(by.user_id, "user_id"),
    ]
    .join(", ")
}

struct Building<'f> {
    filter: &'f ReportFilter,
    points: HashMap<Group, ReportPoint>,
    names: Names,
    latencies: Latencies,
}

impl<'f> Building<'f> {
    fn new(filter: &'f ReportFilter) -> Self {
        Self { filter, points: HashMap::new(), names: Names::default(), latencies: Latencies::default() }
    }

    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let mut columns = Columns::new(row);
        let at = self.bucket(columns.take()?);
        let status: i32 = columns.take()?;
        let cost: Money = columns.take()?;
        let latency = columns.take()?;
        let (prompt, completion) = columns.take()?;
        let mut group = [0; 4];
        for (number, column) in group.iter_mut().zip(6..) {
            *number = self.names.number(row.get_ref(column)?)?;
        }
        if self.points.len() >= MOST_POINTS && !self.points.contains_key(&(at, group)) {
            return Err(StoreError::TooLarge);
        }
        let point = self.points.entry((at, group)).or_insert_with(|| ReportPoint { at, ..ReportPoint::default() });
        point.requests += 1;
        point.cost = point.cost.saturating_add(cost);
        point.latency_ms = point.latency_ms.saturating_add(latency);
        point.prompt_tokens = point.prompt_tokens.saturating_add(prompt);
        point.completion_tokens = point.completion_tokens.saturating_add(completion);
        point.successes += u64::from(status == 200);
        self.latencies.add(latency);
        Ok(())
    }

    /// The start of the bucket, in seconds, that holds a moment in milliseconds.
    fn bucket(&self, created_at: i64) -> i64 {
        let increment = self.filter.increment.max(1);
        let offset = created_at.div_euclid(1000).saturating_sub(self.filter.start);
        self.filter.start.saturating_add(offset.div_euclid(increment).saturating_mul(increment))
    }

    fn finish(self) -> Report {
        let texts = self.names.texts();
        let text = |number: u32| usize::try_from(number).ok().and_then(|n| texts.get(n)).cloned().unwrap_or_default();
        let name = |((_, [model, key, custom_id, user_id]), point): (Group, ReportPoint)| ReportPoint {
            model: text(model),
            key_id: text(key),
            custom_id: text(custom_id),
            user_id: text(user_id),
            ..point
        };
        let mut points: Vec<_> = self.points.into_iter().map(name).collect();
        points.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
        Report {
            points,
            latency_median_ms: self.latencies.percentile(0.5),
            latency_p99_ms: self.latencies.percentile(0.99),
        }
    }
}

/// Each group text once, as a small number: a row costs a lookup, not an allocation.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    /// NULL is the empty text; a blob is a key id.
    fn number(&mut self, value: ValueRef<'_>) -> Result<u32> {
        match value {
            ValueRef::Blob(id) => {
                let mut text = Uuid::encode_buffer();
                let id = Uuid::from_slice(id).map_err(super::engine)?;
                Ok(self.of(id.hyphenated().encode_lower(&mut text)))
            }
            ValueRef::Text(text) => Ok(self.of(std::str::from_utf8(text).map_err(super::engine)?)),
            _ => Ok(self.of("")),
        }
    }

    fn of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // At most four texts per point, and points are bounded.
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.into(), number);
        number
    }

    fn texts(self) -> Vec<String> {
        let mut numbered: Vec<_> = self.numbers.into_iter().collect();
        numbered.sort_unstable_by_key(|(_, number)| *number);
        numbered.into_iter().map(|(text, _)| text.into()).collect()
    }
}
