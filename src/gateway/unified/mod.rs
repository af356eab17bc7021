//! The unified API: one model name in, whoever serves it behind. The same admission, forwarding, relay and settlement as
//! everywhere; what is added is here.
//!
//! | Step | File |
//! |---|---|
//! | path | `surface` |
//! | model name to upstream | `resolve` |
//! | request to the upstream's form | `compose` |
//! | answer to the client's form | `translate`, or `rename` where the form is the same |
//! | passages before a question, for rows that answer with another | `ground` |
//! | pictures that are named by URL | `pictures`, with `fetch` |
//! | texts to vectors, in several calls | `embed` |
//! | whole answers of an upstream, one or several, and what is made of them | `several`, `whole` |
//! | another credential or region when one fails | `attempts` |
//! | what a key may use | `models` |
//! | refusals in this API's form | `error` |

mod attempts;
mod compose;
mod embed;
mod error;
mod ground;
mod models;
mod pictures;
mod rename;
mod resolve;
mod several;
mod surface;
mod translate;
mod whole;

pub(super) use attempts::{Attempts, Heard};
pub(super) use compose::{Asked, Composed, Face, compose};
pub(super) use embed::{Embeddings, ask as ask_for_vectors};
pub(super) use error::{UnifiedError, enveloped};
pub(super) use pictures::Held;
pub(super) use resolve::Resolved;
pub(super) use surface::{Surface, of};
pub(super) use translate::Around;
pub(super) use whole::Made;

use super::Gateway;
use super::admit::{self, Planned, Wishes};
use super::arrival::Arrival;
use super::forward::Patience;
use super::objects;
use super::read::{self, BodyLimits, ReadError};
use super::refusal::{Who, refuse};
use super::refuse::GatewayError;
use super::route::{self, Called};
use super::settle;
use super::walk::{Serving, cut};
use crate::auth::{credential, digest};
use crate::domain::Key;
use crate::providers::backend::Misconfigured;
use crate::routing::Pauses;
use crate::snapshot::{ServedModel, Snapshot};
use crate::wire::json_walk;
use bytes::Bytes;
use pingora::proxy::Session;
use std::sync::Arc;
use tokio::time::Instant;

/// The key that called, or the secret that only makes the first key.
enum Caller {
    Key(Arc<Key>),
    Boot,
}

