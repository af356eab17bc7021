//! Reports in the configuration API: JSON to questions, points to JSON.

use super::service::{self, Question, Ranking, ReportError};
use crate::admin::AdminState;
use crate::admin::http::{BAD_REPORT, Fault, KEY_NOT_FOUND, KEY_REPORTING, Kind, MISSING_KEY_ID, Problem, REPORTING};
use crate::admin::input::{Json, Params, PathId};
use crate::store::{GroupBy, ReportPoint};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type Answer<T> = Result<axum::Json<T>, Fault>;

/// Absent and empty arrays do not filter.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventsQuestion {
    key_ids: Option<Vec<String>>,
    /// The event carries all of these.
    tags: Option<Vec<String>>,
    custom_ids: Option<Vec<String>>,
    user_ids: Option<Vec<String>>,
    /// Group by these: `model`, `keyId`, `customId`, `userId`; others are ignored.
    filters: Option<Vec<String>>,
    /// Seconds, inclusive.
    #[schema(required)]
    start: Option<i64>,
    /// Seconds, exclusive.
    #[schema(required)]
    end: Option<i64>,
    /// Seconds in one bucket.
    #[schema(required)]
    increment: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DaysQuestion {
    key_ids: Option<Vec<String>>,
    #[schema(required)]
    start: Option<i64>,
    #[schema(required)]
    end: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopKeysQuestion {
    #[schema(required)]
    start: Option<i64>,
    #[schema(required)]
    end: Option<i64>,
    tags: Option<Vec<String>>,
    key_ids: Option<Vec<String>>,
    /// Part of the key's name, in any case.
    name: Option<String>,
    revoked: Option<bool>,
    /// By spend: `desc` (default) or `asc`.
    order: Option<String>,
    /// 0 = all.
    limit: Option<i64>,
    offset: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportAnswer {
    data_points: Vec<DataPoint>,
    latency_in_ms_median: f64,
    #[serde(rename = "latencyInMs99th")]
    latency_in_ms_99th: f64,
}

/// One bucket, or one group of it. What was not grouped by is empty.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataPoint {
    time_stamp: i64,
    number_of_requests: u64,
    cost_in_usd: f64,
    /// The sum.
    latency_in_ms: u64,
    prompt_token_count: u64,
    completion_token_count: u64,
    /// Events with status 200.
    success_count: u64,
    model: String,
    key_id: String,
    custom_id: String,
    user_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopKeysAnswer {
    data_points: Vec<KeyDataPoint>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyDataPoint {
    key_id: String,
    cost_in_usd: f64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyReport {
    id: String,
    /// Of all time.
    cost_in_micro_dollars: i64,
}

/// Requests, cost, tokens and latency in buckets of time.
#[utoipa::path(
    post, path = "/api/reporting/events", tag = "reporting", operation_id = "reportEvents",
    request_body = EventsQuestion,
    responses((status = 200, body = ReportAnswer), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn events(State(state): State<AdminState>, Json(asked): Json<EventsQuestion>) -> Answer<ReportAnswer> {
    let report = service::events(&state, asked.into()).await.map_err(|error| fault(&REPORTING, &error))?;
    Ok(axum::Json(ReportAnswer {
        data_points: report.points.into_iter().map(DataPoint::from).collect(),
        latency_in_ms_median: report.latency_median_ms,
        latency_in_ms_99th: report.latency_p99_ms,
    }))
}

/// The same for each UTC day, without percentiles.
#[utoipa::path(
    post, path = "/api/reporting/events-by-day", tag = "reporting", operation_id = "reportEventsByDay",
    request_body = DaysQuestion,
    responses((status = 200, body = ReportAnswer), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn by_day(State(state): State<AdminState>, Json(asked): Json<DaysQuestion>) -> Answer<ReportAnswer> {
    let key_ids = asked.key_ids.unwrap_or_default();
    let question = Question { start: asked.start, end: asked.end, key_ids, ..Question::default() };
    let points = service::by_day(&state, question).await.map_err(|error| fault(&REPORTING, &error))?;
    let data_points = points.into_iter().map(DataPoint::from).collect();
    Ok(axum::Json(ReportAnswer { data_points, latency_in_ms_median: 0.0, latency_in_ms_99th: 0.0 }))
}

/// Spend of each key in a range; keys created in it that spent nothing are in the list too.
#[utoipa::path(
    post, path = "/api/reporting/top-keys", tag = "reporting", operation_id = "reportTopKeys",
    request_body = TopKeysQuestion,
    responses((status = 200, body = TopKeysAnswer), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn top_keys(
    State(state): State<AdminState>,
    Json(asked): Json<TopKeysQuestion>,
) -> Answer<TopKeysAnswer> {
    let spends = service::top_keys(&state, asked.into()).await.map_err(|error| fault(&REPORTING, &error))?;
    let points = spends.into_iter();
    let points = points.map(|s| KeyDataPoint { key_id: s.key_id.to_string(), cost_in_usd: s.total.to_usd_f64() });
    Ok(axum::Json(TopKeysAnswer { data_points: points.collect() }))
}

/// What a key has spent so far.
#[utoipa::path(
    get, path = "/api/reporting/keys/{keyId}", tag = "reporting", operation_id = "reportKey",
    params(("keyId" = String, Path)),
    responses((status = 200, body = KeyReport), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn spend_of_key(State(state): State<AdminState>, PathId(id): PathId) -> Answer<KeyReport> {
    let (id, spent) = service::spend_of_key(&state, &id).await.map_err(|error| fault(&KEY_REPORTING, &error))?;
    Ok(axum::Json(KeyReport { id: id.to_string(), cost_in_micro_dollars: spent.micro_usd() }))
}

/// All custom ids in the events of a key.
#[utoipa::path(
    get, path = "/api/reporting/custom-ids", tag = "reporting", operation_id = "reportCustomIds",
    params(("keyId" = String, Query)),
    responses((status = 200, body = [String]), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn custom_ids(State(state): State<AdminState>, params: Params) -> Answer<Vec<String>> {
    let ids = service::custom_ids(&state, key_id(&params)?).await;
    ids.map(axum::Json).map_err(|error| Fault::store(&KEY_REPORTING, &error))
}

/// All end users in the events of a key.
#[utoipa::path(
    get, path = "/api/reporting/user-ids", tag = "reporting", operation_id = "reportUserIds",
    params(("keyId" = String, Query)),
    responses((status = 200, body = [String]), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn user_ids(State(state): State<AdminState>, params: Params) -> Answer<Vec<String>> {
    let ids = service::user_ids(&state, key_id(&params)?).await;
    ids.map(axum::Json).map_err(|error| Fault::store(&KEY_REPORTING, &error))
}

fn key_id(params: &Params) -> Result<&str, Fault> {
    params.first("keyId").ok_or_else(|| Fault::of(&MISSING_KEY_ID, "give keyId"))
}

fn fault(kind: &'static Kind, error: &ReportError) -> Fault {
    match error {
        ReportError::Invalid(invalid) => Fault::invalid(&BAD_REPORT, invalid),
        ReportError::UnknownKey => Fault::of(&KEY_NOT_FOUND, "there is no such key"),
        ReportError::Store(error) => Fault::store(kind, error),
    }
}

impl From<EventsQuestion> for Question {
    fn from(asked: EventsQuestion) -> Self {
        let groups = asked.filters.unwrap_or_default();
        let by = |name: &str| groups.iter().any(|group| group == name);
        Self {
            start: asked.start,
            end: asked.end,
            increment: asked.increment,
            key_ids: asked.key_ids.unwrap_or_default(),
            tags: asked.tags.unwrap_or_default(),
            custom_ids: asked.custom_ids.unwrap_or_default(),
            user_ids: asked.user_ids.unwrap_or_default(),
            group_by: GroupBy {
                model: by("model"),
                key: by("keyId"),
                custom_id: by("customId"),
                user_id: by("userId"),
            },
        }
    }
}

impl From<TopKeysQuestion> for Ranking {
    fn from(asked: TopKeysQuestion) -> Self {
        Self {
            start: asked.start,
            end: asked.end,
            tags: asked.tags.unwrap_or_default(),
            key_ids: asked.key_ids.unwrap_or_default(),
            name: asked.name,
            revoked: asked.revoked,
            order: asked.order,
            limit: asked.limit,
            offset: asked.offset,
        }
    }
}

impl From<ReportPoint> for DataPoint {
    fn from(point: ReportPoint) -> Self {
        Self {
            time_stamp: point.at,
            number_of_requests: point.requests,
            cost_in_usd: point.cost.to_usd_f64(),
            latency_in_ms: point.latency_ms,
            prompt_token_count: point.prompt_tokens,
            completion_token_count: point.completion_tokens,
            success_count: point.successes,
            model: point.model,
            key_id: point.key_id,
            custom_id: point.custom_id,
            user_id: point.user_id,
        }
    }
}
