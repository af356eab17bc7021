//! The end of the process: no new connections, running requests finish, the ledger is flushed, exit 0.

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
    before_exit: Arc<dyn BeforeExit>,
}

impl DrainService {
    pub(super) fn new(in_flight: InFlight, timeout: Duration, before_exit: Arc<dyn BeforeExit>) -> Self {
        Self { in_flight, timeout, before_exit }
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
        while self.in_flight.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        let left = self.in_flight.count();
        self.before_exit.flush().await;
        if left > 0 {
            tracing::warn!(requests = left, "stopped with requests cut off; each is booked as aborted");
        } else {
            tracing::info!("stopped");
        }
        // Pingora would sleep its whole grace period although nothing runs any more.
        self.before_exit.close_log();
        std::process::exit(0);
    }
}
