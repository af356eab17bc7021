//! How long an upstream asks to be left alone.

use crate::domain::UnixMillis;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// In whole milliseconds; some providers send it beside the other, which knows seconds only.
const MILLISECONDS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Seconds or a date (RFC 9110, 10.2.3); a date that is past is no time at all. `None` when nothing sane is said.
pub(super) fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text(&MILLISECONDS).and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let after = text(&RETRY_AFTER)?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(after).ok()?;
    Some(UnixMillis(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn seconds_milliseconds_and_dates_are_understood() {
        // 2026-11-21T00:00:00Z
        let now = UnixMillis::from_seconds(1_795_219_200);
        for (name, value, expect) in [
            ("retry-after", "3", Some(3_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", "Sat, 21 Nov 2026 00:00:07 GMT", Some(7_000)),
            ("retry-after", "Fri, 20 Nov 2026 00:00:07 GMT", Some(0)),
            ("retry-after", "-1", None),
            ("retry-after", "NaN", None),
            ("retry-after", "1e300", None),
            ("retry-after", "soon", None),
            ("other", "3", None),
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), expect.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
