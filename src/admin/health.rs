//! Is the process alive, is it ready, what does it measure. Only the metrics need the secret.

use super::AdminState;
use super::http::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A dependency that does not answer within this time is down.
const READY_WAIT: Duration = Duration::from_secs(5);

pub(super) fn open() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(api_health)).routes(routes!(alive)).routes(routes!(ready))
}

pub(super) fn metrics() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(show_metrics))
}

#[derive(Serialize, ToSchema)]
struct ReadyAnswer {
    ready: bool,
    dependencies: Vec<DependencyState>,
}

#[derive(Serialize, ToSchema)]
struct DependencyState {
    name: String,
    ok: bool,
    detail: String,
}

/// The process answers.
#[utoipa::path(get, path = "/api/health", tag = "health", security(()), responses((status = 200)))]
async fn api_health() -> StatusCode {
    StatusCode::OK
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200)))]
async fn alive() -> StatusCode {
    StatusCode::OK
}

/// Whether requests can be served, and how each dependency is doing.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = ReadyAnswer), (status = 503, body = ReadyAnswer, description = "Not ready"))
)]
async fn ready(State(state): State<AdminState>) -> Response {
    let Ok(report) = tokio::time::timeout(READY_WAIT, state.readiness.report()).await else {
        let silent = DependencyState { name: "readiness".into(), ok: false, detail: "no answer in time".into() };
        return readiness(vec![silent]);
    };
    let shown = report.into_iter().map(|d| DependencyState { name: d.name, ok: d.ok, detail: d.detail });
    readiness(shown.collect())
}

fn readiness(dependencies: Vec<DependencyState>) -> Response {
    let ready = dependencies.iter().all(|d| d.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyAnswer { ready, dependencies })).into_response()
}

/// All metrics in Prometheus' text format. The secret may also come as a bearer token.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    security(("adminKey" = []), ("adminBearer" = [])),
    responses((status = 200, content_type = "text/plain", body = String), (status = 401, body = Problem))
)]
async fn show_metrics(State(state): State<AdminState>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)()).into_response()
}
