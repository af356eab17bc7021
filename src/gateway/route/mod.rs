//! Routes: paths of operators' own, each with steps that may answer. The same admission, forwarding, relay and settlement
//! as everywhere; what is added is here.
//!
//! | Step | File |
//! |---|---|
//! | path to route and form | `target` |
//! | a kept answer, or the one that another request is getting | `kept`, `hit`, with `gateway::flight` |
//! | a step to an upstream with a credential and a body | `legs` |
//! | which step is next | `run`, with `routing` |
//!
//! What is done after a failed try is `gateway::tries`.

mod hit;
mod kept;
mod legs;
mod run;
mod target;

pub(super) use legs::Leg;
pub(super) use run::{Place, Run, TryLimits};
pub(super) use target::dialect;

use super::Gateway;
use super::admit::{self, Bid, Wishes};
use super::arrival::Arrival;
use super::forward::Patience;
use super::read::{self, BodyLimits, ReadBody, ReadError};
use super::recorder::Recorder;
use super::refusal::{Who, refuse};
use super::refuse::GatewayError;
use super::relay::Delivery;
use super::settle;
use super::unified::Surface;
use super::walk::{Exchanged, Serving, cut};
use crate::auth::{credential, digest};
use crate::domain::{Key, Route};
use crate::providers::Dialect;
use crate::snapshot::{ServedModel, Snapshot};
use http::HeaderMap;
use kept::Turn;
use legs::Request;
use pingora::proxy::Session;
use serde_json::value::RawValue;
use std::sync::Arc;
use target::Target;
use tokio::time::Instant;

/// Label of all routes' paths.
const TEMPLATE: &str = "/api/routes/{path}";

