//! Listeners and their end: the proxy on Pingora, the admin API on axum, and a stop that loses nothing.

mod admin;
mod drain;
mod tls;

use crate::gateway::{Gateway, InFlight};
use pingora::apps::HttpServerOptions;
use pingora::listeners::ListenerConfig;
use pingora::prelude::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::background::background_service;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use drain::BeforeExit;

/// Of each client connection, bytes.
const READ_BUFFER: usize = 16 * 1024;
const WRITE_BUFFER: usize = 8 * 1024;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub proxy_listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Certificate and key files (PEM), when a listener speaks TLS.
    pub proxy_tls: Option<(String, String)>,
    pub admin_tls: Option<(String, String)>,
    /// Where `/metrics` is served without a secret, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Worker threads of the proxy; 0 = one per core.
    pub threads: usize,
    /// Idle upstream connections kept in all.
    pub upstream_keepalive: usize,
    pub client_keepalive: Duration,
    pub drain_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("{key}: the certificate or key cannot be used: {reason}")]
    Tls { key: &'static str, reason: String },
}

/// Pingora's own settings from ours.
pub fn server_conf(settings: &ServerSettings) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ServerConf {
        threads: if settings.threads == 0 { cores } else { settings.threads },
        work_stealing: true,
        upstream_keepalive_pool_size: settings.upstream_keepalive,
        // The drain service ends the process as soon as the last request is done; this is only the outer bound.
        grace_period_seconds: Some(settings.drain_timeout.as_secs() + 10),
        graceful_shutdown_timeout_seconds: Some(1),
        daemon: false,
        ..ServerConf::default()
    }
}

/// Serves until the process is told to stop. Returns only when it could not start.
pub fn run(
    settings: &ServerSettings,
    conf: ServerConf,
    gateway: Gateway,
    admin: axum::Router,
    open_metrics: axum::Router,
    before_exit: Arc<dyn BeforeExit>,
) -> Result<(), ServerError> {
    let proxy_address = free_address("proxy.listen", settings.proxy_listen)?;
    let admin_address = free_address("admin.listen", settings.admin_listen)?;
    let metrics_address = settings.metrics_listen.map(|a| free_address("telemetry.metrics_listen", a)).transpose()?;
    let proxy_listener = listener("proxy.tls_cert", proxy_address, settings.proxy_tls.as_ref())?;
    let admin_listener = listener("admin.tls_cert", admin_address, settings.admin_tls.as_ref())?;
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let in_flight: InFlight = gateway.in_flight();
    let mut proxy = pingora::proxy::http_proxy_service(&server.configuration, gateway);
    if let Some(app) = proxy.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(settings.client_keepalive);
        app.server_options = Some(options);
    }
    // Head and body of a small answer leave in one write; reads need no more than this either.
    let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
    proxy.add_listener(proxy_listener.l4_buffer(buffers));
    tracing::info!(listener = "proxy", address = %proxy_address, "listening");
    server.add_service(proxy);
    if let Some(address) = metrics_address {
        tracing::info!(listener = "telemetry", %address, "listening");
        server.add_service(admin::service("metrics", ListenerConfig::tcp(&address.to_string()), open_metrics));
    }
    tracing::info!(listener = "admin", address = %admin_address, "listening");
    server.add_service(admin::service("admin", admin_listener, admin));
    let drain = drain::DrainService::new(in_flight, settings.drain_timeout, before_exit);
    server.add_service(background_service("drain", drain));
    server.run_forever()
}

fn listener(
    tls_key: &'static str,
    address: SocketAddr,
    files: Option<&(String, String)>,
) -> Result<ListenerConfig, ServerError> {
    let listener = ListenerConfig::tcp(&address.to_string());
    Ok(match files {
        None => listener,
        Some(files) => listener.tls(tls::settings(tls_key, files)?),
    })
}

/// Checks that an address can be listened on, so that a mistake is one clear line, and turns port 0 into a free port.
fn free_address(key: &'static str, address: SocketAddr) -> Result<SocketAddr, ServerError> {
    let listen = |source| ServerError::Listen { key, address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.local_addr().map_err(listen)
}
