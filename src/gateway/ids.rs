//! The one place where event ids are made.

use crate::domain::{EventId, UnixMillis};
use uuid::Uuid;

/// A fresh UUID v7 whose time is the gateway's clock.
pub(super) fn event_id(now: UnixMillis) -> EventId {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let mut random = [0u8; 10];
    // Version and variant bits are set by the builder; the rest of a v4 is random.
    let source = Uuid::new_v4();
    for (to, from) in random.iter_mut().zip(source.as_bytes().iter().skip(9).chain(source.as_bytes().iter().take(3))) {
        *to = *from;
    }
    EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_carry_the_time_and_never_repeat() {
        let now = UnixMillis(1_700_000_000_123);
        assert_eq!(event_id(now).made_at_millis(), Some(now.0));
        let many: HashSet<_> = (0..100_000).map(|_| event_id(now)).collect();
        assert_eq!(many.len(), 100_000);
    }
}
