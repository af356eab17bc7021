//! The path of a request against the templates of a provider's API. What an upstream could read in another way than we
//! do matches nothing.

use std::borrow::Cow;

/// The parts of a path, percent-decoded. `None` for a path that an upstream could read in another way than we do:
/// empty or dot segments, encoded slashes, control characters.
pub(super) fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Option<Cow<'_, str>> {
    let text = if raw.contains('%') { Cow::Owned(percent_decoded(raw)?) } else { Cow::Borrowed(raw) };
    let odd = |c: char| c == '/' || c == '\\' || c == '%' || c.is_control();
    (!matches!(&*text, "" | "." | "..") && !text.contains(odd)).then_some(text)
}

/// `None` for a broken escape, and for what is no UTF-8.
pub fn percent_decoded(raw: &str) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).ok()
}

/// One segment of a path, or one value of a query: everything but unreserved characters is escaped.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// Letter case is ignored, so that no spelling of a metered path passes as an unknown one.
pub(super) fn matches(template: &str, segments: &[Cow<'_, str>]) -> bool {
    let mut parts = template.split('/').skip(1);
    let fits = |segment: &Cow<'_, str>| {
        parts.next().is_some_and(|part| part.starts_with('{') || part.eq_ignore_ascii_case(segment))
    };
    segments.iter().all(fits) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_one_segment_and_decodes_to_itself() {
        assert_eq!(percent_encoded("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(percent_encoded("a/b?c&d=e%\u{e9}"), "a%2Fb%3Fc%26d%3De%25%C3%A9");
        assert_eq!(percent_decoded(&percent_encoded("a/b ?%\u{e9}")).as_deref(), Some("a/b ?%\u{e9}"));
    }

    #[test]
    fn no_two_readings_of_a_path() {
        for path in [
            "",
            "v1/a",
            "/v1//a",
            "/v1/./a",
            "/v1/../a",
            "/v1/%2e%2e/a",
            "/v1/a%2Fb",
            "/v1/a\\b",
            "/v1/%zz",
            "/v1/%252e",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
        let found = segments("/V1/%63hat/x%20y/").expect("a path");
        assert!(
            matches("/v1/chat/{id}", &found) && !matches("/v1/chat", &found) && !matches("/v1/chat/{id}/z", &found)
        );
    }
}
