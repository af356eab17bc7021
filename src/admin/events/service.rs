//! Finding events. No answer holds more than the configured cap. No HTTP, no JSON.

use super::attempts::{self, Entry};
use crate::admin::AdminState;
use crate::admin::fields::{Invalid, representable, wanted_keys};
use crate::store::{EventFilter, EventOrder, Paging, StoreError};

/// Verdicts of policies that events can be filtered by.
const ACTIONS: [&str; 4] = ["warned", "allowed", "blocked", "redacted"];

/// Which events to find; empty parts do not filter.
#[derive(Default)]
pub(super) struct Search {
    pub(super) custom_ids: Vec<String>,
    pub(super) key_ids: Vec<String>,
    pub(super) user_ids: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) policy_ids: Vec<String>,
    pub(super) actions: Vec<String>,
    /// Inclusive, seconds.
    pub(super) start: Option<i64>,
    /// Inclusive, seconds.
    pub(super) end: Option<i64>,
    pub(super) status: Option<u16>,
    pub(super) order: EventOrder,
    /// Of requests, with or without their failed tries.
    pub(super) paging: Paging,
    /// Failed tries are entries of their own.
    pub(super) attempts: bool,
}

/// What was found, and whether the cap cut it short.
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// Requests that match without paging; 0 unless asked for.
    pub(super) count: u64,
    pub(super) truncated: bool,
}

pub(super) async fn find(state: &AdminState, search: Search) -> Result<Found, StoreError> {
    // LIMIT: no event carries a policy or its verdict yet, so filters by them match nothing.
    let by_policy = !search.policy_ids.is_empty() || !search.actions.is_empty();
    let Some(key_ids) = wanted_keys(&search.key_ids).filter(|_| !by_policy) else {
        return Ok(Found { entries: Vec::new(), count: 0, truncated: false });
    };
    let cap = state.events_limit;
    let asked = search.paging.limit;
    let capped = cap > 0 && (asked == 0 || asked > cap);
    // One more than the cap tells whether there is more.
    let limit = if capped { cap.saturating_add(1) } else { asked };
    let filter = EventFilter {
        custom_ids: search.custom_ids,
        key_ids,
        user_ids: search.user_ids,
        tags: search.tags,
        start: search.start.map(representable),
        end: search.end.map(representable),
        status: search.status,
        order: search.order,
        paging: Paging { limit, ..search.paging },
    };
    let mut page = state.store.list_events(&filter).await?;
    let cap = usize::try_from(cap).ok().filter(|cap| *cap > 0).unwrap_or(usize::MAX);
    let truncated = capped && page.rows.len() > cap;
    if truncated {
        page.rows.truncate(cap);
    }
    let (entries, cut) = if search.attempts {
        attempts::spread(page.rows, cap)
    } else {
        (page.rows.into_iter().map(attempts::alone).collect(), false)
    };
    Ok(Found { entries, count: page.count, truncated: truncated || cut })
}

/// A search by body: `end` is exclusive there.
pub(super) struct Asked {
    pub(super) search: Search,
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) status: Option<i64>,
    pub(super) cost_order: Option<String>,
    pub(super) date_order: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) offset: Option<i64>,
    pub(super) count: Option<bool>,
}

pub(super) fn check(asked: Asked) -> Result<Search, Invalid> {
    let mut invalid = Invalid::default();
    let mut search = asked.search;
    invalid.all_filled("userIds", &search.user_ids);
    invalid.all_filled("customIds", &search.custom_ids);
    invalid.all_filled("keyIds", &search.key_ids);
    invalid.all_filled("tags", &search.tags);
    invalid.all_filled("policyIds", &search.policy_ids);
    for (n, _) in search.actions.iter().enumerate().filter(|(_, action)| !ACTIONS.contains(&action.as_str())) {
        invalid.add(&format!("actions[{n}]"), "must be warned, allowed, blocked or redacted");
    }
    let (start, end) = invalid.range(asked.start, asked.end);
    search.start = Some(start);
    search.end = Some(end.saturating_sub(1));
    search.status = status(asked.status.unwrap_or(0), &mut invalid);
    search.paging = invalid.paging(asked.limit, asked.offset, asked.count);
    let cost = direction("costOrder", asked.cost_order, &mut invalid);
    let date = direction("dateOrder", asked.date_order, &mut invalid);
    invalid.none_or_all()?;
    search.order = match (cost, date) {
        (Some(_), Some(_)) => return Err(Invalid::one("costOrder", "and dateOrder must not both be given")),
        (Some(true), None) => EventOrder::CheapestFirst,
        (Some(false), None) => EventOrder::DearestFirst,
        (None, Some(false)) => EventOrder::NewestFirst,
        (None, Some(true) | None) => EventOrder::OldestFirst,
    };
    Ok(search)
}

/// 0 = any.
fn status(status: i64, invalid: &mut Invalid) -> Option<u16> {
    match u16::try_from(status) {
        Ok(0) => None,
        Ok(code @ 100..=999) => Some(code),
        _ => {
            invalid.add("status", "must be 0 or an HTTP status");
            None
        }
    }
}

/// `true` for ascending; case does not matter, empty = not given.
fn direction(field: &str, order: Option<String>, invalid: &mut Invalid) -> Option<bool> {
    let order = order.filter(|order| !order.is_empty())?.to_ascii_lowercase();
    let ascending = invalid.ascending(field, Some(&order));
    Some(ascending)
}
