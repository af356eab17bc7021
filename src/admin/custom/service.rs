//! Creating, changing and listing custom providers. No HTTP, no JSON.

use super::rules::{self, RouteDraft};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::domain::{CustomProvider, CustomProviderId};
use crate::store::StoreError;
use uuid::Uuid;

/// Attempts of a change against others who change the same provider.
const ATTEMPTS: usize = 5;

/// A custom provider as somebody wants it: absent = none on creation, unchanged on a change.
#[derive(Default)]
pub(super) struct Draft {
    /// Only on creation.
    pub(super) provider: Option<String>,
    pub(super) routes: Option<Vec<RouteDraft>>,
    pub(super) authentication_param: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CustomError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such custom provider")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CustomError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            StoreError::DuplicateName => Self::Invalid(Invalid::one("provider", "exists already")),
            other => Self::Store(other),
        }
    }
}

pub(super) async fn create(state: &AdminState, draft: Draft) -> Result<CustomProvider, CustomError> {
    let mut invalid = Invalid::default();
    let name = rules::name(draft.provider.as_deref().unwrap_or_default(), &mut invalid);
    let credential = draft.authentication_param.as_deref().unwrap_or_default();
    let authentication_param = rules::authentication_param(credential, &mut invalid);
    let drafts = draft.routes.unwrap_or_default();
    if drafts.is_empty() {
        invalid.add("route_configs", "must not be empty");
    }
    let routes = rules::merged(Vec::new(), &drafts, &mut invalid);
    // Asked before the write too, so that all mistakes are told at once.
    if state.store.custom_provider_named(&name).await?.is_some() {
        invalid.add("provider", "exists already");
    }
    invalid.none_or_all()?;

    let now = state.clock.now();
    let provider = CustomProvider {
        id: CustomProviderId::from_uuid(Uuid::new_v4()),
        revision: 0,
        name: name.into(),
        created_at: now,
        updated_at: now,
        routes,
        authentication_param: authentication_param.into(),
    };
    state.store.insert_custom_provider(&provider).await?;
    state.show_change().await;
    tracing::info!(provider = &*provider.name, "custom provider created");
    Ok(provider)
}

pub(super) async fn change(state: &AdminState, id: &str, draft: Draft) -> Result<CustomProvider, CustomError> {
    let id = CustomProviderId::parse(id).ok_or(CustomError::Unknown)?;
    let mut attempt = 1;
    loop {
        let before = state.store.custom_provider(id).await?.ok_or(CustomError::Unknown)?;
        let mut after = changed(before, &draft)?;
        // A clock that was set back must not make a provider look older than it was.
        after.updated_at = state.clock.now().max(after.updated_at);
        match state.store.update_custom_provider(&after).await {
            Ok(()) => {
                state.show_change().await;
                tracing::info!(provider = &*after.name, "custom provider changed");
                return Ok(after);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn list(state: &AdminState) -> Result<Vec<CustomProvider>, StoreError> {
    state.store.list_custom_providers().await
}

fn changed(mut provider: CustomProvider, draft: &Draft) -> Result<CustomProvider, Invalid> {
    let mut invalid = Invalid::default();
    if let Some(name) = &draft.authentication_param {
        provider.authentication_param = rules::authentication_param(name, &mut invalid).into();
    }
    if let Some(drafts) = &draft.routes {
        provider.routes = rules::merged(provider.routes, drafts, &mut invalid);
    }
    invalid.none_or_all()?;
    Ok(provider)
}
