//! Reports: what was requested and spent, by time, key, model, custom id and user.

mod buckets;
mod configuration;
mod service;

use super::AdminState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(configuration::events))
        .routes(routes!(configuration::by_day))
        .routes(routes!(configuration::top_keys))
        .routes(routes!(configuration::spend_of_key))
        .routes(routes!(configuration::custom_ids))
        .routes(routes!(configuration::user_ids))
}
