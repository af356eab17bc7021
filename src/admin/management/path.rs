//! One form for every path before anybody decides on it: what opens a door and what goes through it must not be two
//! readings of the same text.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Whose paths these are, as the first segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::admin) enum Space {
    Admin,
    User,
    Other,
}

impl Space {
    /// Of a path in any form.
    pub(in crate::admin) fn of(path: &str) -> Self {
        match normal(path).split('/').nth(1) {
            Some("admin") => Self::Admin,
            Some("user") => Self::User,
            _ => Self::Other,
        }
    }
}

/// Replaces the path by its one form; the query stays.
pub(super) fn normalise(uri: &mut Uri) {
    let path = normal(uri.path());
    if path == uri.path() {
        return;
    }
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = std::mem::take(uri).into_parts();
    // The path is made of characters that every path may have, and the query was one before.
    parts.path_and_query = Some(PathAndQuery::try_from(text).unwrap_or(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Percent-decoded once, in lower case, without empty and dot segments and without a slash at the end. What is not a
/// plain character then is encoded anew.
fn normal(path: &str) -> String {
    let decoded = decoded(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut text = String::with_capacity(decoded.len() + 1);
    for segment in &segments {
        text.push('/');
        for byte in *segment {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte.to_ascii_lowercase()));
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    if text.is_empty() { "/".to_owned() } else { text }
}

fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match hex.as_deref() {
            Some([byte]) => {
                bytes.push(*byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c20_every_spelling_is_one_path() {
        for path in [
            "/admin/api-key/list",
            "/ADMIN/api-key/list",
            "//admin/api-key/list",
            "/admin//api-key/./list/",
            "/admin/../admin/api-key/list",
            "/x/%2e%2e/admin/api-key/list",
            "/../%61dmin/api-key%2Flist",
            "/user/..%2fadmin/api-key/list",
        ] {
            let mut uri: Uri = format!("{path}?q=A%20b&f=?f=1").parse().unwrap();
            normalise(&mut uri);
            assert_eq!(uri.to_string(), "/admin/api-key/list?q=A%20b&f=?f=1", "{path}");
            assert_eq!(Space::of(path), Space::Admin, "{path}");
        }
    }

    #[test]
    fn decoding_happens_once_and_what_is_odd_is_encoded_again() {
        for (path, expect) in [
            ("/%2561dmin/x", "/%2561dmin/x"),
            ("/admin%3Fx", "/admin%3Fx"),
            ("/admin/%", "/admin/%25"),
            ("/admin/%zz%4", "/admin/%25zz%254"),
            ("/a%00%0d%0a", "/a%00%0D%0A"),
            ("/..", "/"),
            ("", "/"),
            ("/%C3%9C", "/%C3%9C"),
        ] {
            assert_eq!(normal(path), expect, "{path}");
        }
    }

    #[test]
    fn a_whole_segment_makes_the_space() {
        for (path, space) in [
            ("/admin", Space::Admin),
            ("/user/x", Space::User),
            ("/administrator/x", Space::Other),
            ("/v1/admin/x", Space::Other),
            ("/", Space::Other),
            ("/admin/../user/x", Space::User),
            ("/admin/..", Space::Other),
        ] {
            assert_eq!(Space::of(path), space, "{path}");
        }
    }

    #[test]
    fn an_absolute_uri_keeps_its_authority() {
        let mut uri: Uri = "http://gateway:8866//ADMIN/x".parse().unwrap();
        normalise(&mut uri);
        assert_eq!(uri.to_string(), "http://gateway:8866/admin/x");
    }
}
