//! A kept answer goes out: it counts as a request and costs nothing.

use super::super::Gateway;
use super::super::admit::{self, Wishes};
use super::super::answer::send;
use super::super::arrival::Arrival;
use super::super::headers::{self, CacheState, Stamp};
use super::super::refusal::{Who, refuse};
use super::super::settle;
use super::TEMPLATE;
use super::legs::Request;
use crate::domain::{Event, EventFlag, Money, Routed, Usage};
use crate::ledger;
use crate::routing::{AnswerForm, CachedAnswer};
use crate::telemetry::{Finished, RequestLine};
use crate::wire::json_walk;
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;
use std::sync::Arc;

/// Who answers, in events and metrics.
const CACHED: &str = "cached";

/// `Err` only when the connection must be cut.
pub(super) async fn serve(
    g: &Gateway,
    session: &mut Session,
    arrival: &Arrival,
    asked: &Request,
    answer: Arc<CachedAnswer>,
    who: Who<'_>,
) -> pingora::Result<()> {
    let routed = Routed { route: asked.route.id, step: answer.step, tries: Vec::new() };
    let wishes = Wishes { route: Some(Box::new(routed)), ..Wishes::of(&session.req_header().headers) };
    let mut event = opening(asked, &answer, wishes, arrival);
    if asked.key.log_request {
        event.request = settle::logged_body(&asked.body, g.settings.log_body_limit);
    }
    let (booking, rate) = match admit::admit_free(g, &asked.key, event, arrival).await {
        Ok(admitted) => admitted,
        Err(error) => return refuse(g, session, arrival, who, error).await,
    };
    let now = g.ports.clock.now();
    let mut log =
        settle::ResponseLog::new(asked.key.log_response, answer.form == AnswerForm::Stream, g.settings.log_body_limit);
    log.add(std::slice::from_ref(&answer.body));
    let closed = booking.close(ledger::Outcome {
        at: now,
        latency: arrival.started.elapsed(),
        status: 200,
        cost: Money::ZERO,
        usage: Usage::default(),
        flags: vec![EventFlag::Cached],
        response: log.take(),
    });
    match closed {
        Ok(position) => settle::confirm_at(g, position).await,
        Err(error) => tracing::error!(%error, event.id = %arrival.event_id, "an event could not be journalled yet"),
    }
    let stamp = Stamp {
        request_id: arrival.request_id.clone(),
        allowed: arrival.allowed.clone(),
        event_id: Some(arrival.event_id),
        provider: Some(answer.provider.clone()),
        model: Some(answer.model.clone()),
        rate,
        cost: Some(Money::ZERO.to_string()),
        dropped: None,
        cache: Some(CacheState::Hit { age: now.since(answer.stored_at).as_secs() }),
    };
    let mut head = HeaderMap::with_capacity(12);
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        head.insert(CONTENT_TYPE, content_type);
    }
    if answer.form == AnswerForm::Stream && !session.is_http2() {
        // As a stream is framed that is on its way.
        head.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    stamp.apply(&mut head);
    let sent = send(session, headers::response(StatusCode::OK, head), answer.body.clone()).await;
    report(g, arrival, asked, &answer);
    sent
}

fn opening(asked: &Request, answer: &CachedAnswer, wishes: Wishes, arrival: &Arrival) -> Event {
    let user = json_walk::member(&asked.body, "user").and_then(|user| json_walk::string(user.value));
    Event {
        id: arrival.event_id,
        created_at: arrival.now,
        key_id: Some(asked.key.id),
        setting_id: None,
        tags: asked.key.tags.to_vec(),
        provider: CACHED.into(),
        model: answer.model.clone(),
        status: 0,
        method: arrival.method.as_str().into(),
        path: arrival.path.clone(),
        latency_ms: 0,
        cost: Money::ZERO,
        usage: Usage::default(),
        flags: vec![EventFlag::Cached],
        custom_id: wishes.custom_id,
        user_id: user.map(|user| json_walk::unescape(user).into()).unwrap_or_default(),
        request_id: arrival.request_id.clone(),
        upstream_request_id: Box::default(),
        metadata: wishes.metadata,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: wishes.route,
    }
}

fn report(g: &Gateway, arrival: &Arrival, asked: &Request, answer: &CachedAnswer) {
    let duration = arrival.started.elapsed();
    g.ports.metrics.endpoint(CACHED, TEMPLATE).finished(&Finished {
        status: 200,
        duration,
        first_byte: Some(duration),
        overhead: Some(duration),
        usage: &Usage::default(),
        cost: Money::ZERO,
        unpriced: false,
    });
    let Some(log) = &g.ports.request_log else { return };
    let line = RequestLine {
        request_id: &arrival.request_id,
        event_id: Some(arrival.event_id),
        key_id: Some(asked.key.id),
        provider: CACHED,
        model: &answer.model,
        method: arrival.method.as_str(),
        endpoint: TEMPLATE,
        status: 200,
        duration,
        first_byte: Some(duration),
        prompt_tokens: 0,
        completion_tokens: 0,
        cost: Money::ZERO,
        flags: &[EventFlag::Cached],
        aborted: None,
        refused: None,
    };
    log.write(&line, g.ports.clock.now());
}
