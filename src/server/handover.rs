//! From one process to the next without a refused connection: `--upgrade` starts the next one, SIGQUIT makes the
//! running one give it its sockets.
//!
//! 1. The next process prepares everything, says that it is there, and waits ([`Predecessor::await_sockets`]).
//! 2. SIGQUIT: the running one offers its sockets and from now on closes each connection after its request. Pingora
//!    passes the sockets on and leaves 5 s in which this process serves as before.
//! 3. Its listeners end. It waits for requests that have arrived but are not admitted yet, then admits nothing more and
//!    says so ([`Departure::leave`]).
//! 4. The next process counts what was counted here ([`Predecessor::take_over`]) and listens. New connections have
//!    waited in the sockets' queue meanwhile, for about as long as step 3 took.
//!
//! So at any moment one process at most admits requests, and every limit holds as if there were only one.

use super::drain::BeforeExit;
use super::linger::LINGER;
use crate::gateway::InFlight;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// How long SIGQUIT waits for a process to take over.
const HEIR: Duration = Duration::from_secs(30);
/// How long that process may take to open its end of the way.
const SOCKET: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// Between the end of the listeners and the last admission: at least, at most, and without a request that has arrived
/// and is not admitted. New connections wait for this.
const LATE_LEAST: Duration = Duration::from_millis(200);
const LATE_MOST: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(100);
const _: () = assert!(LATE_LEAST.as_millis() > LINGER.as_millis());

/// What a process does to leave its work to the next.
#[async_trait]
pub trait Departure: BeforeExit {
    /// Whether a process waits to take over.
    fn has_heir(&self) -> bool;
    /// Tells it that the sockets are on their way.
    ///
    /// # Errors
    /// It cannot be told.
    fn offer(&self) -> io::Result<()>;
    /// They are not.
    fn withdraw(&self);
    /// Requests that were admitted and run.
    fn admitted(&self) -> u64;
    /// Brings to the store what has ended by now. From here on the heir does that.
    async fn settle_up(&self);
    /// Admits nothing more, and tells the heir so.
    fn leave(&self);
}

/// The process before this one.
pub trait Predecessor: Send + Sync {
    /// Whether there are sockets to be had from it.
    fn serves(&self) -> bool;
    /// Blocks until its sockets are on their way; `false`: it has ended.
    ///
    /// # Errors
    /// Nothing can be known of it.
    fn await_sockets(&self) -> io::Result<bool>;
    /// Blocks until it admits nothing more, then takes over its counts.
    ///
    /// # Errors
    /// They cannot be had.
    fn take_over(&self) -> io::Result<()>;
}

/// Whether this process is on its way to leave: set by SIGQUIT, seen by the drain.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The signals that end this process. SIGQUIT without anybody who takes over is told in the log and ends nothing.
pub(super) struct Signals {
    pub(super) departure: Arc<dyn Departure>,
    pub(super) in_flight: InFlight,
    pub(super) socket: PathBuf,
    pub(super) leaving: Leaving,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let all = [SignalKind::quit(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let [Ok(mut quit), Ok(mut terminate), Ok(mut interrupt)] = all else {
            tracing::error!("signals cannot be received: the process ends without a drain");
            return std::future::pending().await;
        };
        loop {
            let handed_over = async {
                received(&mut quit).await;
                self.give_sockets().await
            };
            tokio::select! {
                given = handed_over => if given {
                    return ShutdownSignal::GracefulUpgrade;
                },
                () = received(&mut terminate) => return ShutdownSignal::GracefulTerminate,
                () = received(&mut interrupt) => return ShutdownSignal::FastShutdown,
            }
        }
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

impl Signals {
    /// Whether another process is there to take the sockets; if not, everything stays as it is.
    async fn give_sockets(&self) -> bool {
        tracing::info!("SIGQUIT: handing over to another process");
        if !within(HEIR, || self.departure.has_heir()).await {
            tracing::error!("no process waits to take over (tollgate serve --upgrade): this one goes on serving");
            return false;
        }
        // What an earlier attempt left would look like an open way.
        drop(std::fs::remove_file(&self.socket));
        if let Err(error) = self.departure.offer() {
            tracing::error!(%error, "the process that takes over cannot be told: this one goes on serving");
            return false;
        }
        if !within(SOCKET, || self.socket.exists()).await {
            tracing::error!("the process that was to take over does not answer: this one goes on serving");
            self.departure.withdraw();
            return false;
        }
        self.in_flight.drain();
        self.leaving.0.store(true, Ordering::Release);
        true
    }
}

async fn within(patience: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// After the listeners have ended: lets in who has come already, then leaves.
pub(super) async fn leave(departure: &dyn Departure, in_flight: &InFlight) {
    let begun = Instant::now();
    departure.settle_up().await;
    let mut quiet_since = begun;
    loop {
        let now = Instant::now();
        if in_flight.count() > departure.admitted() {
            quiet_since = now;
        }
        let quiet = now - quiet_since >= QUIET && now - begun >= LATE_LEAST;
        if quiet || now - begun >= LATE_MOST {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    departure.leave();
    tracing::info!(requests = in_flight.count(), "handed over: the other process serves from here on");
}
