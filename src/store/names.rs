//! What rows call the members of fixed sets, whatever the engine.

use crate::domain::{RequestFormat, RetryStrategy};

/// `None`, which is stored as NULL, for what was not said.
pub(super) const fn strategy_name(strategy: RetryStrategy) -> Option<&'static str> {
    match strategy {
        RetryStrategy::Unset => None,
        RetryStrategy::Constant => Some("constant"),
        RetryStrategy::Exponential => Some("exponential"),
    }
}

pub(super) fn strategy_named(name: &str) -> Option<RetryStrategy> {
    [RetryStrategy::Constant, RetryStrategy::Exponential].into_iter().find(|s| strategy_name(*s) == Some(name))
}

pub(super) const fn format_name(format: RequestFormat) -> &'static str {
    match format {
        RequestFormat::Chat => "chat",
        RequestFormat::Embeddings => "embeddings",
    }
}

pub(super) fn format_named(name: &str) -> Option<RequestFormat> {
    [RequestFormat::Chat, RequestFormat::Embeddings].into_iter().find(|f| format_name(*f) == name)
}
