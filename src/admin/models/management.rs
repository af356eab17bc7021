//! Models in the management API: for admins to manage, for users to see which are theirs.

use super::grants::{self, GrantItem};
use super::service::{self, Draft, ModelError};
use super::shapes::{ClientModel, ModelItem};
use crate::admin::AdminState;
use crate::admin::management::answer::{Answer, List, Refusal, Success};
use crate::admin::management::body::Body;
use crate::admin::management::caller::Own;
use crate::admin::management::query::{Query, RowId};
use crate::domain::{Model, ModelId};
use crate::providers::backend;
use crate::store::{ModelFilter, Order};
use axum::extract::State;
use axum::routing::{get, post};
use serde_json::{Map, Value};

/// Where a knowledge base is when its model does not say.
const KNOWLEDGE_BASE_REGION: &str = "us-east-1";

pub(in crate::admin) fn routes() -> axum::Router<AdminState> {
    axum::Router::new()
        .route("/admin/model/list", get(list))
        .route("/admin/model/list-providers", get(list_providers))
        .route("/admin/model/detail", get(detail))
        .route("/admin/model/detail/{id}", get(detail))
        .route("/admin/model/save", post(save))
        .route("/admin/model/save-kb-model", post(save_kb_model))
        .route("/admin/model/delete", post(delete))
        .route("/user/model/list", get(mine))
        .route("/user/model/list-for-brclient", get(list_for_brclient))
}

async fn list(State(state): State<AdminState>, query: Query) -> Answer<List<ModelItem>> {
    let paging = query.paging();
    let filter =
        ModelFilter { name: query.owned("q"), provider: query.owned("provider"), order: Order::Descending, paging };
    let page = state.store.list_models(&filter).await?;
    Ok(Success(List::of(page, paging, ModelItem::from)))
}

async fn list_providers(State(state): State<AdminState>) -> Answer<Vec<&'static str>> {
    Ok(Success((state.model_providers)()))
}

async fn detail(State(state): State<AdminState>, RowId(id): RowId) -> Answer<ModelItem> {
    Ok(Success(service::find(&state, ModelId(id)).await?.into()))
}

async fn save(State(state): State<AdminState>, body: Body) -> Answer<ModelItem> {
    let draft = Draft {
        name: body.filled("name")?,
        provider: body.text("provider")?.filter(|provider| !provider.is_empty()),
        multiple: body.flag("multiple")?,
        price_in: body.price("price_in")?,
        price_out: body.price("price_out")?,
        config: body.object("config")?,
    };
    Ok(Success(store(&state, &body, draft).await?.into()))
}

/// A model that answers out of a knowledge base, without its config having to be known.
async fn save_kb_model(State(state): State<AdminState>, body: Body) -> Answer<ModelItem> {
    let mut config = Map::new();
    for field in ["knowledgeBaseId", "summaryModel"] {
        let value = body.filled(field)?.ok_or_else(|| Refusal::invalid(format!("{field} is required")))?;
        config.insert(field.into(), Value::from(&*value));
    }
    let summary = config.get("summaryModel").and_then(Value::as_str).unwrap_or_default();
    if state.store.model_named(summary).await?.is_none() {
        return Err(Refusal::invalid("summaryModel is not the name of a model"));
    }
    let region = body.filled("region")?.unwrap_or_else(|| KNOWLEDGE_BASE_REGION.into());
    config.insert("region".into(), Value::from(&*region));
    let draft = Draft {
        name: body.filled("name")?,
        provider: Some(backend::KNOWLEDGE_BASE.into()),
        config: Some(config),
        ..Draft::default()
    };
    Ok(Success(store(&state, &body, draft).await?.into()))
}

async fn store(state: &AdminState, body: &Body, draft: Draft) -> Result<Model, ModelError> {
    match body.id("id").map_err(|_| ModelError::Invalid("id must be an integer".into()))? {
        Some(id) => service::change(state, ModelId(id), draft).await,
        None => service::create(state, draft).await,
    }
}

async fn delete(State(state): State<AdminState>, body: Body) -> Answer<bool> {
    service::remove(&state, ModelId(body.required_id("id")?)).await?;
    Ok(Success(true))
}

async fn mine(State(state): State<AdminState>, Own(key): Own) -> Answer<Vec<GrantItem>> {
    Ok(Success(grants::of_key(&state, &key).await?))
}

async fn list_for_brclient(State(state): State<AdminState>, Own(key): Own) -> Answer<Vec<ClientModel>> {
    let snapshot = state.snapshot.load();
    Ok(Success(snapshot.models().granted_to(&key).into_iter().map(|model| ClientModel::from(&model.row)).collect()))
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Invalid(what) => Self::invalid(what),
            ModelError::Exists(name) => Self::exists(&name),
            ModelError::Unknown => Self::not_found(),
            ModelError::Store(error) => error.into(),
        }
    }
}
