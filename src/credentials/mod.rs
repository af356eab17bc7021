//! The host's own AWS credentials, kept at hand for settings that have none: from the environment, a profile, the
//! container's or the instance's role. Fetched and renewed in the background; a request only ever reads the latest.
//!
//! Written here rather than taken from `aws-config`: that brings a client for the token service, a runtime and an
//! HTTP stack of its own (some fifteen crates, or a second TLS) for what is four small look-ups.
//! LIMIT: no single sign-on, no assumed roles, no web identity, no external processes. Whoever uses those can export
//! their result into the environment or a profile; a profile is read again every few minutes.

mod http;
mod profile;
mod source;

use crate::domain::time::Clock;
use crate::domain::{Secret, UnixMillis};
use crate::providers::{Ambient, AmbientCredentials};
use arc_swap::ArcSwapOption;
use source::Found;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Credentials are renewed this long before they expire.
const EARLY: Duration = Duration::from_secs(300);
/// The longest and the shortest time between two looks, and the time after a failure.
const SELDOM: Duration = Duration::from_secs(300);
const OFTEN: Duration = Duration::from_secs(10);
/// How long a start waits for the first look.
const FIRST: Duration = Duration::from_secs(5);

/// Variables of the environment. `Debug` shows the names only.
#[derive(Clone, Default)]
struct Variables(BTreeMap<&'static str, Secret>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose)
    }
}

pub struct HostCredentials {
    current: ArcSwapOption<AmbientCredentials>,
    variables: Variables,
    clock: Arc<dyn Clock>,
    started: AtomicBool,
    looked: AtomicBool,
    first: Notify,
}

impl fmt::Debug for HostCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCredentials").field("variables", &self.variables.0.keys()).finish_non_exhaustive()
    }
}

impl Ambient for HostCredentials {
    fn current(&self) -> Option<Arc<AmbientCredentials>> {
        self.current.load_full()
    }
}

impl HostCredentials {
    pub fn new(variables: BTreeMap<&'static str, Secret>, clock: Arc<dyn Clock>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            variables: Variables(variables),
            clock,
            started: AtomicBool::new(false),
            looked: AtomicBool::new(false),
            first: Notify::new(),
        }
    }

    /// Keeps them at hand from now on. Returns when the first look is over, and at once every other time.
    pub async fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let looked = self.first.notified();
        // Lives as long as the process: nothing waits for it at the end.
        tokio::spawn(Arc::clone(self).keep());
        if tokio::time::timeout(FIRST, looked).await.is_err() {
            tracing::warn!("the host's AWS credentials are not there yet; still looking");
        }
    }

    async fn keep(self: Arc<Self>) {
        let mut told = false;
        let mut expires = None;
        loop {
            let pause = match source::find(&self.variables).await {
                Ok(Found { credentials, expiration, from }) => {
                    if self.current.load().as_deref() != Some(&credentials) {
                        tracing::info!(from, "the host's AWS credentials are at hand");
                        self.current.store(Some(Arc::new(credentials)));
                    }
                    (told, expires) = (false, expiration);
                    pause(expiration, self.clock.now())
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "the host has no AWS credentials for the settings that have none");
                    }
                    // What has not expired may still be used.
                    if expires.is_some_and(|at| at <= self.clock.now()) {
                        self.current.store(None);
                    }
                    OFTEN
                }
            };
            if !self.looked.swap(true, Ordering::AcqRel) {
                self.first.notify_one();
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Until the next look.
fn pause(expiration: Option<UnixMillis>, now: UnixMillis) -> Duration {
    expiration.map_or(SELDOM, |at| at.since(now).saturating_sub(EARLY).clamp(OFTEN, SELDOM))
}

#[cfg(test)]
mod tests;
