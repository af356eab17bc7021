//! The one decision after a failed try: the same step again, the next one, or the error is the answer.
//!
//! It is asked before the first byte of an answer has gone to the client, and never after.

use super::Pauses;
use std::time::Duration;

/// Why a try has no answer that the client should see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection.
    Connect,
    /// Nothing, or not all of what was due, in time.
    Timeout,
    /// The connection ended before the answer did.
    Broken,
    /// A stream that ended, or told of an error, before its first output.
    Truncated,
    /// The upstream's own refusal.
    Status(u16),
    /// The request cannot be made for this upstream: no credential, or no words for what is asked.
    Unfit,
    /// The client left: whatever is done would be done for nobody.
    ClientGone,
    /// The request itself broke a rule while it was sent on.
    Refused,
}

impl Failure {
    /// For events and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Truncated => "truncated",
            Self::Status(401 | 403) => "credential",
            Self::Status(408) => "request_timeout",
            Self::Status(429) => "throttled",
            Self::Status(500..=599) => "server_error",
            Self::Status(_) => "refused",
            Self::Unfit => "unfit",
            Self::ClientGone => "client_gone",
            Self::Refused => "rule",
        }
    }

    /// Whether asking the same upstream once more may help. Of statuses: request timeout, conflict, failed dependency,
    /// too many requests, and the server's own faults.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Connect | Self::Timeout | Self::Broken | Self::Truncated => true,
            Self::Status(status) => matches!(status, 408 | 409 | 424 | 429 | 500..=599),
            Self::Unfit | Self::ClientGone | Self::Refused => false,
        }
    }

    /// The upstream or its credential is at fault, not what was asked: enough of these and it is set aside.
    pub const fn tells_of_ill_health(self) -> bool {
        match self {
            Self::Connect | Self::Timeout | Self::Broken | Self::Truncated => true,
            Self::Status(status) => matches!(status, 401 | 403 | 408 | 429 | 500..=599),
            Self::Unfit | Self::ClientGone | Self::Refused => false,
        }
    }
}

/// Where a request stands when a try has failed.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Tries of this step so far, the failed one included.
    pub made: u32,
    /// Further tries after the first.
    pub retries: u32,
    /// There is a credential or region of this step that was not asked yet.
    pub fresh: bool,
    pub pauses: Pauses,
    /// What the upstream asked for (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// To the request's deadline.
    pub left: Duration,
    /// Any number, the same for all tries of a request.
    pub chance: u64,
}

/// What is done after a failed try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// The same step, after a pause.
    Again(Duration),
    /// The next step, if there is one. `elsewhere`: another provider, because this one would say the same.
    Onward { elsewhere: bool },
    /// The failure is what the client sees.
    Stop,
}

/// What is done after `failure`.
pub fn next(failure: Failure, at: &Position) -> Course {
    match failure {
        Failure::ClientGone | Failure::Refused => return Course::Stop,
        // What was asked for is what is refused: another provider may know more, the same one will not change its mind.
        Failure::Status(400 | 413 | 422) => return Course::Onward { elsewhere: true },
        _ => {}
    }
    let again = if at.made > at.retries {
        None
    } else if at.fresh && (failure.may_pass() || matches!(failure, Failure::Status(401 | 403))) {
        // Another credential or region is not worn out: it is asked at once.
        Some(Duration::ZERO)
    } else if failure.may_pass() {
        let own = at.pauses.before(at.made, at.chance);
        match at.retry_after {
            Some(asked) => at.pauses.asked(asked).map(|asked| asked.max(own)),
            None => Some(own),
        }
    } else {
        None
    };
    match again.filter(|pause| *pause < at.left) {
        Some(pause) => Course::Again(pause),
        None if at.left.is_zero() => Course::Stop,
        None => Course::Onward { elsewhere: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position {
        made: 1,
        retries: 1,
        fresh: false,
        pauses: Pauses::ROW,
        retry_after: None,
        left: Duration::from_secs(60),
        chance: 7,
    };

    fn again(failure: Failure, at: Position) -> bool {
        matches!(next(failure, &at), Course::Again(_))
    }

    #[test]
    fn what_may_pass_is_tried_again_as_often_as_the_step_says() {
        for failure in [
            Failure::Connect,
            Failure::Timeout,
            Failure::Broken,
            Failure::Truncated,
            Failure::Status(408),
            Failure::Status(409),
            Failure::Status(429),
            Failure::Status(500),
            Failure::Status(503),
            Failure::Status(529),
        ] {
            for (made, expect) in [(1, true), (2, true), (3, false), (u32::MAX, false)] {
                assert_eq!(again(failure, Position { made, retries: 2, ..AT }), expect, "{failure:?} {made}");
            }
            assert_eq!(next(failure, &Position { retries: 0, ..AT }), Course::Onward { elsewhere: false });
        }
    }

    #[test]
    fn c146_what_was_asked_wrongly_is_asked_of_another_provider_only() {
        for status in [400, 413, 422] {
            assert_eq!(next(Failure::Status(status), &AT), Course::Onward { elsewhere: true }, "{status}");
        }
        for status in [401, 402, 403, 404, 405, 410, 418, 451] {
            assert_eq!(next(Failure::Status(status), &AT), Course::Onward { elsewhere: false }, "{status}");
        }
        assert_eq!(next(Failure::Unfit, &AT), Course::Onward { elsewhere: false });
    }

    #[test]
    fn nothing_is_tried_for_nobody_or_against_a_rule() {
        for failure in [Failure::ClientGone, Failure::Refused] {
            assert_eq!(next(failure, &Position { fresh: true, retries: 9, ..AT }), Course::Stop);
        }
    }

    #[test]
    fn a_fresh_credential_is_asked_at_once_and_a_refused_one_not_again() {
        let fresh = Position { fresh: true, ..AT };
        assert_eq!(next(Failure::Status(429), &fresh), Course::Again(Duration::ZERO));
        assert_eq!(next(Failure::Status(403), &fresh), Course::Again(Duration::ZERO));
        assert_eq!(next(Failure::Status(403), &AT), Course::Onward { elsewhere: false });
        assert_eq!(next(Failure::Status(404), &fresh), Course::Onward { elsewhere: false });
        assert!(!again(Failure::Status(403), Position { made: 2, ..fresh }), "no tries are left");
    }

    #[test]
    fn retry_after_is_honoured_when_it_fits() {
        let asked = |seconds| Position { retry_after: Some(Duration::from_secs(seconds)), ..AT };
        assert_eq!(next(Failure::Status(429), &asked(3)), Course::Again(Duration::from_secs(3)));
        assert_eq!(
            next(Failure::Status(429), &asked(6)),
            Course::Onward { elsewhere: false },
            "too long for its pauses"
        );
        let short = Position { left: Duration::from_secs(2), ..asked(3) };
        assert_eq!(
            next(Failure::Status(429), &short),
            Course::Onward { elsewhere: false },
            "too long for the deadline"
        );
        let Course::Again(pause) = next(Failure::Status(429), &asked(0)) else { panic!() };
        assert!(!pause.is_zero(), "our own pause stands");
    }

    #[test]
    fn time_that_is_up_is_up() {
        let over = Position { left: Duration::ZERO, ..AT };
        assert_eq!(next(Failure::Timeout, &over), Course::Stop);
    }
}
