//! Calendar windows in UTC: the spans in which rates and windowed budgets are counted.

use super::UnixMillis;
use serde::{Deserialize, Serialize};

/// A fixed window aligned to the calendar (never to the first request).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Window {
    #[serde(rename = "s")]
    Second,
    #[serde(rename = "m")]
    Minute,
    #[serde(rename = "h")]
    Hour,
    #[serde(rename = "d")]
    Day,
    #[serde(rename = "mo")]
    Month,
}

impl Window {
    /// The unit's text in the configuration API: `s`, `m`, `h`, `d`, `mo`.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Month => "mo",
        }
    }
    pub fn parse(unit: &str) -> Option<Self> {
        Some(match unit {
            "s" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            "d" => Self::Day,
            "mo" => Self::Month,
            _ => return None,
        })
    }
    /// Start (inclusive) and end (exclusive) of the window that holds `now`.
    pub fn bounds(self, now: UnixMillis) -> (UnixMillis, UnixMillis) {
        let fixed = |millis: i64| {
            let start = now.0.div_euclid(millis) * millis;
            (UnixMillis(start), UnixMillis(start + millis))
        };
        match self {
            Self::Second => fixed(1_000),
            Self::Minute => fixed(60_000),
            Self::Hour => fixed(3_600_000),
            Self::Day => fixed(DAY),
            Self::Month => {
                let (year, month) = year_and_month(now.0.div_euclid(DAY));
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let day = |(y, m)| UnixMillis(days_before(y, m) * DAY);
                (day((year, month)), day(next))
            }
        }
    }
}

pub(super) const DAY: i64 = 86_400_000;

/// Days from 1970-01-01 to the first of a month of the proleptic Gregorian calendar.
pub(super) fn days_before(year: i64, month: i64) -> i64 {
    // Years begin in March, so that the leap day is the last day of a year; eras are 400 years.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * m + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year and month (1..=12) of a day counted from 1970-01-01.
pub(super) fn year_and_month(day: i64) -> (i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * day_of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: Window, now_seconds: i64, start: i64, end: i64) {
        let (s, e) = window.bounds(UnixMillis::from_seconds(now_seconds));
        assert_eq!((s.seconds(), e.seconds()), (start, end), "{window:?} at {now_seconds}");
    }

    #[test]
    fn windows_are_aligned_to_utc() {
        check(Window::Second, 1_700_000_001, 1_700_000_001, 1_700_000_002);
        check(Window::Minute, 1_700_000_001, 1_699_999_980, 1_700_000_040);
        check(Window::Hour, 1_700_000_001, 1_699_999_200, 1_700_002_800);
        check(Window::Day, 1_700_000_001, 1_699_920_000, 1_700_006_400);
    }

    #[test]
    fn months_follow_the_calendar() {
        check(Window::Month, 1_709_164_800, 1_706_745_600, 1_709_251_200); // 2024-02-29
        check(Window::Month, 1_735_689_599, 1_733_011_200, 1_735_689_600); // last second of 2024
        check(Window::Month, 0, 0, 2_678_400);
        check(Window::Month, -1, -2_678_400, 0);
    }

    #[test]
    fn every_moment_lies_in_its_window() {
        for day in (-800_000..800_000).step_by(17) {
            let now = UnixMillis(day * DAY + 12_345);
            let (start, end) = Window::Month.bounds(now);
            assert!(start <= now && now < end, "{day}");
            assert!((28..=31).contains(&((end.0 - start.0) / DAY)));
        }
    }
}
