//! The configuration API, the management API, metrics and health on axum: a table of resources, one folder each.
//!
//! In a folder, `service.rs` holds the rules and knows no HTTP; `configuration.rs` and `management.rs` turn the JSON of
//! their API into service calls and back. Error answers are made in `http.rs` and `management/answer.rs` only. Nothing
//! here returns a secret or a digest, and a raw key only in the answer that made it.

mod browser;
mod custom;
mod events;
mod fields;
mod groups;
mod health;
mod http;
mod input;
mod keys;
mod management;
mod models;
mod openapi;
mod reporting;
mod routes;
mod session;
mod settings;
mod state;
mod target;

#[cfg(test)]
mod tests;

pub use models::first_models;
pub use session::Access;
pub use state::{AdminState, Dependency, Readiness, Refresh};

use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use management::path::Space;
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;

/// Everything that needs the admin secret when one is set.
fn resources() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .merge(keys::resource())
        .merge(settings::resource())
        .merge(custom::resource())
        .merge(routes::resource())
        .merge(reporting::resource())
        .merge(events::resource())
        .merge(health::metrics())
        .merge(openapi::resource())
}

/// Whether the management API answers this path, in whatever form it is written.
pub fn is_management(path: &str) -> bool {
    Space::of(path) != Space::Other
}

/// The management API alone, to be served beside the proxy on one port.
pub fn management(state: AdminState) -> axum::Router {
    management::router(state)
}

/// The whole admin listener, ready to be served: each path goes to its face, which has its own secrets and errors.
pub fn router(state: AdminState) -> axum::Router {
    let (management, configuration) = (management(state.clone()), configuration(state));
    axum::Router::new().fallback(move |request: Request| {
        let face = if is_management(request.uri().path()) { &management } else { &configuration };
        face.clone().oneshot(request)
    })
}

fn configuration(state: AdminState) -> axum::Router {
    let (guarded, _) = resources().split_for_parts();
    let (open, _) = health::open().split_for_parts();
    guarded
        .fallback(http::unknown_path)
        .method_not_allowed_fallback(http::wrong_method)
        .layer(from_fn_with_state(state.clone(), session::require))
        .merge(open.method_not_allowed_fallback(http::wrong_method))
        .layer(from_fn(http::answer))
        .with_state(state)
}
