//! What the listeners answer while the process waits for its store: that it lives, and that it is not ready. The ports
//! are free again when the room is dropped.

use crate::config::Config;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

const BACKLOG: u32 = 128;

/// Listens where the gateway will, but for addresses that speak TLS or whose port the system chooses.
pub(super) struct WaitingRoom(Vec<JoinHandle<()>>);

impl WaitingRoom {
    pub(super) async fn open(config: &Config) -> Self {
        let listeners = [
            (Some(config.proxy.listen), &config.proxy.tls_cert),
            (Some(config.admin.listen), &config.admin.tls_cert),
            (config.single.listen, &config.single.tls_cert),
        ];
        let plain = listeners.into_iter().filter(|(_, certificate)| certificate.is_none());
        let addresses = plain.filter_map(|(address, _)| address).filter(|address| address.port() != 0);
        let mut open = Vec::new();
        for address in addresses {
            match listen(address) {
                Ok(listener) => open.push(tokio::spawn(serve(listener))),
                // A former process may still serve there.
                Err(error) => tracing::info!(%address, %error, "nobody is told here that the gateway waits"),
            }
        }
        // They close with their last task: whoever has taken the room has all of it.
        tokio::task::yield_now().await;
        Self(open)
    }
}

impl Drop for WaitingRoom {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the gateway does: connections that were answered do not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(listener: TcpListener) {
    let routes = axum::Router::new()
        .route("/", get(|| async { brief(StatusCode::OK.into_response()) }))
        .route("/healthz", get(|| async { brief(StatusCode::OK.into_response()) }))
        .route("/readyz", get(|| async { brief((StatusCode::SERVICE_UNAVAILABLE, Json(unready())).into_response()) }))
        .fallback(|| async { brief((StatusCode::SERVICE_UNAVAILABLE, Json(refusal())).into_response()) });
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::warn!(%error, "nobody is told any more that the gateway waits");
    }
}

/// A connection that stayed would go on asking the room when the gateway is there.
fn brief(mut answer: Response) -> Response {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn unready() -> serde_json::Value {
    serde_json::json!({"ready": false, "dependencies": {"store": {"ok": false, "detail": "awaited at start"}}})
}

fn refusal() -> serde_json::Value {
    serde_json::json!({"error": {
        "message": "The gateway is starting: it waits for its store.",
        "type": "server_error",
        "param": null,
        "code": "starting",
    }})
}
