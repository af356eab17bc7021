//! The end of a request: what it cost, its one event, and what everybody who counts must be told.

use super::admit::{Planned, Wishes};
use super::arrival::Arrival;
use super::{Gateway, Ports};
use crate::domain::time::Clock;
use crate::domain::{BillingZone, Event, EventFlag, Money, ObjectChanges, QuotaRule, UnixMillis, Usage, UsageSource};
use crate::ledger::{self, Booking, Journal, JournalError, Position, Settle};
use crate::limits::{Counters, Settlement};
use crate::metering::Price;
use crate::providers::{Billing, Charge, Ending, Reading};
use base64::Engine as _;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// Status of an event whose client left before any status was sent.
pub(super) const CLIENT_CLOSED_REQUEST: u16 = 499;

/// By what a request is billed, as known at its admission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) price: Option<&'a Price>,
    pub(super) unpriced: bool,
    pub(super) quota: Option<QuotaRule>,
}

/// What is booked when nobody ever comes back to close it: the prompt, at its cheapest estimate.
pub(super) fn opening(
    planned: &Planned,
    wishes: Wishes,
    terms: Terms<'_>,
    body_len: usize,
    arrival: &Arrival,
) -> Event {
    let mut usage = Usage::default();
    if planned.billing() == Billing::Usage {
        usage.source = UsageSource::Estimated;
        match planned.call.media.as_deref() {
            // About four bytes of JSON to a token.
            None => usage.in_text = body_len as u64 / 4,
            Some(media) => {
                usage.in_text = media.prompt_bytes / 4;
                usage.characters = media.characters;
                usage.audio_millis = media.audio_millis;
            }
        }
    }
    Event {
        id: arrival.event_id,
        created_at: arrival.now,
        key_id: Some(planned.key.id),
        setting_id: planned.setting_id(),
        tags: planned.key.tags.to_vec(),
        provider: planned.provider.name().into(),
        model: planned.call.model.clone(),
        status: 0,
        method: arrival.method.as_str().into(),
        path: arrival.path.clone(),
        latency_ms: 0,
        cost: terms.price.map_or(Money::ZERO, |p| p.cost(&usage)),
        usage,
        flags: if terms.unpriced { vec![EventFlag::Unpriced] } else { Vec::new() },
        custom_id: wishes.custom_id,
        user_id: planned.call.user.clone(),
        request_id: arrival.request_id.clone(),
        upstream_request_id: Box::default(),
        metadata: wishes.metadata,
        request: None,
        response: None,
        objects: None,
        quota: terms.quota,
        route: wishes.route,
    }
}

/// How an exchange ended, as far as the bill is concerned.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Sent to the client.
    pub(super) status: u16,
    pub(super) ending: Ending,
    pub(super) reading: Reading,
    /// Work of other models.
    pub(super) also: Vec<(Box<str>, Usage)>,
    pub(super) upstream_request_id: Box<str>,
    pub(super) response_log: Option<Box<RawValue>>,
}

/// What was booked, for headers, metrics and log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Booked {
    pub(super) cost: Money,
    pub(super) position: Position,
    pub(super) flags: Vec<EventFlag>,
    pub(super) usage: Usage,
}

impl Booked {
    /// What a request booked that consumed nothing.
    pub(super) fn nothing() -> Self {
        Self { cost: Money::ZERO, position: Position::default(), flags: Vec::new(), usage: Usage::default() }
    }
}

/// Closes a booking with the true numbers. The event is in the journal when this returns; when the journal cannot
/// be written it is in memory on its way there, and the request still finishes.
pub(super) fn close(
    mut booking: Booking,
    planned: &Planned,
    admitted_price: Option<&Price>,
    outcome: Outcome,
    ports: &Ports,
    arrival: &Arrival,
) -> Booked {
    let price = price_of_answer(planned, admitted_price, &outcome.reading, ports, arrival);
    let mut cost = price.as_ref().map_or(Money::ZERO, |p| p.cost(&outcome.reading.usage));
    // What is charged by its object has prices of its own.
    let told_apart = !outcome.reading.charges.is_empty() && outcome.reading.usage == Usage::default();
    let mut priced = price.is_some() || planned.billing() != Billing::Usage || told_apart;
    let mut usage = outcome.reading.usage.clone();
    let charged = outcome.reading.charges.iter().flat_map(Charge::parts);
    for (model, consumed) in charged.chain(outcome.also.iter().map(|(model, usage)| (&**model, usage))) {
        let price = price_of_model(planned, model, ports, arrival);
        cost = cost.saturating_add(price.as_ref().map_or(Money::ZERO, |p| p.cost(consumed)));
        priced &= price.is_some();
        usage = usage.plus(consumed);
    }
    let flags = flags(planned.billing(), priced, &usage, &outcome);
    let known_flags = flags.clone();
    let Reading { model, made, charges, .. } = outcome.reading;
    let answered = model.filter(|_| planned.provider.events_name_the_answering_model());
    booking.learn(|event| {
        if let Some(model) = answered {
            event.model = model;
        }
        event.upstream_request_id = outcome.upstream_request_id;
        event.flags = known_flags;
        if let Some(charge) = charges.first().filter(|_| event.model.is_empty()) {
            event.model = charge.model.clone();
        }
        let changes = ObjectChanges { made, charged: charges.into_iter().map(|charge| charge.id).collect() };
        event.objects = (!changes.is_empty()).then(|| Box::new(changes));
    });
    let closed = booking.close(ledger::Outcome {
        at: ports.clock.now(),
        latency: arrival.started.elapsed(),
        status: outcome.status,
        cost,
        usage: usage.clone(),
        flags: Vec::new(),
        response: outcome.response_log,
    });
    let position = closed.unwrap_or_else(|error| {
        tracing::error!(%error, event.id = %arrival.event_id, "an event could not be journalled yet");
        Position::default()
    });
    Booked { cost, position, flags, usage }
}

