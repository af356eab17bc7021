//! Header hygiene, both ways: what may cross the gateway, and what the gateway says itself.

use super::upstreams::BaseUrl;
use crate::auth::origins::Allowed;
use crate::domain::EventId;
use crate::limits::RateState;
use crate::providers::{Endpoint, Outbound, ResponseMeter};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use uuid::Uuid;

/// The client's headers minus everything that is addressed to the gateway, plus what the provider needs.
/// `length`: of the body; `None` = chunked, because it is streamed through and its length is not known.
pub(super) fn request_head(
    client: &RequestHeader,
    endpoint: &Endpoint,
    base: &BaseUrl,
    outbound: &Outbound,
    length: Option<u64>,
    remove_user_agent: bool,
) -> pingora::Result<RequestHeader> {
    let path = outbound.path.as_deref().unwrap_or(&endpoint.path);
    let query = outbound.query.as_deref().or(client.uri.query()).filter(|query| !query.is_empty());
    let target = base.target(path, query);
    let mut headers = HeaderMap::with_capacity(client.headers.len() + 4);
    let named = connection_tokens(&client.headers);
    for (name, value) in &client.headers {
        let text = name.as_str();
        if stays_here(text) || named.contains(&text) || (remove_user_agent && *name == USER_AGENT) {
            continue;
        }
        headers.append(name, value.clone());
    }
    headers.insert(HOST, base.host_header().clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in &outbound.headers {
        headers.insert(name, value.clone());
    }
    match length {
        Some(0) if !matches!(endpoint.method, http::Method::POST | http::Method::PUT | http::Method::PATCH) => {}
        Some(n) => drop(headers.insert(CONTENT_LENGTH, n.into())),
        None => drop(headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))),
    }
    let mut head: http::request::Parts =
        RequestHeader::build_no_case(endpoint.method.clone(), target.as_bytes(), None)?.into();
    head.headers = headers;
    Ok(head.into())
}

/// Puts a provider's last headers over those that are there.
pub(super) fn add(head: &mut RequestHeader, headers: Vec<(HeaderName, HeaderValue)>) {
    let mut parts = head.as_owned_parts();
    parts.headers.extend(headers);
    *head = parts.into();
}

/// Headers that the client's `Connection` header declares hop-by-hop.
fn connection_tokens(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|t| !t.is_empty() && !t.eq_ignore_ascii_case("keep-alive") && !t.eq_ignore_ascii_case("close"))
        .collect()
}

/// Request headers that never leave: hop-by-hop and framing, credentials, our own, and what tells who the client is.
fn stays_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
            | "content-length"
            // A part of an answer would tell a part of its bill.
            | "range"
            | "if-range"
            | "host"
            | "accept-encoding"
            | "http2-settings"
            | "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "ocp-apim-subscription-key"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-amz-content-sha256"
            | "amz-sdk-invocation-id"
            | "amz-sdk-request"
            | "cookie"
            | "openai-organization"
            | "openai-project"
            | "anthropic-workspace-id"
            | "x-custom-event-id"
            | "x-metadata"
            | "x-request-timeout"
            | "x-request-id"
            | "traceparent"
            | "tracestate"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-port"
    )
}

/// Response headers that end here: hop-by-hop, and those that speak for the upstream's own host.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "set-cookie"
            | "alt-svc"
            | "strict-transport-security"
            | "x-request-id"
    )
}

/// What the gateway adds to an answer.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    pub(super) request_id: Box<str>,
    pub(super) allowed: Allowed,
    pub(super) event_id: Option<EventId>,
    pub(super) provider: Option<Box<str>>,
    pub(super) model: Option<Box<str>>,
    pub(super) rate: Option<RateState>,
    pub(super) cost: Option<String>,
    /// What the upstream could not be asked for, with commas.
    pub(super) dropped: Option<Box<str>>,
    /// Of a route that keeps answers.
    pub(super) cache: Option<CacheState>,
}

/// Where an answer came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CacheState {
    Miss,
    Hit {
        /// Since it was kept, seconds.
        age: u64,
    },
}

// Names made once: looking a header up by text parses the text each time.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
pub(super) const CUSTOM_EVENT_ID: HeaderName = HeaderName::from_static("x-custom-event-id");
pub(super) const METADATA: HeaderName = HeaderName::from_static("x-metadata");
/// Where upstreams put their id of a request.
const UPSTREAM_IDS: [HeaderName; 3] =
    [REQUEST_ID, HeaderName::from_static("request-id"), HeaderName::from_static("x-amzn-requestid")];
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
const EVENT_ID: HeaderName = HeaderName::from_static("x-tollgate-event-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
const DROPPED: HeaderName = HeaderName::from_static("x-tollgate-dropped-params");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

impl Stamp {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        // Every value is made here, of ids, names and numbers: one that is no header value is left out.
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(REQUEST_ID, &self.request_id);
        if let Some(id) = &self.event_id {
            put(EVENT_ID, id.as_uuid().as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        if let Some(model) = self.model.as_deref().filter(|m| !m.is_empty()) {
            put(MODEL, model);
        }
        if let Some(provider) = &self.provider {
            put(PROVIDER, provider);
        }
        if let Some(cost) = &self.cost {
            put(COST, cost);
        }
        if let Some(dropped) = &self.dropped {
            put(DROPPED, dropped);
        }
        match self.cache {
            None => {}
            Some(CacheState::Miss) => drop(headers.insert(CACHE, HeaderValue::from_static("miss"))),
            Some(CacheState::Hit { age }) => {
                headers.insert(CACHE, HeaderValue::from_static("hit"));
                headers.insert(http::header::AGE, age.into());
            }
        }
        self.allowed.apply(headers);
        if let Some(rate) = &self.rate {
            headers.insert(RATE_LIMIT, rate.limit.into());
            headers.insert(RATE_REMAINING, rate.remaining.into());
            if let Ok(reset) = HeaderValue::from_str(&format!("{}ms", rate.reset.as_millis())) {
                headers.insert(RATE_RESET, reset);
            }
        }
    }
}

/// What is still true of an answer's body when it reaches the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StillTrue {
    pub(super) length: bool,
    pub(super) encoding: bool,
}

/// How the body that follows is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// As the upstream says, or not at all.
    Untouched,
    Length(usize),
    /// Without a length an HTTP/1.1 answer is chunked; HTTP/2 frames by itself.
    Open {
        http2: bool,
    },
}

