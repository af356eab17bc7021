//! What engines do alike when they answer from the ledger.

use super::{KeySpend, Order, ReportPoint, TopKeysFilter};
use crate::domain::{KeyId, Money, UnixMillis};
use std::collections::HashMap;
use uuid::Uuid;

/// More points of a report than this are refused: about 300 MB of answer.
pub(super) const MOST_POINTS: usize = if cfg!(test) { 1_000 } else { 1_000_000 };

/// An event ends after it was admitted, so its end bounds the search for admissions. A clock that was set back between
/// the two by more than this could hide one.
const CLOCK_SLACK_MS: i64 = 60_000;

/// The earliest end, in milliseconds, of an event that was admitted at or after `since`.
pub(super) const fn earliest_end(since: UnixMillis) -> i64 {
    since.0.saturating_sub(CLOCK_SLACK_MS)
}

/// The smallest id (UUID v7: 48 bits of milliseconds first) that can have been made at or after `millis`.
pub(super) fn first_id(millis: i64) -> Uuid {
    let millis = u64::try_from(millis).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// By what points of a report are sorted.
pub(super) fn place(point: &ReportPoint) -> (i64, [&str; 4]) {
    (point.at, [&point.model, &point.key_id, &point.custom_id, &point.user_id])
}

/// By key.
pub(super) fn by_key(sums: HashMap<KeyId, Money>) -> Vec<KeySpend> {
    let mut spends = spends(sums);
    spends.sort_unstable_by_key(|spend| spend.key_id);
    spends
}

fn spends(sums: HashMap<KeyId, Money>) -> Vec<KeySpend> {
    sums.into_iter().map(|(key_id, total)| KeySpend { key_id, total }).collect()
}

/// The page that was asked for, by total, then key.
pub(super) fn top(sums: HashMap<KeyId, Money>, filter: &TopKeysFilter) -> Vec<KeySpend> {
    let mut spends = spends(sums);
    spends.sort_unstable_by_key(|spend| (spend.total, spend.key_id));
    if filter.order == Order::Descending {
        spends.reverse();
    }
    let skip = usize::try_from(filter.paging.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(filter.paging.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    spends.into_iter().skip(skip).take(limit).collect()
}