/// Waits until the event is on disk, where the operator wants every response to wait for that.
pub(super) async fn confirm(g: &Gateway, booked: &Booked) {
    confirm_at(g, booked.position).await;
}

/// As [`confirm`].
pub(super) async fn confirm_at(g: &Gateway, position: Position) {
    if g.settings.durable_to_disk
        && let Err(error) = g.ports.journal.synced(position).await
    {
        tracing::error!(%error, "an event may not be on disk yet");
    }
}

fn flags(billing: Billing, priced: bool, usage: &Usage, outcome: &Outcome) -> Vec<EventFlag> {
    let estimated = matches!(usage.source, UsageSource::Estimated | UsageSource::Partial);
    let aborted = outcome.ending == Ending::Aborted || outcome.reading.truncated;
    let unpriced = billing == Billing::Unpriced || !priced;
    [(estimated, EventFlag::Estimated), (aborted, EventFlag::Aborted), (unpriced, EventFlag::Unpriced)]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect()
}

/// The answer's own model decides when it has a price (a snapshot may have its own).
fn price_of_answer(
    planned: &Planned,
    admitted: Option<&Price>,
    reading: &Reading,
    ports: &Ports,
    arrival: &Arrival,
) -> Option<Price> {
    let asked = &*planned.call.model;
    match reading.model.as_deref() {
        Some(answered) if planned.billing() == Billing::Usage && answered != asked => {
            planned.price(&ports.pricing, Some(answered), asked, arrival.now)
        }
        _ => admitted.cloned(),
    }
}

fn price_of_model(planned: &Planned, model: &str, ports: &Ports, arrival: &Arrival) -> Option<Price> {
    planned.price(&ports.pricing, None, model, arrival.now)
}

/// A body as the event keeps it: JSON as it is, anything else as `{"data": base64}`, cut to `limit` bytes.
pub(super) fn logged_body(body: &[u8], limit: usize) -> Option<Box<RawValue>> {
    if body.is_empty() {
        return None;
    }
    if body.len() <= limit
        && let Ok(text) = std::str::from_utf8(body)
        && let Ok(json) = serde_json::from_str::<&RawValue>(text)
    {
        return Some(json.to_owned());
    }
    let kept = body.get(..limit.min(body.len())).unwrap_or_default();
    let data = base64::engine::general_purpose::STANDARD.encode(kept);
    let wrapped = serde_json::json!({"data": data, "truncated": body.len() > limit});
    let wrapped = if body.len() > limit { wrapped } else { serde_json::json!({ "data": data }) };
    serde_json::value::to_raw_value(&wrapped).ok()
}

/// Collects what was sent to the client, up to a limit, for keys that log responses.
#[derive(Debug, Default)]
pub(super) struct ResponseLog {
    kept: Option<Vec<u8>>,
    stream: bool,
    limit: usize,
}

impl ResponseLog {
    pub(super) fn new(enabled: bool, stream: bool, limit: usize) -> Self {
        Self { kept: enabled.then(Vec::new), stream, limit }
    }
    pub(super) fn add(&mut self, pieces: &[Bytes]) {
        let Some(kept) = &mut self.kept else { return };
        for piece in pieces {
            // One byte more than the limit is enough to know that something was cut.
            let room = (self.limit + 1).saturating_sub(kept.len());
            kept.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        }
    }
    pub(super) fn take(&mut self) -> Option<Box<RawValue>> {
        let kept = self.kept.take()?;
        if self.stream {
            let data = base64::engine::general_purpose::STANDARD.encode(kept.get(..self.limit.min(kept.len()))?);
            return serde_json::value::to_raw_value(&serde_json::json!({ "data": data })).ok();
        }
        logged_body(&kept, self.limit)
    }
}

/// Where every closed booking goes: the journal first, then the counters.
pub(super) struct Sink {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) counters: Arc<dyn Counters>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) zone: BillingZone,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl Settle for Sink {
    fn open(&self, event: &Event) -> Result<(), JournalError> {
        self.journal.open(event)
    }

    fn settle(&self, mut event: Event) -> Result<Position, JournalError> {
        // A cost belongs to the month in which it has come about, like to its window.
        if let Some(rule) = &mut event.quota {
            rule.month = self.zone.month_start(event.created_at);
        }
        let closed = self.journal.close(&event);
        if let Some(settlement) = Settlement::of(&event) {
            self.counters.settle(settlement);
        }
        closed
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
