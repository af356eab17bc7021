//! The end of the process: no new connections, running requests finish, the ledger is flushed, exit 0.
//! After a hand-over the other process brings to the ledger what is left.

use super::handover::{self, Departure, Leaving};
use crate::gateway::InFlight;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often the number of running requests is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What must be done between the last request and the end of the process.
#[async_trait]
pub trait BeforeExit: Send + Sync {
    async fn flush(&self);
    /// The very last: lines that wait are written.
    fn close_log(&self);
}

pub(super) struct DrainService {
    in_flight: InFlight,
    timeout: Duration,
    departure: Arc<dyn Departure>,
    leaving: Leaving,
}

impl DrainService {
    pub(super) fn new(in_flight: InFlight, timeout: Duration, departure: Arc<dyn Departure>, leaving: Leaving) -> Self {
        Self { in_flight, timeout, departure, leaving }
    }
}

#[async_trait]
impl BackgroundService for DrainService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // An error means that the server is gone, which is a stop too.
        let _ = shutdown.changed().await.is_ok();
        self.in_flight.drain();
        tracing::info!(requests = self.in_flight.count(), "stopping: running requests finish");
        let deadline = Instant::now() + self.timeout;
        if self.leaving.is_set() {
            handover::leave(&*self.departure, &self.in_flight).await;
        }
        while self.in_flight.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        let left = self.in_flight.count();
        self.departure.flush().await;
        if left > 0 {
            tracing::warn!(requests = left, "stopped with requests cut off; each is booked as aborted");
        } else {
            tracing::info!("stopped");
        }
        // Pingora would sleep its whole grace period although nothing runs any more.
        self.departure.close_log();
        std::process::exit(0);
    }
}
