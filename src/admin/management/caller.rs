//! Who calls the management API, and may they: the boot key, or a key of the gateway with its role.

use super::answer::Refusal;
use super::path::Space;
use crate::admin::AdminState;
use crate::auth::credential::presented_key;
use crate::auth::digest::digest;
use crate::domain::{Key, KeyId, Role};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

#[derive(Clone)]
pub(in crate::admin) enum Caller {
    /// A secret of the listener: manages everything, has nothing of its own.
    Boot,
    Key(Arc<Key>),
}

impl Caller {
    pub(in crate::admin) fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Boot => None,
            Self::Key(key) => Some(key.id),
        }
    }
    fn is_admin(&self) -> bool {
        match self {
            Self::Boot => true,
            Self::Key(key) => key.role() == Role::Admin,
        }
    }

    fn of(state: &AdminState, headers: &HeaderMap) -> Result<Self, Refusal> {
        let presented = presented_key(headers).ok_or_else(Refusal::no_key)?;
        if state.access.accepts(presented) {
            return Ok(Self::Boot);
        }
        let now = state.clock.now();
        let snapshot = state.snapshot.load();
        let key = snapshot.key(&digest(presented)).filter(|key| !key.revoked);
        let key = key.filter(|key| key.expires_at().is_none_or(|end| now < end));
        key.map(|key| Self::Key(Arc::clone(key))).ok_or_else(Refusal::bad_key)
    }
}

/// Lets nobody past who is not known, and nobody but admins to `/admin`.
pub(super) async fn require(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    let space = Space::of(request.uri().path());
    if space != Space::Other {
        match Caller::of(&state, request.headers()) {
            Ok(caller) if space == Space::User || caller.is_admin() => {
                request.extensions_mut().insert(caller);
            }
            Ok(_) => return Refusal::not_admin().into_response(),
            Err(refusal) => return refusal.into_response(),
        }
    }
    next.run(request).await
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(Refusal::no_key)
    }
}

/// The key of the caller, for what a key has of its own.
pub(in crate::admin) struct Own(pub(in crate::admin) Arc<Key>);

impl<S: Sync> FromRequestParts<S> for Own {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Key(key) => Ok(Self(key)),
            Caller::Boot => Err(Refusal::boot_key()),
        }
    }
}
