//! Which store this process has: a file of its own, or a database that it shares with other gateways. The latter is
//! waited for, however long it takes: a machine that starts does not know the order.

use super::patience::Patience;
use super::{make_parent, open_sealer};
use crate::config::Config;
use crate::domain::InstanceId;
use crate::limits::SharedLedger;
use crate::store::postgres::{Instance, PostgresSettings, PostgresStore};
use crate::store::seal::Sealer;
use crate::store::sqlite::SqliteStore;
use crate::store::{EventStore, Peers, SharedStore, StoreError};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;

/// The last word to the store at the end of the process.
const GOODBYE: Duration = Duration::from_secs(5);

/// The store, and who this process is to it.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) store: SharedStore,
    /// One of many gateways.
    shared: Option<Arc<Instance>>,
}

/// Ends the process on a signal as long as nobody else does, which begins with the server.
pub(super) struct Interruptible(Option<AbortHandle>);

impl Interruptible {
    pub(super) fn no_more(&self) {
        if let Some(watch) = &self.0 {
            watch.abort();
        }
    }
}

impl Engine {
    /// `journal`: the directory of this process's journal. `None`: told to stop before there was a store.
    pub(super) fn open<'a>(
        config: &'a Config,
        runtime: &Runtime,
        journal: &Path,
    ) -> anyhow::Result<Option<(Self, Interruptible, Patience<'a>)>> {
        let sealer = open_sealer(config)?;
        let Some(settings) = config.store.postgres().context("store.url")? else {
            make_parent(&config.store.path).context("store.path")?;
            let store = Arc::new(SqliteStore::open(&config.store.path, sealer).context("store.path")?);
            let patience = Patience::new(config, false);
            return Ok(Some((Self { store, shared: None }, Interruptible(None), patience)));
        };
        let mut patience = Patience::new(config, true);
        let joined = runtime.block_on(join(&mut patience, settings, Arc::new(sealer), journal))?;
        let Some((instance, mut stop)) = joined else { return Ok(None) };
        let watch = runtime.spawn(async move {
            stop.received().await;
            tracing::info!("stopped before serving began");
            std::process::exit(0);
        });
        runtime.spawn(instance.store().keep_months_ahead());
        let engine = Self { store: Arc::new(instance.store()), shared: Some(instance) };
        Ok(Some((engine, Interruptible(Some(watch.abort_handle())), patience)))
    }

    pub(super) fn peers(&self) -> Option<Arc<dyn Peers>> {
        self.shared.clone().map(|instance| instance as _)
    }

    /// The ledger for the events of the journal in `directory`, which belongs to another process or to none.
    pub(super) async fn events_of(&self, directory: &Path) -> Result<(Arc<dyn EventStore>, InstanceId), StoreError> {
        let Some(instance) = &self.shared else { return Ok((self.store.clone(), InstanceId::default())) };
        let store = instance.store().booking_for(directory).await?;
        let id = store.instance();
        Ok((Arc::new(store), id))
    }

    /// Of one of many gateways: the ledger that they share, and which of them this is.
    pub(super) fn shared_ledger(&self) -> Option<(Arc<dyn SharedLedger>, InstanceId)> {
        let store = self.shared.as_ref()?.store();
        let id = store.instance();
        Some((Arc::new(store), id))
    }

    /// Everything of the journal in `directory` is in the ledger, and its process has ended.
    pub(super) async fn is_booked(&self, directory: &Path) {
        let Some(instance) = &self.shared else { return };
        if let Err(error) = instance.store().release(directory).await {
            tracing::warn!(%error, "the number of a former process stays taken");
        }
    }

    /// The end of this process. `drained`: its journal is empty.
    pub(super) async fn leave(&self, drained: bool) {
        let Some(instance) = &self.shared else { return };
        match tokio::time::timeout(GOODBYE, instance.leave(drained)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store does not know that this gateway has stopped"),
            Err(_) => tracing::warn!("the store does not know that this gateway has stopped: it does not answer"),
        }
    }
}

/// The signals that end a process which does not serve yet.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn join(
    patience: &mut Patience<'_>,
    settings: PostgresSettings,
    sealer: Arc<Sealer>,
    journal: &Path,
) -> anyhow::Result<Option<(Arc<Instance>, Stop)>> {
    let mut stop = Stop::new()?;
    loop {
        let attempt = async {
            let store = PostgresStore::open(settings.clone(), sealer.clone()).await?;
            store.join(journal).await
        };
        let error = tokio::select! {
            joined = attempt => match joined {
                Ok(instance) => return Ok(Some((instance, stop))),
                Err(error) => error,
            },
            () = stop.received() => return Ok(None),
        };
        tokio::select! {
            () = patience.wait(&error) => {}
            () = stop.received() => return Ok(None),
        }
    }
}
