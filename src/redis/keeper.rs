//! Keeps the link connected, and looks at the server again and again.

use super::LinkError;
use super::connect::{Server, connect};
use super::epoch::{Epoch, Probe};
use super::link::Shared;
use super::settings::Node;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

pub(super) const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Between two attempts to connect; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many looks without an answer the connection may be what is broken.
const MOST_SLOW: u32 = 3;
/// After so many calls without an answer, a prompt probe alone does not make a good server.
const UNANSWERED: u32 = 3;
/// How long such a server is spared.
const SPARED: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    probe: Probe,
    generation: u64,
    epoch: Option<Vec<Vec<u8>>>,
    /// Nodes of the cluster beside those that are configured.
    learned: Vec<Node>,
    /// Whether the operator was told that counts can vanish.
    warned: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let probe = Probe::new(&shared.settings.prefix);
        Self { shared, probe, generation: 0, epoch: None, learned: Vec::new(), warned: false }
    }

    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match connect(&self.shared.settings, &mut self.learned).await {
                Ok(server) => {
                    self.warn(&server);
                    if self.watch(server).await {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(why) => self.shared.down(why),
            }
            // Gateways that lost the same server do not come back all at the same moment.
            sleep(pause.mul_f64(rand_half())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Until the connection is of no use any more; whether it ever was.
    async fn watch(&mut self, server: Server) -> bool {
        let connection = server.connection;
        let limit = self.shared.settings.timeout;
        let (mut of_use, mut slow, mut renewed) = (false, 0, true);
        loop {
            match timeout(limit, self.probe.run(&connection)).await {
                Ok(Ok(epoch)) => {
                    slow = 0;
                    if self.shared.is_down() && self.shared.unanswered.load(Ordering::Relaxed) >= UNANSWERED {
                        self.shared.unanswered.store(0, Ordering::Relaxed);
                        sleep(SPARED).await;
                        continue;
                    }
                    // The client of a cluster connects to single nodes again without a word.
                    renewed |= of_use && connection.is_cluster() && self.shared.is_down();
                    self.count(&epoch, renewed);
                    self.shared.up(&connection, self.generation, epoch.settled);
                    (of_use, renewed) = (true, false);
                }
                Ok(Err(error)) => {
                    let (LinkError::Down { why } | LinkError::Lost { why } | LinkError::Refused { why }) = error.into();
                    self.shared.down(why);
                    return of_use;
                }
                Err(_) => {
                    self.shared.down(format!("no answer within {limit:?}").into());
                    slow += 1;
                    if slow >= MOST_SLOW {
                        return of_use;
                    }
                }
            }
            tokio::select! {
                () = sleep(PROBE_EVERY) => {}
                () = self.shared.trouble.notified() => {}
            }
        }
    }

    /// Whether what was written may be lost.
    fn count(&mut self, epoch: &Epoch, renewed: bool) {
        if renewed || self.epoch.as_ref() != Some(&epoch.value) {
            self.generation += 1;
            self.epoch = Some(epoch.value.clone());
        }
    }

    fn warn(&mut self, server: &Server) {
        if !self.warned
            && let Some(advice) = server.about.advice()
        {
            self.warned = true;
            tracing::warn!("{advice}");
        }
    }
}

/// Between a half and one.
#[expect(clippy::float_arithmetic, reason = "a random pause")]
fn rand_half() -> f64 {
    let byte = uuid::Uuid::new_v4().as_bytes()[0];
    0.5 + f64::from(byte) / 510.0
}