/// `rest`: what follows the prefix. `Err` only when the connection must be cut.
pub(super) async fn serve(g: &Gateway, session: &mut Session, arrival: Arrival, rest: &str) -> pingora::Result<()> {
    let who = Who { dialect: Some(dialect(rest)), template: TEMPLATE, ..Who::nobody() };
    // Steps have their own limits: the whole has the longest there is, unless the caller says another.
    let headers = &session.req_header().headers;
    let deadline = match arrival.deadline_or(g, headers, g.settings.max_request_timeout) {
        Ok(deadline) => deadline,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let snapshot = g.ports.snapshot.load_full();
    let key = match identify(&snapshot, headers) {
        Ok(key) => key,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let who = Who { key: Some(&key), ..who };
    let Target { route, surface } = match preconditions(g, session, &snapshot, &key, &arrival, rest) {
        Ok(target) => target,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let limits = BodyLimits { bytes: g.settings.body_limit, time: g.settings.body_timeout };
    let body = match read::body(session, limits, &g.memory).await {
        Ok(body) => body,
        Err(ReadError::Refused(error)) => return refuse(g, session, &arrival, who, error).await,
        Err(ReadError::ClientGone) => return Err(cut()),
    };
    let called = Called { route, surface, key: Arc::clone(&key), snapshot, row: None, deadline };
    call(g, session, arrival, called, body, who).await
}

fn identify(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Arc<Key>, GatewayError> {
    let raw = credential::presented_key(headers).ok_or(GatewayError::NoKey)?;
    snapshot.key(&digest::digest(raw)).cloned().ok_or(GatewayError::UnknownKey)
}

/// Everything that can be said before the body is read.
fn preconditions(
    g: &Gateway,
    session: &Session,
    snapshot: &Snapshot,
    key: &Key,
    arrival: &Arrival,
    rest: &str,
) -> Result<Target, GatewayError> {
    admit::key_is_usable(g, key, arrival)?;
    let target = target::find(snapshot.routes(), rest).ok_or(GatewayError::NotFound)?;
    if !target.route.key_ids.contains(&key.id) {
        return Err(GatewayError::NotOfRoute);
    }
    admit::path_is_allowed(key, arrival)?;
    read::can_be_read(session)?;
    Ok(target)
}

/// A route that a known key may call, and what it is asked.
pub(super) struct Called {
    pub(super) route: Arc<Route>,
    pub(super) surface: Surface,
    pub(super) key: Arc<Key>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Of the unified API: the model row that stands for the route.
    pub(super) row: Option<Arc<ServedModel>>,
    pub(super) deadline: Instant,
}

/// Serves a request by a route. `Err` only when the connection must be cut.
pub(super) async fn call(
    g: &Gateway,
    session: &mut Session,
    arrival: Arrival,
    called: Called,
    body: ReadBody,
    who: Who<'_>,
) -> pingora::Result<()> {
    let Called { route, surface, key, snapshot, row, deadline } = called;
    let json: Result<&RawValue, _> = serde_json::from_slice(&body.bytes);
    if json.is_err() || !body.bytes.trim_ascii_start().starts_with(b"{") {
        let message = "the request body must be a JSON object".into();
        return refuse(g, session, &arrival, who, GatewayError::BadRequest { message, param: None }).await;
    }
    let dialect = if row.is_some() { surface.dialect() } else { own_dialect(&surface) };
    let who = Who { dialect: Some(dialect), ..who };
    let asked = Request { route, surface, key, snapshot, body: body.bytes.clone(), row };
    if let Err(error) = asked.is_covered(g, &arrival) {
        return refuse(g, session, &arrival, who, error).await;
    }
    let turn = match kept::turn(g, session, &arrival, &asked, deadline).await {
        Turn::Hit(hit) => return hit::serve(g, session, &arrival, &asked, hit, who).await,
        Turn::ClientGone => return Err(cut()),
        Turn::TimedOut => return refuse(g, session, &arrival, who, GatewayError::Timeout).await,
        turn => turn,
    };
    let mut run = Run::new(asked, &arrival);
    let headers = &session.req_header().headers;
    let first = match ready(g, &arrival, headers, &mut run).await {
        Ok(leg) => leg,
        Err(error) => {
            run.abandoned(g);
            return refuse(g, session, &arrival, who, error).await;
        }
    };
    let wishes = Wishes { route: Some(Box::new(run.routed())), ..Wishes::of(headers) };
    let Leg { planned, request, head, around, dropped, embeddings, attempts, limits, held, .. } = first;
    let others: Vec<Bid<'_>> = run.legs().map(Leg::bid).collect();
    let admitted = match admit::admit(g, planned, &others, wishes, &request, &arrival).await {
        Ok(admitted) => admitted,
        Err(error) => {
            run.abandoned(g);
            return refuse(g, session, &arrival, who, error).await;
        }
    };
    drop(others);
    let admit::Admitted { planned, mut booking, price, rate } = admitted;
    if planned.key.log_request {
        booking.learn(|event| event.request = settle::logged_body(&body.bytes, g.settings.log_body_limit));
    }
    let form = run.asked().surface.form();
    let mut serving = Serving::new(g, &arrival, planned, price, rate, request);
    serving.client = Some(head);
    serving.dialect = Some(dialect);
    serving.form = form;
    serving.attempts = attempts;
    serving.around = around;
    serving.dropped = dropped;
    serving.embeddings = embeddings;
    serving.limits = Some(limits);
    serving.held = held;
    serving.recorder = turn.keeps().then(|| Recorder::new(g.settings.routes.cache_entry));
    serving.run = Some(Box::new(run));
    let patience = Patience { deadline, idle: g.settings.idle_timeout, first: None };
    let exchanged = serving.exchange(session, booking, Some(body), patience, None).await;
    keep(&mut serving, turn, &exchanged).await;
    serving.finish(session, exchanged).await
}

/// Gives what was answered to the cache and to whoever waits for it.
async fn keep(serving: &mut Serving<'_>, turn: Turn, exchanged: &Exchanged) {
    let body = serving.recorder.take().and_then(|mut recorder| recorder.take());
    if body.is_none() && matches!(exchanged.delivered.delivery, Delivery::ClientGone) {
        // It says nothing of the upstream: the next one who waits asks for all the others.
        return drop(turn);
    }
    let (Some(run), 200) = (&serving.run, exchanged.delivered.status) else { return turn.fail() };
    let Some(body) = body else { return turn.fail() };
    let planned = &serving.planned;
    let answered = kept::Answered {
        body,
        provider: planned.provider.name(),
        model: &planned.call.model,
        step: run.step(),
        usage: &exchanged.delivered.booked.usage,
    };
    turn.finish(serving.g, run.asked(), answered).await;
}

/// The first step that can be tried. For a caller with a budget all are made ready, because it must cover any of them.
async fn ready(g: &Gateway, arrival: &Arrival, headers: &HeaderMap, run: &mut Run) -> Result<Leg, GatewayError> {
    let rules = g.rules_of(&run.asked().key, arrival.now);
    if rules.has_budget() {
        run.make_ready(g, arrival, headers, |leg| leg.bid().fits(g, &rules, arrival)).await?;
    }
    run.first(g, arrival, headers).await
}

/// The shape of errors of a form.
fn own_dialect(surface: &Surface) -> Dialect {
    match surface.dialect() {
        Dialect::Unified => Dialect::OpenAi,
        other => other,
    }
}
