//! One connection: the first server of the list that answers, with the TLS that was asked for, and that fits.

use super::address::{Place, PostgresSettings, attempts};
use super::refusal::{NoConnection, Refusal, telling, told};
use super::tls::{self, TlsError};
use super::watched::{Socket, Watched};
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Connection, Notification, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A silent connection is asked after this, and so often, before it counts as gone: a minute in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// A statement that takes longer than its time is ended by the server, and only if that says nothing by the client.
const GRACE: Duration = Duration::from_secs(5);
/// Functions of the schema are written in a form that came with this version.
pub(super) const OLDEST: u32 = 14;
/// Of the database: texts that clients send must come back as they were.
pub(super) const ENCODING: &str = "UTF8";

/// What a connection is for.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    /// After this the server ends a statement.
    pub(super) statement_timeout: Duration,
    /// Who is told of notifications. When it does not keep up they are dropped.
    pub(super) notifications: Option<mpsc::Sender<Notification>>,
}

impl Purpose {
    pub(super) const fn statements(statement_timeout: Duration) -> Self {
        Self { statement_timeout, notifications: None }
    }
}

/// Where a connection ended up.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) place: String,
    pub(super) tls: bool,
}

type Wire = Connection<Watched, <MakeRustlsConnect as MakeTlsConnect<Watched>>::Stream>;

/// Makes connections. A clone shares what was learned.
#[derive(Clone)]
pub(super) struct Connector {
    settings: Arc<PostgresSettings>,
    tls: MakeRustlsConnect,
    /// The server that served last is tried first: one that is gone costs each connection its whole timeout.
    last: Arc<AtomicUsize>,
}

impl Connector {
    pub(super) fn new(settings: PostgresSettings) -> Result<Self, TlsError> {
        let tls = tls::connector(&settings)?;
        Ok(Self { settings: Arc::new(settings), tls, last: Arc::default() })
    }

    pub(super) fn settings(&self) -> &PostgresSettings {
        &self.settings
    }

    /// Longer than [`Self::open`] can take.
    pub(super) fn patience(&self) -> Duration {
        let servers = u32::try_from(self.settings.places.len()).unwrap_or(u32::MAX);
        self.settings.connect_timeout.saturating_mul(servers.saturating_mul(2)) + GRACE
    }

    /// A session and the task that drives it, which ends with the client.
    pub(super) async fn open(&self, purpose: &Purpose) -> Result<(Client, JoinHandle<()>, Reached), NoConnection> {
        let mut refusals = Vec::new();
        let servers = self.settings.places.len();
        let first = self.last.load(Ordering::Relaxed);
        let order = std::iter::once(first).chain((0..servers).filter(|n| *n != first));
        for (n, place) in order.filter_map(|n| Some((n, self.settings.places.get(n)?))) {
            let mut of_place = Vec::new();
            for mode in attempts(self.settings.tls, &place.host) {
                let session = tokio::time::timeout(self.settings.connect_timeout, self.session(place, *mode, purpose));
                let refusal = match session.await {
                    Ok(Ok((client, driver))) => {
                        self.last.store(n, Ordering::Relaxed);
                        let reached = Reached { place: place.to_string(), tls: *mode == SslMode::Require };
                        return Ok((client, driver, reached));
                    }
                    Ok(Err(refusal)) => refusal,
                    Err(_) => Refusal::Silent,
                };
                // With or without TLS it is the same server.
                let is_last = !matches!(refusal, Refusal::Session(_));
                of_place.push((shown(place, *mode), refusal));
                if is_last {
                    break;
                }
            }
            refusals.extend(telling(of_place));
        }
        Err(NoConnection(refusals))
    }

