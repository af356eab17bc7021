//! What the listeners answer while the process waits for its store: that it lives, and that it is not ready. The ports
//! are free again when the room is closed. Nobody can keep it busy: connections are few and short.

use crate::config::Config;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const BACKLOG: u32 = 128;
/// Bytes of a request's head.
const BUFFER: usize = 16 * 1024;
const AFTER_AN_ERROR: Duration = Duration::from_millis(100);

/// Of one listener.
#[derive(Clone, Copy)]
struct Bounds {
    /// At one time.
    connections: usize,
    /// From the first byte of one to its last.
    time: Duration,
}

const BOUNDS: Bounds = Bounds { connections: 64, time: Duration::from_secs(5) };

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
                Ok(listener) => open.push(tokio::spawn(serve(listener, BOUNDS))),
                // A former process may still serve there.
                Err(error) => tracing::info!(%address, %error, "nobody is told here that the gateway waits"),
            }
        }
        // They close with their last task: whoever has taken the room has all of it.
        tokio::task::yield_now().await;
        Self(open)
    }
}

impl WaitingRoom {
    /// The ports are free when this returns.
    pub(super) async fn close(mut self) {
        for task in std::mem::take(&mut self.0) {
            task.abort();
            // What it says is that it was ended.
            let _ = task.await.is_err();
        }
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

/// Answers one connection after another, some of them at a time; it ends with all of them.
async fn serve(listener: TcpListener, bounds: Bounds) {
    let service = TowerToHyperService::new(routes());
    let mut connections = JoinSet::new();
    loop {
        // Whoever comes then waits in the backlog, for no longer than one of these may take.
        if connections.len() >= bounds.connections {
            drop(connections.join_next().await);
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.spawn(answer(socket, service.clone(), bounds.time));
            }
            // Of the connection, or of a process that has no more of them to give.
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(AFTER_AN_ERROR).await;
            }
        }
    }
}

async fn answer(socket: TcpStream, service: TowerToHyperService<axum::Router>, within: Duration) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).max_buf_size(BUFFER);
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    // However it went, nobody is there to be told.
    drop(tokio::time::timeout(within, connection).await);
}

fn routes() -> axum::Router {
    axum::Router::new()
        .route("/", get(|| async { brief(StatusCode::OK.into_response()) }))
        .route("/healthz", get(|| async { brief(StatusCode::OK.into_response()) }))
        .route("/readyz", get(|| async { brief((StatusCode::SERVICE_UNAVAILABLE, Json(unready())).into_response()) }))
        .fallback(|| async { brief((StatusCode::SERVICE_UNAVAILABLE, Json(refusal())).into_response()) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn silent_connections_keep_nobody_waiting_for_long() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { connections: 2, time: Duration::from_millis(400) };
        let room = WaitingRoom(vec![tokio::spawn(serve(listener, bounds))]);
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nhost").await.unwrap();
        let (begun, mut answer) = (Instant::now(), String::new());
        let mut asking = TcpStream::connect(address).await.unwrap();
        asking.write_all(b"GET /readyz HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("awaited at start"), "{answer}");
        assert!(begun.elapsed() > Duration::from_millis(200), "more than two at a time: {:?}", begun.elapsed());
        for waiting in [&mut silent, &mut slow] {
            let ended = tokio::time::timeout(Duration::from_secs(10), waiting.read_to_end(&mut Vec::new())).await;
            ended.expect("a connection that says nothing is ended").unwrap();
        }
        room.close().await;
        assert!(TcpStream::connect(address).await.is_err(), "the port is free");
    }
}
