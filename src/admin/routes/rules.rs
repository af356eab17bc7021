//! The rules of a route that need nothing but what was sent: name, path, cache, retries, and spans of time.

use crate::admin::fields::Invalid;
use crate::domain::{RequestFormat, RetryStrategy, RouteCache, duration};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest name and path, bytes.
const LONGEST: usize = 1024;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// How long answers are kept.
const TTL: RangeInclusive<Duration> = SECOND..=HOUR.saturating_mul(720);
const USUAL_TTL: Duration = HOUR.saturating_mul(168);
/// How long a try may last.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_nanos(1)..=HOUR.saturating_mul(24);
const USUAL_TIMEOUT: Duration = Duration::from_secs(300);
/// Between tries.
const INTERVAL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

/// Forces a route for texts that become vectors; everything else that is said forces one for conversations.
const EMBEDDINGS: &str = "openai_embeddings";
const CHAT: &str = "openai_chat";

/// What a cache is to be like.
#[derive(Default)]
pub(super) struct CacheDraft {
    pub(super) enabled: Option<bool>,
    pub(super) ttl: Option<String>,
    pub(super) shared: Option<bool>,
}

pub(super) fn name(given: &str, invalid: &mut Invalid) -> Box<str> {
    invalid.filled("name", given);
    if given.len() > LONGEST {
        invalid.add("name", format!("must be at most {LONGEST} bytes"));
    }
    given.into()
}

/// Paths are compared byte by byte, so one that a client might write in another way is none.
pub(super) fn path(given: &str, invalid: &mut Invalid) -> Box<str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    let mut segments = given.split('/').skip(1);
    if given.is_empty() {
        invalid.add("path", "must not be empty");
    } else if !given.starts_with('/') {
        invalid.add("path", "must begin with /");
    } else if given.len() > LONGEST {
        invalid.add("path", format!("must be at most {LONGEST} bytes"));
    } else if given.ends_with('/') {
        invalid.add("path", "must not end with /");
    } else if segments.any(|part| matches!(part, "" | "." | "..") || !part.bytes().all(fits)) {
        invalid.add("path", "must be a path of a URL as clients send it, without empty segments, dot segments and %");
    }
    given.into()
}

pub(super) fn cache(draft: Option<&CacheDraft>, invalid: &mut Invalid) -> RouteCache {
    let Some(draft) = draft else {
        invalid.add("cacheConfig", "must be given");
        return RouteCache::default();
    };
    if draft.enabled.is_none() {
        invalid.add("cacheConfig.enabled", "must be given");
    }
    let enabled = draft.enabled.unwrap_or_default();
    let ttl = span("cacheConfig.ttl", draft.ttl.as_deref(), &TTL, invalid);
    let ttl = ttl.unwrap_or(if enabled { USUAL_TTL } else { Duration::ZERO });
    RouteCache { enabled, ttl, shared: draft.shared.unwrap_or_default() }
}

pub(super) fn retry_strategy(given: &str, invalid: &mut Invalid) -> RetryStrategy {
    match given {
        "" => RetryStrategy::Unset,
        "constant" => RetryStrategy::Constant,
        "exponential" => RetryStrategy::Exponential,
        _ => {
            invalid.add("retryStrategy", "must be constant or exponential");
            RetryStrategy::Unset
        }
    }
}

pub(super) const fn shown_strategy(strategy: RetryStrategy) -> &'static str {
    match strategy {
        RetryStrategy::Unset => "",
        RetryStrategy::Constant => "constant",
        RetryStrategy::Exponential => "exponential",
    }
}

/// What is said of the format; `None` = the models decide.
pub(super) fn said_format(given: Option<&str>) -> Option<RequestFormat> {
    match given {
        None | Some("") => None,
        Some(EMBEDDINGS) => Some(RequestFormat::Embeddings),
        Some(_) => Some(RequestFormat::Chat),
    }
}

pub(super) const fn shown_format(format: RequestFormat) -> &'static str {
    match format {
        RequestFormat::Chat => CHAT,
        RequestFormat::Embeddings => EMBEDDINGS,
    }
}

