//! The calendar by which quotas are new each month: one zone for all keys.

use super::{Key, QuotaRule, UnixMillis, Window};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::fmt;

/// The zone that says when a billing month begins. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct BillingZone(Option<TimeZone>);

impl BillingZone {
    pub const UTC: Self = Self(None);

    /// By its IANA name, in any case: `UTC`, `Asia/Shanghai`. `None` when there is no such zone.
    pub fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(Self::UTC);
        }
        let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())?;
        Some(Self(Some(zone)))
    }

    pub fn name(&self) -> &str {
        self.0.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    /// The first moment of the month that holds `at`. Where clocks jump over midnight, a month begins when they land;
    /// where they show midnight twice, it begins with the first one.
    pub fn month_start(&self, at: UnixMillis) -> UnixMillis {
        let start = self.0.as_ref().and_then(|zone| {
            let local = Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
            local.first_of_month().ok()?.start_of_day().ok()
        });
        // Years beyond what a calendar can say begin by UTC.
        start.map_or_else(|| Window::Month.bounds(at).0, |start| UnixMillis(start.timestamp().as_millisecond()))
    }

    /// The key's quota rule at a moment, when it has one.
    pub fn rule_of(&self, key: &Key, at: UnixMillis) -> Option<QuotaRule> {
        key.quota()?;
        key.quota_rule(self.month_start(at))
    }
}

impl fmt::Debug for BillingZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(text: &str) -> UnixMillis {
        UnixMillis::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn months_begin_at_midnight_of_the_zone() {
        for (zone, at, start) in [
            ("UTC", "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z"),
            ("utc", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            // Eight hours ahead, no summer time.
            ("Asia/Shanghai", "2024-02-29T15:59:59Z", "2024-01-31T16:00:00Z"),
            ("Asia/Shanghai", "2024-02-29T16:00:00Z", "2024-02-29T16:00:00Z"),
            ("Asia/Shanghai", "2024-12-31T16:00:00Z", "2024-12-31T16:00:00Z"),
            ("asia/shanghai", "2025-01-31T15:59:59Z", "2024-12-31T16:00:00Z"),
            // March begins in winter time (-5) and ends in summer time (-4); November the other way round.
            ("America/New_York", "2024-03-01T04:59:59Z", "2024-02-01T05:00:00Z"),
            ("America/New_York", "2024-03-10T12:00:00Z", "2024-03-01T05:00:00Z"),
            ("America/New_York", "2024-04-01T03:59:59Z", "2024-03-01T05:00:00Z"),
            ("America/New_York", "2024-04-01T04:00:00Z", "2024-04-01T04:00:00Z"),
            ("America/New_York", "2024-11-30T23:00:00Z", "2024-11-01T04:00:00Z"),
            ("America/New_York", "2024-12-01T05:00:00Z", "2024-12-01T05:00:00Z"),
            // Behind by ten hours (summer), then over the date line to fourteen ahead: 30 December 2011 never was.
            ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-01T10:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-01T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31T09:59:59Z", "2011-12-01T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31T10:00:00Z", "2011-12-31T10:00:00Z"),
            ("Pacific/Apia", "2024-06-30T11:00:00Z", "2024-06-30T11:00:00Z"),
            // The first of October 2000 began at one o'clock.
            ("America/Asuncion", "2000-10-01T04:00:00Z", "2000-10-01T04:00:00Z"),
            ("America/Asuncion", "2000-10-01T03:59:59Z", "2000-09-01T04:00:00Z"),
            // The first of November 2020 had two midnights.
            ("America/Havana", "2020-11-01T05:30:00Z", "2020-11-01T04:00:00Z"),
            ("America/Havana", "2020-11-01T03:59:59Z", "2020-10-01T04:00:00Z"),
        ] {
            let found = BillingZone::parse(zone).unwrap().month_start(moment(at));
            assert_eq!(found, moment(start), "{zone} at {at}: {found}");
        }
    }

    #[test]
    fn a_zone_that_is_not_one_is_none() {
        for name in ["", "Mars/Olympus", "+08:00", "../etc/localtime", "Asia/ Shanghai", "Etc/Unknown"] {
            assert_eq!(BillingZone::parse(name), None, "{name}");
        }
        assert_eq!(BillingZone::parse("europe/berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!((BillingZone::parse("UTC").unwrap(), BillingZone::default().name()), (BillingZone::UTC, "UTC"));
    }

    #[test]
    fn moments_outside_every_calendar_have_a_month() {
        for at in [i64::MIN / 4, i64::MAX / 4] {
            let zone = BillingZone::parse("Asia/Shanghai").unwrap();
            assert_eq!(zone.month_start(UnixMillis(at)), Window::Month.bounds(UnixMillis(at)).0);
        }
    }

    proptest! {
        /// Months leave no gap and do not overlap, whatever clocks do.
        #[test]
        fn a_month_holds_its_moments_and_nothing_before(seconds in 0i64..4_000_000_000, zone in 0..5_usize) {
            let zone = ["Asia/Shanghai", "America/New_York", "Pacific/Apia", "America/Havana", "UTC"][zone];
            let zone = BillingZone::parse(zone).unwrap();
            let at = UnixMillis::from_seconds(seconds);
            let start = zone.month_start(at);
            prop_assert!(start <= at && at.0 - start.0 < 32 * 86_400_000);
            prop_assert_eq!(zone.month_start(start), start);
            prop_assert!(zone.month_start(UnixMillis(start.0 - 1)) < start);
        }
    }
}
