//! Routes in the configuration API: JSON to drafts and back.

use super::rules::{self, CacheDraft};
use super::service::{self, Absent, Draft, RouteError};
use super::steps::StepDraft;
use crate::admin::AdminState;
use crate::admin::http::{Fault, Problem, ROUTE_NOT_FOUND, ROUTES, VALIDATION};
use crate::admin::input::{Json, Object, PathId};
use crate::domain::{Route, Step, duration};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

type Answer<T> = Result<axum::Json<T>, Fault>;

/// Who may answer, and how it is asked.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewStep {
    /// A provider's name, or `model`: then `model` is the name of a model of the unified API.
    #[schema(required)]
    provider: Option<String>,
    #[schema(required)]
    model: Option<String>,
    /// Further tries after the first; 0 to 10.
    retries: Option<i64>,
    /// What the provider needs to know, such as `deploymentId` and `apiVersion`; `path` of a custom provider.
    /// `settingId` is the provider setting that is used, whoever calls.
    params: Option<BTreeMap<String, String>>,
    /// Of one try, such as `1m30s`; at most `24h`, `5m` when absent.
    timeout: Option<String>,
    /// Of one try, until its answer begins; at most `timeout`.
    first_byte_timeout: Option<String>,
    /// Before another try, in seconds or milliseconds; at most `60s`.
    retry_interval: Option<String>,
    /// Set over what a conversation's request says, such as `temperature`.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    request_params: Option<Map<String, Value>>,
    /// Neighbours with a weight share the first tries in proportion to it; 0 = after the others.
    weight: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewCacheConfig {
    #[schema(required)]
    enabled: Option<bool>,
    /// `1s` to `720h`; `168h` when absent.
    ttl: Option<String>,
    /// One key's answer serves the others too.
    shared: Option<bool>,
}

/// A route as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewRoute {
    #[schema(required)]
    name: Option<String>,
    /// Below `/api/routes` and `/api/route`, with its slash; unique.
    #[schema(required)]
    path: Option<String>,
    /// Keys that may call it.
    #[schema(required)]
    key_ids: Option<Vec<String>>,
    /// In the order in which they are tried.
    #[schema(required, value_type = Vec<NewStep>)]
    steps: Option<Vec<Object<NewStep>>>,
    #[schema(required, value_type = NewCacheConfig)]
    cache_config: Option<Object<NewCacheConfig>>,
    /// `constant` or `exponential`; absent and empty = `constant`.
    retry_strategy: Option<String>,
    /// `openai_embeddings` for texts that become vectors, anything else for conversations; absent = as the models are.
    request_format: Option<String>,
}

/// What to change of a route. Absent and null = unchanged; what is given replaces the whole member.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteChange {
    name: Option<String>,
    path: Option<String>,
    key_ids: Option<Vec<String>>,
    #[schema(value_type = Option<Vec<NewStep>>)]
    steps: Option<Vec<Object<NewStep>>>,
    #[schema(value_type = Option<NewCacheConfig>)]
    cache_config: Option<Object<NewCacheConfig>>,
    retry_strategy: Option<String>,
    /// Absent, with new steps: as their models are.
    request_format: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepConfig {
    provider: Box<str>,
    model: Box<str>,
    retries: u32,
    #[schema(value_type = BTreeMap<String, String>)]
    params: BTreeMap<Box<str>, Box<str>>,
    timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_interval: Option<String>,
    #[schema(value_type = BTreeMap<String, Value>)]
    request_params: BTreeMap<Box<str>, Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CacheConfig {
    enabled: bool,
    /// Empty while nothing is kept and nobody said for how long.
    ttl: String,
    shared: bool,
}

/// A route as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteConfiguration {
    id: String,
    created_at: i64,
    updated_at: i64,
    name: Box<str>,
    path: Box<str>,
    key_ids: Vec<String>,
    steps: Vec<StepConfig>,
    cache_config: CacheConfig,
    retry_strategy: &'static str,
    /// `openai_chat` or `openai_embeddings`.
    request_format: &'static str,
}

/// All routes, oldest first.
#[utoipa::path(
    get, path = "/api/routes", tag = "routes", operation_id = "listRoutes",
    responses((status = 200, body = [RouteConfiguration]), (status = 401, body = Problem))
)]
pub(super) async fn list(State(state): State<AdminState>) -> Answer<Vec<RouteConfiguration>> {
    let all = service::list(&state).await.map_err(|error| Fault::store(&ROUTES, &error))?;
    Ok(axum::Json(all.into_iter().map(RouteConfiguration::from).collect()))
}

/// Creates a route.
#[utoipa::path(
    post, path = "/api/routes", tag = "routes", operation_id = "createRoute", request_body = NewRoute,
    responses(
        (status = 200, body = RouteConfiguration), (status = 400, body = Problem), (status = 401, body = Problem),
    )
)]
pub(super) async fn create(State(state): State<AdminState>, Json(new): Json<NewRoute>) -> Answer<RouteConfiguration> {
    let route = service::create(&state, &new.into()).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(route.into()))
}

