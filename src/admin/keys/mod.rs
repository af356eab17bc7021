//! Gateway keys: who may call, what, how fast and for how much.

mod configuration;
mod issue;
mod management;
mod members;
mod rules;
mod service;
mod shapes;

pub(super) use management::routes as management;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(configuration::list, configuration::create))
        .routes(routes!(configuration::change, configuration::remove))
        .routes(routes!(configuration::search))
}
