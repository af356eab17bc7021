//! Where a client puts its Tollgate key: `x-api-key`, then `api-key`, then `x-goog-api-key`, then `Authorization: Bearer`;
//! clients that can only sign make it their access key id.

use http::{HeaderMap, HeaderName};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The raw key as sent; the first non-empty place wins. Never a query parameter.
pub fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    [X_API_KEY, API_KEY, X_GOOG_API_KEY]
        .into_iter()
        .filter_map(|name| headers.get(name))
        .map(|value| value.as_bytes().trim_ascii())
        .find(|key| !key.is_empty())
        .or_else(|| bearer(headers))
        .or_else(|| subprotocol(headers))
}

/// Browsers cannot set headers on a WebSocket: they offer a subprotocol `<words>-api-key.<key>`.
fn subprotocol(headers: &HeaderMap) -> Option<&[u8]> {
    let offered = headers.get(http::header::SEC_WEBSOCKET_PROTOCOL)?.as_bytes();
    let key = |item: &'_ [u8]| {
        const MARK: &[u8] = b"-api-key.";
        let item = item.trim_ascii();
        let at = item.windows(MARK.len()).position(|window| window == MARK)?;
        Some((at + MARK.len(), item.len()))
    };
    offered.split(|b| *b == b',').find_map(|item| {
        let (from, to) = key(item)?;
        item.trim_ascii().get(from..to).filter(|key| !key.is_empty())
    })
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(http::header::AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, rest) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let key = rest.trim_ascii();
    (!key.is_empty()).then_some(key)
}

/// The access key id of a signature `AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/<service>/aws4_request, ...`
/// that is made for `service`. The signature itself is not looked at: only a digest of the key is known here, so the
/// id alone is what a bearer token is elsewhere.
pub fn signing_key<'a>(headers: &'a HeaderMap, service: &str) -> Option<&'a [u8]> {
    let value = headers.get(http::header::AUTHORIZATION)?.as_bytes().trim_ascii();
    let fields = value.strip_prefix(b"AWS4-HMAC-SHA256")?;
    let mut fields = fields.split(|b| matches!(b, b',' | b' '));
    let credential = fields.find_map(|field| field.strip_prefix(b"Credential="))?;
    // From the right: the scope has four parts, whatever the key looks like.
    let mut parts = credential.rsplitn(5, |b| *b == b'/');
    let (request, named) = (parts.next()?, parts.next()?);
    let (_region, _date, key) = (parts.next()?, parts.next()?, parts.next()?);
    (request == b"aws4_request" && named == service.as_bytes() && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_access_key_id_of_a_signature_is_a_key() {
        let scope = "20261121/us-east-1/svc/aws4_request";
        for (authorization, key) in [
            (format!("AWS4-HMAC-SHA256 Credential=gw-1/{scope}, SignedHeaders=host, Signature=00"), Some("gw-1")),
            (format!("AWS4-HMAC-SHA256 Credential=gw-1/{scope},SignedHeaders=host,Signature=00"), Some("gw-1")),
            (format!("AWS4-HMAC-SHA256 SignedHeaders=host, Credential=a/b/c/{scope}"), Some("a/b/c")),
            (format!("AWS4-HMAC-SHA256 Credential=/{scope}"), None),
            (format!("AWS4-HMAC-SHA256 Credential={scope}"), None),
            ("AWS4-HMAC-SHA256 Credential=gw-1/20261121/us-east-1/s3/aws4_request".to_owned(), None),
            ("AWS4-HMAC-SHA256 Credential=gw-1/20261121/us-east-1/svc/other".to_owned(), None),
            ("AWS4-HMAC-SHA256 Credential=gw-1".to_owned(), None),
            (format!("AWS4-ECDSA-P256-SHA256 Credential=gw-1/{scope}"), None),
            ("Bearer gw-1".to_owned(), None),
        ] {
            let headers = HeaderMap::from_iter([(
                http::header::AUTHORIZATION,
                HeaderValue::try_from(&authorization).expect("a header"),
            )]);
            assert_eq!(signing_key(&headers, "svc"), key.map(str::as_bytes), "{authorization}");
        }
        assert_eq!(signing_key(&HeaderMap::new(), "svc"), None);
    }

    fn check(pairs: &[(&'static str, &'static str)], expect: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        assert_eq!(presented_key(&headers), expect.map(str::as_bytes), "{pairs:?}");
    }

    #[test]
    fn c53_precedence_is_x_api_key_then_api_key_then_bearer() {
        check(&[("x-api-key", "a"), ("api-key", "b"), ("authorization", "Bearer c")], Some("a"));
        check(&[("api-key", "b"), ("authorization", "Bearer c")], Some("b"));
        check(&[("x-api-key", ""), ("authorization", "Bearer c")], Some("c"));
        check(&[("api-key", "b"), ("x-goog-api-key", "g"), ("authorization", "Bearer c")], Some("b"));
        check(&[("x-goog-api-key", "g"), ("authorization", "Bearer c")], Some("g"));
        check(&[("x-api-key", " "), ("api-key", "b")], Some("b"));
    }

    #[test]
    fn only_bearer_is_a_scheme_in_any_case() {
        check(&[("authorization", "bearer  c ")], Some("c"));
        check(&[("authorization", "Basic c")], None);
        check(&[("authorization", "Bearer ")], None);
        check(&[("authorization", "Bearer")], None);
        check(&[], None);
    }
}
