//! Requests that a web page makes through the operator's browser. Without a secret the listener trusts whoever reaches
//! it on this machine, and a browser reaches it on behalf of any page it shows; what such a page cannot forge is told
//! apart here. With a secret none of this matters: no page knows it.

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use std::net::IpAddr;

const FETCH_SITE: &str = "sec-fetch-site";

/// Why the request may be a page's doing, as a sentence for its caller. Programs send none of these headers but `Host`.
pub(super) fn objection(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    // A page whose own name was pointed at this machine counts as same-origin; its name is all that tells.
    if hosts(headers, uri).any(|host| !host.is_some_and(|h| is_loopback(h.host()))) {
        return Some("without admin.pass this listener answers only to localhost, 127.0.0.1 or [::1] as its host");
    }
    let own_page = |site: &[u8]| site == b"same-origin" || site == b"none";
    if headers.get_all(FETCH_SITE).iter().any(|site| !own_page(site.as_bytes())) {
        return Some("without admin.pass this listener does not answer to other web pages");
    }
    let own = |origin: &Authority| hosts(headers, uri).flatten().any(|host| host == *origin);
    if headers.get_all(ORIGIN).iter().any(|value| !origin(value.as_bytes()).is_some_and(|o| own(&o))) {
        return Some("without admin.pass this listener does not answer to web pages of another origin");
    }
    None
}

/// Whom the caller meant to reach: `Host`, or `:authority` on HTTP/2. `None` for one that is not readable.
fn hosts<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> impl Iterator<Item = Option<Authority>> + use<'a> {
    let named = headers.get_all(HOST).iter().map(|value| Authority::try_from(value.as_bytes()).ok());
    named.chain(uri.authority().cloned().map(Some))
}

/// Host and port of `scheme://host[:port]`; `null` has none.
fn origin(value: &[u8]) -> Option<Authority> {
    Uri::try_from(value).ok()?.into_parts().authority.filter(|_| value != b"null")
}

/// By name only `localhost`, which browsers resolve themselves; any other name is in somebody's hands.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn refused(uri: &'static str, headers: &[(&'static str, &'static str)]) -> bool {
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        objection(&headers.iter().copied().map(header).collect(), &Uri::from_static(uri)).is_some()
    }

    #[test]
    fn programs_on_this_machine_pass() {
        for host in ["localhost:8001", "LOCALHOST", "127.0.0.1:8001", "127.8.8.8", "[::1]:8001", "[::ffff:127.0.0.1]"] {
            assert!(!refused("/api", &[("host", host)]), "{host}");
        }
        assert!(!refused("/api", &[]));
        assert!(!refused("http://localhost:8001/api", &[]));
    }

    #[test]
    fn a_name_that_was_pointed_here_is_refused() {
        for host in [
            "evil.example:8001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.2:8001",
            "0.0.0.0:8001",
            "localhost.",
            "[::2]",
            "",
            "a b",
        ] {
            assert!(refused("/api", &[("host", host)]), "{host}");
        }
        assert!(refused("http://evil.example/api", &[]));
        assert!(refused("http://localhost/api", &[("host", "evil.example")]));
        assert!(refused("http://evil.example/api", &[("host", "localhost")]));
    }

    #[test]
    fn other_pages_are_refused_and_our_own_are_not() {
        for site in ["cross-site", "same-site", "anything"] {
            assert!(refused("/api", &[("host", "localhost"), ("sec-fetch-site", site)]), "{site}");
        }
        for site in ["same-origin", "none"] {
            assert!(!refused("/api", &[("host", "localhost"), ("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["http://evil.example", "http://localhost:3000", "http://127.0.0.1:8001", "null", "", "file://"] {
            assert!(refused("/api", &[("host", "localhost:8001"), ("origin", origin)]), "{origin}");
        }
        assert!(!refused("/api", &[("host", "localhost:8001"), ("origin", "http://localhost:8001")]));
        assert!(!refused("http://localhost:8001/api", &[("origin", "http://localhost:8001")]));
    }
}
