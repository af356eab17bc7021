//! Hears of changes the moment they are committed: a connection of its own that listens.
//!
//! A notification may get lost with its connection; whoever waits for them looks by itself once in a while, and is
//! woken after each reconnection.

use super::PostgresStore;
use super::changes::CHANNEL;
use super::connect::{Connector, Purpose};
use super::instances::SHOWN;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Notifications on their way. Each only says that there is something to read.
const QUEUE: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it still is one.
const CHECK: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is heard. Wakes come together when nobody waits for them: one is as good as many.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Configuration has changed, or may have.
    pub(super) changed: Notify,
    /// Another gateway has told what it shows.
    pub(super) shown: Notify,
}

impl PostgresStore {
    /// Returns when configuration may have changed. One caller at a time is woken.
    pub async fn changed(&self) {
        self.heard.changed.notified().await;
    }
}

/// Listens for as long as the store lives.
pub(super) async fn listen(connector: Connector, heard: std::sync::Weak<Heard>) {
    let mut pause = FIRST_PAUSE;
    while heard.strong_count() > 0 {
        match hear(&connector, &heard).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                tracing::warn!(error, "changes are looked for at intervals only: Postgres cannot be listened to");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Until the connection breaks. An error if there never was one.
async fn hear(connector: &Connector, heard: &std::sync::Weak<Heard>) -> Result<(), String> {
    let (notifications, mut heard_of) = mpsc::channel(QUEUE);
    let purpose = Purpose { statement_timeout: CHECK_TIMEOUT, notifications: Some(notifications) };
    let (client, _driver, _) = connector.open(&purpose).await.map_err(|error| error.to_string())?;
    // The driver alone has it now: it ends with the connection.
    drop(purpose);
    let listening = client.batch_execute(&format!("LISTEN {CHANNEL}; LISTEN {SHOWN}")).await;
    listening.map_err(|error| super::refusal::told(&error))?;
    let mut missed = true;
    loop {
        let Some(heard) = heard.upgrade() else { return Ok(()) };
        if std::mem::take(&mut missed) {
            // What was announced before.
            heard.changed.notify_one();
            heard.shown.notify_waiters();
        }
        match tokio::time::timeout(CHECK, heard_of.recv()).await {
            Ok(Some(notification)) if notification.channel() == CHANNEL => heard.changed.notify_one(),
            Ok(Some(_)) => heard.shown.notify_waiters(),
            Ok(None) => {
                tracing::info!("the connection that listens for changes broke");
                return Ok(());
            }
            Err(_) => {
                if let Err(error) = client.simple_query("").await {
                    tracing::info!(
                        error = super::refusal::told(&error),
                        "the connection that listens for changes broke"
                    );
                    return Ok(());
                }
            }
        }
    }
}

/// Begins to listen.
pub(super) fn start(connector: &Connector) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    tokio::spawn(listen(connector.clone(), Arc::downgrade(&heard)));
    heard
}
