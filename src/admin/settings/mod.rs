//! Provider settings: the credentials and parameters that keys borrow. What is secret goes in and never comes out.

mod configuration;
mod entries;
mod service;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(configuration::list, configuration::create, configuration::create_by_post))
        .routes(routes!(configuration::change))
}
