//! Sends a request upstream and waits for the answer's head, for as long as the client and the deadline allow.
//!
//! The upstream is driven through Pingora's connector (its pool, TLS and both HTTP versions), not through its proxy loop:
//! the whole exchange is then one sequence that can await the journal before the last byte, see an answer before
//! deciding what to do with it, and costs less CPU than a wrapped session.

use super::cork;
use super::retry_after::retry_after;
use super::upstreams::Upstream;
use crate::domain::UnixMillis;
use crate::providers::UploadReader;
use crate::routing::Failure;
use crate::telemetry::ConnectionState;
use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::ALPN;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Attempts on pooled connections that turn out to be closed, before giving up.
const MOST_STALE: usize = 3;

/// What is sent.
pub(super) enum Payload<'a> {
    Whole(Bytes),
    /// Taken from the client while it is sent, and shown to `reader` as it passes; at most `limit` bytes.
    Streamed {
        limit: u64,
        reader: Option<&'a mut dyn UploadReader>,
    },
}

/// An answer whose head has arrived.
pub(super) struct Answer {
    pub(super) session: HttpSession,
    pub(super) peer: Arc<HttpPeer>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.session.response_header().map_or(0, |head| head.status.as_u16())
    }

    /// How long the upstream wants to be left alone.
    pub(super) fn retry_after(&self, now: UnixMillis) -> Option<Duration> {
        retry_after(&self.session.response_header()?.headers, now)
    }
}

/// Why there is no answer. `sent`: the upstream may have worked on the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    ClientGone { sent: bool },
    Timeout { sent: bool },
    Connect,
    Broken { sent: bool },
    TooLarge { limit: u64 },
}

impl Fault {
    pub(super) const fn sent(self) -> bool {
        match self {
            Self::ClientGone { sent } | Self::Timeout { sent } | Self::Broken { sent } => sent,
            Self::Connect | Self::TooLarge { .. } => false,
        }
    }

    pub(super) const fn failure(self) -> Failure {
        match self {
            Self::ClientGone { .. } => Failure::ClientGone,
            Self::Timeout { .. } => Failure::Timeout,
            Self::Connect => Failure::Connect,
            Self::Broken { .. } => Failure::Broken,
            Self::TooLarge { .. } => Failure::Refused,
        }
    }

    /// A connection that closed before any answer consumed nothing.
    pub(super) const fn may_have_consumed(self) -> bool {
        self.sent() && !matches!(self, Self::Broken { .. })
    }
}

/// How patient an exchange is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) deadline: Instant,
    /// Longest silence of the upstream.
    pub(super) idle: Duration,
    /// When the answer must have begun, where that is less than both.
    pub(super) first: Option<Instant>,
}

impl Patience {
    /// When waiting for the first sign of the upstream ends. One timer of ours in place of one per read and write.
    pub(super) fn next(&self) -> Instant {
        let until = self.going_on();
        self.first.map_or(until, |first| until.min(first))
    }

    /// As [`Self::next`], for an answer that has begun.
    pub(super) fn going_on(&self) -> Instant {
        self.deadline.min(Instant::now() + self.idle)
    }
}

/// As [`forward`], for a request that wants its connection upgraded: HTTP/1.1, on a connection of its own.
pub(super) async fn upgrade(
    connector: &Connector,
    upstream: &Upstream,
    head: RequestHeader,
    patience: Patience,
) -> Result<Answer, Fault> {
    let mut peer = HttpPeer::clone(&*upstream.peer().ok_or(Fault::Connect)?);
    peer.options.alpn = ALPN::H1;
    let exchange = async {
        let (mut session, _) = Box::pin(connector.get_http_session(&peer)).await.map_err(|_| Fault::Connect)?;
        session.write_request_header(Box::new(head)).await.map_err(|_| Fault::Broken { sent: false })?;
        session.finish_request_body().await.map_err(|_| Fault::Broken { sent: false })?;
        final_head(&mut session).await.map_err(|_| Fault::Broken { sent: true })?;
        Ok(session)
    };
    let session = tokio::time::timeout_at(patience.next(), exchange).await;
    let session = session.map_err(|_| Fault::Timeout { sent: false })??;
    Ok(Answer { session, peer: Arc::new(peer) })
}

pub(super) async fn forward(
    connector: &Connector,
    upstream: &Upstream,
    head: RequestHeader,
    payload: Payload<'_>,
    client: &mut Session,
    patience: Patience,
    count: &(dyn Fn(ConnectionState) + Send + Sync),
) -> Result<Answer, Fault> {
    match payload {
        Payload::Whole(body) => {
            let sent = AtomicBool::new(false);
            let mut exchange = std::pin::pin!(whole(connector, upstream, head, body, &sent, count));
            tokio::select! {
                biased;
                answer = exchange.as_mut() => return answer,
                _ = client.downstream_session.read_body_or_idle(true) => {}
                () = tokio::time::sleep_until(patience.next()) => {
                    return Err(Fault::Timeout { sent: sent.load(Ordering::Relaxed) });
                }
            }
            Err(Fault::ClientGone { sent: sent.load(Ordering::Relaxed) })
        }
        Payload::Streamed { limit, reader } => {
            let sent = AtomicBool::new(false);
            let upload = Upload { limit, reader, sent: &sent };
            let mut exchange = std::pin::pin!(streamed(connector, upstream, head, upload, client, count));
            tokio::select! {
                biased;
                answer = exchange.as_mut() => answer,
                () = tokio::time::sleep_until(patience.deadline) => {
                    Err(Fault::Timeout { sent: sent.load(Ordering::Relaxed) })
                }
            }
        }
    }
}

