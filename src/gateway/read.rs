//! Reads a request body into memory: bounded per request, bounded over all requests, bounded in time.

use super::refuse::GatewayError;
use bytes::{Bytes, BytesMut};
use pingora::ErrorType;
use pingora::proxy::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Memory for bodies is handed out in pages of this many bytes.
const PAGE: usize = 4096;

/// Memory that all bodies together may take.
#[derive(Debug)]
pub(super) struct BodyMemory {
    pages: Arc<Semaphore>,
}

impl BodyMemory {
    pub(super) fn new(bytes: u64) -> Self {
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE;
        Self { pages: Arc::new(Semaphore::new(pages.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Room for `bytes` more, given back when the permit is dropped; `None` when memory is short.
    pub(super) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pages = u32::try_from(bytes.div_ceil(PAGE)).ok()?;
        self.pages.clone().try_acquire_many_owned(pages).ok()
    }
}

/// A whole body, and the memory it is accounted for.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) bytes: u64,
    /// For the whole body, whatever its pace.
    pub(super) time: Duration,
}

/// Why there is no body: a refusal to send, or a client that is gone.
#[derive(Debug)]
pub(super) enum ReadError {
    Refused(GatewayError),
    ClientGone,
}

/// # Errors
/// The body is compressed: nothing here looks into such a one.
pub(super) fn can_be_read(session: &Session) -> Result<(), GatewayError> {
    let encoding = session.get_header_bytes(http::header::CONTENT_ENCODING).trim_ascii();
    let plain = encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity");
    if plain { Ok(()) } else { Err(GatewayError::EncodedBody) }
}

/// The declared length, when there is one.
pub(super) fn declared_length(session: &Session) -> Option<u64> {
    session.req_header().headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Tells a client that waits for permission to send its body.
pub(super) async fn invite(session: &mut Session) -> Result<(), ReadError> {
    if session.get_header_bytes(http::header::EXPECT).eq_ignore_ascii_case(b"100-continue") {
        session.downstream_session.write_continue_response().await.map_err(|_| ReadError::ClientGone)?;
    }
    Ok(())
}

pub(super) async fn body(
    session: &mut Session,
    limits: BodyLimits,
    memory: &BodyMemory,
) -> Result<ReadBody, ReadError> {
    let too_large = || ReadError::Refused(GatewayError::BodyTooLarge { limit: limits.bytes });
    let declared = declared_length(session);
    if declared.is_some_and(|n| n > limits.bytes) {
        return Err(too_large());
    }
    if declared == Some(0) || session.downstream_session.is_body_empty() {
        return Ok(ReadBody { bytes: Bytes::new(), _memory: None });
    }
    let overloaded = || ReadError::Refused(GatewayError::Overloaded);
    let mut permit =
        memory.take(declared.and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE)).ok_or_else(overloaded)?;
    invite(session).await?;
    let deadline = Instant::now() + limits.time;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut total: usize = 0;
    loop {
        let piece = match tokio::time::timeout_at(deadline, session.downstream_session.read_request_body()).await {
            Err(_) => return Err(ReadError::Refused(GatewayError::BodyTimeout)),
            Ok(Err(e)) if *e.etype() == ErrorType::ReadTimedout => {
                return Err(ReadError::Refused(GatewayError::BodyTimeout));
            }
            Ok(Err(e)) if *e.etype() == ErrorType::InvalidHTTPHeader => return Err(bad_framing()),
            Ok(Err(_)) => return Err(ReadError::ClientGone),
            Ok(Ok(piece)) => piece,
        };
        let Some(piece) = piece else { break };
        total = total.saturating_add(piece.len());
        if total as u64 > limits.bytes {
            return Err(too_large());
        }
        let held = permit.num_permits() * PAGE;
        if total > held {
            // Growing by half keeps the number of requests for memory logarithmic.
            permit.merge(memory.take((total - held).max(held / 2)).ok_or_else(overloaded)?);
        }
        if first.is_none() && rest.is_empty() {
            first = Some(piece);
        } else {
            if let Some(start) = first.take() {
                rest.reserve(
                    declared.and_then(|n| usize::try_from(n).ok()).unwrap_or(0).min(1 << 20).max(start.len() * 2),
                );
                rest.extend_from_slice(&start);
            }
            rest.extend_from_slice(&piece);
        }
    }
    if declared.is_some_and(|n| n != total as u64) {
        return Err(ReadError::ClientGone);
    }
    Ok(ReadBody { bytes: first.unwrap_or_else(|| rest.freeze()), _memory: Some(permit) })
}

fn bad_framing() -> ReadError {
    ReadError::Refused(GatewayError::BadRequest {
        message: "the request body is not framed correctly".into(),
        param: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let memory = BodyMemory::new(10 * PAGE as u64);
        let a = memory.take(9 * PAGE).unwrap();
        assert!(memory.take(2 * PAGE).is_none());
        assert!(memory.take(PAGE).is_some());
        drop(a);
        assert!(memory.take(10 * PAGE).is_some());
    }
}
