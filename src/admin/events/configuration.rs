//! Events in the configuration API. The casing of the fields is that of the contract, as odd as it is.

use super::attempts::{Entry, correlation};
use super::service::{self, Asked, Found, Search};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::admin::http::{BAD_END, BAD_START, EVENTS, Fault, Kind, NO_END, NO_FILTERS, NO_START, Problem, VALIDATION};
use crate::admin::input::{Json, Params};
use crate::domain::{EventFlag, Try};
use axum::extract::State;
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Set to `true` when the cap on events cut an answer short.
const TRUNCATED: HeaderName = HeaderName::from_static("x-tollgate-truncated");

/// One request; where attempts are asked for, also one failed try of a request.
#[derive(Serialize, ToSchema)]
pub(super) struct EventJson {
    id: String,
    /// When the request was completed.
    created_at: i64,
    #[schema(value_type = Vec<String>)]
    tags: Vec<Box<str>>,
    /// Empty when nobody was identified.
    key_id: String,
    cost_in_usd: f64,
    provider: Box<str>,
    model: Box<str>,
    /// Of a failed try, the upstream's; 0 = it sent none.
    status: u16,
    prompt_token_count: u64,
    completion_token_count: u64,
    latency_in_ms: u64,
    path: Box<str>,
    method: Box<str>,
    custom_id: Box<str>,
    /// Base64 of JSON; `{}` unless the key keeps requests.
    request: String,
    /// Base64 of JSON; `{}` unless the key keeps responses.
    response: String,
    #[serde(rename = "userId")]
    user_id: Box<str>,
    action: &'static str,
    #[serde(rename = "policyId")]
    policy_id: &'static str,
    /// Empty when no route served it.
    #[serde(rename = "routeId")]
    route_id: String,
    /// The caller's `x-request-id` or the one that was made for it; the same for a request and its failed tries.
    #[serde(rename = "correlationId")]
    correlation_id: Box<str>,
    /// Base64 of JSON.
    metadata: String,
    /// `estimated`, `aborted`, `unpriced`, `cached`, `refused`, `recovered`.
    #[schema(value_type = Vec<String>)]
    flags: Vec<EventFlag>,
    /// Of requests that a route served: the step that answered or was the last to fail, from 1; 0 = none.
    #[serde(rename = "routeStep", skip_serializing_if = "Option::is_none")]
    route_step: Option<u16>,
    /// Of requests that a route served: what failed before, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<Vec<TryJson>>,
    /// Of a failed try alone: what went wrong.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Box<str>>,
}

/// A try of a route's step whose answer the client did not see.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TryJson {
    /// From 1, in the order of the route.
    step: u16,
    provider: Box<str>,
    model: Box<str>,
    /// The upstream's; 0 = it sent none.
    status: u16,
    /// One word, such as `timeout`, `throttled` or `server_error`.
    failure: Box<str>,
    latency_ms: u64,
}

/// Filters; those that are given must all match.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventSearch {
    /// Seconds, inclusive.
    #[schema(required)]
    start: Option<i64>,
    /// Seconds, exclusive.
    #[schema(required)]
    end: Option<i64>,
    user_ids: Option<Vec<String>>,
    custom_ids: Option<Vec<String>>,
    key_ids: Option<Vec<String>>,
    /// The event carries all of these.
    tags: Option<Vec<String>>,
    policy_ids: Option<Vec<String>>,
    /// `warned`, `allowed`, `blocked`, `redacted`.
    actions: Option<Vec<String>>,
    /// 0 = any.
    status: Option<i64>,
    /// `asc` or `desc`; not together with `dateOrder`.
    cost_order: Option<String>,
    date_order: Option<String>,
    /// 0 = as many as the cap allows.
    limit: Option<i64>,
    offset: Option<i64>,
    return_count: Option<bool>,
    /// Failed tries of routes are listed too, each before its request. Filters, `limit`, `offset` and `count` stay those
    /// of requests.
    attempts: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct EventPage {
    events: Vec<EventJson>,
    /// All that match, whatever the paging; 0 unless `returnCount`.
    count: u64,
}

