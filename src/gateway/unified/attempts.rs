//! The credentials and regions that may serve one request, and how often they are tried.

use crate::domain::{EventId, Setting};
use crate::routing::{Course, Failure, Pauses, Position, next};
use std::sync::Arc;
use std::time::Duration;

/// What is left to try at one upstream.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Attempts {
    /// In the order in which they are tried; the first is the one that is tried at first.
    settings: Vec<Arc<Setting>>,
    /// After the first.
    retries: u32,
    pauses: Pauses,
    /// Tries that have failed.
    failed: u32,
}

/// What is known when a try has failed.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Heard {
    pub(in crate::gateway) failure: Failure,
    /// What the upstream asked for.
    pub(in crate::gateway) retry_after: Option<Duration>,
    /// To the deadline.
    pub(in crate::gateway) left: Duration,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new(Vec::new(), 0, Pauses::ROW)
    }
}

impl Attempts {
    pub(in crate::gateway) fn new(settings: Vec<Arc<Setting>>, retries: u32, pauses: Pauses) -> Self {
        Self { settings, retries, pauses, failed: 0 }
    }

    /// Another try could be made.
    pub(in crate::gateway) const fn more(&self) -> bool {
        self.failed < self.retries
    }

    /// No other try is made here.
    pub(in crate::gateway) const fn use_up(&mut self) {
        self.failed = self.retries;
    }

    /// What is done about a try that has failed.
    pub(in crate::gateway) fn course(&mut self, event: EventId, heard: Heard) -> Course {
        self.failed = self.failed.saturating_add(1);
        let position = Position {
            made: self.failed,
            retries: self.retries,
            fresh: usize::try_from(self.failed).is_ok_and(|failed| failed < self.settings.len()),
            pauses: self.pauses,
            retry_after: heard.retry_after,
            left: heard.left,
            chance: event.chance() as u64,
        };
        next(heard.failure, &position)
    }

    /// The credential of the try that comes next.
    pub(in crate::gateway) fn setting(&self) -> Option<&Arc<Setting>> {
        let turn = usize::try_from(self.failed).ok()?.checked_rem(self.settings.len())?;
        self.settings.get(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn attempts(settings: usize, retries: u32) -> Attempts {
        let setting = crate::providers::backend::Backend::of(&crate::domain::Model {
            id: crate::domain::ModelId(1),
            revision: 1,
            name: "m".into(),
            provider: "bedrock-converse".into(),
            multiple: false,
            price_in: crate::domain::Money::ZERO,
            price_out: crate::domain::Money::ZERO,
            config: crate::domain::Secret::new(r#"{"modelId":"m","regions":["a","b","c"]}"#),
            created_at: crate::domain::UnixMillis(0),
            updated_at: crate::domain::UnixMillis(0),
        })
        .unwrap();
        Attempts::new(setting.settings.into_iter().take(settings).collect(), retries, Pauses::ROW)
    }

    const EVENT: EventId = EventId::from_uuid(Uuid::from_u128(77));

    fn throttled() -> Heard {
        Heard { failure: Failure::Status(429), retry_after: None, left: Duration::from_secs(60) }
    }

    #[test]
    fn every_region_is_tried_before_one_is_tried_again() {
        let mut left = attempts(3, 4);
        let regions: Vec<(String, bool)> = std::iter::from_fn(|| match left.course(EVENT, throttled()) {
            Course::Again(pause) => Some((left.setting()?.parameters["awsRegion"].to_string(), pause.is_zero())),
            _ => None,
        })
        .collect();
        let expect = [("b", true), ("c", true), ("a", false), ("b", false)];
        assert_eq!(regions, expect.map(|(region, at_once)| (region.to_owned(), at_once)));
        assert!(!left.more());
    }

    #[test]
    fn a_refused_credential_is_not_shown_again() {
        let mut left = attempts(2, 9);
        let refused = Heard { failure: Failure::Status(403), ..throttled() };
        assert_eq!(left.course(EVENT, refused), Course::Again(Duration::ZERO));
        assert_eq!(left.course(EVENT, refused), Course::Onward { elsewhere: false }, "both were refused");
    }

    #[test]
    fn without_retries_nothing_is_tried_again() {
        let mut left = attempts(3, 0);
        assert!(!left.more());
        assert_eq!(left.course(EVENT, throttled()), Course::Onward { elsewhere: false });
        assert!(Attempts::default().setting().is_none());
        let mut used_up = attempts(1, 5);
        used_up.use_up();
        assert_eq!(used_up.course(EVENT, throttled()), Course::Onward { elsewhere: false });
    }
}
