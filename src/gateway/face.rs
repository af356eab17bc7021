//! The gateway on one listener: alone, or with something beside it that answers everything which is not the proxy's.

use super::answer::send;
use super::arrival::Arrival;
use super::headers::{self, REQUEST_ID};
use super::read::{self, BodyLimits, ReadError};
use super::refusal::{Who, refuse};
use super::walk::{cut, walk};
use super::{Gateway, InFlight};
use crate::providers::Dialect;
use crate::telemetry::InFlight as Underway;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Answers requests that are none of the proxy's.
#[async_trait]
pub trait Beside: Send + Sync {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes>;
}

/// What one listener serves.
pub struct Face {
    gateway: Arc<Gateway>,
    beside: Option<Arc<dyn Beside>>,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").field("beside", &self.beside.is_some()).finish_non_exhaustive()
    }
}

impl Face {
    pub fn new(gateway: Arc<Gateway>, beside: Option<Arc<dyn Beside>>) -> Self {
        Self { gateway, beside }
    }
    pub fn in_flight(&self) -> InFlight {
        self.gateway.in_flight()
    }
}

#[async_trait]
impl ProxyHttp for Face {
    /// Counts the request as long as it lives, panics included.
    type CTX = Underway;

    fn new_ctx(&self) -> Self::CTX {
        self.gateway.ports.metrics.enter()
    }

    /// The whole walk happens here: the answer is sent, or the connection is to be cut.
    async fn request_filter(&self, session: &mut Session, _ctx: &mut Self::CTX) -> pingora::Result<bool> {
        let g = &*self.gateway;
        let keepalive =
            if g.draining.load(Ordering::Acquire) { None } else { Some(g.settings.client_keepalive.as_secs()) };
        session.set_keepalive(keepalive);
        walk(g, self.beside.as_deref(), session).await.map(|()| true)
    }

    /// Never asked: `request_filter` answers every request.
    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Self::CTX) -> pingora::Result<Box<HttpPeer>> {
        Err(pingora::Error::new(pingora::ErrorType::InternalError))
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &pingora::Error) -> bool {
        true
    }

    /// Reached only when a connection is to be cut: nothing may be appended to what was sent.
    async fn fail_to_proxy(
        &self,
        _session: &mut Session,
        _error: &pingora::Error,
        _ctx: &mut Self::CTX,
    ) -> pingora::proxy::FailToProxy {
        pingora::proxy::FailToProxy { error_code: 0, can_reuse_downstream: false }
    }
}

/// Hands a request over, whole, and sends the answer.
pub(super) async fn answer_beside(
    g: &Gateway,
    beside: &dyn Beside,
    session: &mut Session,
    arrival: &Arrival,
) -> pingora::Result<()> {
    let limits = BodyLimits { bytes: g.settings.body_limit, time: g.settings.body_timeout };
    let body = match read::body(session, limits, &g.memory).await {
        Ok(body) => body,
        Err(ReadError::Refused(error)) => {
            let who = Who { dialect: Some(Dialect::Unified), ..Who::nobody() };
            return refuse(g, session, arrival, who, error).await;
        }
        Err(ReadError::ClientGone) => return Err(cut()),
    };
    let head = session.req_header();
    let mut request = Request::new(body.bytes.clone());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    for name in [CONNECTION, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    // Both sides then tell the request by one name.
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        request.headers_mut().insert(REQUEST_ID, id);
    }
    let (mut parts, body) = beside.answer(request).await.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    send(session, headers::response(parts.status, parts.headers), body).await
}
