//! A running gateway and what tests do with it.

mod call;
mod fleet;
mod gateway;

pub use call::{chat, chat_body, stream_body};
pub use fleet::{BOOT, Fleet, MASTER_KEY, Node, Plan, Told, servers, units};
pub use gateway::{Gateway, Setup};

use std::time::Duration;

/// How long a condition may take to come true before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition; panics with `what` when it never comes true.
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
