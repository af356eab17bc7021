//! Pages of other origins: what answers say to their browsers, and the question that comes before a request.

use super::Gateway;
use super::headers;
use crate::auth::origins::{self, Allowed};
use http::HeaderMap;
use http::header::ORIGIN;
use pingora::http::{RequestHeader, ResponseHeader};

fn is_unified(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// On the unified API, whom the operator lists; elsewhere whoever asks, if anybody.
pub(super) fn allowed(g: &Gateway, path: &str, request: &HeaderMap) -> Allowed {
    if !g.settings.cors {
        return Allowed::default();
    }
    if is_unified(path) {
        return g.settings.origins.answer(request);
    }
    Allowed { origin: request.get(ORIGIN).cloned(), varies: false }
}

/// The answer to a preflight. `None`: it is none, or whatever is beside the proxy answers it.
pub(super) fn preflight(
    g: &Gateway,
    has_beside: bool,
    path: &str,
    request: &RequestHeader,
) -> pingora::Result<Option<ResponseHeader>> {
    if !g.settings.cors || request.method != http::Method::OPTIONS {
        return Ok(None);
    }
    if is_unified(path) {
        let mut head = ResponseHeader::build_no_case(204, Some(6))?;
        for (name, value) in origins::preflight(&request.headers) {
            head.insert_header(name, value)?;
        }
        let Allowed { origin, varies } = g.settings.origins.answer(&request.headers);
        if let Some(origin) = origin {
            head.insert_header(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
        }
        if varies {
            head.insert_header(http::header::VARY, "Origin")?;
        }
        return Ok(Some(head));
    }
    let is_ours = !has_beside || path.starts_with("/api/");
    if is_ours && request.headers.contains_key(ORIGIN) { headers::preflight(request).map(Some) } else { Ok(None) }
}
