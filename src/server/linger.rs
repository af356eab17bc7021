//! Between the end of a listener and the end of its idle connections. Pingora drops at once whoever has not sent a
//! request yet; a client that connected in the last moment would be one of them.

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::time::Duration;

/// For a request to arrive on a connection that stands. Shorter than a process that leaves goes on admitting.
pub(super) const LINGER: Duration = Duration::from_millis(150);

/// An application whose connections are told of the stop a little later.
pub(super) struct Lingering<A>(Arc<A>);

impl<A> Lingering<A> {
    pub(super) fn new(app: A) -> Self {
        Self(Arc::new(app))
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Lingering<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        self.0.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        tokio::time::sleep(LINGER).await;
        self.0.cleanup().await;
    }
}
