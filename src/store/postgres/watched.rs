//! A socket that does not wait for ever: when nothing has come or gone for its patience, it breaks.
//!
//! That ends whatever hangs at a server that is gone without a word, and closes what nobody uses. Both look the same
//! from here, because answers are not counted: the pool asks a connection that it has not used lately before lending it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Any kind of socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

pub(super) struct Watched {
    socket: Box<dyn Socket>,
    patience: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Watched {
    pub(super) fn new(socket: impl Socket + 'static, patience: Duration) -> Self {
        Self { socket: Box::new(socket), patience, alarm: Box::pin(tokio::time::sleep(patience)) }
    }

    fn stirred(&mut self) {
        self.alarm.as_mut().reset(Instant::now() + self.patience);
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.socket).poll_read(cx, buffer) {
            Poll::Ready(done) => {
                this.stirred();
                Poll::Ready(done)
            }
            Poll::Pending => {
                ready!(this.alarm.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the server was silent for too long")))
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes));
        self.stirred();
        Poll::Ready(written)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
