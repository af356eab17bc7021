//! Keys as the users of the unified API: name, role, group, quota and balance. Keeps the rules; no HTTP, no JSON.

use super::issue;
use super::service::{ATTEMPTS, blank, rewrite};
use crate::admin::AdminState;
use crate::auth::digest::{digest, hint};
use crate::domain::{GroupId, Key, KeyId, Money, Role, Secret};
use crate::store::{Books, KeyFilter, Page, Paging, StoreError};
use ring::rand::SystemRandom;
use std::collections::HashMap;

/// How often a new secret is drawn when the one before is in use, which has never happened yet.
const DRAWS: usize = 10;
/// Stored with a key that was deleted but for its history.
const DELETED: &str = "deleted";

#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    #[error("there is no such key")]
    Unknown,
    #[error("there is no such group")]
    UnknownGroup,
    #[error("nobody would be left to manage the gateway")]
    LastAdmin,
    #[error("the key is the caller's own")]
    OwnKey,
    #[error("the operating system gives no randomness")]
    NoRandomness,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for MemberError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Unknown,
            other => Self::Store(other),
        }
    }
}

/// A key and what the ledger says about it.
pub(super) struct Member {
    pub(super) key: Key,
    pub(super) books: Books,
}

/// What is to be set; the rest stays, or is as with a new key.
#[derive(Default)]
pub(super) struct Profile {
    pub(super) name: Option<Box<str>>,
    pub(super) email: Option<Option<Box<str>>>,
    pub(super) role: Option<Role>,
    pub(super) group: Option<Option<GroupId>>,
    pub(super) quota: Option<Money>,
}

/// By what a caller names a key.
pub(super) enum Which {
    Number(i64),
    Secret(Secret),
}

/// Makes a key that is asked for its quota from the start, and pays `balance` in. The only time its secret is known.
pub(super) async fn create(
    state: &AdminState,
    profile: Profile,
    balance: Money,
) -> Result<(Member, Secret), MemberError> {
    group_exists(state, &profile).await?;
    let profile = Profile { quota: Some(profile.quota.unwrap_or_default()), ..profile };
    let (id, secret) = insert(state, &profile).await?;
    let paid = pay_in(state, id, balance).await;
    // Read again: the store has chosen the number.
    let key = match (paid, state.store.key(id).await) {
        (Ok(()), Ok(key)) => key.ok_or(MemberError::Unknown)?,
        (Err(error), _) | (_, Err(error)) => {
            // Nobody will ever learn its secret.
            state.store.delete_key(id).await?;
            return Err(error.into());
        }
    };
    state.show_change().await;
    tracing::info!(key.id = %id, "key created");
    Ok((with_books(state, key).await?, secret))
}

