//! The one place that makes error answers of the configuration API: a fault becomes JSON with status, title, type, detail and instance.
//!
//! Handlers return a [`Fault`]; [`answer`] renders it, because only there the template path is known.

use super::fields::Invalid;
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::error::Error;
use utoipa::ToSchema;
use uuid::Uuid;

/// A kind of error: its place in the contract.
#[derive(Debug)]
pub(super) struct Kind {
    status: StatusCode,
    uri: &'static str,
    title: &'static str,
}

const fn kind(status: StatusCode, uri: &'static str, title: &'static str) -> Kind {
    Kind { status, uri, title }
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const GONE: StatusCode = StatusCode::NOT_FOUND;
const OURS: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

pub(super) const UNAUTHORIZED: Kind = kind(StatusCode::UNAUTHORIZED, "/errors/unauthorized", "unauthorized");
pub(super) const FORBIDDEN: Kind = kind(StatusCode::FORBIDDEN, "/errors/forbidden", "forbidden");
pub(super) const BODY_BROKEN: Kind = kind(BAD, "/errors/request-body-read", "request body reader error");
pub(super) const BODY_SLOW: Kind =
    kind(StatusCode::REQUEST_TIMEOUT, "/errors/request-body-read", "request body reader error");
pub(super) const BODY_LARGE: Kind =
    kind(StatusCode::PAYLOAD_TOO_LARGE, "/errors/request-body-read", "request body reader error");
pub(super) const JSON: Kind = kind(BAD, "/errors/json-unmarshal", "json unmarshaller error");
pub(super) const VALIDATION: Kind = kind(BAD, "/errors/validation", "validation failed");
pub(super) const NOT_FOUND: Kind = kind(GONE, "/errors/not-found", "not found");
pub(super) const WRONG_METHOD: Kind =
    kind(StatusCode::METHOD_NOT_ALLOWED, "/errors/method-not-allowed", "method not allowed");
pub(super) const MISSING_FILTERS: Kind = kind(BAD, "/errors/missing-filteres", "filters are missing");
pub(super) const MISSING_ID: Kind = kind(BAD, "/errors/missing-param-id", "id is empty");
pub(super) const KEYS: Kind = kind(OURS, "/errors/key-manager", "key operation failed");
pub(super) const LISTING_KEYS: Kind = kind(OURS, "/errors/getting-keys", "listing keys failed");
pub(super) const SETTINGS: Kind = kind(OURS, "/errors/provider-settings-manager", "provider setting operation failed");
pub(super) const CUSTOM_PROVIDERS: Kind =
    kind(OURS, "/errors/custom-provider-manager", "custom provider operation failed");
pub(super) const ROUTES: Kind = kind(OURS, "/errors/route-manager", "route operation failed");
pub(super) const ROUTE_NOT_FOUND: Kind = kind(GONE, "/errors/route-not-found", "route not found");
pub(super) const KEY_NOT_FOUND: Kind = kind(GONE, "/errors/key-not-found", "key not found");
pub(super) const KEY_REPORTING: Kind = kind(OURS, "/errors/key-reporting-manager", "key reporting failed");
pub(super) const MISSING_KEY_ID: Kind = kind(BAD, "/errors/missing-key-id", "key id is missing");
pub(super) const BAD_REPORT: Kind = kind(BAD, "/errors/invalid-reporting-request", "invalid reporting request");
pub(super) const REPORTING: Kind = kind(OURS, "/errors/event-reporting-manager", "event reporting failed");
pub(super) const NO_FILTERS: Kind = kind(BAD, "/errors/no-filters-empty", "no filter is given");
pub(super) const NO_START: Kind = kind(BAD, "/errors/query-param-start-missing", "start is missing");
pub(super) const NO_END: Kind = kind(BAD, "/errors/query-param-end-missing", "end is missing");
pub(super) const BAD_START: Kind = kind(BAD, "/errors/bad-start-query-param", "start is not an integer");
pub(super) const BAD_END: Kind = kind(BAD, "/errors/bad-end-query-param", "end is not an integer");
pub(super) const EVENTS: Kind = kind(OURS, "/errors/event-manager", "event query failed");

/// An error on its way to the caller. `detail` is safe to show.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: &'static Kind,
    detail: String,
}

impl Fault {
    pub(super) fn of(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
    /// Wrong input, under the name that this endpoint gives it.
    pub(super) fn invalid(kind: &'static Kind, invalid: &Invalid) -> Self {
        Self::of(kind, invalid.to_string())
    }
    /// The cause goes to the log; the caller learns only that it was ours.
    pub(super) fn store(kind: &'static Kind, error: &StoreError) -> Self {
        tracing::error!(error = %error, source = ?error.source(), operation = kind.title, "the store failed");
        let detail = match error {
            StoreError::Conflict => "it was changed by others at the same time, try again",
            StoreError::Unsealable => "a stored secret cannot be opened with the configured master keys",
            _ => "the store could not do this; the gateway's log says why",
        };
        Self::of(kind, detail)
    }
}

impl IntoResponse for Fault {
    /// Carries the fault to [`answer`], which knows the rest.
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The error body of every endpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// Equal to the HTTP status.
    status: u16,
    title: &'a str,
    /// Fixed text to decide on, such as `/errors/validation`.
    #[serde(rename = "type")]
    kind: &'a str,
    detail: &'a str,
    /// Template path of the endpoint.
    instance: &'a str,
}

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest unknown path that is repeated to the caller, in characters.
const SHOWN_PATH: usize = 200;

/// Around every endpoint: renders faults and puts `x-request-id` on each answer.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let instance: String = match request.extensions().get::<MatchedPath>() {
        Some(template) => template.as_str().into(),
        None => request.uri().path().chars().take(SHOWN_PATH).collect(),
    };
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        render(&fault, &instance, &mut response);
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Keeps the headers that are there already, such as `allow`.
fn render(fault: &Fault, instance: &str, response: &mut Response) {
    let Kind { status, uri, title } = fault.kind;
    let problem = Problem { status: status.as_u16(), title, kind: uri, detail: &fault.detail, instance };
    let json = serde_json::to_vec(&problem).unwrap_or_default();
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::from(json);
}

/// The caller's own id when it has a sane one, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers.get(REQUEST_ID).filter(|id| is_sane(id.as_bytes())).cloned().unwrap_or_else(fresh_id)
}

/// An id that may be echoed and logged as it is.
fn is_sane(id: &[u8]) -> bool {
    let fine = |c: &u8| c.is_ascii_alphanumeric() || b"-_.:".contains(c);
    (1..=128).contains(&id.len()) && id.iter().all(fine)
}

fn fresh_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// No endpoint has this path; two of them have it but for the id.
pub(super) async fn unknown_path(request: Request) -> Fault {
    match request.uri().path() {
        "/api/key-management/keys/" | "/api/reporting/keys/" => Fault::of(&MISSING_ID, "the id in the path is empty"),
        _ => Fault::of(&NOT_FOUND, "there is no such endpoint"),
    }
}

pub(super) async fn wrong_method() -> Fault {
    Fault::of(&WRONG_METHOD, "this endpoint does not have this method")
}
