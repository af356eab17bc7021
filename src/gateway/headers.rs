//! Header hygiene, both ways: what may cross the gateway, and what the gateway says itself.

use super::upstreams::BaseUrl;
use crate::limits::RateState;
use crate::providers::{Endpoint, Outbound};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

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
    let target = base.target(&endpoint.path, client.uri.query());
    let mut head =
        RequestHeader::build_no_case(endpoint.method.clone(), target.as_bytes(), Some(client.headers.len() + 4))?;
    let named = connection_tokens(&client.headers);
    for (name, value) in &client.headers {
        let text = name.as_str();
        if stays_here(text) || named.contains(&text) || (remove_user_agent && text == "user-agent") {
            continue;
        }
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(HOST, base.host_header())?;
    head.insert_header(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
    for (name, value) in &outbound.headers {
        head.insert_header(name.clone(), value.clone())?;
    }
    match length {
        Some(0) if !matches!(endpoint.method, http::Method::POST | http::Method::PUT | http::Method::PATCH) => {}
        Some(n) => head.insert_header(CONTENT_LENGTH, n)?,
        None => head.insert_header(TRANSFER_ENCODING, "chunked")?,
    }
    Ok(head)
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
            | "host"
            | "accept-encoding"
            | "http2-settings"
            | "authorization"
            | "x-api-key"
            | "api-key"
            | "ocp-apim-subscription-key"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-amz-content-sha256"
            | "amz-sdk-invocation-id"
            | "amz-sdk-request"
            | "cookie"
            | "openai-organization"
            | "openai-project"
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
    /// `Access-Control-Allow-Origin`, when CORS is on.
    pub(super) allow_origin: Option<HeaderValue>,
    pub(super) event_id: Option<Box<str>>,
    pub(super) provider: Option<&'static str>,
    pub(super) model: Option<Box<str>>,
    pub(super) rate: Option<RateState>,
    pub(super) cost: Option<String>,
}

// Names made once: looking a header up by text parses the text each time.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
pub(super) const CUSTOM_EVENT_ID: HeaderName = HeaderName::from_static("x-custom-event-id");
pub(super) const METADATA: HeaderName = HeaderName::from_static("x-metadata");
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
const EVENT_ID: HeaderName = HeaderName::from_static("x-tollgate-event-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

impl Stamp {
    pub(super) fn apply(&self, head: &mut ResponseHeader) -> pingora::Result<()> {
        head.insert_header(REQUEST_ID, &*self.request_id)?;
        if let Some(origin) = &self.allow_origin {
            head.insert_header(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
        }
        if let Some(id) = &self.event_id {
            head.insert_header(EVENT_ID, &**id)?;
        }
        if let Some(provider) = self.provider {
            head.insert_header(PROVIDER, HeaderValue::from_static(provider))?;
        }
        if let Some(model) = self.model.as_deref().filter(|m| !m.is_empty())
            && let Ok(value) = HeaderValue::from_str(model)
        {
            head.insert_header(MODEL, value)?;
        }
        if let Some(cost) = &self.cost {
            head.insert_header(COST, cost.as_str())?;
        }
        if let Some(rate) = &self.rate {
            head.insert_header(RATE_LIMIT, rate.limit)?;
            head.insert_header(RATE_REMAINING, rate.remaining)?;
            head.insert_header(RATE_RESET, format!("{}ms", rate.reset.as_millis()))?;
        }
        Ok(())
    }
}

/// What is still true of an answer's body when it reaches the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StillTrue {
    pub(super) length: bool,
    pub(super) encoding: bool,
}

/// The upstream's answer as the client gets it.
pub(super) fn response_head(
    upstream: &ResponseHeader,
    stamp: &Stamp,
    still: StillTrue,
) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(upstream.status, Some(upstream.headers.len() + 8))?;
    let named = connection_tokens(&upstream.headers);
    for (name, value) in &upstream.headers {
        let text = name.as_str();
        let untrue = (!still.length && text == "content-length") || (!still.encoding && text == "content-encoding");
        // The key's own limit replaces the upstream's account of ours.
        let replaced = stamp.rate.is_some() && text.starts_with("x-ratelimit-") && text.ends_with("-requests");
        if untrue || replaced || ends_here(text) || named.contains(&text) {
            continue;
        }
        head.append_header(name.clone(), value.clone())?;
    }
    if let Some(id) = upstream.headers.get(REQUEST_ID) {
        head.insert_header(UPSTREAM_REQUEST_ID, id.clone())?;
    }
    stamp.apply(&mut head)?;
    Ok(head)
}

/// Without a length an HTTP/1.1 answer is chunked; HTTP/2 frames by itself.
pub(super) fn frame_without_length(head: &mut ResponseHeader, http2: bool) -> pingora::Result<()> {
    if !http2 && !head.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
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
    fn connection_header_names_more_hop_by_hop_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, x-secret-hop"));
        assert_eq!(connection_tokens(&headers), ["x-secret-hop"]);
    }
}
