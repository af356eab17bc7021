//! What a request becomes that was admitted and never ended by itself. One rule for both ways that happens.

use crate::domain::{Event, EventFlag, UnixMillis, UsageSource};

/// Status of an event whose client never got one.
pub const NO_STATUS: u16 = 499;

/// Why nobody ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Its task was dropped or panicked; this process books it.
    Dropped,
    /// Its process died; the next one books it from the journal.
    Killed,
}

/// The event of a request that was last seen as `event`, ended at `at`: aborted, at the cost known so far.
pub fn abandoned(mut event: Event, at: UnixMillis, loss: Loss) -> Event {
    let ended = at.max(event.created_at);
    let lasted = u64::try_from(ended.since(event.created_at).as_millis()).unwrap_or(u64::MAX);
    event.latency_ms = event.latency_ms.max(lasted);
    event.created_at = ended;
    if event.status == 0 {
        event.status = NO_STATUS;
    }
    mark(&mut event, EventFlag::Aborted);
    if loss == Loss::Killed {
        mark(&mut event, EventFlag::Recovered);
    }
    mark_estimate(&mut event);
    event
}

/// A bill that no provider reported was counted here, and says so.
pub(super) fn mark_estimate(event: &mut Event) {
    let counted_here = match event.usage.source {
        UsageSource::Estimated => true,
        UsageSource::None => !event.cost.is_zero() && !event.has(EventFlag::Cached),
        UsageSource::Upstream | UsageSource::Partial => false,
    };
    if counted_here {
        mark(event, EventFlag::Estimated);
    }
}

pub(super) fn mark(event: &mut Event, flag: EventFlag) {
    if !event.has(flag) {
        event.flags.push(flag);
    }
}
