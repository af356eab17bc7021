//! Go duration text (`5s`, `1h30m`, `1.5h`), plus `d` for 24 hours.

use std::time::Duration;

/// Reads `<decimal><unit>` groups with units ns, us, µs, ms, s, m, h, d. A leading `+` is allowed,
/// `0` alone is zero. `None` for anything else, negative values and overflow.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(number_len)?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_len)?;
        nanos = nanos.checked_add(group_nanos(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let subsec = u32::try_from(nanos % 1_000_000_000).ok()?;
    // Go durations are signed 64-bit nanoseconds: about 292 years.
    (seconds < 9_223_372_036).then(|| Duration::new(seconds, subsec))
}

/// The units that text is written in, the coarsest first, in nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A whole number of the coarsest unit that says it exactly: `5m`, `168h`, `1500ms`. [`parse`] reads it back.
pub fn text(duration: Duration) -> String {
    written(duration, |_| true)
}

/// As [`text`], in seconds or parts of them: `60s`.
pub fn text_in_seconds(duration: Duration) -> String {
    written(duration, |unit| unit.ends_with('s'))
}

fn written(duration: Duration, wanted: fn(&str) -> bool) -> String {
    let nanos = duration.as_nanos();
    let exact = UNITS.iter().find(|(unit, size)| wanted(unit) && nanos >= *size && nanos.is_multiple_of(*size));
    exact.map_or_else(|| "0s".to_owned(), |(unit, size)| format!("{}{unit}", nanos / size))
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

fn group_nanos(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        nanos = nanos.checked_add(fraction.parse::<u128>().ok()?.checked_mul(unit)? / scale)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_text_is_understood() {
        for (text, millis) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("2d", 172_800_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            (".5s", 500),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (text, whole, in_seconds) in [
            ("5m", "5m", "300s"),
            ("1h30m", "90m", "5400s"),
            ("7d", "168h", "604800s"),
            ("60s", "1m", "60s"),
            ("1.5s", "1500ms", "1500ms"),
            ("1ns", "1ns", "1ns"),
            ("0", "0s", "0s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!((&*super::text(duration), &*text_in_seconds(duration)), (whole, in_seconds), "{text}");
            assert_eq!((parse(whole), parse(in_seconds)), (Some(duration), Some(duration)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "abc", "10", "-5s", "5x", "1..5s", "s", "99999999999999999999h", "1h 30m", "é5s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
