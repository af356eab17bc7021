//! Routes: paths of an operator's own, each with the upstreams that may answer it.
//!
//! `configuration` is the JSON, `service` creates, changes and deletes. What a route may look like is in `rules` as far as
//! it stands by itself, in `steps` for one step, in `format` for all of them together; `upstreams` is what steps refer to
//! and `owners` the keys that may call.

mod configuration;
mod format;
mod owners;
mod rules;
mod service;
mod steps;
mod upstreams;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(configuration::list, configuration::create)).routes(routes!(
        configuration::show,
        configuration::change,
        configuration::replace,
        configuration::remove
    ))
}
