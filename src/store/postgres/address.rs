//! Where the database is and how to reach it: a list of hosts or a URL, with the meaning libpq gives each part.

use crate::domain::Secret;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};

const DEFAULT_PORT: u16 = 5432;

/// How much TLS is asked for, and how sure one must be of the server: libpq's `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsMode {
    Disable,
    /// Without, then with it.
    Allow,
    /// With it, then without. Whoever the server is.
    #[default]
    Prefer,
    /// Whoever the server is; with a root certificate as [`Self::VerifyCa`].
    Require,
    /// The certificate has a trusted root, whatever name it is for.
    VerifyCa,
    VerifyFull,
}

impl TlsMode {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// One server of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
            Host::Unix(path) => write!(f, "{}", path.join(format!(".s.PGSQL.{}", self.port)).display()),
        }
    }
}

/// How to connect. Its `Debug` and its errors show no password.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Tried in this order; never empty.
    pub(super) places: Vec<Place>,
    /// Who asks for what; hosts and TLS are not in it.
    pub(super) login: tokio_postgres::Config,
    pub tls: TlsMode,
    /// PEM; `None` = the authorities that the host trusts.
    pub root_certificates: Option<PathBuf>,
    /// A server that takes no writes is passed over.
    pub(super) writable: bool,
    /// Version and encoding must be what the schema needs.
    pub(super) holds_store: bool,
    /// Of one server: from its name to a session.
    pub connect_timeout: Duration,
    /// Per statement of a read. At least 1 ms, as the next one.
    pub read_timeout: Duration,
    /// Per statement of a write.
    pub write_timeout: Duration,
    /// Of this process, all purposes together; at least [`Self::LEAST_CONNECTIONS`].
    pub max_connections: usize,
}

/// What is wrong with a URL or a list of hosts. Repeats nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(String);

impl BadSettings {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl PostgresSettings {
    /// One for each purpose that must not wait for another.
    pub const LEAST_CONNECTIONS: usize = 5;

    fn of(places: Vec<Place>, login: tokio_postgres::Config) -> Self {
        Self {
            places,
            login,
            tls: TlsMode::default(),
            root_certificates: None,
            writable: true,
            holds_store: true,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            max_connections: 16,
        }
    }

    /// Each of `hosts` is a name or an address, with a port of its own (`name:port`, `[address]:port`) or without, or
    /// the directory of a Unix socket. An empty `user` is that of the process, an empty `database` the user's name.
    ///
    /// # Errors
    /// There is no host, or a port is not a number.
    pub fn new(
        hosts: &[String],
        port: u16,
        database: &str,
        user: &str,
        password: &Secret,
    ) -> Result<Self, BadSettings> {
        let places = hosts.iter().map(|host| place(host.trim(), port)).collect::<Result<Vec<_>, _>>()?;
        if places.is_empty() {
            return Err(BadSettings::new("no host is named"));
        }
        let mut login = tokio_postgres::Config::new();
        if !user.is_empty() {
            login.user(user);
        }
        if !database.is_empty() {
            login.dbname(database);
        }
        if !password.is_empty() {
            login.password(password.expose());
        }
        login.application_name("tollgate");
        Ok(Self::of(places, login))
    }

