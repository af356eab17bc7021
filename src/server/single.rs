//! The management API beside the proxy, on a listener that serves both.

use crate::gateway::Beside;
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tower::ServiceExt;

/// No answer of the management API is longer, bytes.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Management {
    router: axum::Router,
}

impl Management {
    pub(super) fn new(management: axum::Router) -> Self {
        // Load balancers look here whether the process lives.
        let alive = axum::routing::get(|| async { "ok" });
        let router = axum::Router::new().route("/", alive.clone()).route("/favicon.ico", alive);
        Self { router: router.fallback_service(management) }
    }
}

#[async_trait]
impl Beside for Management {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        // A router fails with nothing.
        let Ok(answer) = self.router.clone().oneshot(request.map(Body::from)).await;
        let (mut parts, body) = answer.into_parts();
        let body = to_bytes(body, LONGEST_ANSWER).await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be made");
            parts.status = StatusCode::INTERNAL_SERVER_ERROR;
            Bytes::new()
        });
        Response::from_parts(parts, body)
    }
}