/// `Err` only when the connection must be cut.
pub(super) async fn serve(
    g: &Gateway,
    session: &mut Session,
    arrival: Arrival,
    surface: Surface,
) -> pingora::Result<()> {
    let who = Who { dialect: Some(surface.dialect()), template: surface.template(), ..Who::nobody() };
    let caller = match identify(g, session) {
        Ok(caller) => caller,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    match &surface {
        Surface::Unknown => return refuse(g, session, &arrival, who, GatewayError::NotFound).await,
        Surface::WrongMethod { allow } => {
            let error = UnifiedError::WrongMethod { allow };
            return refuse(g, session, &arrival, who, error.into()).await;
        }
        _ => {}
    }
    let key = match caller {
        Caller::Key(key) => key,
        Caller::Boot => {
            return match &surface {
                Surface::Models => models::list(g, session, &arrival, None).await,
                Surface::Model(name) => models::one(g, session, &arrival, None, name).await,
                _ => refuse(g, session, &arrival, who, UnifiedError::BootKey.into()).await,
            };
        }
    };
    let who = Who { key: Some(&key), ..who };
    if let Err(error) = preconditions(g, session, &key, &arrival) {
        return refuse(g, session, &arrival, who, error).await;
    }
    match &surface {
        Surface::Models => models::list(g, session, &arrival, Some(&key)).await,
        Surface::Model(name) => models::one(g, session, &arrival, Some(&key), name).await,
        _ => Box::pin(call(g, session, arrival, surface, &key, who)).await,
    }
}

fn identify(g: &Gateway, session: &Session) -> Result<Caller, GatewayError> {
    let raw = credential::presented_key(&session.req_header().headers).ok_or(GatewayError::NoKey)?;
    let digest = digest::digest(raw);
    if let Some(key) = g.ports.snapshot.load().key(&digest) {
        return Ok(Caller::Key(Arc::clone(key)));
    }
    if g.settings.boot_keys.accepts(raw) { Ok(Caller::Boot) } else { Err(GatewayError::UnknownKey) }
}

/// Everything that can be said before the body is read.
fn preconditions(g: &Gateway, session: &Session, key: &Key, arrival: &Arrival) -> Result<(), GatewayError> {
    admit::key_is_usable(g, key, arrival)?;
    admit::path_is_allowed(key, arrival)?;
    read::can_be_read(session)
}

/// A request for a model.
async fn call(
    g: &Gateway,
    session: &mut Session,
    arrival: Arrival,
    surface: Surface,
    key: &Arc<Key>,
    who: Who<'_>,
) -> pingora::Result<()> {
    let deadline = match arrival.deadline(g, &session.req_header().headers) {
        Ok(deadline) => deadline,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let limits = BodyLimits { bytes: g.settings.body_limit, time: g.settings.body_timeout };
    let body = match read::body(session, limits, &g.memory).await {
        Ok(body) => body,
        Err(ReadError::Refused(error)) => return refuse(g, session, &arrival, who, error).await,
        Err(ReadError::ClientGone) => return Err(cut()),
    };
    let name = match model_name(&body.bytes) {
        Ok(name) => name,
        Err(error) => return refuse(g, session, &arrival, who, error.into()).await,
    };
    let who = Who { model: &name, ..who };
    let snapshot = g.ports.snapshot.load_full();
    let resolved = resolve::resolve(&snapshot, &g.ports.pricing, key, &name, &arrival);
    if let Ok(Resolved::Row { served, .. }) = &resolved
        && let Some(path) = &served.route
    {
        let called = routed(&snapshot, key, served, path, &surface, deadline);
        return match called {
            Ok(called) => Box::pin(route::call(g, session, arrival, called, body, who)).await,
            Err(error) => refuse(g, session, &arrival, who, error.into()).await,
        };
    }
    let resolved = resolved.and_then(|resolved| ground::unwrap(&snapshot, key, resolved));
    let ground::Unwrapped { answers: resolved, bases } = match resolved {
        Ok(unwrapped) => unwrapped,
        Err(error) => return refuse(g, session, &arrival, who, error.into()).await,
    };
    let headers = &session.req_header().headers;
    let alias = matches!(resolved, Resolved::Row { .. }).then_some(&*name);
    let asked = Asked { alias, resolved: &resolved, bases: &bases, body: &body.bytes, face: Face::Unified };
    let composing = compose(g, &snapshot, &arrival, &surface, headers, asked);
    let composed = match Box::pin(composing).await {
        Ok(composed) => composed,
        Err(error) => return refuse(g, session, &arrival, who, error.into()).await,
    };
    let Composed { provider, endpoint, settings, retries, row, request, head, .. } = composed;
    let Some(setting) = settings.first().map(Arc::clone) else {
        return refuse(g, session, &arrival, who, GatewayError::NoSetting).await;
    };
    let attempts = Attempts::new(settings, retries, Pauses::ROW);
    let (mut around, dropped, embeddings) = (composed.around, composed.dropped, composed.embeddings);
    let (grounding, _held) = (composed.grounding, composed.held);
    let mut named = provider.references(&endpoint, None, &request);
    named.extend(composed.session);
    if !named.is_empty() {
        let own = std::slice::from_ref(&setting);
        if let Err(error) = Box::pin(objects::check(g, key, provider.name(), own, &named)).await {
            return refuse(g, session, &arrival, who, error).await;
        }
    }
    let headers = &session.req_header().headers;
    let wishes = Wishes::of(headers);
    let read = provider.read(&endpoint, &head.headers, &request);
    let mut call = match read {
        Ok(call) => provider.with_setting(&call, &setting).into_owned(),
        Err(bad) => {
            let error = GatewayError::BadRequest { message: bad.message, param: bad.param };
            return refuse(g, session, &arrival, who, error).await;
        }
    };
    if let Some(user) = embeddings.as_ref().and_then(|asked| asked.user.as_deref()) {
        call.user = user.into();
    }
    let planned = Planned { key: Arc::clone(key), setting, provider, endpoint, call, row };
    let admitted = match admit::admit(g, planned, &[], wishes, &request, &arrival).await {
        Ok(admitted) => admitted,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let patience = Patience { deadline, idle: g.settings.idle_timeout, first: None };
    let admit::Admitted { planned, mut booking, price, rate } = admitted;
    if planned.key.log_request {
        booking.learn(|event| event.request = settle::logged_body(&body.bytes, g.settings.log_body_limit));
    }
    let (mut request, mut failed) = (request, None);
    if let Some(grounding) = grounding {
        match Box::pin(grounding.ground(g, &arrival, &head, patience, session)).await {
            Ok(grounded) => {
                request = grounded.body;
                if let Some(Around::Translated(translation)) = &mut around {
                    translation.sources = grounded.sources;
                }
            }
            Err(failure) => failed = Some(failure),
        }
    }
    let mut serving = Serving::new(g, &arrival, planned, price, rate, request);
    serving.client = Some(head);
    serving.dialect = Some(surface.dialect());
    serving.form = surface.form();
    serving.attempts = attempts;
    serving.around = around;
    serving.dropped = dropped;
    serving.embeddings = embeddings;
    let exchanged = match failed {
        Some(failure) => Box::pin(whole::failed(&mut serving, failure, &surface, session, booking)).await,
        None => serving.exchange(session, booking, Some(body), patience, None).await,
    };
    serving.finish(session, exchanged).await
}

/// The route that a model row stands for.
fn routed(
    snapshot: &Arc<Snapshot>,
    key: &Arc<Key>,
    served: &Arc<ServedModel>,
    path: &str,
    surface: &Surface,
    deadline: Instant,
) -> Result<Called, UnifiedError> {
    if !matches!(surface, Surface::Talk(_) | Surface::Embeddings) {
        return Err(compose::unfit(surface));
    }
    let route = snapshot
        .routes()
        .at(path)
        .ok_or_else(|| UnifiedError::Misconfigured(Misconfigured::Missing("route").to_string()))?;
    Ok(Called {
        route: Arc::clone(route),
        surface: surface.clone(),
        key: Arc::clone(key),
        snapshot: Arc::clone(snapshot),
        row: Some(Arc::clone(served)),
        deadline,
    })
}

/// The `model` of a JSON object, which everything hangs on.
fn model_name(body: &Bytes) -> Result<Box<str>, UnifiedError> {
    let bad = |message: &str, param: Option<&str>, code| UnifiedError::BadRequest {
        message: message.into(),
        param: param.map(Into::into),
        code: Some(code),
    };
    let json: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(body);
    if json.is_err() || !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad("Invalid JSON body.", None, "invalid_json"));
    }
    let mut named = json_walk::members(body).filter(|m| m.is("model"));
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(bad("The body has more than one model.", Some("model"), "invalid_request"));
    }
    let name = first.and_then(|m| json_walk::string(m.value)).map(json_walk::unescape);
    match name {
        Some(name) if !name.is_empty() => Ok(name.into()),
        _ => Err(bad("model is required", Some("model"), "invalid_request")),
    }
}

impl From<UnifiedError> for GatewayError {
    fn from(error: UnifiedError) -> Self {
        Self::Unified(error)
    }
}
