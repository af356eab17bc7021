//! Listeners and their end: the proxy and the admin API on Pingora, a stop that loses nothing, a hand-over that
//! refuses nobody.

mod admin;
mod drain;
mod handover;
mod linger;
mod single;
mod tls;

use crate::gateway::{Face, Gateway, InFlight};
use handover::{Leaving, Signals};
use linger::Lingering;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, TcpSocketOptions};
use pingora::prelude::Server;
use pingora::server::RunArgs;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;

pub use drain::BeforeExit;
pub use handover::{Departure, Predecessor};

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
    /// Where everything that people use is served at one address, if anywhere.
    pub single_listen: Option<SocketAddr>,
    pub single_tls: Option<(String, String)>,
    /// Where `/metrics` is served without a secret, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Worker threads of the proxy; 0 = one per core.
    pub threads: usize,
    /// Idle upstream connections kept in all.
    pub upstream_keepalive: usize,
    pub client_keepalive: Duration,
    pub drain_timeout: Duration,
    /// Over which the sockets go from one process to the next.
    pub upgrade_sock: PathBuf,
}

/// What is served.
#[derive(Debug)]
pub struct Faces {
    pub gateway: Gateway,
    pub admin: axum::Router,
    /// What stands beside the proxy on the single listener.
    pub management: axum::Router,
    pub open_metrics: axum::Router,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("{key}: port 0 cannot be taken over: every process would take another one")]
    AnyPort { key: &'static str },
    #[error("the other process cannot be taken over from: {0}")]
    TakeOver(#[from] io::Error),
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
        upgrade_sock: settings.upgrade_sock.display().to_string(),
        daemon: false,
        ..ServerConf::default()
    }
}

/// Serves until the process is told to stop. Returns only when it could not start.
pub fn run(
    settings: &ServerSettings,
    conf: ServerConf,
    faces: Faces,
    departure: Arc<dyn Departure>,
    predecessor: Option<&dyn Predecessor>,
) -> Result<(), ServerError> {
    let tls = |key, files: &Option<(String, String)>| files.as_ref().map(|files| tls::settings(key, files)).transpose();
    let proxy_tls = tls("proxy.tls_cert", &settings.proxy_tls)?;
    let admin_tls = tls("admin.tls_cert", &settings.admin_tls)?;
    let single_tls = tls("single.tls_cert", &settings.single_tls)?;
    // From here on, nothing may fail that can fail earlier: the other process leaves.
    let inherited = inherits(settings, predecessor)?;
    let address = |key, address| if inherited { Ok(Place::given(address)) } else { Place::take(key, address) };
    let proxy_address = address("proxy.listen", settings.proxy_listen)?;
    let admin_address = address("admin.listen", settings.admin_listen)?;
    let single_address = settings.single_listen.map(|a| address("single.listen", a)).transpose()?;
    let metrics_address = settings.metrics_listen.map(|a| address("telemetry.metrics_listen", a)).transpose()?;
    let options = Opt { upgrade: inherited, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(options, conf);
    server.bootstrap();
    if let Some(predecessor) = predecessor {
        predecessor.take_over()?;
    }

    let gateway = Arc::new(faces.gateway);
    let in_flight: InFlight = gateway.in_flight();
    let alone = Face::new(Arc::clone(&gateway), None);
    server.add_service(proxy_service(
        "proxy",
        &server.configuration,
        settings,
        listener(&proxy_address, proxy_tls),
        alone,
    ));
    tracing::info!(listener = "proxy", address = %proxy_address.address, "listening");
    if let Some(address) = &single_address {
        let both = Face::new(gateway, Some(Arc::new(single::Management::new(faces.management))));
        server.add_service(proxy_service(
            "single",
            &server.configuration,
            settings,
            listener(address, single_tls),
            both,
        ));
        tracing::info!(listener = "single", address = %address.address, "listening");
    }
    if let Some(address) = &metrics_address {
        tracing::info!(listener = "telemetry", address = %address.address, "listening");
        server.add_service(admin::service("metrics", listener(address, None), faces.open_metrics));
    }
    tracing::info!(listener = "admin", address = %admin_address.address, "listening");
    server.add_service(admin::service("admin", listener(&admin_address, admin_tls), faces.admin));
    let leaving = Leaving::default();
    let drain = drain::DrainService::new(in_flight.clone(), settings.drain_timeout, departure.clone(), leaving.clone());
    server.add_service(background_service("drain", drain));
    let signals = Signals { departure, in_flight, socket: settings.upgrade_sock.clone(), leaving };
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    std::process::exit(0)
}

/// Whether the sockets come from the process before; waits until they are on their way.
fn inherits(settings: &ServerSettings, predecessor: Option<&dyn Predecessor>) -> Result<bool, ServerError> {
    let Some(predecessor) = predecessor.filter(|p| p.serves()) else { return Ok(false) };
    for (key, address) in [
        ("proxy.listen", Some(settings.proxy_listen)),
        ("admin.listen", Some(settings.admin_listen)),
        ("telemetry.metrics_listen", settings.metrics_listen),
        ("single.listen", settings.single_listen),
    ] {
        if address.is_some_and(|a| a.port() == 0) {
            return Err(ServerError::AnyPort { key });
        }
    }
    Ok(predecessor.await_sockets()?)
}

/// The gateway on one listener, HTTP/2 without TLS included.
fn proxy_service(
    name: &str,
    conf: &Arc<ServerConf>,
    settings: &ServerSettings,
    listener: ListenerConfig,
    face: Face,
) -> Service<impl ServerApp + use<>> {
    let mut app = pingora_proxy::http_proxy(conf, face);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(settings.client_keepalive);
    app.server_options = Some(options);
    let mut proxy = Service::new(name.to_owned(), Lingering::new(app));
    // Head and body of a small answer leave in one write; reads need no more than this either.
    proxy.add_listener(listener.l4_buffer(L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER)));
    proxy
}

fn listener(place: &Place, tls: Option<TlsSettings>) -> ListenerConfig {
    let mut listener = ListenerConfig::tcp(place.address.to_string());
    if place.reserved.is_some() {
        let mut options = TcpSocketOptions::default();
        options.so_reuseport = Some(true);
        listener = listener.tcp_socket_options(options);
    }
    match tls {
        None => listener,
        Some(settings) => listener.tls(settings),
    }
}

/// Where a listener will be.
struct Place {
    address: SocketAddr,
    /// Bound and silent: keeps a port that was chosen by the system from being given to others until the listener has it.
    reserved: Option<TcpSocket>,
}

impl Place {
    const fn given(address: SocketAddr) -> Self {
        Self { address, reserved: None }
    }

    /// Checks that an address can be listened on, so that a mistake is one clear line, and turns port 0 into a free port.
    fn take(key: &'static str, address: SocketAddr) -> Result<Self, ServerError> {
        let listen = |source| ServerError::Listen { key, address, source };
        if address.port() != 0 {
            return TcpListener::bind(address).map(|_| Self::given(address)).map_err(listen);
        }
        let reserve = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Shared with the listener to come, which is this user's; nobody else is given the port.
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            Ok(Self { address: socket.local_addr()?, reserved: Some(socket) })
        };
        reserve().map_err(listen)
    }
}
