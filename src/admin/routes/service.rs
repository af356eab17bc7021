//! Creating, changing, deleting and finding routes. No HTTP, no JSON.

use super::format::Formats;
use super::owners;
use super::rules::{self, CacheDraft};
use super::steps::{self, StepDraft};
use super::upstreams::{Named, Upstreams};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::domain::{RequestFormat, RetryStrategy, Route, RouteCache, RouteId};
use crate::store::StoreError;
use uuid::Uuid;

/// Attempts of a change against others who change the same route.
const ATTEMPTS: usize = 5;

/// A route as somebody wants it.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) path: Option<String>,
    pub(super) key_ids: Option<Vec<String>>,
    pub(super) steps: Option<Vec<StepDraft>>,
    pub(super) cache: Option<CacheDraft>,
    pub(super) retry_strategy: Option<String>,
    pub(super) request_format: Option<String>,
}

/// What a draft means by leaving something out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// As with a new route: a default, or a mistake.
    New,
    Unchanged,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such route")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RouteError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            StoreError::DuplicateName => Self::Invalid(Invalid::one("path", TAKEN)),
            other => Self::Store(other),
        }
    }
}

const TAKEN: &str = "is the path of another route";

pub(super) async fn create(state: &AdminState, draft: &Draft) -> Result<Route, RouteError> {
    let now = state.clock.now();
    let blank = Route {
        id: RouteId::from_uuid(Uuid::new_v4()),
        revision: 0,
        name: "".into(),
        path: "".into(),
        created_at: now,
        updated_at: now,
        key_ids: Vec::new(),
        steps: Vec::new(),
        cache: RouteCache::default(),
        retry_strategy: RetryStrategy::Unset,
        request_format: RequestFormat::Chat,
    };
    let route = changed(state, blank, draft, Absent::New).await?;
    state.store.insert_route(&route).await?;
    state.show_change().await;
    tracing::info!(route.id = %route.id, path = &*route.path, "route created");
    Ok(route)
}

pub(super) async fn change(state: &AdminState, id: &str, draft: &Draft, absent: Absent) -> Result<Route, RouteError> {
    let id = RouteId::parse(id).ok_or(RouteError::Unknown)?;
    let mut attempt = 1;
    loop {
        let before = state.store.route(id).await?.ok_or(RouteError::Unknown)?;
        let mut after = changed(state, before, draft, absent).await?;
        // A clock that was set back must not make a route look older than it was.
        after.updated_at = state.clock.now().max(after.updated_at);
        match state.store.update_route(&after).await {
            Ok(()) => {
                state.show_change().await;
                tracing::info!(route.id = %id, path = &*after.path, "route changed");
                return Ok(after);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn remove(state: &AdminState, id: &str) -> Result<(), RouteError> {
    let id = RouteId::parse(id).ok_or(RouteError::Unknown)?;
    state.store.delete_route(id).await?;
    state.show_change().await;
    tracing::info!(route.id = %id, "route deleted");
    Ok(())
}

pub(super) async fn find(state: &AdminState, id: &str) -> Result<Route, RouteError> {
    let id = RouteId::parse(id).ok_or(RouteError::Unknown)?;
    state.store.route(id).await?.ok_or(RouteError::Unknown)
}

pub(super) async fn list(state: &AdminState) -> Result<Vec<Route>, StoreError> {
    state.store.list_routes().await
}

/// The route with the draft over it. What the draft leaves unchanged is not judged again: what it refers to may be gone
/// since.
async fn changed(state: &AdminState, mut route: Route, draft: &Draft, absent: Absent) -> Result<Route, RouteError> {
    let mut invalid = Invalid::default();
    let new = absent == Absent::New;
    if new || draft.name.is_some() {
        route.name = rules::name(draft.name.as_deref().unwrap_or_default(), &mut invalid);
    }
    if new || draft.path.is_some() {
        route.path = rules::path(draft.path.as_deref().unwrap_or_default(), &mut invalid);
        // Asked before the write too, so that all mistakes are told at once.
        if list(state).await?.iter().any(|other| other.path == route.path && other.id != route.id) {
            invalid.add("path", TAKEN);
        }
    }
    if new || draft.cache.is_some() {
        route.cache = rules::cache(draft.cache.as_ref(), &mut invalid);
    }
    if new || draft.retry_strategy.is_some() {
        let given = draft.retry_strategy.as_deref().unwrap_or_default();
        route.retry_strategy = rules::retry_strategy(given, &mut invalid);
    }
    if new || draft.steps.is_some() || draft.key_ids.is_some() || draft.request_format.is_some() {
        put_together(state, &mut route, draft, absent, &mut invalid).await?;
    }
    invalid.none_or_all()?;
    Ok(route)
}

/// What must fit together: steps, what they make of the route, and the keys that call them.
async fn put_together(
    state: &AdminState,
    route: &mut Route,
    draft: &Draft,
    absent: Absent,
    invalid: &mut Invalid,
) -> Result<(), StoreError> {
    let new = absent == Absent::New;
    let (new_steps, new_keys) = (new || draft.steps.is_some(), new || draft.key_ids.is_some());
    let drafts = draft.steps.as_deref().unwrap_or_default();
    let named: Vec<Named<'_>> = if new_steps {
        drafts.iter().take(steps::MOST).map(Named::from).collect()
    } else {
        route.steps.iter().map(Named::from).collect()
    };
    let upstreams = Upstreams::of(state, &named).await?;
    if new_steps {
        route.steps = steps::checked(drafts, &upstreams, invalid);
    }
    if new_steps || draft.request_format.is_some() {
        let said = rules::said_format(draft.request_format.as_deref());
        let otherwise = if new { RequestFormat::Chat } else { route.request_format };
        route.request_format = Formats::new(state, &upstreams, said).of(&route.steps, otherwise, invalid);
    }
    let stayed = route.key_ids.clone();
    if new_keys {
        route.key_ids = owners::parsed(draft.key_ids.as_deref().unwrap_or_default(), invalid);
    }
    if new_steps || new_keys {
        let needed = owners::needed(&route.steps, &upstreams);
        owners::check(state, &route.key_ids, &stayed, &needed, invalid).await?;
    }
    Ok(())
}