/// Events that match all given filters, oldest first. At least one of `customId`, `keyIds`, `userId`.
#[utoipa::path(
    get, path = "/api/events", tag = "events", operation_id = "listEvents",
    params(
        ("customId" = Option<String>, Query),
        ("keyIds" = Option<Vec<String>>, Query, description = "Needs `start` and `end`"),
        ("userId" = Option<String>, Query),
        ("start" = Option<i64>, Query, description = "Seconds, inclusive"),
        ("end" = Option<i64>, Query, description = "Seconds, inclusive"),
        ("attempts" = Option<bool>, Query, description = "Failed tries of routes are listed too, each before its request; cost and tokens are 0"),
    ),
    responses((status = 200, body = [EventJson]), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn list(State(state): State<AdminState>, params: Params) -> Result<Response, Fault> {
    let text = |name: &str| -> Vec<String> { params.first(name).map(String::from).into_iter().collect() };
    let (custom_ids, user_ids, key_ids) = (text("customId"), text("userId"), params.ids("keyIds"));
    if custom_ids.is_empty() && user_ids.is_empty() && key_ids.is_empty() {
        return Err(Fault::of(&NO_FILTERS, "give at least one of customId, keyIds, userId"));
    }
    let start = time(&params, "start", &BAD_START)?;
    let end = time(&params, "end", &BAD_END)?;
    if !key_ids.is_empty() && start.is_none() {
        return Err(Fault::of(&NO_START, "keyIds needs start"));
    }
    if !key_ids.is_empty() && end.is_none() {
        return Err(Fault::of(&NO_END, "keyIds needs end"));
    }
    let attempts = flag(&params, "attempts")?;
    let search = Search { custom_ids, user_ids, key_ids, start, end, attempts, ..Search::default() };
    let found = service::find(&state, search).await.map_err(|error| Fault::store(&EVENTS, &error))?;
    let truncated = found.truncated;
    Ok(marked(truncated, axum::Json(shown(found.entries)).into_response()))
}

/// Events that match all given filters, a page of them.
#[utoipa::path(
    post, path = "/api/v2/events", tag = "events", operation_id = "searchEvents", request_body = EventSearch,
    responses((status = 200, body = EventPage), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn search(
    State(state): State<AdminState>,
    Json(wanted): Json<EventSearch>,
) -> Result<Response, Fault> {
    let search = service::check(wanted.into()).map_err(|invalid| Fault::invalid(&VALIDATION, &invalid))?;
    let Found { entries, count, truncated } =
        service::find(&state, search).await.map_err(|error| Fault::store(&EVENTS, &error))?;
    let answer = EventPage { events: shown(entries), count };
    Ok(marked(truncated, axum::Json(answer).into_response()))
}

fn time(params: &Params, name: &str, kind: &'static Kind) -> Result<Option<i64>, Fault> {
    let Some(text) = params.first(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Fault::of(kind, format!("{name} must be an integer of 64 bits")))
}

/// Absent = no.
fn flag(params: &Params, name: &str) -> Result<bool, Fault> {
    match params.first(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Fault::invalid(&VALIDATION, &Invalid::one(name, "must be true or false"))),
    }
}

fn shown(entries: Vec<Entry>) -> Vec<EventJson> {
    entries.into_iter().map(EventJson::from).collect()
}

fn marked(truncated: bool, mut response: Response) -> Response {
    if truncated {
        response.headers_mut().insert(TRUNCATED, axum::http::HeaderValue::from_static("true"));
    }
    response
}

fn base64_of(json: Option<&RawValue>) -> String {
    STANDARD.encode(json.map_or("{}", RawValue::get))
}

impl From<EventSearch> for Asked {
    fn from(wanted: EventSearch) -> Self {
        let search = Search {
            custom_ids: wanted.custom_ids.unwrap_or_default(),
            key_ids: wanted.key_ids.unwrap_or_default(),
            user_ids: wanted.user_ids.unwrap_or_default(),
            tags: wanted.tags.unwrap_or_default(),
            policy_ids: wanted.policy_ids.unwrap_or_default(),
            actions: wanted.actions.unwrap_or_default(),
            attempts: wanted.attempts.unwrap_or(false),
            ..Search::default()
        };
        Self {
            search,
            start: wanted.start,
            end: wanted.end,
            status: wanted.status,
            cost_order: wanted.cost_order,
            date_order: wanted.date_order,
            limit: wanted.limit,
            offset: wanted.offset,
            count: wanted.return_count,
        }
    }
}

impl From<Try> for TryJson {
    fn from(failed: Try) -> Self {
        let Try { step, provider, model, status, failure, latency_ms } = failed;
        Self { step, provider, model, status, failure, latency_ms }
    }
}

impl From<Entry> for EventJson {
    fn from(Entry { event, failure }: Entry) -> Self {
        let correlation_id = correlation(&event);
        let routed = event.route.map(|routed| *routed);
        Self {
            id: event.id.to_string(),
            created_at: event.created_at.seconds(),
            tags: event.tags,
            key_id: event.key_id.map(|id| id.to_string()).unwrap_or_default(),
            cost_in_usd: event.cost.to_usd_f64(),
            provider: event.provider,
            model: event.model,
            status: event.status,
            prompt_token_count: event.usage.prompt_tokens(),
            completion_token_count: event.usage.completion_tokens(),
            latency_in_ms: event.latency_ms,
            path: event.path,
            method: event.method,
            custom_id: event.custom_id,
            request: base64_of(event.request.as_deref()),
            response: base64_of(event.response.as_deref()),
            user_id: event.user_id,
            action: "",
            policy_id: "",
            route_id: routed.as_ref().map(|routed| routed.route.to_string()).unwrap_or_default(),
            correlation_id,
            metadata: base64_of(event.metadata.as_deref()),
            flags: event.flags,
            route_step: routed.as_ref().map(|routed| routed.step),
            tries: routed.map(|routed| routed.tries.into_iter().map(TryJson::from).collect()),
            failure,
        }
    }
}
