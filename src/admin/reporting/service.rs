//! Reports out of the ledger's events. No HTTP, no JSON.

use super::buckets::{self, DAY};
use crate::admin::AdminState;
use crate::admin::fields::{Invalid, wanted_keys};
use crate::domain::{KeyId, Money};
use crate::store::{GroupBy, KeySpend, Order, Paging, Report, ReportFilter, ReportPoint, StoreError, TopKeysFilter};

#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such key")]
    UnknownKey,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a report is about; empty lists do not filter.
#[derive(Default)]
pub(super) struct Question {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) increment: Option<i64>,
    pub(super) key_ids: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) custom_ids: Vec<String>,
    pub(super) user_ids: Vec<String>,
    pub(super) group_by: GroupBy,
}

pub(super) async fn events(state: &AdminState, question: Question) -> Result<Report, ReportError> {
    let mut invalid = Invalid::default();
    check(&question, &mut invalid);
    let (start, end) = invalid.range(question.start, question.end);
    let increment = question.increment.unwrap_or(0);
    if increment <= 0 {
        invalid.add("increment", "must be a number of seconds above 0");
    }
    invalid.none_or_all()?;
    bounded(start, end, increment, "increment")?;

    let Question { key_ids, tags, custom_ids, user_ids, group_by, .. } = question;
    let mut report = match wanted_keys(&key_ids) {
        None => Report::default(),
        Some(key_ids) => {
            let filter = ReportFilter { start, end, increment, key_ids, tags, custom_ids, user_ids, group_by };
            state.store.report(&filter).await?
        }
    };
    report.points = buckets::fill(start, end, increment, report.points);
    Ok(report)
}

/// One point for each UTC day that `[start, end)` touches.
pub(super) async fn by_day(state: &AdminState, question: Question) -> Result<Vec<ReportPoint>, ReportError> {
    let mut invalid = Invalid::default();
    invalid.all_filled("keyIds", &question.key_ids);
    let (start, end) = invalid.range(question.start, question.end);
    invalid.none_or_all()?;
    bounded(start, end, DAY, "end")?;

    let (first, rest) = buckets::split_first_day(start, end);
    let mut points = Vec::new();
    for (start, end) in [first, rest].into_iter().filter(|(start, end)| start < end) {
        let found = match wanted_keys(&question.key_ids) {
            None => Vec::new(),
            Some(key_ids) => {
                let filter = ReportFilter { start, end, increment: DAY, key_ids, ..ReportFilter::default() };
                state.store.report(&filter).await?.points
            }
        };
        points.extend(buckets::fill(start, end - 1, DAY, found));
    }
    // The first bucket begins where the range does; as a day it begins at midnight.
    for point in &mut points {
        point.at = point.at.div_euclid(DAY) * DAY;
    }
    Ok(points)
}

/// Which keys spent most or least.
#[derive(Default)]
pub(super) struct Ranking {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) tags: Vec<String>,
    pub(super) key_ids: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) revoked: Option<bool>,
    pub(super) order: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) offset: Option<i64>,
}

pub(super) async fn top_keys(state: &AdminState, ranking: Ranking) -> Result<Vec<KeySpend>, ReportError> {
    let mut invalid = Invalid::default();
    invalid.all_filled("tags", &ranking.tags);
    invalid.all_filled("keyIds", &ranking.key_ids);
    let (start, end) = invalid.range(ranking.start, ranking.end);
    let ascending = invalid.ascending("order", ranking.order.as_deref());
    let paging: Paging = invalid.paging(ranking.limit, ranking.offset, None);
    invalid.none_or_all()?;

    let Some(key_ids) = wanted_keys(&ranking.key_ids) else { return Ok(Vec::new()) };
    let order = if ascending { Order::Ascending } else { Order::Descending };
    let name = ranking.name.filter(|name| !name.is_empty());
    let (tags, revoked) = (ranking.tags, ranking.revoked);
    let filter = TopKeysFilter { start, end, tags, key_ids, name, revoked, order, paging };
    Ok(state.store.top_keys(&filter).await?)
}

/// All-time spend of a key; one that was deleted keeps its bill.
pub(super) async fn spend_of_key(state: &AdminState, id: &str) -> Result<(KeyId, Money), ReportError> {
    let id = KeyId::parse(id).ok_or(ReportError::UnknownKey)?;
    if let Some(spent) = state.store.spend_of(id).await? {
        return Ok((id, spent));
    }
    match state.store.key(id).await? {
        Some(_) => Ok((id, Money::ZERO)),
        None => Err(ReportError::UnknownKey),
    }
}

pub(super) async fn custom_ids(state: &AdminState, key: &str) -> Result<Vec<String>, StoreError> {
    match KeyId::parse(key) {
        Some(key) => state.store.custom_ids(key).await,
        None => Ok(Vec::new()),
    }
}

pub(super) async fn user_ids(state: &AdminState, key: &str) -> Result<Vec<String>, StoreError> {
    match KeyId::parse(key) {
        Some(key) => state.store.user_ids(key).await,
        None => Ok(Vec::new()),
    }
}

fn check(question: &Question, invalid: &mut Invalid) {
    invalid.all_filled("keyIds", &question.key_ids);
    invalid.all_filled("tags", &question.tags);
    invalid.all_filled("customIds", &question.custom_ids);
    invalid.all_filled("userIds", &question.user_ids);
}

fn bounded(start: i64, end: i64, increment: i64, field: &str) -> Result<(), Invalid> {
    if buckets::number(start, end, increment) <= buckets::MOST {
        return Ok(());
    }
    Err(Invalid::one(field, format!("makes more than {} buckets", buckets::MOST)))
}