async fn insert(state: &AdminState, profile: &Profile) -> Result<(KeyId, Secret), MemberError> {
    let random = SystemRandom::new();
    let mut draws = 1;
    loop {
        let secret = issue::secret(&random).map_err(|_| MemberError::NoRandomness)?;
        let mut key = blank(secret.expose(), state.clock.now());
        profile.apply(&mut key);
        match state.store.insert_key(&key).await {
            Ok(()) => return Ok((key.id, secret)),
            Err(StoreError::DuplicateKey) if draws < DRAWS => draws += 1,
            // It went since it was looked for.
            Err(StoreError::NotFound) => return Err(MemberError::UnknownGroup),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn pay_in(state: &AdminState, id: KeyId, amount: Money) -> Result<(), StoreError> {
    if amount > Money::ZERO {
        state.store.credit(id, amount).await?;
        state.counters.credit(id, amount).await;
    }
    Ok(())
}

pub(super) async fn change(state: &AdminState, number: i64, profile: Profile) -> Result<Member, MemberError> {
    let before = numbered(state, number).await?;
    group_exists(state, &profile).await?;
    let resigns = before.role() == Role::Admin && profile.role == Some(Role::User);
    if resigns && !before.revoked && !is_another_admin(state, &before).await? {
        return Err(MemberError::LastAdmin);
    }
    let key = rewrite(state, before, |key| profile.apply(key)).await?;
    with_books(state, key).await
}

/// Two admins who demote each other at one moment can get past this; the boot key is the way back.
async fn is_another_admin(state: &AdminState, besides: &Key) -> Result<bool, StoreError> {
    let filter = KeyFilter {
        role: Some(Role::Admin),
        revoked: Some(false),
        paging: Paging { limit: 2, ..Paging::default() },
        ..KeyFilter::default()
    };
    let admins = state.store.list_keys(&filter).await?;
    Ok(admins.rows.iter().any(|key| key.id != besides.id))
}

/// Gives the key a new secret; the old one is dead when this returns. Everything else stays.
pub(super) async fn replace_secret(state: &AdminState, which: Which) -> Result<(Member, Secret), MemberError> {
    let id = find(state, which).await?.id;
    let random = SystemRandom::new();
    let mut attempt = 1;
    let secret = loop {
        let key = state.store.key(id).await?.ok_or(MemberError::Unknown)?;
        let secret = issue::secret(&random).map_err(|_| MemberError::NoRandomness)?;
        let (digest, hint) = (digest(secret.expose().as_bytes()), hint(secret.expose()));
        let at = state.clock.now().max(key.updated_at);
        match state.store.replace_digest(id, key.revision, digest, &hint, at).await {
            Ok(()) => break secret,
            Err(StoreError::Conflict | StoreError::DuplicateKey) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    };
    state.show_change().await;
    tracing::info!(key.id = %id, "secret of a key replaced");
    let key = state.store.key(id).await?.ok_or(MemberError::Unknown)?;
    Ok((with_books(state, key).await?, secret))
}

/// `keep_history`: the key is revoked only. Never the `caller`'s own key.
pub(super) async fn remove(
    state: &AdminState,
    which: Which,
    keep_history: bool,
    caller: Option<KeyId>,
) -> Result<(), MemberError> {
    let key = find(state, which).await?;
    if caller == Some(key.id) {
        return Err(MemberError::OwnKey);
    }
    let id = key.id;
    if keep_history {
        let revoke = |key: &mut Key| {
            key.revoked = true;
            key.revoked_reason = DELETED.into();
        };
        rewrite(state, key, revoke).await?;
        return Ok(());
    }
    state.store.delete_key(id).await?;
    state.show_change().await;
    tracing::info!(key.id = %id, "key deleted");
    Ok(())
}

pub(super) async fn member(state: &AdminState, number: i64) -> Result<Member, MemberError> {
    let key = numbered(state, number).await?;
    with_books(state, key).await
}

pub(super) async fn members(state: &AdminState, filter: &KeyFilter) -> Result<Page<Member>, StoreError> {
    let page = state.store.list_keys(filter).await?;
    let ids: Vec<KeyId> = page.rows.iter().map(|key| key.id).collect();
    let books: HashMap<KeyId, Books> = state.store.books(&ids).await?.into_iter().collect();
    let member = |key: Key| Member { books: books.get(&key.id).copied().unwrap_or_default(), key };
    Ok(Page { rows: page.rows.into_iter().map(member).collect(), count: page.count })
}

pub(super) async fn numbered(state: &AdminState, number: i64) -> Result<Key, MemberError> {
    state.store.key_numbered(number).await?.ok_or(MemberError::Unknown)
}

async fn find(state: &AdminState, which: Which) -> Result<Key, MemberError> {
    match which {
        Which::Number(number) => numbered(state, number).await,
        Which::Secret(secret) => {
            let found = state.store.key_with_digest(&digest(secret.expose().as_bytes())).await?;
            found.ok_or(MemberError::Unknown)
        }
    }
}

async fn with_books(state: &AdminState, key: Key) -> Result<Member, MemberError> {
    let books = state.store.books(&[key.id]).await?;
    let books = books.into_iter().find(|(id, _)| *id == key.id).map(|(_, books)| books).unwrap_or_default();
    Ok(Member { key, books })
}

async fn group_exists(state: &AdminState, profile: &Profile) -> Result<(), MemberError> {
    let Some(Some(group)) = profile.group else { return Ok(()) };
    state.store.group(group).await?.map(drop).ok_or(MemberError::UnknownGroup)
}

impl Profile {
    /// A key that no part of it concerns is not made a member.
    fn apply(&self, key: &mut Key) {
        if let Some(name) = &self.name {
            key.name.clone_from(name);
        }
        if let Some(email) = &self.email {
            key.member().email.clone_from(email);
        }
        if let Some(role) = self.role {
            key.member().role = role;
        }
        if let Some(group) = self.group {
            key.member().group = group;
        }
        if let Some(quota) = self.quota {
            key.member().quota = Some(quota);
        }
    }
}
