//! Who keeps answers: [`MemoryCache`] fills the port [`crate::routing::ResponseCache`] in this process's memory.
//!
//! Nothing depends on an answer being there: a restart forgets all of them.

mod memory;

pub use memory::{CacheLimits, MemoryCache};
