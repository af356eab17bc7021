//! Custom providers in the configuration API: JSON to drafts and back. Its names have underscores, unlike all others.

use super::rules::RouteDraft;
use super::service::{self, CustomError, Draft};
use crate::admin::AdminState;
use crate::admin::http::{CUSTOM_PROVIDERS, Fault, NOT_FOUND, Problem, VALIDATION};
use crate::admin::input::{Json, Object, PathId};
use crate::domain::{CustomProvider, CustomRoute};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type Answer<T> = Result<axum::Json<T>, Fault>;

/// One path. On a change, absent and empty fields keep what is stored for the same path.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewRouteConfig {
    /// Below `/api/custom/providers/{provider}`, with its slash; called with POST.
    #[schema(required)]
    path: Option<String>,
    /// Absolute URL that calls are sent to; the caller's query is added.
    #[schema(required)]
    target_url: Option<String>,
    /// Where the request names its model. Locations are dotted (`messages.#.content`) or JSONPath (`$.messages[*].content`).
    #[schema(required)]
    model_location: Option<String>,
    /// The text that is counted as prompt when the answer reports no usage.
    #[schema(required)]
    request_prompt_location: Option<String>,
    /// The text that is counted as completion when the answer reports no usage.
    #[schema(required)]
    response_completion_location: Option<String>,
    /// Where the request asks for a stream with `true`.
    stream_location: Option<String>,
    /// Data of the frame after which a stream ends; required with `stream_location`.
    stream_end_word: Option<String>,
    /// The text of each frame; required with `stream_location`.
    stream_response_completion_location: Option<String>,
    /// A stream with more frames in a row without text is ended; 0 = never.
    stream_max_empty_messages: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct NewCustomProvider {
    /// Kept in lower case; must not be the name of another provider.
    #[schema(required)]
    provider: Option<String>,
    #[schema(required, value_type = Vec<NewRouteConfig>)]
    route_configs: Option<Vec<Object<NewRouteConfig>>>,
    /// The entry of a provider setting that is sent as bearer credential. Absent = none is sent.
    authentication_param: Option<String>,
}

/// What to change of a custom provider. Absent and null = unchanged; its name stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct CustomProviderChange {
    /// Merged over the stored ones by path; none is removed.
    #[schema(value_type = Option<Vec<NewRouteConfig>>)]
    route_configs: Option<Vec<Object<NewRouteConfig>>>,
    /// Empty = no credential is sent from now on.
    authentication_param: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RouteConfig {
    path: String,
    target_url: String,
    model_location: String,
    request_prompt_location: String,
    response_completion_location: String,
    stream_location: String,
    stream_end_word: String,
    stream_response_completion_location: String,
    stream_max_empty_messages: u64,
}

/// A custom provider as it is shown.
#[derive(Serialize, ToSchema)]
pub(super) struct CustomProviderJson {
    id: String,
    created_at: i64,
    updated_at: i64,
    provider: Box<str>,
    route_configs: Vec<RouteConfig>,
    authentication_param: Box<str>,
}

/// All custom providers, oldest first.
#[utoipa::path(
    get, path = "/api/custom/providers", tag = "custom providers", operation_id = "listCustomProviders",
    responses((status = 200, body = [CustomProviderJson]), (status = 401, body = Problem))
)]
pub(super) async fn list(State(state): State<AdminState>) -> Answer<Vec<CustomProviderJson>> {
    let all = service::list(&state).await.map_err(|error| Fault::store(&CUSTOM_PROVIDERS, &error))?;
    Ok(axum::Json(all.into_iter().map(CustomProviderJson::from).collect()))
}

/// Creates a custom provider.
#[utoipa::path(
    post, path = "/api/custom/providers", tag = "custom providers", operation_id = "createCustomProvider",
    request_body = NewCustomProvider,
    responses(
        (status = 200, body = CustomProviderJson), (status = 400, body = Problem), (status = 401, body = Problem),
    )
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Json(new): Json<NewCustomProvider>,
) -> Answer<CustomProviderJson> {
    let draft = Draft {
        provider: new.provider,
        routes: new.route_configs.map(drafts),
        authentication_param: new.authentication_param,
    };
    let provider = service::create(&state, draft).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(provider.into()))
}

/// Changes a custom provider: adds routes, overwrites fields of existing ones.
#[utoipa::path(
    patch, path = "/api/custom/providers/{id}", tag = "custom providers", operation_id = "changeCustomProvider",
    params(("id" = String, Path)), request_body = CustomProviderChange,
    responses(
        (status = 200, body = CustomProviderJson), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn change(
    State(state): State<AdminState>,
    PathId(id): PathId,
    Json(change): Json<CustomProviderChange>,
) -> Answer<CustomProviderJson> {
    let draft = Draft {
        provider: None,
        routes: change.route_configs.map(drafts),
        authentication_param: change.authentication_param,
    };
    let provider = service::change(&state, &id, draft).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(provider.into()))
}

fn fault(error: &CustomError) -> Fault {
    match error {
        CustomError::Invalid(invalid) => Fault::invalid(&VALIDATION, invalid),
        CustomError::Unknown => Fault::of(&NOT_FOUND, "there is no such custom provider"),
        CustomError::Store(error) => Fault::store(&CUSTOM_PROVIDERS, error),
    }
}

fn drafts(routes: Vec<Object<NewRouteConfig>>) -> Vec<RouteDraft> {
    let draft = |Object(route): Object<NewRouteConfig>| RouteDraft {
        path: route.path,
        target_url: route.target_url,
        model_location: route.model_location,
        request_prompt_location: route.request_prompt_location,
        response_completion_location: route.response_completion_location,
        stream_location: route.stream_location,
        stream_end_word: route.stream_end_word,
        stream_response_completion_location: route.stream_response_completion_location,
        stream_max_empty_messages: route.stream_max_empty_messages,
    };
    routes.into_iter().map(draft).collect()
}

impl From<CustomRoute> for RouteConfig {
    fn from(route: CustomRoute) -> Self {
        Self {
            path: route.path,
            target_url: route.target_url,
            model_location: route.model_location,
            request_prompt_location: route.request_prompt_location,
            response_completion_location: route.response_completion_location,
            stream_location: route.stream_location,
            stream_end_word: route.stream_end_word,
            stream_response_completion_location: route.stream_response_completion_location,
            stream_max_empty_messages: route.stream_max_empty_messages,
        }
    }
}

impl From<CustomProvider> for CustomProviderJson {
    fn from(provider: CustomProvider) -> Self {
        Self {
            id: provider.id.to_string(),
            created_at: provider.created_at.seconds(),
            updated_at: provider.updated_at.seconds(),
            provider: provider.name,
            route_configs: provider.routes.into_iter().map(RouteConfig::from).collect(),
            authentication_param: provider.authentication_param,
        }
    }
}
