//! The last settlements of a shard, so that a second one of the same event is seen and not counted.
//!
//! A hold's presence already proves the first settlement of a request that holds money. This covers the rest
//! (keys without a budget, holds that expired) in bounded memory.

use crate::domain::EventId;
use std::collections::{HashSet, VecDeque};

/// Events remembered per shard: about 64 thousand over all shards, 4 MiB when full.
const CAPACITY: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct RecentlySettled {
    order: VecDeque<EventId>,
    known: HashSet<EventId>,
}

impl RecentlySettled {
    /// Whether this is the first settlement of the event, as far as remembered.
    pub(super) fn first(&mut self, event: EventId) -> bool {
        if !self.known.insert(event) {
            return false;
        }
        if self.order.len() >= CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(event);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn memory_stays_bounded_and_the_latest_are_known() {
        let id = |n: usize| EventId::from_uuid(Uuid::from_u128(n as u128));
        let mut recent = RecentlySettled::default();
        for n in 0..10 * CAPACITY {
            assert!(recent.first(id(n)));
        }
        assert_eq!((recent.order.len(), recent.known.len()), (CAPACITY, CAPACITY));
        for n in 9 * CAPACITY..10 * CAPACITY {
            assert!(!recent.first(id(n)), "{n}");
        }
    }
}
