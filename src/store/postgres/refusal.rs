//! Why a server is not used, in words for whoever runs it. No text repeats a password, or what a row holds.

use super::connect::{ENCODING, OLDEST};
use std::fmt::{self, Write as _};
use std::io;

/// Why there is no connection: what each server said.
#[derive(Debug)]
pub(super) struct NoConnection(pub(super) Vec<(String, Refusal)>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{}", chain(.0))]
    Network(#[from] io::Error),
    #[error("does not answer in time")]
    Silent,
    #[error("{}", told(.0))]
    Session(#[from] tokio_postgres::Error),
    #[error("takes no writes: it is a standby of another server")]
    Standby,
    #[error("takes no writes: default_transaction_read_only is on for this server, database or user")]
    ReadOnly,
    #[error("version {0} is too old, {OLDEST} is needed")]
    TooOld(String),
    #[error("the database is encoded in {0}: make one with ENCODING '{ENCODING}'")]
    Encoding(String),
}

impl Refusal {
    fn speaks_no_tls(&self) -> bool {
        matches!(self, Self::Session(error) if chain(error).contains("server does not support TLS"))
    }
}

/// Of what one server said, with TLS and without: not that it speaks none when it has more to say, and nothing twice.
pub(super) fn telling(mut said: Vec<(String, Refusal)>) -> Vec<(String, Refusal)> {
    if said.len() > 1 && said.iter().any(|(_, refusal)| !refusal.speaks_no_tls()) {
        said.retain(|(_, refusal)| !refusal.speaks_no_tls());
    }
    said.dedup_by_key(|(_, refusal)| refusal.to_string());
    said
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres cannot be used: ")?;
        for (n, (place, refusal)) in self.0.iter().enumerate() {
            write!(f, "{}{place}: {refusal}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
impl std::error::Error for NoConnection {}

/// An error of the client with its causes, on one line. Without the server's details: they may repeat what a row holds.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {} ({})", db.severity(), db.message(), db.code().code()),
        None => chain(error),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {cause_text}");
        }
        next = cause.source();
    }
    text
}
