//! Where a client puts its Tollgate key: `x-api-key`, then `api-key`, then `Authorization: Bearer`.

use http::{HeaderMap, HeaderName};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// The raw key as sent; the first non-empty place wins. Never a query parameter.
pub fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    [X_API_KEY, API_KEY]
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

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
