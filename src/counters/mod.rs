//! Who keeps the counts: [`MemoryCounters`] fills the port [`crate::limits::Counters`] in this process's memory,
//! [`SharedCounters`] in a Redis that many gateways share.
//!
//! What is counted can always be rebuilt from the store: the `seed_*` calls do that at start, before serving.

mod entry;
mod memory;
mod recent;
mod shared;
#[cfg(test)]
mod tests;

pub use memory::{Footprint, MemoryCounters};
pub use shared::{OnOutage, SharedCounters};
