//! Kept answers: what one is, and whoever keeps them.

use crate::domain::{UnixMillis, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// What makes two requests the same: SHA-256 over route, caller and body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The form of a kept answer. A request is asked for without it, so that one form can be made of the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnswerForm {
    Whole,
    Stream,
}

impl AnswerForm {
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Whole => Self::Stream,
            Self::Stream => Self::Whole,
        }
    }
}

/// An answer with status 200, as the client got it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CachedAnswer {
    pub form: AnswerForm,
    pub content_type: Box<str>,
    pub body: Bytes,
    /// What made it.
    pub provider: Box<str>,
    pub model: Box<str>,
    /// Of the route, from 1.
    pub step: u16,
    /// What the whole answer told, or would have.
    pub usage: Usage,
    pub stored_at: UnixMillis,
    pub expires_at: UnixMillis,
}

/// Answers by request. Loses what it must: nothing depends on an answer being there.
#[async_trait]
pub trait ResponseCache: Send + Sync + fmt::Debug {
    /// The answer in this form, else in the other one; `None` also for what has expired, or cannot be had now.
    async fn get(&self, key: &CacheKey, form: AnswerForm, now: UnixMillis) -> Option<Arc<CachedAnswer>>;
    /// Keeps an answer until it expires or there is no room.
    async fn put(&self, key: &CacheKey, answer: Arc<CachedAnswer>);
}
