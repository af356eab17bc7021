//! Where Redis is, and what it takes to be let in.

use crate::domain::Secret;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One address that Redis may be reached at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// A name or an address; of IPv6 without brackets.
    pub host: Box<str>,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Connections are encrypted and the server's certificate is checked, its name included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsSettings {
    /// PEM file of the only authorities that are trusted; `None` = those of the host. Read at each connection.
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Of one server and its replicas, tried in this order; or some of a cluster's, who tell the others.
    pub nodes: Vec<Node>,
    /// `None` = the server's default user.
    pub user: Option<Box<str>>,
    pub password: Option<Secret>,
    /// A cluster has only 0.
    pub database: i64,
    pub tls: Option<TlsSettings>,
    /// Of one call, second attempts included.
    pub timeout: Duration,
    /// Until a connection is ready for calls.
    pub connect_timeout: Duration,
    /// Of every key.
    pub prefix: Box<str>,
}
