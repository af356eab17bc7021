//! The envelope of every answer of the management API, and the one place that makes its errors.

use crate::store::StoreError;
use crate::wire::refusal;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;

/// What an endpoint gives.
pub(in crate::admin) type Answer<T> = Result<Success<T>, Refusal>;

/// `{"success":true,"data":...}`
pub(in crate::admin) struct Success<T>(pub(in crate::admin) T);

#[derive(Serialize)]
struct Envelope<T> {
    success: bool,
    data: T,
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &Envelope { success: true, data: self.0 })
    }
}

/// A page of rows and how many there are in all.
#[derive(Serialize)]
pub(in crate::admin) struct List<T> {
    pub(in crate::admin) items: Vec<T>,
    /// Text: clients parse it.
    pub(in crate::admin) total: String,
    pub(in crate::admin) limit: u64,
    pub(in crate::admin) offset: u64,
}

/// An error on its way to the caller. `text` is safe to show.
#[derive(Debug)]
pub(in crate::admin) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    text: Cow<'static, str>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

const AUTHENTICATION: &str = "authentication_error";
const PERMISSION: &str = "permission_error";
const INVALID: &str = "invalid_request_error";
const NOT_FOUND: &str = "not_found_error";
const OURS: &str = "api_error";

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, kind, code, text: text.into() }
    }
    pub(super) fn no_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, AUTHENTICATION, "missing_api_key", "Unauthorized: api key required.")
    }
    pub(in crate::admin) fn bad_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, AUTHENTICATION, "invalid_api_key", "Unauthorized: api key error.")
    }
    pub(super) fn not_admin() -> Self {
        Self::new(StatusCode::FORBIDDEN, PERMISSION, "not_admin", "Unauthorized: you are not an admin role.")
    }
    /// The boot key asked for something that only a key of its own has.
    pub(super) fn boot_key() -> Self {
        let text = "The boot key has nothing of its own. Create a key first.";
        Self::new(StatusCode::FORBIDDEN, PERMISSION, "boot_key", text)
    }
    /// A missing or wrong field.
    pub(in crate::admin) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid_request", text)
    }
    pub(super) fn not_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid_json", "Invalid JSON body.")
    }
    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "payload_too_large", "Request body too large.")
    }
    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, "request_timeout", "The request body took too long to arrive.")
    }
    pub(in crate::admin) fn exists(name: &str) -> Self {
        Self::new(StatusCode::CONFLICT, INVALID, "already_exists", format!("{name} already exists"))
    }
    /// The change would leave something that must not be.
    pub(in crate::admin) fn conflict(text: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, INVALID, "conflict", text)
    }
    /// A row other than a key.
    pub(in crate::admin) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, "not_found", "not found")
    }
    pub(in crate::admin) fn no_such_key() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, "not_found", "api_key or id is invalid")
    }
    /// Ours, and not the store's. The cause is the caller's to log.
    pub(in crate::admin) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error", "Internal error.")
    }
}

/// Duplicate names are for whoever knows the name.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Conflict => Self::conflict("It was changed by others at the same time, try again."),
            error => {
                tracing::error!(%error, source = ?error.source(), "the store failed");
                let text = "Database is unavailable.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, OURS, "database_unavailable", text)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let refusal = refusal::Refusal { text: &self.text, kind: self.kind, code: self.code, param: None };
        (self.status, [(CONTENT_TYPE, JSON)], refusal.body()).into_response()
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) async fn unknown_path(_: Request) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, NOT_FOUND, "unknown_url", "Not found.")
}

/// The router adds `allow`.
pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", "Method not allowed.")
}
