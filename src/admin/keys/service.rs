//! Creating, changing, deleting and finding keys. Keeps the rules that need the store; no HTTP, no JSON.

use super::rules::{self, Checked, Draft, Purpose, Settings};
use crate::admin::AdminState;
use crate::admin::fields::{Invalid, wanted_keys};
use crate::auth::digest::{digest, hint};
use crate::domain::{Key, KeyId, SettingId, UnixMillis};
use crate::store::{KeyFilter, Order, Page, Paging, StoreError};
use std::collections::HashSet;
use uuid::Uuid;

/// Attempts of a change against others who change the same key.
pub(super) const ATTEMPTS: usize = 5;

#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such key")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DuplicateKey => Self::Invalid(Invalid::one("key", "is in use already")),
            StoreError::NotFound => Self::Unknown,
            other => Self::Store(other),
        }
    }
}

/// Which keys to find; empty parts do not filter.
#[derive(Default)]
pub(super) struct Search {
    pub(super) tags: Vec<String>,
    pub(super) ids: Vec<String>,
    pub(super) provider: Option<String>,
    pub(super) name: Option<String>,
    pub(super) revoked: Option<bool>,
    pub(super) order: Order,
    pub(super) paging: Paging,
}

pub(super) async fn create(state: &AdminState, draft: Draft) -> Result<Key, KeyError> {
    let checked = rules::check(draft, Purpose::Creation)?;
    settings_exist(state, checked.settings.as_ref()).await?;
    let key = fresh(&checked, state.clock.now());
    state.store.insert_key(&key).await?;
    state.show_change().await;
    tracing::info!(key.id = %key.id, "key created");
    Ok(key)
}

pub(super) async fn change(state: &AdminState, id: &str, draft: Draft) -> Result<Key, KeyError> {
    let id = KeyId::parse(id).ok_or(KeyError::Unknown)?;
    let before = state.store.key(id).await?.ok_or(KeyError::Unknown)?;
    let checked = rules::check(draft, Purpose::Change)?;
    settings_exist(state, checked.settings.as_ref()).await?;
    Ok(rewrite(state, before, |key| amend(key, &checked)).await?)
}

/// Writes what `edit` makes of a key that was just read; when others were faster, of what they made of it. Requests see
/// it when this returns.
pub(super) async fn rewrite(state: &AdminState, mut before: Key, edit: impl Fn(&mut Key)) -> Result<Key, StoreError> {
    let id = before.id;
    let mut attempt = 1;
    loop {
        let mut after = before.clone();
        edit(&mut after);
        // A clock that was set back must not make a key look older than it was.
        after.updated_at = state.clock.now().max(before.updated_at);
        match state.store.update_key(&after).await {
            Ok(()) => {
                forget_counts(state, &before, &after).await;
                state.show_change().await;
                tracing::info!(key.id = %id, "key changed");
                return Ok(after);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        before = state.store.key(id).await?.ok_or(StoreError::NotFound)?;
    }
}

pub(super) async fn remove(state: &AdminState, id: &str) -> Result<(), KeyError> {
    let id = KeyId::parse(id).ok_or(KeyError::Unknown)?;
    state.store.delete_key(id).await?;
    state.show_change().await;
    tracing::info!(key.id = %id, "key deleted");
    Ok(())
}

pub(super) async fn find(state: &AdminState, search: Search) -> Result<Page<Key>, StoreError> {
    let Some(ids) = wanted_keys(&search.ids) else {
        return Ok(Page { rows: Vec::new(), count: 0 });
    };
    let filter = KeyFilter {
        tags: search.tags,
        ids: (!ids.is_empty()).then_some(ids),
        provider: search.provider,
        name: search.name,
        revoked: search.revoked,
        order: search.order,
        paging: search.paging,
        ..KeyFilter::default()
    };
    state.store.list_keys(&filter).await
}

fn fresh(checked: &Checked, now: UnixMillis) -> Key {
    let raw = checked.draft.key.as_ref().map(|key| key.expose()).unwrap_or_default();
    let mut key = blank(raw, now);
    key.ttl = checked.draft.ttl.as_deref().unwrap_or_default().into();
    key.is_key_not_hashed = checked.draft.is_key_not_hashed.unwrap_or(false);
    checked.apply(&mut key);
    key
}

/// A key that has nothing but its secret.
pub(super) fn blank(raw: &str, now: UnixMillis) -> Key {
    Key {
        id: KeyId::from_uuid(Uuid::new_v4()),
        number: 0,
        revision: 0,
        digest: digest(raw.as_bytes()),
        hint: hint(raw).into(),
        name: "".into(),
        tags: Box::default(),
        created_at: now,
        updated_at: now,
        revoked: false,
        revoked_reason: "".into(),
        single_setting: false,
        setting_ids: Box::default(),
        rotation: false,
        allowed_paths: Box::default(),
        ttl: "".into(),
        rate: None,
        total_budget: None,
        window_budget: None,
        budget_mode: None,
        log_request: false,
        log_response: false,
        policy_id: "".into(),
        is_key_not_hashed: false,
        membership: None,
    }
}

fn amend(key: &mut Key, checked: &Checked) {
    checked.apply(key);
    // `true` does nothing: what is stored is the digest either way.
    key.is_key_not_hashed &= checked.draft.is_key_not_hashed != Some(false);
}

/// Only a limit that really changed starts to count anew.
///
/// Before requests see the new limit: what they take under the old one in between counts against the new one,
/// so that no window admits more than its limit because of the order.
async fn forget_counts(state: &AdminState, before: &Key, after: &Key) {
    if before.rate != after.rate {
        state.counters.reset_rate(after.id).await;
    }
    if before.window_budget != after.window_budget {
        state.counters.reset_window_budget(after.id).await;
    }
}

async fn settings_exist(state: &AdminState, settings: Option<&Settings>) -> Result<(), KeyError> {
    let Some(settings) = settings else { return Ok(()) };
    let known = state.store.list_settings(Some(&settings.ids)).await?;
    let known: HashSet<SettingId> = known.iter().map(|setting| setting.id).collect();
    let mut invalid = Invalid::default();
    for (n, _) in settings.ids.iter().enumerate().filter(|(_, id)| !known.contains(id)) {
        invalid.add(&settings.field(n), "does not exist");
    }
    Ok(invalid.none_or_all()?)
}
