//! Events: one for each request, as the ledger has them.

mod attempts;
mod configuration;
mod service;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(configuration::list)).routes(routes!(configuration::search))
}
