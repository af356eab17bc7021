//! Is the process alive, is it ready, what does it measure. Only the metrics need the secret.

use super::http::Problem;
use super::{AdminState, Dependency};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
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
    /// Every dependency is as it should be.
    ready: bool,
    /// Requests are served, if need be without a dependency.
    serving: bool,
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

#[derive(Deserialize, IntoParams)]
struct ReadyQuery {
    /// `ok`: 200 as long as requests are served, although a dependency is away. For load balancers: taking every gateway
    /// out because of what all of them share would help nobody.
    #[serde(default)]
    degraded: String,
}

/// Whether all is as it should be, and how each dependency is doing.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()), params(ReadyQuery),
    responses((status = 200, body = ReadyAnswer), (status = 503, body = ReadyAnswer, description = "Not ready"))
)]
async fn ready(State(state): State<AdminState>, Query(query): Query<ReadyQuery>) -> Response {
    let report = tokio::time::timeout(READY_WAIT, state.readiness.report()).await.unwrap_or_else(|_| {
        vec![Dependency { name: "readiness".into(), ok: false, vital: true, detail: "no answer in time".into() }]
    });
    let (ready, serving) = (report.iter().all(|d| d.ok), Dependency::serving(&report));
    let good = ready || (serving && query.degraded == "ok");
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let shown = report.into_iter().map(|d| DependencyState { name: d.name, ok: d.ok, detail: d.detail });
    (status, Json(ReadyAnswer { ready, serving, dependencies: shown.collect() })).into_response()
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
