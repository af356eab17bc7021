//! A moment as a number. Where it comes from is the business of the shell.

use super::window::{DAY, days_before, year_and_month};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
    /// `2026-11-21T04:31:00Z`, with or without a fraction of the second, which is not counted. UTC only.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let time = time.split('.').next()?;
        let three = |text: &str, separator| -> Option<[i64; 3]> {
            let mut parts = text.split(separator).map(|part| part.parse::<u16>().ok().map(i64::from));
            let found = [parts.next()??, parts.next()??, parts.next()??];
            parts.next().is_none().then_some(found)
        };
        let ([year, month, day], [hour, minute, second]) = (three(date, '-')?, three(time, ':')?);
        let sane = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
        let days = days_before(year, month) + day - 1;
        sane.then(|| Self::from_seconds(days * 86_400 + hour * 3600 + minute * 60 + second))
    }
    /// Time from `earlier` to `self`, zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC with milliseconds, such as `2026-11-21T04:31:00.250Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, millis) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month) = year_and_month(day);
        let day = day - days_before(year, month) + 1;
        let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
        if !(0..=9999).contains(&year) {
            return write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000);
        }
        // In one piece, digit by digit: every line of the log begins with one.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, digits, mut value) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, hour),
            (14, 2, minute),
            (17, 2, second),
            (20, 3, millis % 1000),
        ] {
            for byte in text.iter_mut().skip(place).take(digits).rev() {
                *byte += u8::try_from(value % 10).unwrap_or_default();
                value /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The one source of wall-clock time; tests hand in their own.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T12:00:00Z", Some(1_795_262_400)),
            ("2026-11-21T12:00:00.789Z", Some(1_795_262_400)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-21T12:00:00+01:00", None),
            ("2026-11-21", None),
            ("", None),
        ] {
            assert_eq!(UnixMillis::parse_rfc3339(text), seconds.map(UnixMillis::from_seconds), "{text}");
        }
    }

    #[test]
    fn moments_are_shown_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_208_245_007, "2024-02-29T12:04:05.007Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(UnixMillis(millis).to_string(), text);
        }
    }
}
