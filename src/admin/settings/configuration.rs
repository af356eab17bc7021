//! Provider settings in the configuration API: JSON to drafts and back. Only entries that may be shown come out.

use super::service::{self, Draft, SettingError};
use crate::admin::AdminState;
use crate::admin::http::{Fault, NOT_FOUND, Problem, SETTINGS, VALIDATION};
use crate::admin::input::{Json, Object, Params, PathId};
use crate::domain::{CostMap, Secret, Setting};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Answer<T> = Result<axum::Json<T>, Fault>;

/// Prices that override the built-in ones: model to USD per 1000 tokens.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CostMapJson {
    prompt_cost_per_model: Option<BTreeMap<String, f64>>,
    completion_cost_per_model: Option<BTreeMap<String, f64>>,
    embeddings_cost_per_model: Option<BTreeMap<String, f64>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSetting {
    #[schema(required)]
    provider: Option<String>,
    /// Entries of this provider, such as `apikey`.
    #[schema(required)]
    setting: Option<BTreeMap<String, String>>,
    name: Option<String>,
    /// Empty = all models.
    allowed_models: Option<Vec<String>>,
    #[schema(value_type = Option<CostMapJson>)]
    cost_map: Option<Object<CostMapJson>>,
}

/// What to change of a setting. Absent and null = unchanged; the provider stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingChange {
    /// Merged over the stored entries one by one; an empty one is removed.
    setting: Option<BTreeMap<String, String>>,
    /// May be empty.
    name: Option<String>,
    /// `[]` clears.
    allowed_models: Option<Vec<String>>,
    /// Replaces; `{}` clears.
    #[schema(value_type = Option<CostMapJson>)]
    cost_map: Option<Object<CostMapJson>>,
}

/// A provider setting as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderSetting {
    id: String,
    created_at: i64,
    updated_at: i64,
    provider: Box<str>,
    name: Box<str>,
    #[schema(value_type = Vec<String>)]
    allowed_models: Box<[Box<str>]>,
    /// The entries that are not secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    setting: BTreeMap<Box<str>, Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_map: Option<CostMapJson>,
}

/// All provider settings, or those with the given ids; oldest first.
#[utoipa::path(
    get, path = "/api/provider-settings", tag = "provider settings", operation_id = "listProviderSettings",
    params(("ids" = Option<Vec<String>>, Query)),
    responses((status = 200, body = [ProviderSetting]), (status = 401, body = Problem))
)]
pub(super) async fn list(State(state): State<AdminState>, params: Params) -> Answer<Vec<ProviderSetting>> {
    let ids = params.ids("ids");
    let ids = (!ids.is_empty()).then_some(ids.as_slice());
    let settings = service::list(&state, ids).await.map_err(|error| Fault::store(&SETTINGS, &error))?;
    Ok(axum::Json(settings.into_iter().map(ProviderSetting::from).collect()))
}

/// Creates a provider setting.
#[utoipa::path(
    put, path = "/api/provider-settings", tag = "provider settings", operation_id = "createProviderSetting",
    request_body = NewSetting,
    responses((status = 200, body = ProviderSetting), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn create(State(state): State<AdminState>, Json(new): Json<NewSetting>) -> Answer<ProviderSetting> {
    let setting = service::create(&state, new.into()).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(setting.into()))
}

/// Creates a provider setting, as PUT does.
#[utoipa::path(
    post, path = "/api/provider-settings", tag = "provider settings", operation_id = "createProviderSettingByPost",
    request_body = NewSetting,
    responses((status = 200, body = ProviderSetting), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn create_by_post(state: State<AdminState>, new: Json<NewSetting>) -> Answer<ProviderSetting> {
    create(state, new).await
}

/// Changes a provider setting.
#[utoipa::path(
    patch, path = "/api/provider-settings/{id}", tag = "provider settings", operation_id = "changeProviderSetting",
    params(("id" = String, Path)), request_body = SettingChange,
    responses(
        (status = 200, body = ProviderSetting), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn change(
    State(state): State<AdminState>,
    PathId(id): PathId,
    Json(change): Json<SettingChange>,
) -> Answer<ProviderSetting> {
    let setting = service::change(&state, &id, change.into()).await.map_err(|error| fault(&error))?;
    Ok(axum::Json(setting.into()))
}

fn fault(error: &SettingError) -> Fault {
    match error {
        SettingError::Invalid(invalid) => Fault::invalid(&VALIDATION, invalid),
        SettingError::Unknown => Fault::of(&NOT_FOUND, "there is no such provider setting"),
        SettingError::Store(error) => Fault::store(&SETTINGS, error),
    }
}

fn secret(entries: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    entries.into_iter().map(|(name, value)| (name, Secret::from(value))).collect()
}

fn costs(Object(json): Object<CostMapJson>) -> CostMap {
    CostMap {
        prompt_cost_per_model: json.prompt_cost_per_model.unwrap_or_default(),
        completion_cost_per_model: json.completion_cost_per_model.unwrap_or_default(),
        embeddings_cost_per_model: json.embeddings_cost_per_model.unwrap_or_default(),
    }
}

impl From<NewSetting> for Draft {
    fn from(new: NewSetting) -> Self {
        Self {
            provider: new.provider,
            setting: new.setting.map(secret),
            name: new.name,
            allowed_models: new.allowed_models,
            cost_map: new.cost_map.map(costs),
        }
    }
}

impl From<SettingChange> for Draft {
    fn from(change: SettingChange) -> Self {
        Self {
            provider: None,
            setting: change.setting.map(secret),
            name: change.name,
            allowed_models: change.allowed_models,
            cost_map: change.cost_map.map(costs),
        }
    }
}

impl From<Setting> for ProviderSetting {
    fn from(setting: Setting) -> Self {
        let shown = |costs: CostMap| CostMapJson {
            prompt_cost_per_model: Some(costs.prompt_cost_per_model),
            completion_cost_per_model: Some(costs.completion_cost_per_model),
            embeddings_cost_per_model: Some(costs.embeddings_cost_per_model),
        };
        Self {
            id: setting.id.to_string(),
            created_at: setting.created_at.seconds(),
            updated_at: setting.updated_at.seconds(),
            provider: setting.provider,
            name: setting.name,
            allowed_models: setting.allowed_models,
            setting: setting.parameters,
            cost_map: setting.cost_map.map(shown),
        }
    }
}