    /// `postgres://user:password@host:port,host:port/database?sslmode=...`.
    ///
    /// # Errors
    /// It is no such URL, or asks for what is not there.
    pub fn from_url(url: &str) -> Result<Self, BadSettings> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(BadSettings::new("does not begin with postgres://"));
        }
        let (base, own) = take_parameters(url)?;
        // The message of the parser could repeat what it stumbled over.
        let mut login: tokio_postgres::Config = base
            .parse()
            .map_err(|_| BadSettings::new("is not a URL such as postgres://user:password@host/database"))?;
        let places = places(&login)?;
        if login.get_application_name().is_none() {
            login.application_name("tollgate");
        }
        let connect_timeout = login.get_connect_timeout().copied();
        let mut settings = Self::of(places, login);
        settings.connect_timeout = connect_timeout.filter(|t| !t.is_zero()).unwrap_or(settings.connect_timeout);
        for (name, value) in own {
            match (name.as_str(), value.as_str()) {
                ("sslmode", mode) => {
                    settings.tls =
                        TlsMode::parse(mode).ok_or_else(|| BadSettings::new("sslmode is not one of libpq's"))?;
                }
                ("sslrootcert", "system") => settings.root_certificates = None,
                ("sslrootcert", path) => settings.root_certificates = Some(PathBuf::from(path)),
                (_, "read-write" | "primary") => settings.writable = true,
                (_, "any") => settings.writable = false,
                _ => return Err(BadSettings::new("target_session_attrs must be read-write: a gateway writes")),
            }
        }
        Ok(settings)
    }

    /// The hosts, as they are shown.
    pub fn hosts(&self) -> String {
        self.places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// The URL without the parameters that are this module's own, and those.
fn take_parameters(url: &str) -> Result<(String, Vec<(String, String)>), BadSettings> {
    // A password may hold a question mark.
    let from = url.find('@').unwrap_or(0);
    let Some((at, query)) = url.get(from..).and_then(|rest| rest.split_once('?')).map(|(a, q)| (from + a.len(), q))
    else {
        return Ok((url.to_owned(), Vec::new()));
    };
    let (mut kept, mut own) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if ["sslmode", "sslrootcert", "target_session_attrs"].contains(&name) {
            own.push((name.to_owned(), decoded(value)?));
        } else {
            kept.push(pair);
        }
    }
    let base = url.get(..at).unwrap_or_default();
    let base = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((base, own))
}

/// Without its percent signs.
fn decoded(value: &str) -> Result<String, BadSettings> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|digit| char::from(digit).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BadSettings::new("a percent sign is not followed by two hexadecimal digits"));
        };
        bytes.push(high * 16 + low);
    }
    String::from_utf8(bytes).map_err(|_| BadSettings::new("a parameter is not UTF-8"))
}

fn places(login: &tokio_postgres::Config) -> Result<Vec<Place>, BadSettings> {
    let ports = login.get_ports();
    let hosts = login.get_hosts();
    if hosts.is_empty() {
        return Err(BadSettings::new("no host is named"));
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(BadSettings::new("there are not as many ports as hosts"));
    }
    let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
    Ok(hosts.iter().enumerate().map(|(n, host)| Place { host: host.clone(), port: port(n) }).collect())
}

fn place(text: &str, port: u16) -> Result<Place, BadSettings> {
    if text.is_empty() {
        return Err(BadSettings::new("one of the hosts is empty"));
    }
    if text.starts_with('/') {
        return Ok(Place { host: Host::Unix(PathBuf::from(text)), port });
    }
    let bad = || BadSettings::new("a host is neither a name nor an address, with or without a port");
    let (host, own) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        (host, rest.strip_prefix(':'))
    } else if text.matches(':').count() == 1 {
        text.split_once(':').map(|(host, port)| (host, Some(port))).ok_or_else(bad)?
    } else {
        (text, None)
    };
    if host.is_empty() || host.contains(['/', '@', '?', ' ']) {
        return Err(bad());
    }
    let port = own.map_or(Ok(port), str::parse).map_err(|_| bad())?;
    Ok(Place { host: Host::Tcp(host.to_owned()), port })
}

/// What is said to the server in one attempt.
pub(super) fn attempts(tls: TlsMode, host: &Host) -> &'static [SslMode] {
    match (host, tls) {
        // Nobody listens in on a socket file.
        (Host::Unix(_), _) | (_, TlsMode::Disable) => &[SslMode::Disable],
        (_, TlsMode::Allow) => &[SslMode::Disable, SslMode::Require],
        (_, TlsMode::Prefer) => &[SslMode::Require, SslMode::Disable],
        (_, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => &[SslMode::Require],
    }
}