/// The upstream's answer as the client gets it.
pub(super) fn response_head(
    upstream: &ResponseHeader,
    stamp: &Stamp,
    still: StillTrue,
    framing: Framing,
    meter: Option<&dyn ResponseMeter>,
) -> ResponseHeader {
    let status = meter.map_or(upstream.status.as_u16(), |meter| meter.status(upstream.status.as_u16()));
    let status = http::StatusCode::from_u16(status).unwrap_or(upstream.status);
    let mut headers = HeaderMap::with_capacity(upstream.headers.len() + 10);
    let named = connection_tokens(&upstream.headers);
    for (name, value) in &upstream.headers {
        let text = name.as_str();
        let untrue = (!still.length && *name == CONTENT_LENGTH) || (!still.encoding && *name == CONTENT_ENCODING);
        // The key's own limit replaces the upstream's account of ours.
        let replaced = stamp.rate.is_some() && text.starts_with("x-ratelimit-") && text.ends_with("-requests");
        if untrue || replaced || ends_here(text) || named.contains(&text) {
            continue;
        }
        headers.append(name, value.clone());
    }
    if let Some(id) = upstream_request_id(&upstream.headers) {
        headers.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
    if let Some(meter) = meter {
        meter.head(&mut headers);
    }
    stamp.apply(&mut headers);
    match framing {
        Framing::Length(bytes) => drop(headers.insert(CONTENT_LENGTH, bytes.into())),
        Framing::Open { http2: false } if !headers.contains_key(CONTENT_LENGTH) => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Framing::Untouched | Framing::Open { .. } => {}
    }
    response(status, headers)
}

/// `101` as the client gets it: what was hop-by-hop is said again.
pub(super) fn upgraded(head: ResponseHeader) -> ResponseHeader {
    let mut parts: http::response::Parts = head.into();
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    parts.into()
}

/// The request's own part of an upgrade, put back after hygiene took it out. Extensions (compression) would hide the
/// messages that tell the bill.
pub(super) fn ask_for_upgrade(head: &mut RequestHeader, provider: Vec<(HeaderName, HeaderValue)>) {
    let mut parts: http::request::Parts = head.as_owned_parts();
    parts.headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    for (name, value) in provider {
        parts.headers.insert(name, value);
    }
    *head = parts.into();
}

/// A head of exactly these headers: names go out in the usual case.
pub(super) fn response(status: http::StatusCode, headers: HeaderMap) -> ResponseHeader {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    parts.into()
}

/// The upstream's own id of a request.
pub(super) fn upstream_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    UPSTREAM_IDS.into_iter().find_map(|name| headers.get(name))
}

/// A caller's own request id is kept when it is short and harmless to print.
pub(super) fn sane_request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    (!id.is_empty() && id.len() <= 128 && id.bytes().all(harmless)).then_some(id)
}

/// The answer to a CORS preflight.
pub(super) fn preflight(request: &RequestHeader) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(204, Some(6))?;
    let echo = |name: HeaderName, fallback: &'static str| {
        request.headers.get(name).cloned().unwrap_or(HeaderValue::from_static(fallback))
    };
    head.insert_header("access-control-allow-origin", echo(http::header::ORIGIN, "*"))?;
    let methods = echo(http::header::ACCESS_CONTROL_REQUEST_METHOD, "GET, POST, DELETE");
    head.insert_header("access-control-allow-methods", methods)?;
    let headers = echo(http::header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization, content-type");
    head.insert_header("access-control-allow-headers", headers)?;
    head.insert_header("access-control-max-age", "3600")?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_harmless_request_ids_are_kept() {
        let check = |id: &'static str, kept: bool| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_static(id));
            assert_eq!(sane_request_id(&headers).is_some(), kept, "{id}");
        };
        check("run-7", true);
        check("a b", false);
        check("", false);
        check("\"><script>", false);
    }

    #[test]
    fn the_upstreams_id_is_found_under_each_of_its_names() {
        for name in ["x-request-id", "x-amzn-requestid"] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("id-1"))]);
            assert_eq!(upstream_request_id(&headers).map(HeaderValue::as_bytes), Some(&b"id-1"[..]), "{name}");
        }
        assert_eq!(upstream_request_id(&HeaderMap::new()), None);
    }

    #[test]
    fn connection_header_names_more_hop_by_hop_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, x-secret-hop"));
        assert_eq!(connection_tokens(&headers), ["x-secret-hop"]);
    }
}
