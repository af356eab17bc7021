//! The management API (`/admin/*`, `/user/*`): what its resources share. A person's key, or the boot key, opens it.
//!
//! Around every request: the path in one form (`path`), cross-origin headers, who calls (`caller`). A resource
//! reads a lenient `body` or `query` and answers in the one envelope of `answer`.

pub(super) mod answer;
pub(super) mod body;
pub(super) mod caller;
mod decimal;
pub(super) mod path;
pub(super) mod query;
pub(super) mod shape;

use super::{AdminState, groups, http, keys, models};
use crate::auth::origins;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

/// Endpoints of this face alone, ready to be served beside something else. Every other path is 404.
pub(super) fn router(state: AdminState) -> axum::Router {
    let endpoints = axum::Router::new()
        .merge(keys::management())
        .merge(models::management())
        .merge(groups::management())
        .fallback(answer::unknown_path)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(from_fn_with_state(state.clone(), caller::require))
        .with_state(state.clone());
    // A layer runs after its router has chosen an endpoint. The path must be in its one form before that, so the
    // endpoints are what a router without any falls back to.
    axum::Router::new().fallback_service(endpoints).layer(from_fn_with_state(state, around))
}

async fn around(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    let id = http::request_id(request.headers());
    let allowed = state.cors.answer(request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        (StatusCode::NO_CONTENT, origins::preflight(request.headers())).into_response()
    } else {
        path::normalise(request.uri_mut());
        next.run(request).await
    };
    allowed.apply(response.headers_mut());
    response.headers_mut().insert(http::REQUEST_ID, id);
    response
}
