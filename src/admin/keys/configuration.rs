//! Keys in the configuration API: JSON in, service calls, JSON out. The raw key goes in once and never comes out.

use super::service::{self, KeyError, Search};
use super::shapes::{KeyChange, KeyConfiguration, KeyPage, KeySearch, NewKey};
use crate::admin::AdminState;
use crate::admin::http::{Fault, KEYS, Kind, LISTING_KEYS, MISSING_FILTERS, NOT_FOUND, Problem, VALIDATION};
use crate::admin::input::{Json, Params, PathId};
use axum::extract::State;

type Answer<T> = Result<axum::Json<T>, Fault>;

/// Keys that match all given filters, newest first. At least one filter.
#[utoipa::path(
    get, path = "/api/key-management/keys", tag = "keys", operation_id = "listKeys",
    params(
        ("tag" = Option<String>, Query, description = "One more of `tags`"),
        ("tags" = Option<Vec<String>>, Query, description = "The key carries all of these"),
        ("keyIds" = Option<Vec<String>>, Query, description = "The key is one of these"),
        ("provider" = Option<String>, Query, description = "The key has a setting of this provider"),
    ),
    responses((status = 200, body = [KeyConfiguration]), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn list(State(state): State<AdminState>, params: Params) -> Answer<Vec<KeyConfiguration>> {
    let mut tags = params.all("tags");
    tags.extend(params.all("tag"));
    let ids = params.ids("keyIds");
    let provider = params.first("provider").map(String::from);
    if tags.is_empty() && ids.is_empty() && provider.is_none() {
        return Err(Fault::of(&MISSING_FILTERS, "give at least one of tag, tags, keyIds, provider"));
    }
    let search = Search { tags, ids, provider, ..Search::default() };
    let page = service::find(&state, search).await.map_err(|error| Fault::store(&LISTING_KEYS, &error))?;
    Ok(axum::Json(page.rows.into_iter().map(KeyConfiguration::from).collect()))
}

/// Creates a key.
#[utoipa::path(
    put, path = "/api/key-management/keys", tag = "keys", operation_id = "createKey", request_body = NewKey,
    responses((status = 200, body = KeyConfiguration), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn create(State(state): State<AdminState>, Json(new): Json<NewKey>) -> Answer<KeyConfiguration> {
    let key = service::create(&state, new.into()).await.map_err(|error| fault(&KEYS, &error))?;
    Ok(axum::Json(key.into()))
}

/// Changes a key.
#[utoipa::path(
    patch, path = "/api/key-management/keys/{keyId}", tag = "keys", operation_id = "changeKey",
    params(("keyId" = String, Path)), request_body = KeyChange,
    responses(
        (status = 200, body = KeyConfiguration), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn change(
    State(state): State<AdminState>,
    PathId(id): PathId,
    Json(change): Json<KeyChange>,
) -> Answer<KeyConfiguration> {
    let key = service::change(&state, &id, change.into()).await.map_err(|error| fault(&KEYS, &error))?;
    Ok(axum::Json(key.into()))
}

/// Deletes a key. Its events stay.
#[utoipa::path(
    delete, path = "/api/key-management/keys/{keyId}", tag = "keys", operation_id = "deleteKey",
    params(("keyId" = String, Path)),
    responses((status = 200), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn remove(State(state): State<AdminState>, PathId(id): PathId) -> Result<(), Fault> {
    service::remove(&state, &id).await.map_err(|error| fault(&KEYS, &error))
}

/// Keys that match all given filters, a page of them.
#[utoipa::path(
    post, path = "/api/v2/key-management/keys", tag = "keys", operation_id = "searchKeys", request_body = KeySearch,
    responses((status = 200, body = KeyPage), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn search(State(state): State<AdminState>, Json(wanted): Json<KeySearch>) -> Answer<KeyPage> {
    let search = wanted.checked().map_err(|invalid| Fault::invalid(&VALIDATION, &invalid))?;
    let page = service::find(&state, search).await.map_err(|error| Fault::store(&KEYS, &error))?;
    Ok(axum::Json(KeyPage { keys: page.rows.into_iter().map(KeyConfiguration::from).collect(), count: page.count }))
}

fn fault(kind: &'static Kind, error: &KeyError) -> Fault {
    match error {
        KeyError::Invalid(invalid) => Fault::invalid(&VALIDATION, invalid),
        KeyError::Unknown => Fault::of(&NOT_FOUND, "there is no such key"),
        KeyError::Store(error) => Fault::store(kind, error),
    }
}