/// One route.
#[utoipa::path(
    get, path = "/api/routes/{id}", tag = "routes", operation_id = "showRoute", params(("id" = String, Path)),
    responses(
        (status = 200, body = RouteConfiguration), (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn show(State(state): State<AdminState>, PathId(id): PathId) -> Answer<RouteConfiguration> {
    let route = service::find(&state, &id).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(route.into()))
}

/// Changes a route. Answers that are kept for it are forgotten.
#[utoipa::path(
    patch, path = "/api/routes/{id}", tag = "routes", operation_id = "changeRoute",
    params(("id" = String, Path)), request_body = RouteChange,
    responses(
        (status = 200, body = RouteConfiguration), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn change(
    State(state): State<AdminState>,
    PathId(id): PathId,
    Json(change): Json<RouteChange>,
) -> Answer<RouteConfiguration> {
    let changed = service::change(&state, &id, &change.into(), Absent::Unchanged).await;
    Ok(axum::Json(changed.map_err(|error| fault(&error))?.into()))
}

/// Replaces a route but for its id and time of creation. Answers that are kept for it are forgotten.
#[utoipa::path(
    put, path = "/api/routes/{id}", tag = "routes", operation_id = "replaceRoute",
    params(("id" = String, Path)), request_body = NewRoute,
    responses(
        (status = 200, body = RouteConfiguration), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn replace(
    State(state): State<AdminState>,
    PathId(id): PathId,
    Json(new): Json<NewRoute>,
) -> Answer<RouteConfiguration> {
    let replaced = service::change(&state, &id, &new.into(), Absent::New).await;
    Ok(axum::Json(replaced.map_err(|error| fault(&error))?.into()))
}

/// Deletes a route. Its events stay.
#[utoipa::path(
    delete, path = "/api/routes/{id}", tag = "routes", operation_id = "deleteRoute", params(("id" = String, Path)),
    responses((status = 200), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn remove(State(state): State<AdminState>, PathId(id): PathId) -> Result<(), Fault> {
    service::remove(&state, &id).await.map_err(|error| fault(&error))
}

fn fault(error: &RouteError) -> Fault {
    match error {
        RouteError::Invalid(invalid) => Fault::invalid(&VALIDATION, invalid),
        RouteError::Unknown => Fault::of(&ROUTE_NOT_FOUND, "there is no such route"),
        RouteError::Store(error) => Fault::store(&ROUTES, error),
    }
}

impl From<NewRoute> for Draft {
    fn from(new: NewRoute) -> Self {
        Self {
            name: new.name,
            path: new.path,
            key_ids: new.key_ids,
            steps: new.steps.map(drafts),
            cache: new.cache_config.map(CacheDraft::from),
            retry_strategy: new.retry_strategy,
            request_format: new.request_format,
        }
    }
}

impl From<RouteChange> for Draft {
    fn from(change: RouteChange) -> Self {
        Self {
            name: change.name,
            path: change.path,
            key_ids: change.key_ids,
            steps: change.steps.map(drafts),
            cache: change.cache_config.map(CacheDraft::from),
            retry_strategy: change.retry_strategy,
            request_format: change.request_format,
        }
    }
}

impl From<Object<NewCacheConfig>> for CacheDraft {
    fn from(Object(cache): Object<NewCacheConfig>) -> Self {
        Self { enabled: cache.enabled, ttl: cache.ttl, shared: cache.shared }
    }
}

fn drafts(steps: Vec<Object<NewStep>>) -> Vec<StepDraft> {
    let draft = |Object(step): Object<NewStep>| StepDraft {
        provider: step.provider.unwrap_or_default().to_lowercase(),
        model: step.model.unwrap_or_default(),
        retries: step.retries.unwrap_or_default(),
        params: step.params.unwrap_or_default(),
        timeout: step.timeout,
        first_byte_timeout: step.first_byte_timeout,
        retry_interval: step.retry_interval,
        request_params: step.request_params.unwrap_or_default(),
        weight: step.weight,
    };
    steps.into_iter().map(draft).collect()
}

impl From<Step> for StepConfig {
    fn from(step: Step) -> Self {
        Self {
            provider: step.provider,
            model: step.model,
            retries: step.retries,
            params: step.params,
            timeout: duration::text(step.timeout),
            first_byte_timeout: step.first_byte_timeout.map(duration::text),
            // In the units that it may be given in.
            retry_interval: step.retry_interval.map(duration::text_in_seconds),
            request_params: step.request_params.into_iter().map(|param| (param.name, param.value)).collect(),
            weight: step.weight,
        }
    }
}

impl From<Route> for RouteConfiguration {
    fn from(route: Route) -> Self {
        let ttl = Some(route.cache.ttl).filter(|ttl| *ttl > Duration::ZERO).map(duration::text);
        Self {
            id: route.id.to_string(),
            created_at: route.created_at.seconds(),
            updated_at: route.updated_at.seconds(),
            name: route.name,
            path: route.path,
            key_ids: route.key_ids.iter().map(ToString::to_string).collect(),
            steps: route.steps.into_iter().map(StepConfig::from).collect(),
            cache_config: CacheConfig {
                enabled: route.cache.enabled,
                ttl: ttl.unwrap_or_default(),
                shared: route.cache.shared,
            },
            retry_strategy: rules::shown_strategy(route.retry_strategy),
            request_format: rules::shown_format(route.request_format),
        }
    }
}
