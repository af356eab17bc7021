//! The pause before another try.

use crate::domain::{RetryStrategy, Step};
use std::time::Duration;

/// How pauses grow from try to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pauses {
    first: Duration,
    /// Of the one before, in percent.
    growth: u32,
    /// Drawn around the pause, in percent of it: many who were turned away together do not come back together.
    jitter: u32,
    longest: Duration,
}

/// Where a step says nothing.
const CONSTANT: Duration = Duration::from_secs(1);
const EXPONENTIAL: Duration = Duration::from_millis(500);
/// Whatever is said, and whatever an upstream asks for.
const LONGEST: Duration = Duration::from_secs(60);

impl Pauses {
    /// Between tries of a model row's own credentials and regions.
    pub const ROW: Self =
        Self { first: Duration::from_millis(200), growth: 200, jitter: 33, longest: Duration::from_secs(5) };

    /// As a step of a route has it.
    pub fn of(strategy: RetryStrategy, step: &Step) -> Self {
        match strategy {
            RetryStrategy::Unset | RetryStrategy::Constant => {
                let pause = step.retry_interval.unwrap_or(CONSTANT).min(LONGEST);
                Self { first: pause, growth: 100, jitter: 0, longest: LONGEST }
            }
            RetryStrategy::Exponential => {
                let first = step.retry_interval.unwrap_or(EXPONENTIAL).min(LONGEST);
                Self { first, growth: 150, jitter: 50, longest: LONGEST }
            }
        }
    }

    /// Before the `nth` further try, from 1. `chance` is any number.
    pub fn before(&self, nth: u32, chance: u64) -> Duration {
        let longest = nanos(self.longest);
        let mut pause = nanos(self.first).min(longest);
        for _ in 1..nth.min(64) {
            pause = (pause.saturating_mul(u128::from(self.growth)) / 100).min(longest);
        }
        let reach = pause.saturating_mul(u128::from(self.jitter)) / 100;
        // Other bits for each try.
        let drawn = u128::from(chance.rotate_left(nth.wrapping_mul(7) % 64) % 1001);
        let jittered = pause.saturating_sub(reach).saturating_add(reach.saturating_mul(2).saturating_mul(drawn) / 1000);
        Duration::from_nanos(u64::try_from(jittered.min(longest)).unwrap_or(u64::MAX))
    }

    /// What an upstream asks for, when it is worth waiting for.
    pub fn asked(&self, retry_after: Duration) -> Option<Duration> {
        (retry_after <= self.longest).then_some(retry_after)
    }
}

const fn nanos(duration: Duration) -> u128 {
    duration.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn step(interval: Option<Duration>) -> Step {
        Step {
            provider: "p".into(),
            model: "m".into(),
            retries: 0,
            retry_interval: interval,
            timeout: Duration::from_secs(1),
            first_byte_timeout: None,
            params: BTreeMap::new(),
            request_params: Vec::new(),
            weight: None,
        }
    }

    #[test]
    fn constant_pauses_stay() {
        for strategy in [RetryStrategy::Unset, RetryStrategy::Constant] {
            for nth in 1..20 {
                let of = |interval| Pauses::of(strategy, &step(interval)).before(nth, u64::from(nth) * 77);
                assert_eq!(of(None), Duration::from_secs(1));
                assert_eq!(of(Some(Duration::from_millis(20))), Duration::from_millis(20));
                assert_eq!(of(Some(Duration::from_secs(3600))), LONGEST);
            }
        }
    }

    #[test]
    fn exponential_pauses_grow_by_half_around_their_middle_and_end_somewhere() {
        let pauses = Pauses::of(RetryStrategy::Exponential, &step(None));
        let middle = |nth: i32| 0.5 * 1.5_f64.powi(nth - 1);
        for nth in 1..=8 {
            let drawn: Vec<f64> = (0..2000_u64)
                .map(|n| pauses.before(nth, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).as_secs_f64())
                .collect();
            let expect = middle(i32::try_from(nth).unwrap());
            let mean = drawn.iter().sum::<f64>() / 2000.0;
            assert!((mean / expect - 1.0).abs() < 0.05, "{nth}: {mean} {expect}");
            assert!(drawn.iter().all(|d| *d >= expect * 0.499 && *d <= expect * 1.501), "{nth}");
            assert!(drawn.iter().any(|d| *d < expect * 0.6) && drawn.iter().any(|d| *d > expect * 1.4), "{nth}");
        }
        assert!((0..1000).all(|n| pauses.before(u32::MAX, n * 7919) <= LONGEST));
        let own = Pauses::of(RetryStrategy::Exponential, &step(Some(Duration::from_millis(10))));
        assert!((0..100).all(|n| own.before(1, n * 7919) <= Duration::from_millis(15)));
    }

    #[test]
    fn an_upstream_is_not_waited_for_forever() {
        let pauses = Pauses::of(RetryStrategy::Constant, &step(None));
        assert_eq!(pauses.asked(Duration::from_secs(60)), Some(Duration::from_secs(60)));
        assert_eq!(pauses.asked(Duration::from_secs(61)), None);
        assert_eq!(Pauses::ROW.asked(Duration::from_secs(6)), None);
    }
}
