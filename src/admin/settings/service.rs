//! Creating, changing and listing provider settings. No HTTP, no JSON.

use super::entries::{self, Entries, Given, Known};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::domain::{CostMap, Setting, SettingId};
use crate::providers;
use crate::store::StoreError;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Attempts of a change against others who change the same setting.
const ATTEMPTS: usize = 5;

/// A setting as somebody wants it: absent = default on creation, unchanged on a change.
#[derive(Default)]
pub(super) struct Draft {
    /// Only on creation.
    pub(super) provider: Option<String>,
    pub(super) setting: Option<Given>,
    pub(super) name: Option<String>,
    pub(super) allowed_models: Option<Vec<String>>,
    pub(super) cost_map: Option<CostMap>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SettingError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such provider setting")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for SettingError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            other => Self::Store(other),
        }
    }
}

pub(super) async fn create(state: &AdminState, mut draft: Draft) -> Result<Setting, SettingError> {
    let mut invalid = Invalid::default();
    check(&draft, &mut invalid);
    let mut provider = draft.provider.take().unwrap_or_default();
    let schema = schema(state, &mut provider, &mut invalid).await?;
    let given = draft.setting.take();
    let mut entries = Entries::default();
    match (given, schema) {
        (None, _) => invalid.add("setting", "must be given"),
        (Some(given), Some(schema)) => {
            let known = known(given, &provider, &schema, &mut invalid);
            entries.merge(known, &schema, &mut invalid);
        }
        (Some(_), None) => {}
    }
    invalid.none_or_all()?;

    let now = state.clock.now();
    let mut setting = Setting {
        id: SettingId::from_uuid(Uuid::new_v4()),
        revision: 0,
        provider: provider.into(),
        name: "".into(),
        created_at: now,
        updated_at: now,
        allowed_models: Box::default(),
        parameters: entries.parameters,
        secrets: entries.secrets,
        cost_map: None,
    };
    apply(&draft, &mut setting);
    state.store.insert_setting(&setting).await?;
    state.show_change().await;
    tracing::info!(setting.id = %setting.id, provider = &*setting.provider, "provider setting created");
    Ok(setting)
}

pub(super) async fn change(state: &AdminState, id: &str, draft: Draft) -> Result<Setting, SettingError> {
    let id = SettingId::parse(id).ok_or(SettingError::Unknown)?;
    let mut attempt = 1;
    loop {
        let before = state.store.setting(id).await?.ok_or(SettingError::Unknown)?;
        let after = changed(state, before, &draft).await?;
        match state.store.update_setting(&after).await {
            Ok(()) => {
                state.show_change().await;
                tracing::info!(setting.id = %id, provider = &*after.provider, "provider setting changed");
                return Ok(after);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// `ids` = `None`: all. Ids that do not exist are simply absent.
pub(super) async fn list(state: &AdminState, ids: Option<&[String]>) -> Result<Vec<Setting>, StoreError> {
    let ids: Option<Vec<_>> = ids.map(|ids| ids.iter().filter_map(|id| SettingId::parse(id)).collect());
    match ids {
        Some(none) if none.is_empty() => Ok(Vec::new()),
        ids => state.store.list_settings(ids.as_deref()).await,
    }
}

async fn changed(state: &AdminState, mut setting: Setting, draft: &Draft) -> Result<Setting, SettingError> {
    let mut invalid = Invalid::default();
    check(draft, &mut invalid);
    if let Some(given) = draft.setting.clone()
        && let Some(schema) = schema(state, &mut setting.provider.to_string(), &mut invalid).await?
    {
        let known = known(given, &setting.provider, &schema, &mut invalid);
        if known.is_empty() {
            invalid.add("setting", "has no entry that this provider knows");
        }
        let (parameters, secrets) = (std::mem::take(&mut setting.parameters), std::mem::take(&mut setting.secrets));
        let mut entries = Entries { parameters, secrets };
        entries.merge(known, &schema, &mut invalid);
        setting.parameters = entries.parameters;
        setting.secrets = entries.secrets;
    }
    invalid.none_or_all()?;
    apply(draft, &mut setting);
    // A clock that was set back must not make a setting look older than it was.
    setting.updated_at = state.clock.now().max(setting.updated_at);
    Ok(setting)
}

fn apply(draft: &Draft, setting: &mut Setting) {
    if let Some(name) = &draft.name {
        setting.name = name.as_str().into();
    }
    if let Some(models) = &draft.allowed_models {
        setting.allowed_models = models.iter().map(|model| model.as_str().into()).collect();
    }
    if let Some(costs) = &draft.cost_map {
        setting.cost_map = (*costs != CostMap::default()).then(|| costs.clone());
    }
}

/// The entries that the provider knows, each looked at by the provider itself as well.
fn known(given: Given, provider: &str, schema: &Known, invalid: &mut Invalid) -> Given {
    let known = entries::known(given, schema, invalid);
    let Some(provider) = providers::by_name(provider) else { return known };
    for (name, value) in known.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(why) = provider.objection(name, value.expose()) {
            invalid.add(&format!("setting.{name}"), why);
        }
    }
    known
}

/// The entries of a built-in provider, or of a custom one, whose name is then put in the case it is stored in.
async fn schema(state: &AdminState, provider: &mut String, invalid: &mut Invalid) -> Result<Option<Known>, StoreError> {
    if let Some(schema) = (state.schemas)(provider) {
        return Ok(Some(schema.into()));
    }
    if provider.is_empty() {
        invalid.add("provider", "must not be empty");
        return Ok(None);
    }
    let custom = state.store.custom_provider_named(&provider.to_ascii_lowercase()).await?;
    match &custom {
        Some(custom) => *provider = custom.name.as_ref().into(),
        None => invalid.add("provider", "is not a supported provider"),
    }
    Ok(custom.as_ref().map(Known::from))
}

fn check(draft: &Draft, invalid: &mut Invalid) {
    invalid.text("name", draft.name.as_deref().unwrap_or_default());
    invalid.all_filled("allowedModels", draft.allowed_models.as_deref().unwrap_or_default());
    let Some(costs) = &draft.cost_map else { return };
    for (field, prices) in [
        ("promptCostPerModel", &costs.prompt_cost_per_model),
        ("completionCostPerModel", &costs.completion_cost_per_model),
        ("embeddingsCostPerModel", &costs.embeddings_cost_per_model),
    ] {
        check_prices(&format!("costMap.{field}"), prices, invalid);
    }
}

/// A price is fine when the cost map itself can turn it into a rate, under whichever heading.
fn check_prices(field: &str, prices: &BTreeMap<String, f64>, invalid: &mut Invalid) {
    let probe = CostMap { embeddings_cost_per_model: prices.clone(), ..CostMap::default() };
    for model in prices.keys() {
        invalid.filled(field, model);
        if probe.embeddings(model).is_none() {
            invalid.add(&format!("{field}.{model}"), "must be a price in USD per 1000 tokens, 0 or more");
        }
    }
}
