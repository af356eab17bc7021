//! When the first credential or region fails, another one may do: before the first byte of an answer, and only for what
//! another attempt can mend.

use super::super::forward::Fault;
use crate::domain::{EventId, Setting};
use std::sync::Arc;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is left to try.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Attempts {
    /// In the order in which they are tried; the first is the one that is tried at first.
    settings: Vec<Arc<Setting>>,
    /// Attempts after the first.
    most: u32,
    made: u32,
}

impl Attempts {
    pub(super) fn new(settings: Vec<Arc<Setting>>, most: u32) -> Self {
        Self { settings, most, made: 0 }
    }

    /// The credential for another attempt, and how long to wait for it; `None` when there is none.
    pub(in crate::gateway) fn next(&mut self, event: EventId, why: Why) -> Option<(Arc<Setting>, Duration)> {
        // Another credential or region is not worn out: it is asked at once.
        let made = usize::try_from(self.made).unwrap_or(usize::MAX).saturating_add(1);
        let fresh = made < self.settings.len();
        if self.made >= self.most || !why.may_be_mended(fresh) {
            return None;
        }
        self.made += 1;
        let setting = self.settings.get(made.checked_rem(self.settings.len())?)?;
        let pause = if fresh { Duration::ZERO } else { pause(self.made, event) };
        Some((Arc::clone(setting), pause))
    }
}

/// Doubling, from half to the whole of it by chance, so that many who were turned away do not come back together.
fn pause(made: u32, event: EventId) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << made.min(6)).min(LONGEST_PAUSE);
    // The tail of an event id is random.
    let [.., chance] = *event.as_bytes();
    let chance = u32::from(chance.rotate_left(made));
    whole / 2 + (whole / 2).saturating_mul(chance) / 255
}

/// What an attempt ended in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gateway) enum Why {
    Status(u16),
    Fault(Fault),
}

impl Why {
    /// `fresh`: there is a credential or region that was not asked yet.
    fn may_be_mended(self, fresh: bool) -> bool {
        match self {
            // A credential that is refused stays refused.
            Self::Status(401 | 403) => fresh,
            Self::Status(408 | 424 | 429 | 500..=599) => true,
            Self::Fault(Fault::Connect | Fault::Broken { .. } | Fault::Timeout { .. }) => true,
            Self::Status(_) | Self::Fault(Fault::ClientGone { .. } | Fault::TooLarge { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn attempts(settings: usize, most: u32) -> Attempts {
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
        Attempts::new(setting.settings.into_iter().take(settings).collect(), most)
    }

    const EVENT: EventId = EventId::from_uuid(Uuid::from_u128(77));

    #[test]
    fn every_region_is_tried_before_one_is_tried_again() {
        let mut left = attempts(3, 4);
        let regions: Vec<(String, bool)> = std::iter::from_fn(|| left.next(EVENT, Why::Status(429)))
            .map(|(setting, pause)| (setting.parameters["awsRegion"].to_string(), pause.is_zero()))
            .collect();
        let expect = [("b", true), ("c", true), ("a", false), ("b", false)];
        assert_eq!(regions, expect.map(|(region, at_once)| (region.to_owned(), at_once)));
    }

    #[test]
    fn only_what_can_be_mended_is_tried_again() {
        for (settings, why, again) in [
            (1, Why::Status(429), true),
            (1, Why::Status(503), true),
            (1, Why::Status(403), false),
            (2, Why::Status(403), true),
            (2, Why::Status(400), false),
            (2, Why::Status(404), false),
            (1, Why::Fault(Fault::Connect), true),
            (1, Why::Fault(Fault::Timeout { sent: true }), true),
            (1, Why::Fault(Fault::ClientGone { sent: true }), false),
        ] {
            assert_eq!(attempts(settings, 3).next(EVENT, why).is_some(), again, "{settings} {why:?}");
        }
        assert!(attempts(3, 0).next(EVENT, Why::Status(429)).is_none());
    }

    #[test]
    fn a_refused_credential_is_not_shown_again() {
        let mut left = attempts(2, 9);
        assert!(left.next(EVENT, Why::Status(403)).is_some());
        assert!(left.next(EVENT, Why::Status(403)).is_none(), "both were refused");
    }

    #[test]
    fn pauses_grow_and_end_somewhere() {
        for made in 1..40 {
            assert!(pause(made, EVENT) <= LONGEST_PAUSE && pause(made, EVENT) >= FIRST_PAUSE);
        }
        assert!(pause(5, EVENT) > pause(1, EVENT));
    }
}
