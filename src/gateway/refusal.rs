//! The end of a request that is not admitted: an answer, a count, a line in the log, and for a rule of a known key an
//! event, at most so many per key and minute.

use super::Gateway;
use super::answer::send_error;
use super::arrival::{self, Arrival};
use super::headers::Stamp;
use super::refuse::GatewayError;
use crate::domain::{Event, EventFlag, Key, Money, Usage};
use crate::providers::{Dialect, Endpoint, Provider};
use crate::telemetry::{Finished, RequestLine};
use pingora::proxy::Session;
use std::sync::Arc;

/// Who and what a refusal is about, as far as it is known by then.
#[derive(Clone, Copy, Default)]
pub(super) struct Who<'a> {
    pub(super) key: Option<&'a Arc<Key>>,
    pub(super) provider: Option<&'a dyn Provider>,
    pub(super) template: &'static str,
    pub(super) dialect: Option<Dialect>,
    pub(super) model: &'a str,
}

impl<'a> Who<'a> {
    pub(super) fn nobody() -> Self {
        Self::default()
    }
    pub(super) fn calls(provider: &'a dyn Provider, endpoint: &Endpoint) -> Self {
        let dialect = Some(provider.dialect(endpoint));
        Self { provider: Some(provider), template: endpoint.template, dialect, ..Self::default() }
    }
}

/// A refusal before admission: answered, counted, and kept as an event when it is about a known key (within its allowance).
pub(super) async fn refuse(
    g: &Gateway,
    session: &mut Session,
    arrival: &Arrival,
    who: Who<'_>,
    error: GatewayError,
) -> pingora::Result<()> {
    if let Some(reason) = error.reason() {
        g.ports.metrics.refused(reason);
    }
    note(g, session, arrival, who, &error);
    let stamp = Stamp {
        request_id: arrival.request_id.clone(),
        allowed: arrival.allowed.clone(),
        rate: error.rate(),
        ..Stamp::default()
    };
    let sent = send_error(session, &error, who.dialect.unwrap_or(Dialect::OpenAi), &stamp).await;
    report_refusal(g, arrival, who, &error);
    sent
}

fn report_refusal(g: &Gateway, arrival: &Arrival, who: Who<'_>, error: &GatewayError) {
    let duration = arrival.started.elapsed();
    let provider = who.provider.map(Provider::name).unwrap_or_default();
    if let Some(label) = who.provider.map(Provider::label) {
        g.ports.metrics.endpoint(label, who.template).finished(&Finished {
            status: error.status(),
            duration,
            first_byte: None,
            overhead: Some(duration),
            usage: &Usage::default(),
            cost: Money::ZERO,
            unpriced: false,
        });
    }
    // Refusals of nobody in particular are counted only: anybody can cause any number of them.
    let (Some(key), Some(log)) = (who.key, &g.ports.request_log) else { return };
    let line = RequestLine {
        request_id: &arrival.request_id,
        event_id: None,
        key_id: Some(key.id),
        provider,
        model: who.model,
        method: arrival.method.as_str(),
        endpoint: who.template,
        status: error.status(),
        duration,
        first_byte: None,
        prompt_tokens: 0,
        completion_tokens: 0,
        cost: Money::ZERO,
        flags: &[EventFlag::Refused],
        aborted: None,
        refused: error.reason(),
    };
    log.write(&line, g.ports.clock.now());
}

/// Keeps a refusal as an event, at most so many per key and minute.
fn note(g: &Gateway, session: &Session, arrival: &Arrival, who: Who<'_>, error: &GatewayError) {
    let (seen, allowance) = match who.key {
        Some(key) if error.is_rule_of_key() => {
            (g.refusals.observe(key.id.as_bytes(), 1), g.settings.refusals_per_key_per_minute)
        }
        Some(_) => return,
        None => (g.refusals.observe(&"nobody", 1), g.settings.anonymous_refusals_per_minute),
    };
    if seen > isize::try_from(allowance).unwrap_or(isize::MAX) {
        return;
    }
    let headers = &session.req_header().headers;
    g.ports.journal.note(Event {
        id: arrival.event_id,
        created_at: g.ports.clock.now(),
        key_id: who.key.map(|key| key.id),
        setting_id: None,
        tags: who.key.map(|key| key.tags.to_vec()).unwrap_or_default(),
        provider: who.provider.map(Provider::name).unwrap_or_default().into(),
        model: who.model.into(),
        status: error.status(),
        method: arrival.method.as_str().into(),
        path: arrival.path.clone(),
        latency_ms: u64::try_from(arrival.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        cost: Money::ZERO,
        usage: Usage::default(),
        flags: vec![EventFlag::Refused],
        custom_id: arrival::custom_id(headers),
        user_id: Box::default(),
        request_id: arrival.request_id.clone(),
        upstream_request_id: Box::default(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    });
}
