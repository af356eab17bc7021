//! Creating, changing and deleting groups. Keeps the rules; no HTTP, no JSON.

use crate::admin::AdminState;
use crate::domain::{Group, GroupId};
use crate::store::StoreError;

/// Attempts of a change against others who change the same group.
const ATTEMPTS: usize = 5;
/// Longest name and code, characters.
const LONGEST: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// A field by its name and what is wrong with it.
    #[error("{0}")]
    Invalid(String),
    #[error("{0} already exists")]
    Exists(Box<str>),
    #[error("there is no such group")]
    Unknown,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for GroupError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            other => Self::Store(other),
        }
    }
}

/// What is to be set; the rest stays, or is as with a new group.
pub(super) struct Draft {
    pub(super) name: Option<Box<str>>,
    pub(super) code: Option<Option<Box<str>>>,
}

pub(super) async fn create(state: &AdminState, draft: Draft) -> Result<Group, GroupError> {
    check(&draft)?;
    let Some(name) = draft.name else { return Err(GroupError::Invalid("name is required".into())) };
    let now = state.clock.now();
    let group = Group {
        id: GroupId(0),
        revision: 0,
        name,
        code: draft.code.flatten(),
        models: Box::default(),
        created_at: now,
        updated_at: now,
    };
    let id = state.store.insert_group(&group).await.map_err(|error| named(error, &group))?;
    state.show_change().await;
    tracing::info!(group.id = %id, "group created");
    Ok(Group { id, ..group })
}

pub(super) async fn change(state: &AdminState, id: GroupId, draft: &Draft) -> Result<Group, GroupError> {
    check(draft)?;
    let mut attempt = 1;
    loop {
        let mut group = find(state, id).await?;
        if let Some(name) = &draft.name {
            group.name.clone_from(name);
        }
        if let Some(code) = &draft.code {
            group.code.clone_from(code);
        }
        group.updated_at = state.clock.now().max(group.updated_at);
        match state.store.update_group(&group).await {
            Ok(()) => {
                state.show_change().await;
                tracing::info!(group.id = %id, "group changed");
                return Ok(group);
            }
            Err(StoreError::Conflict) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(named(error, &group)),
        }
    }
}

/// Its keys keep the models that they were granted themselves.
pub(super) async fn remove(state: &AdminState, id: GroupId) -> Result<(), GroupError> {
    state.store.delete_group(id).await?;
    state.show_change().await;
    tracing::info!(group.id = %id, "group deleted");
    Ok(())
}

pub(super) async fn find(state: &AdminState, id: GroupId) -> Result<Group, GroupError> {
    state.store.group(id).await?.ok_or(GroupError::Unknown)
}

fn named(error: StoreError, group: &Group) -> GroupError {
    match error {
        StoreError::DuplicateName => GroupError::Exists(group.name.clone()),
        other => other.into(),
    }
}

fn check(draft: &Draft) -> Result<(), GroupError> {
    for (field, text) in [("name", draft.name.as_ref()), ("key", draft.code.as_ref().and_then(Option::as_ref))] {
        if text.is_some_and(|text| text.chars().count() > LONGEST) {
            return Err(GroupError::Invalid(format!("{field} is longer than {LONGEST} characters")));
        }
        if text.is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(GroupError::Invalid(format!("{field} must not contain control characters")));
        }
    }
    Ok(())
}
