//! Whether what this process depends on works, for readiness and metrics.

use super::counting::Counting;
use crate::journal::FileJournal;
use crate::ledger::Journal as _;
use crate::store::{Peers, SharedStore};
use crate::telemetry::Metrics;
use crate::{admin, gateway};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// How often the metrics of the dependencies are renewed.
const WATCH: Duration = Duration::from_secs(2);

/// Whether store and journal work.
pub(super) struct Ready {
    pub(super) store: SharedStore,
    pub(super) journal: Arc<FileJournal>,
    pub(super) counting: Counting,
    pub(super) peers: Option<Arc<dyn Peers>>,
}

impl Ready {
    async fn dependencies(&self) -> Vec<admin::Dependency> {
        let store = tokio::time::timeout(Duration::from_secs(2), self.store.ping()).await;
        let store_ok = matches!(store, Ok(Ok(())));
        let journal_ok = self.journal.writable();
        let told = |ok: bool, bad: &str| if ok { "ok".to_owned() } else { bad.to_owned() };
        let mut all = vec![
            // Requests are served from the snapshot, and their events wait in the journal.
            admin::Dependency {
                name: "store".into(),
                ok: store_ok,
                vital: false,
                detail: told(store_ok, "does not answer"),
            },
            admin::Dependency {
                name: "journal".into(),
                ok: journal_ok,
                vital: true,
                detail: told(journal_ok, "full or not writable"),
            },
            self.counting.report(),
        ];
        if let Some(peers) = &self.peers {
            let fault = peers.fault();
            let detail = fault.unwrap_or("ok").to_owned();
            all.push(admin::Dependency { name: "instance".into(), ok: fault.is_none(), vital: false, detail });
        }
        all
    }
}

#[async_trait]
impl admin::Readiness for Ready {
    async fn report(&self) -> Vec<admin::Dependency> {
        self.dependencies().await
    }
}

#[async_trait]
impl gateway::Readiness for Ready {
    async fn report(&self) -> gateway::ReadyReport {
        let all = self.dependencies().await;
        let members = all.iter().map(|d| (d.name.clone(), serde_json::json!({"ok": d.ok, "detail": d.detail})));
        let (ready, serving) = (all.iter().all(|d| d.ok), admin::Dependency::serving(&all));
        let dependencies = serde_json::Map::from_iter(members);
        let body = serde_json::json!({"ready": ready, "serving": serving, "dependencies": dependencies});
        gateway::ReadyReport { ready, serving, body: body.to_string() }
    }
}

/// Keeps the metrics of the dependencies at what `/readyz` would tell.
pub(super) async fn watch(readiness: Arc<Ready>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(WATCH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for dependency in readiness.dependencies().await {
            metrics.observe_dependency(&dependency.name, dependency.ok);
        }
    }
}
