//! What can go wrong with a call, as far as callers decide on it.

use redis::{ErrorKind, RedisError};
use std::sync::Arc;

/// Longest text of a server that is passed on, in characters.
const MOST_TEXT: usize = 200;

/// Codes of a server that serves nobody now, whatever it is asked: it has done nothing.
const OUTAGES: [&str; 14] = [
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "NOAUTH",
    "WRONGPASS",
    "UNBLOCKED",
];

/// None of them contains a key, a value or a credential of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// Nothing was done: the call was not sent, or the server serves nobody now.
    #[error("Redis is not available: {why}")]
    Down { why: Arc<str> },
    /// It was sent, and its answer did not come. Whether it was done is not known, nor whether it will be.
    #[error("Redis did not answer: {why}")]
    Lost { why: Arc<str> },
    /// The server serves, and refuses this call.
    #[error("Redis refuses: {why}")]
    Refused { why: Arc<str> },
}

impl LinkError {
    pub(super) fn lost(why: impl Into<Arc<str>>) -> Self {
        Self::Lost { why: why.into() }
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            _ if is_refusal(&error) => Self::Refused { why: told(&error) },
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Down { why: told(&error) },
            ErrorKind::AuthenticationFailed => Self::Down { why: "it refuses the user or the password".into() },
            ErrorKind::ClusterConnectionNotFound => Self::Down { why: "a node of the cluster is not connected".into() },
            ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => Self::Down { why: told(&error) },
            _ => Self::Lost { why: told(&error) },
        }
    }
}

/// Under which code the server serves nobody.
fn outage(error: &RedisError) -> Option<&'static str> {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    // Before version 7, what a command of a script met is in the text of another error.
    OUTAGES.into_iter().find(|known| code == *known || detail.contains(&format!("-{known} ")))
}

/// The server serves, and refuses this call.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && outage(error).is_none()
}

pub(super) fn unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// As text of one line, cut.
fn told(error: &RedisError) -> Arc<str> {
    let text = match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
        }
        _ => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_TEXT).collect::<String>().trim().into()
}
