//! A connection to an upstream on which a request's head waits for the first of its body, so that both leave in one
//! write: a system call, a packet and (with TLS) a record less for every request that has a body.

use async_trait::async_trait;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client::HttpSession as Http1Session;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_core::upstreams::peer::HttpPeer;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Memory for heads that a pooled connection may keep, bytes.
const KEPT: usize = 4 * 1024;

/// The same session, on a connection whose next head can be held by [`hold_head`]. It stays so in the pool.
/// HTTP/2 puts frames together by itself and is left as it is.
pub(super) fn corked(session: HttpSession, peer: &HttpPeer) -> HttpSession {
    match session {
        HttpSession::H1(session) => {
            let stream: Stream = Box::new(Corked::over(session.into_inner()));
            HttpSession::H1(Http1Session::new_with_options(stream, peer))
        }
        other => other,
    }
}

/// The head that is written next waits for the body. To be called only when one follows at once.
pub(super) fn hold_head(session: &HttpSession) {
    let Some(stream) = session.stream() else { return };
    if let Some(corked) = (**stream).as_any().downcast_ref::<Corked>() {
        corked.hold.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Corked {
    inner: Stream,
    /// The next write is a head that waits.
    hold: AtomicBool,
    /// The flush that ends it is not to be passed on.
    skip_flush: bool,
    head: Vec<u8>,
    /// So much of it was written.
    written: usize,
}

impl Corked {
    fn over(inner: Stream) -> Self {
        Self { inner, hold: AtomicBool::new(false), skip_flush: false, head: Vec::new(), written: 0 }
    }

    /// Writes what is held and then `body`; how much was written of the latter. Zero only when `body` is empty.
    fn poll_write_both(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.head.get(self.written..).filter(|rest| !rest.is_empty()) {
            let both = [IoSlice::new(rest), IoSlice::new(body)];
            let held = rest.len();
            let wrote = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, &both))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += wrote.min(held);
            if wrote >= held {
                self.head.clear();
                self.head.shrink_to(KEPT);
                self.written = 0;
                if wrote > held {
                    return Poll::Ready(Ok(wrote - held));
                }
            }
        }
        if body.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.inner).poll_write(cx, body) }
    }
}

impl AsyncWrite for Corked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if *self.hold.get_mut() {
            *self.hold.get_mut() = false;
            self.skip_flush = true;
            self.head.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        if self.head.is_empty() {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        self.poll_write_both(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if *self.hold.get_mut() || !self.head.is_empty() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.skip_flush) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_both(cx, &[]))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Corked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

#[async_trait]
impl Shutdown for Corked {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Corked {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Corked {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Corked {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Corked {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Corked {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Corked {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use tokio::io::AsyncWriteExt as _;

    /// A connection that takes at most `room` bytes at a time and remembers each write.
    #[derive(Debug)]
    struct Recording {
        room: usize,
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl AsyncWrite for Recording {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let taken = &buf[..buf.len().min(self.room)];
            self.writes.lock().push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Recording {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[async_trait]
    impl Shutdown for Recording {
        async fn shutdown(&mut self) {}
    }

    impl UniqueID for Recording {
        fn id(&self) -> UniqueIDType {
            7
        }
    }

    impl Ssl for Recording {}

    impl GetTimingDigest for Recording {
        fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
            Vec::new()
        }
    }

    impl GetProxyDigest for Recording {
        fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
            None
        }
    }

    impl GetSocketDigest for Recording {
        fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
            None
        }
    }

    impl Peek for Recording {}

    fn session(room: usize) -> (HttpSession, Arc<Mutex<Vec<Vec<u8>>>>) {
        let writes = Arc::default();
        let stream: Stream = Box::new(Recording { room, writes: Arc::clone(&writes) });
        let peer = HttpPeer::new(("127.0.0.1", 1), false, String::new());
        (corked(HttpSession::H1(Http1Session::new(stream)), &peer), writes)
    }

    async fn post(session: &mut HttpSession, body: &'static [u8]) {
        let mut head = pingora::http::RequestHeader::build("POST", b"/v1", None).unwrap();
        head.insert_header("content-length", body.len()).unwrap();
        session.write_request_header(Box::new(head)).await.unwrap();
        session.write_request_body(body.into(), true).await.unwrap();
        session.finish_request_body().await.unwrap();
    }

    const WHOLE: &[u8] = b"POST /v1 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello";

    #[tokio::test]
    async fn a_held_head_leaves_with_the_body() {
        let (mut session, writes) = session(1_000);
        hold_head(&session);
        post(&mut session, b"hello").await;
        let writes = writes.lock();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert_eq!(writes[0].to_ascii_lowercase(), WHOLE.to_ascii_lowercase());
    }

    #[tokio::test]
    async fn without_being_asked_nothing_is_held() {
        let (mut session, writes) = session(1_000);
        post(&mut session, b"hello").await;
        assert_eq!(writes.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_takes_little_at_a_time_gets_all_in_order() {
        for room in 1..WHOLE.len() + 2 {
            let (mut session, writes) = session(room);
            hold_head(&session);
            post(&mut session, b"hello").await;
            assert_eq!(writes.lock().concat().to_ascii_lowercase(), WHOLE.to_ascii_lowercase(), "{room} at a time");
        }
    }

    #[tokio::test]
    async fn a_head_that_no_body_follows_leaves_with_the_next_flush() {
        let writes: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let mut corked = Corked::over(Box::new(Recording { room: 3, writes: Arc::clone(&writes) }));
        *corked.hold.get_mut() = true;
        corked.write_all(b"GET /").await.unwrap();
        corked.flush().await.unwrap();
        assert!(writes.lock().is_empty(), "it waits");
        corked.flush().await.unwrap();
        assert_eq!(writes.lock().concat(), b"GET /");
        corked.write_all(b"x").await.unwrap();
        assert_eq!(writes.lock().last().unwrap(), b"x", "and nothing is held any more");
    }

    #[tokio::test]
    async fn every_request_of_a_connection_asks_anew() {
        let writes: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let mut corked = Corked::over(Box::new(Recording { room: 100_000, writes: Arc::clone(&writes) }));
        for long in [10_usize, 50_000] {
            *corked.hold.get_mut() = true;
            corked.write_all(&vec![b'h'; long]).await.unwrap();
            corked.flush().await.unwrap();
            corked.write_all(b"body").await.unwrap();
            corked.flush().await.unwrap();
            assert!(corked.head.capacity() <= KEPT.max(10), "memory of a long head is given back");
        }
        assert_eq!(writes.lock().iter().map(Vec::len).collect::<Vec<_>>(), [14, 50_004]);
        assert_eq!(corked.id(), 7, "it is the same connection to the pool");
    }
}
