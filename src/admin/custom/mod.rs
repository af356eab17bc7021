//! Custom providers: HTTP APIs that an operator describes, so that keys may call them like any other provider.

mod configuration;
mod rules;
mod service;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(configuration::list, configuration::create))
        .routes(routes!(configuration::change))
}