/// The exchange alone, for whoever watches client and clock by other means. `sent` tells when the upstream may have
/// begun to work.
pub(super) async fn whole(
    connector: &Connector,
    upstream: &Upstream,
    head: RequestHeader,
    body: Bytes,
    sent: &AtomicBool,
    count: &(dyn Fn(ConnectionState) + Send + Sync),
) -> Result<Answer, Fault> {
    let mut stale = 0;
    loop {
        let (mut session, peer, reused) = connect(connector, upstream, count).await?;
        sent.store(true, Ordering::Relaxed);
        let exchange = async {
            if !body.is_empty() {
                cork::hold_head(&session);
            }
            session.write_request_header(Box::new(head.clone())).await?;
            if !body.is_empty() {
                session.write_request_body(body.clone(), true).await?;
            }
            session.finish_request_body().await
        };
        // A refusal may arrive although the body could not be sent whole, so the answer is read either way.
        let written = exchange.await;
        match final_head(&mut session).await {
            Ok(()) => return Ok(Answer { session, peer }),
            // A pooled connection that the upstream closed meanwhile: the request was not looked at.
            Err(Silence::Closed) if reused && stale < MOST_STALE => stale += 1,
            Err(Silence::TimedOut) if written.is_ok() => return Err(Fault::Timeout { sent: true }),
            Err(_) => return Err(Fault::Broken { sent: written.is_ok() }),
        }
    }
}

/// A body on its way from the client.
struct Upload<'a, 'r> {
    limit: u64,
    reader: Option<&'r mut dyn UploadReader>,
    /// All of it was passed on: nobody works on half of one.
    sent: &'a AtomicBool,
}

async fn streamed(
    connector: &Connector,
    upstream: &Upstream,
    head: RequestHeader,
    mut upload: Upload<'_, '_>,
    client: &mut Session,
    count: &(dyn Fn(ConnectionState) + Send + Sync),
) -> Result<Answer, Fault> {
    let (mut session, peer, _) = connect(connector, upstream, count).await?;
    let broken = |_| Fault::Broken { sent: false };
    session.write_request_header(Box::new(head)).await.map_err(broken)?;
    let mut total: u64 = 0;
    let mut refused_early = false;
    loop {
        let piece = client.downstream_session.read_request_body().await;
        let Some(piece) = piece.map_err(|_| Fault::ClientGone { sent: false })? else { break };
        total = total.saturating_add(piece.len() as u64);
        if total > upload.limit {
            return Err(Fault::TooLarge { limit: upload.limit });
        }
        if let Some(reader) = &mut upload.reader {
            reader.push(&piece);
        }
        if session.write_request_body(piece, false).await.is_err() {
            refused_early = true;
            break;
        }
    }
    if !refused_early {
        session.finish_request_body().await.map_err(broken)?;
        upload.sent.store(true, Ordering::Relaxed);
    }
    let head = tokio::select! {
        biased;
        head = final_head(&mut session) => head,
        _ = client.downstream_session.read_body_or_idle(true), if !refused_early => return Err(Fault::ClientGone { sent: true }),
    };
    match head {
        Ok(()) => Ok(Answer { session, peer }),
        Err(Silence::TimedOut) => Err(Fault::Timeout { sent: true }),
        Err(Silence::Closed | Silence::Broken) => Err(Fault::Broken { sent: true }),
    }
}

async fn connect(
    connector: &Connector,
    upstream: &Upstream,
    count: &(dyn Fn(ConnectionState) + Send + Sync),
) -> Result<(HttpSession, Arc<HttpPeer>, bool), Fault> {
    let peer = upstream.peer().ok_or(Fault::Connect)?;
    // Boxed: it holds a whole connection set-up, more than all the rest of a request, and is over before the answer.
    match Box::pin(connector.get_http_session(&*peer)).await {
        Ok((session, true)) => {
            count(ConnectionState::Reused);
            Ok((session, peer, true))
        }
        Ok((session, false)) => {
            count(ConnectionState::Opened);
            Ok((cork::corked(session, &peer), peer, false))
        }
        Err(error) => {
            tracing::warn!(upstream = ?upstream.base.host_header(), %error, "no connection to the upstream");
            Err(Fault::Connect)
        }
    }
}

enum Silence {
    /// Closed before a single byte of an answer.
    Closed,
    TimedOut,
    Broken,
}

/// The head of the final answer; interim ones (1xx) end here.
async fn final_head(session: &mut HttpSession) -> Result<(), Silence> {
    loop {
        if let Err(error) = session.read_response_header().await {
            return Err(match error.etype() {
                pingora::ErrorType::ReadTimedout => Silence::TimedOut,
                pingora::ErrorType::ConnectionClosed | pingora::ErrorType::ReadError | pingora::ErrorType::H2Error => {
                    Silence::Closed
                }
                _ => Silence::Broken,
            });
        }
        let Some(head) = session.response_header() else { return Err(Silence::Broken) };
        if !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
    }
}
