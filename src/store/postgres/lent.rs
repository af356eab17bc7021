//! How a pool makes its connections, and how it is told why there is none.

use super::connect::{Connector, Purpose};
use deadpool_postgres::Connect;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// The way of a pool.
pub(super) struct Lent {
    pub(super) connector: Connector,
    pub(super) purpose: Purpose,
    /// The one that lives longest: callers come from several, and a connection ends with the one that made it.
    pub(super) runtime: Handle,
}

impl Connect for Lent {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + '_>> {
        Box::pin(async move {
            let (connector, purpose) = (self.connector.clone(), self.purpose.clone());
            let opened = self.runtime.spawn(async move { connector.open(&purpose).await }).await;
            match opened {
                Ok(Ok((client, driver, _))) => Ok((client, driver)),
                Ok(Err(error)) => Err(as_client_error(io::Error::other(error)).await),
                Err(cut_short) => Err(as_client_error(io::Error::other(cut_short)).await),
            }
        })
    }
}

/// The pool takes errors of the client only, which nobody else can make: this one comes out of a socket that has it.
async fn as_client_error(error: io::Error) -> tokio_postgres::Error {
    let failing = Failing(Some(error));
    match tokio_postgres::Config::new().user("nobody").connect_raw(failing, tokio_postgres::NoTls).await {
        Err(error) => error,
        Ok((client, _)) => {
            // It fails before it begins; if not, there is nobody at the other end.
            drop(client);
            tokio_postgres::Error::__private_api_timeout()
        }
    }
}

struct Failing(Option<io::Error>);

impl Failing {
    fn error(&mut self) -> io::Error {
        self.0.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.error()))
    }
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
