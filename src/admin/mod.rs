//! The configuration API, metrics and health on axum: a table of resources, one folder each.
//!
//! In a folder, `service.rs` holds the rules and knows no HTTP; `configuration.rs` turns JSON into service calls
//! and back. Error answers are made in `http.rs` only. Nothing here returns a secret, a digest or a raw key.

mod browser;
mod custom;
mod events;
mod fields;
mod health;
mod http;
mod input;
mod keys;
mod openapi;
mod reporting;
mod session;
mod settings;
mod state;
mod target;

#[cfg(test)]
mod tests;

pub use session::Access;
pub use state::{AdminState, Dependency, Readiness, Refresh};

use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

/// Everything that needs the admin secret when one is set.
fn resources() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .merge(keys::resource())
        .merge(settings::resource())
        .merge(custom::resource())
        .merge(reporting::resource())
        .merge(events::resource())
        .merge(health::metrics())
        .merge(openapi::resource())
}

/// The whole admin listener, ready to be served.
pub fn router(state: AdminState) -> axum::Router {
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
