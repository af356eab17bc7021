//! The OpenAPI document of this listener, generated from the handlers themselves.

use super::http::Problem;
use super::{AdminState, health, resources};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::OnceLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Info, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn resource() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "openapi",
    responses((status = 200, content_type = "application/json"), (status = 401, body = Problem))
)]
async fn show() -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let json = DOCUMENT.get_or_init(|| serde_json::to_string(&document()).unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], json.as_str()).into_response()
}

pub(super) fn document() -> OpenApi {
    let (_, mut api) = resources().merge(health::open()).split_for_parts();
    let mut info = Info::new("Tollgate configuration API", env!("CARGO_PKG_VERSION"));
    info.description =
        Some("Keys, provider settings, routes, reports and events. Times are Unix seconds, money is USD.".into());
    api.info = info;
    let mut components = api.components.take().unwrap_or_default();
    let header = ApiKey::Header(ApiKeyValue::new("X-API-KEY"));
    components.add_security_scheme("adminKey", SecurityScheme::ApiKey(header));
    components.add_security_scheme("adminBearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    api.components = Some(components);
    api.security = Some(vec![SecurityRequirement::new("adminKey", [""; 0])]);
    api
}
