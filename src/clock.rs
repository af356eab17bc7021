//! The wall clock, and the offset that tests of month ends may put on it.

use crate::domain::UnixMillis;
use crate::domain::time::Clock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The system's time plus a fixed offset, zero outside of tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    offset_seconds: i64,
}

impl SystemClock {
    pub const fn with_offset(offset_seconds: i64) -> Self {
        Self { offset_seconds }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock port's real implementation")]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(self.offset_seconds * 1000))
    }
}
