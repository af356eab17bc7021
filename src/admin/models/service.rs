//! Creating, changing and deleting models. Keeps the rules; no HTTP, no JSON but the config's own.

use super::config;
use crate::admin::AdminState;
use crate::domain::{Model, ModelId, Money, Secret};
use crate::providers::backend;
use crate::store::StoreError;
use serde_json::{Map, Value};

/// Attempts of a change against others who change the same model.
const ATTEMPTS: usize = 5;
/// Longest name, characters.
const LONGEST_NAME: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum ModelError {
    /// A field by its name and what is wrong with it.
    #[error("{0}")]
    Invalid(String),
    #[error("{0} already exists")]
    Exists(Box<str>),
    #[error("there is no such model")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ModelError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            other => Self::Store(other),
        }
    }
}

/// What is to be set; the rest stays, or is as with a new model.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: Option<Box<str>>,
    pub(super) provider: Option<Box<str>>,
    pub(super) multiple: Option<bool>,
    /// Per token.
    pub(super) price_in: Option<Money>,
    pub(super) price_out: Option<Money>,
    pub(super) config: Option<Map<String, Value>>,
}

pub(super) async fn create(state: &AdminState, draft: Draft) -> Result<Model, ModelError> {
    if draft.name.is_none() {
        return Err(ModelError::Invalid("name is required".into()));
    }
    if draft.provider.is_none() {
        return Err(ModelError::Invalid("provider is required".into()));
    }
    check(state, &draft)?;
    let now = state.clock.now();
    let mut model = Model {
        id: ModelId(0),
        revision: 0,
        name: "".into(),
        provider: "".into(),
        multiple: false,
        price_in: Money::ZERO,
        price_out: Money::ZERO,
        config: Secret::new("{}"),
        created_at: now,
        updated_at: now,
    };
    draft.apply(&mut model)?;
    check_route(state, &model).await?;
    let id = state.store.insert_model(&model).await.map_err(|error| named(error, &model))?;
    state.show_change().await;
    tracing::info!(model.id = %id, model = &*model.name, "model created");
    warn_if_unfinished(state, &model);
    Ok(Model { id, ..model })
}

pub(super) async fn change(state: &AdminState, id: ModelId, draft: Draft) -> Result<Model, ModelError> {
    check(state, &draft)?;
    let mut attempt = 1;
    loop {
        let mut model = find(state, id).await?;
        draft.apply(&mut model)?;
        // A row stays as it is when its route goes.
        if draft.provider.is_some() || draft.config.is_some() {
            check_route(state, &model).await?;
        }
        model.updated_at = state.clock.now().max(model.updated_at);
        match state.store.update_model(&model).await {
            Ok(()) => {
                state.show_change().await;
                tracing::info!(model.id = %id, model = &*model.name, "model changed");
                warn_if_unfinished(state, &model);
                return Ok(model);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(named(error, &model)),
        }
    }
}

pub(super) async fn remove(state: &AdminState, id: ModelId) -> Result<(), ModelError> {
    state.store.delete_model(id).await?;
    state.show_change().await;
    tracing::info!(model.id = %id, "model deleted");
    Ok(())
}

pub(super) async fn find(state: &AdminState, id: ModelId) -> Result<Model, ModelError> {
    state.store.model(id).await?.ok_or(ModelError::Unknown)
}

fn named(error: StoreError, model: &Model) -> ModelError {
    match error {
        StoreError::DuplicateName => ModelError::Exists(model.name.clone()),
        other => other.into(),
    }
}

fn check(state: &AdminState, draft: &Draft) -> Result<(), ModelError> {
    let invalid = |what: String| Err(ModelError::Invalid(what));
    if let Some(name) = &draft.name {
        if name.chars().count() > LONGEST_NAME {
            return invalid(format!("name is longer than {LONGEST_NAME} characters"));
        }
        // A slash separates a model from what a request asks of it.
        if name.contains('/') || name.chars().any(char::is_control) {
            return invalid("name must not contain / or control characters".into());
        }
    }
    if let Some(provider) = &draft.provider
        && !(state.model_providers)().contains(&&**provider)
    {
        return invalid("provider is not one of list-providers".into());
    }
    if let Some(objection) = draft.config.as_ref().and_then(config::objection) {
        return invalid(objection);
    }
    Ok(())
}

/// A model that answers through a route names one that there is, or none yet.
async fn check_route(state: &AdminState, model: &Model) -> Result<(), ModelError> {
    if *model.provider != *backend::ROUTE {
        return Ok(());
    }
    let config = config_of(model);
    let Some(path) = config.get("route").filter(|path| !path.is_null() && *path != "") else { return Ok(()) };
    let routes = state.store.list_routes().await?;
    if path.as_str().is_some_and(|path| routes.iter().any(|route| *route.path == *path)) {
        return Ok(());
    }
    Err(ModelError::Invalid("config.route is not the path of a route".into()))
}

/// An operator may save what is not complete yet; calls are refused until it is.
fn warn_if_unfinished(state: &AdminState, model: &Model) {
    let config = Value::Object(config_of(model));
    if let Err(why) = (state.check_model)(&model.provider, &config) {
        tracing::warn!(model.id = %model.id, model = &*model.name, why, "the model cannot be called yet");
    }
}

/// With its secrets.
fn config_of(model: &Model) -> Map<String, Value> {
    serde_json::from_str(model.config.expose()).unwrap_or_default()
}

/// As it may be shown.
pub(super) fn shown_config(model: &Model) -> Map<String, Value> {
    let mut config = config_of(model);
    config::hide(&mut config);
    config
}

impl Draft {
    fn apply(&self, model: &mut Model) -> Result<(), ModelError> {
        if let Some(name) = &self.name {
            model.name.clone_from(name);
        }
        if let Some(provider) = &self.provider {
            model.provider.clone_from(provider);
        }
        model.multiple = self.multiple.unwrap_or(model.multiple);
        model.price_in = self.price_in.unwrap_or(model.price_in);
        model.price_out = self.price_out.unwrap_or(model.price_out);
        if let Some(config) = &self.config {
            let mut config = config.clone();
            config::restore(&mut config, &config_of(model))
                .map_err(|path| ModelError::Invalid(format!("{path} is masked, and nothing is stored for it")))?;
            model.config = Secret::from(Value::Object(config).to_string());
        }
        Ok(())
    }
}
