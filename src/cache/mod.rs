//! Who keeps answers: [`MemoryCache`] fills the port [`crate::routing::ResponseCache`] in this process's memory,
//! [`RedisCache`] in what all gateways share.
//!
//! Nothing depends on an answer being there: a restart forgets all of them.

mod entry;
mod memory;
mod redis;

pub use memory::{CacheLimits, MemoryCache};
pub use redis::RedisCache;
