//! A request that a route served, as the several events of those who count upstream calls: each try that failed, then
//! the request itself. Made for the answer only; the ledger holds one event, so no sum knows of the others.

use crate::domain::{Event, EventId, Money, Routed, Try, Usage};
use uuid::{Builder, Version};

/// A line of an answer.
pub(super) struct Entry {
    pub(super) event: Event,
    /// Of a try that failed: what went wrong. `None` = the request itself.
    pub(super) failure: Option<Box<str>>,
}

/// What a request shares with its failed tries: the request's id, and of a route never nothing.
pub(super) fn correlation(event: &Event) -> Box<str> {
    if event.request_id.is_empty() && event.route.is_some() {
        event.id.to_string().into()
    } else {
        event.request_id.clone()
    }
}

pub(super) fn alone(event: Event) -> Entry {
    Entry { event, failure: None }
}

/// The failed tries of each event before it, up to `most` entries in all; whether that cut events off. A request is
/// there with all of its tries or not at all, so that what is left begins with a whole one.
pub(super) fn spread(events: Vec<Event>, most: usize) -> (Vec<Entry>, bool) {
    let mut entries = Vec::with_capacity(events.len());
    for event in events {
        let tries = event.route.as_deref().map_or(0, |routed| routed.tries.len());
        if entries.len() + tries >= most {
            return (entries, true);
        }
        entries.extend(failed(&event));
        entries.push(alone(event));
    }
    (entries, false)
}

fn failed(event: &Event) -> Vec<Entry> {
    let Some(routed) = event.route.as_deref() else { return Vec::new() };
    let entry = |(number, failed): (u32, &Try)| Entry {
        event: Event {
            id: id_of_try(event.id, number),
            provider: failed.provider.clone(),
            model: failed.model.clone(),
            status: failed.status,
            latency_ms: failed.latency_ms,
            cost: Money::ZERO,
            usage: Usage::default(),
            flags: Vec::new(),
            request_id: correlation(event),
            upstream_request_id: Box::default(),
            request: None,
            response: None,
            objects: None,
            quota: None,
            route: Some(Box::new(Routed { route: routed.route, step: failed.step, tries: Vec::new() })),
            ..event.clone()
        },
        failure: Some(failed.failure.clone()),
    };
    (1..).zip(&routed.tries).map(entry).collect()
}

/// The same each time it is asked for, near the request's when sorted, and no request's: of version 8, as none of those is.
fn id_of_try(request: EventId, number: u32) -> EventId {
    let mixed = request.as_uuid().as_u128() ^ u128::from(number);
    EventId::from_uuid(Builder::from_u128(mixed).with_version(Version::Custom).into_uuid())
}
