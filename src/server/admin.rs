//! An axum router on its own socket, with or without TLS, stopped with the process.

use super::ServerError;
use super::tls::{self, TlsListener};
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Everything needed to serve, taken once.
struct Parts {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
}

pub(super) struct AdminService {
    /// The configuration key of the address, which names the listener in the log.
    key: &'static str,
    parts: Mutex<Option<Parts>>,
}

impl AdminService {
    /// Binds before anything is served, so that a taken port is an error at start.
    pub(super) fn bind(
        key: &'static str,
        address: SocketAddr,
        tls: Option<&(String, String)>,
        router: axum::Router,
    ) -> Result<Self, ServerError> {
        let listen = |source| ServerError::Listen { key, address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let tls = tls.map(|(cert, key_file)| tls::config(cert, key_file)).transpose();
        let tls = tls.map_err(|reason| ServerError::Tls { key: "admin.tls_cert", reason })?;
        Ok(Self { key, parts: Mutex::new(Some(Parts { listener, tls, router })) })
    }
}

#[async_trait]
impl BackgroundService for AdminService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(Parts { listener, tls, router }) = self.parts.lock().take() else { return };
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, key = self.key, "a listener cannot be used");
                return;
            }
        };
        if let Ok(address) = listener.local_addr() {
            let name = self.key.split('.').next().unwrap_or(self.key);
            tracing::info!(listener = name, %address, "listening");
        }
        let stop = async move {
            // An error means that the server is gone, which is a stop too.
            let _ = shutdown.changed().await.is_ok();
        };
        let served = match tls {
            None => axum::serve(listener, router).with_graceful_shutdown(stop).await,
            Some(config) => axum::serve(TlsListener::new(listener, config), router).with_graceful_shutdown(stop).await,
        };
        if let Err(error) = served {
            tracing::error!(%error, key = self.key, "a listener ended");
        }
    }
}
