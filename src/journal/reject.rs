//! The event that the store will not take although it takes others: found by halving, and by a trial of whether the
//! store is well. While that takes nothing at all, nobody is to blame.

use super::drain::{InsertError, Outlet};
use crate::domain::{Event, KeyId, Money, Usage, UsageSource};
use std::ops::Range;
use uuid::Uuid;

/// Attempts without a single success before it counts as the store's fault.
const HOPELESS: u32 = 64;

/// Hands a batch that was refused as a whole over in ever smaller parts, in order. Indices of the events whose own fault
/// it is: refused twice, between which the store was well. `None`: it is the store's fault, and nothing is decided.
pub(super) async fn isolate(outlet: &Outlet, events: &[Event]) -> Option<Vec<(usize, InsertError)>> {
    let mut any_taken = false;
    let mut refused = Vec::new();
    let whole: Range<usize> = 0..events.len();
    let mut parts = Vec::from([whole]);
    let mut attempts = 0;
    while let Some(part) = parts.pop() {
        attempts += 1;
        match outlet.insert(events.get(part.clone()).unwrap_or_default()).await {
            Ok(_) => any_taken = true,
            Err(error) if error.is_outage() => return None,
            Err(_) if part.len() == 1 => refused.push(part.start),
            Err(_) => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
        if !any_taken && attempts >= HOPELESS {
            return None;
        }
    }
    let mut condemned = Vec::new();
    for index in refused {
        let event = events.get(index)?;
        outlet.rehearse(&trial(event)).await.ok()?;
        match outlet.insert(std::slice::from_ref(event)).await {
            Ok(_) => {}
            Err(error) if error.is_outage() => return None,
            Err(error) => condemned.push((index, error)),
        }
    }
    Some(condemned)
}

/// An event at the place of this one in which nothing can be wrong. It costs nobody anything: it is never kept.
fn trial(event: &Event) -> Event {
    Event {
        id: event.id,
        created_at: event.created_at,
        key_id: Some(KeyId::from_uuid(Uuid::nil())),
        setting_id: None,
        tags: vec!["trial".into()],
        provider: "trial".into(),
        model: "trial".into(),
        status: 200,
        method: "POST".into(),
        path: "/".into(),
        latency_ms: 1,
        cost: Money::from_units(1),
        usage: Usage { in_text: 1, out_text: 1, source: UsageSource::Upstream, ..Usage::default() },
        flags: Vec::new(),
        custom_id: "trial".into(),
        user_id: "trial".into(),
        request_id: "trial".into(),
        upstream_request_id: "trial".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}
