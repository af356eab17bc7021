//! An axum router behind a Pingora listener: sockets, TLS, stop and hand-over are then one thing for all listeners.

use super::linger::LINGER;
use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use pingora::apps::ServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use pingora::services::listening::Service;
use std::sync::Arc;
use std::time::Duration;

/// A client that has not sent the head of its request in this time is dropped.
const HEAD: Duration = Duration::from_secs(30);

/// Speaks HTTP/1.1 and HTTP/2, also without TLS.
struct Routes {
    router: axum::Router,
    http: Builder<TokioExecutor>,
}

/// A service of one worker thread on one listener.
pub(super) fn service(name: &str, listener: ListenerConfig, router: axum::Router) -> Service<impl ServerApp + use<>> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut service = Service::new(name.to_owned(), Routes { router, http });
    service.threads = Some(1);
    service.add_listener(listener);
    service
}

#[async_trait]
impl ServerApp for Routes {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut shutdown = shutdown.clone();
        let router = TowerToHyperService::new(self.router.clone());
        let connection = self.http.serve_connection(TokioIo::new(stream), router);
        let mut connection = std::pin::pin!(connection);
        let told_to_stop = async move {
            // An error means that the server is gone, which is a stop too.
            let _ = shutdown.wait_for(|stop| *stop).await.is_ok();
            tokio::time::sleep(LINGER).await;
        };
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = told_to_stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection broke");
        }
        None
    }
}