/// How long a try may last in all, and until its first byte.
pub(super) fn timeouts(
    at: &str,
    whole: Option<&str>,
    first: Option<&str>,
    invalid: &mut Invalid,
) -> (Duration, Option<Duration>) {
    let whole = span(&format!("{at}.timeout"), whole, &TIMEOUT, invalid).unwrap_or(USUAL_TIMEOUT);
    let field = format!("{at}.firstByteTimeout");
    let first = span(&field, first, &TIMEOUT, invalid);
    if first.is_some_and(|first| first > whole) {
        invalid.add(&field, "must not be longer than timeout");
    }
    (whole, first)
}

/// Before another try.
pub(super) fn interval(field: &str, given: Option<&str>, invalid: &mut Invalid) -> Option<Duration> {
    let interval = span(field, given, &INTERVAL, invalid);
    // Minutes and hours are likelier a mistake than a wish.
    if interval.is_some() && given.is_some_and(|text| !text.ends_with('s')) {
        invalid.add(field, "must be in seconds or milliseconds, such as 500ms");
    }
    interval
}

/// Absent and empty = not said. What is wrong counts as not said too, so that one mistake is told once.
fn span(
    field: &str,
    given: Option<&str>,
    allowed: &RangeInclusive<Duration>,
    invalid: &mut Invalid,
) -> Option<Duration> {
    let given = given.filter(|text| !text.is_empty())?;
    let parsed = duration::parse(given);
    match parsed {
        None => invalid.add(field, "must be a duration such as 5m or 1h30m"),
        Some(span) if !allowed.contains(&span) => {
            let [least, most] = [allowed.start(), allowed.end()].map(|bound| duration::text(*bound));
            invalid.add(field, format!("must be at least {least} and at most {most}"));
        }
        Some(span) => return Some(span),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (given, fine) in [
            ("/a", true),
            ("/team-1/Chat_v2.0", true),
            ("/a/v1/chat/completions", true),
            ("/a:b@c", true),
            ("", false),
            ("a", false),
            ("/", false),
            ("/a/", false),
            ("//a", false),
            ("/a//b", false),
            ("/a/./b", false),
            ("/a/..", false),
            ("/a?b", false),
            ("/a#b", false),
            ("/a%20b", false),
            ("/a b", false),
            ("/ä", false),
            ("/{id}", false),
            ("/a\\b", false),
        ] {
            let mut invalid = Invalid::default();
            assert_eq!(&*path(given, &mut invalid), given);
            assert_eq!(invalid.none_or_all().is_ok(), fine, "{given}");
        }
    }

    #[test]
    fn spans_have_bounds() {
        let told = |check: &dyn Fn(&mut Invalid)| {
            let mut invalid = Invalid::default();
            check(&mut invalid);
            invalid.to_string()
        };
        for (text, expect) in [
            ("500ms", ""),
            ("0s", ""),
            ("60s", ""),
            ("1m", "f must be in seconds or milliseconds, such as 500ms"),
            ("61s", "f must be at least 0s and at most 1m"),
            ("-1s", "f must be a duration such as 5m or 1h30m"),
        ] {
            assert_eq!(
                told(&|invalid| {
                    interval("f", Some(text), invalid);
                }),
                expect,
                "{text}"
            );
        }
        for (whole, first, expect) in [
            (None, None, ""),
            (Some(""), Some("5m"), ""),
            (Some("24h"), Some("1ns"), ""),
            (Some("0s"), None, "s.timeout must be at least 1ns and at most 24h"),
            (Some("25h"), None, "s.timeout must be at least 1ns and at most 24h"),
            (Some("1s"), Some("2s"), "s.firstByteTimeout must not be longer than timeout"),
        ] {
            assert_eq!(
                told(&|invalid| {
                    timeouts("s", whole, first, invalid);
                }),
                expect,
                "{whole:?} {first:?}"
            );
        }
    }
}