    async fn session(
        &self,
        place: &Place,
        mode: SslMode,
        purpose: &Purpose,
    ) -> Result<(Client, JoinHandle<()>), Refusal> {
        let (host, patience) = (&place.host, purpose.statement_timeout.saturating_add(GRACE));
        let mut login = self.settings.login.clone();
        login.ssl_mode(mode);
        let name = if let Host::Tcp(name) = host { name } else { "" };
        let tls = MakeTlsConnect::<Watched>::make_tls_connect(&mut self.tls.clone(), name);
        let Ok(tls) = tls;
        let (client, connection) = match host {
            Host::Tcp(name) => {
                let socket = tcp(name, place.port).await?;
                login.connect_raw(Watched::new(socket, patience), tls).await?
            }
            Host::Unix(folder) => {
                let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{}", place.port))).await?;
                login.connect_raw(Watched::new(socket, patience), tls).await?
            }
        };
        if self.settings.holds_store {
            must_fit(&connection)?;
        }
        let driver = tokio::spawn(drive(connection, purpose.notifications.clone()));
        match prepare(&client, purpose.statement_timeout).await? {
            Some(why_not) if self.settings.writable => Err(why_not),
            _ => Ok((client, driver)),
        }
    }
}

/// By what the server says of itself when a session begins.
fn must_fit(connection: &Wire) -> Result<(), Refusal> {
    let version = connection.parameter("server_version").unwrap_or_default();
    let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST) {
        return Err(Refusal::TooOld(version.to_owned()));
    }
    match connection.parameter("server_encoding") {
        Some(encoding) if encoding != ENCODING => Err(Refusal::Encoding(encoding.to_owned())),
        _ => Ok(()),
    }
}

fn shown(place: &Place, mode: SslMode) -> String {
    match (&place.host, mode) {
        (Host::Tcp(_), SslMode::Require) => format!("{place} with TLS"),
        _ => place.to_string(),
    }
}

async fn tcp(name: &str, port: u16) -> io::Result<impl Socket + use<>> {
    let socket = TcpStream::connect((name, port)).await?;
    socket.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    Ok(socket)
}

/// Sets the session up in one round trip; why it takes no writes, if so.
async fn prepare(client: &Client, statement_timeout: Duration) -> Result<Option<Refusal>, tokio_postgres::Error> {
    // A transaction that its process forgot would block others for ever. The planner takes the pieces of a range for much
    // longer than they are: to compile what then looks dear takes seconds, and to run it as it is milliseconds.
    let sql = format!(
        "SET statement_timeout = {}; SET jit = off; SET idle_in_transaction_session_timeout = 60000; \
         SELECT current_setting('transaction_read_only'), pg_is_in_recovery()",
        i32::try_from(statement_timeout.as_millis()).unwrap_or(i32::MAX)
    );
    let answers = client.simple_query(&sql).await?;
    let answer = answers.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("on"), row.get(1) == Some("t"))),
        _ => None,
    });
    Ok(match answer {
        Some((_, true)) => Some(Refusal::Standby),
        Some((true, false)) => Some(Refusal::ReadOnly),
        _ => None,
    })
}

async fn drive(mut connection: Wire, notifications: Option<mpsc::Sender<Notification>>) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match (message, &notifications) {
            (Ok(AsyncMessage::Notification(notification)), Some(listener)) => {
                // Whoever does not keep up has something to read already.
                let _ = listener.try_send(notification).is_ok();
            }
            (Ok(AsyncMessage::Notice(notice)), _) => tracing::debug!(notice = notice.message(), "from Postgres"),
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::debug!(error = told(&error), "a connection to Postgres broke");
                return;
            }
        }
    }
}

/// The connection is of no use any more, or the server takes nothing now: another one may do.
pub(super) fn is_broken(error: &tokio_postgres::Error) -> bool {
    if let Some(db) = error.as_db_error() {
        let gone = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_SESSION_TIMEOUT,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        return gone.contains(db.code()) || db.code().code().starts_with("08");
    }
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        if let Some(error) = next.downcast_ref::<io::Error>() {
            // Whoever could not even connect has tried all servers.
            return !error.get_ref().is_some_and(|inner| inner.is::<NoConnection>());
        }
        cause = next.source();
    }
    error.is_closed()
}
