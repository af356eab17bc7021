//! What an operator wants to know of Redis before the gateway starts.

use super::connect::{Server, connect};
use super::epoch::Probe;
use super::{LinkError, LinkSettings};
use std::time::Instant;
use tokio::time::timeout;

/// A server that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// What it is, in one line.
    pub answer: String,
    /// What the operator should change all the same.
    pub advice: Option<String>,
}

/// Connects as a link does and says what it found, or in one line what is wrong.
pub async fn check(settings: &LinkSettings) -> Result<Checked, String> {
    let Server { connection, about } = connect(settings, &mut Vec::new()).await.map_err(|why| why.to_string())?;
    let probe = Probe::new(&settings.prefix);
    let mut took = Instant::now();
    // The first one teaches the server the script.
    for _ in 0..2 {
        took = Instant::now();
        match timeout(settings.timeout, probe.run(&connection)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(LinkError::from(error).to_string()),
            Err(_) => return Err(format!("no answer within {:?}", settings.timeout)),
        }
    }
    let took = took.elapsed();
    let version = if about.version.is_empty() { "of unknown version" } else { &about.version };
    let kind = if connection.is_cluster() { "cluster" } else { "single server" };
    let tls = if settings.tls.is_some() { "TLS" } else { "no TLS" };
    let user = settings.user.as_deref().unwrap_or("default");
    let policy = match about.policy.as_str() {
        "" => "eviction policy unknown".to_owned(),
        "noeviction" => "no eviction".to_owned(),
        policy => format!("evicts ({policy})"),
    };
    let answer = format!("Redis {version}, {kind}, {tls}, user {user}, {policy}, answers in {} us", took.as_micros());
    Ok(Checked { answer, advice: about.advice() })
}
