//! Answers that the gateway itself gives: health, preflights, refusals. They leave whole, whatever the client is still sending.

use super::arrival::Arrival;
use super::headers::{self, Stamp};
use super::refuse::GatewayError;
use super::unified::UnifiedError;
use crate::providers::Dialect;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use std::time::Duration;

/// A refused upload is read on for this long, so that the client gets to see the refusal.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) async fn send_error(
    session: &mut Session,
    error: &GatewayError,
    dialect: Dialect,
    stamp: &Stamp,
) -> pingora::Result<()> {
    let body = error.body(dialect, &stamp.request_id);
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if error.never_retry() {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    if dialect == Dialect::Aws {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(error.aws_type()));
    }
    // Clients of this dialect look for the id here.
    if dialect == Dialect::Anthropic
        && let Ok(id) = HeaderValue::from_str(&stamp.request_id)
    {
        headers.insert(HeaderName::from_static("request-id"), id);
    }
    if let GatewayError::Unified(UnifiedError::WrongMethod { allow }) = error {
        headers.insert(http::header::ALLOW, HeaderValue::from_static(allow));
    }
    stamp.apply(&mut headers);
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    send(session, headers::response(status, headers), body).await
}

pub(super) async fn answer(session: &mut Session, arrival: &Arrival, status: u16, body: Bytes) -> pingora::Result<()> {
    let mut headers = HeaderMap::with_capacity(4);
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let stamp = Stamp { request_id: arrival.request_id.clone(), allowed: arrival.allowed.clone(), ..Stamp::default() };
    stamp.apply(&mut headers);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    send(session, headers::response(status, headers), body).await
}

/// An answer of our own. What the client is still sending is read on for a while: closing at once would destroy the answer.
pub(super) async fn send(session: &mut Session, mut head: ResponseHeader, body: Bytes) -> pingora::Result<()> {
    let unread = !session.downstream_session.is_body_done();
    if unread && !session.is_http2() {
        session.set_keepalive(None);
    }
    if head.status != http::StatusCode::NO_CONTENT && !head.headers.contains_key(TRANSFER_ENCODING) {
        head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    }
    let tasks = if body.is_empty() {
        vec![HttpTask::Header(Box::new(head), true)]
    } else {
        vec![HttpTask::Header(Box::new(head), false), HttpTask::Body(Some(body), true)]
    };
    session.downstream_session.response_duplex_vec(tasks).await?;
    if unread {
        // The answer is out; how the rest of the upload ends does not matter.
        let _ = tokio::time::timeout(DRAIN, session.downstream_session.drain_request_body()).await.is_ok();
    }
    Ok(())
}
