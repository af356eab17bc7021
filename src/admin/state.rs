//! What the admin listener works with, and the two small needs it states to the shell.

use super::Access;
use crate::auth::origins::Origins;
use crate::domain::BillingZone;
use crate::domain::time::Clock;
use crate::limits::Counters;
use crate::metering::Pricing;
use crate::providers::SettingSchema;
use crate::snapshot::Snapshot;
use crate::store::SharedStore;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer waits until requests see its change; they do later by themselves.
const REFRESH_WAIT: Duration = Duration::from_secs(5);

/// Makes committed configuration visible to requests.
#[async_trait]
pub trait Refresh: Send + Sync {
    /// Returns once requests see every change that was committed before the call. A failure is the implementer's
    /// to log: the change is durable, and the regular poll brings it later. May be cancelled.
    async fn refresh(&self);
}

/// How one thing that the process depends on is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependency {
    pub name: String,
    pub ok: bool,
    /// Without it no request is served; without any other, requests go on from what is known.
    pub vital: bool,
    /// Shown to anybody who asks: no address, path or secret.
    pub detail: String,
}

impl Dependency {
    /// Whether requests are served with the dependencies in this state.
    pub fn serving(all: &[Self]) -> bool {
        all.iter().all(|dependency| dependency.ok || !dependency.vital)
    }
}

/// Asks every dependency how it is doing.
#[async_trait]
pub trait Readiness: Send + Sync {
    async fn report(&self) -> Vec<Dependency>;
}

/// Cheap to clone: one per request.
#[derive(Clone)]
pub struct AdminState {
    pub store: SharedStore,
    /// What requests see right now; keys that call the management API are found in it.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub refresh: Arc<dyn Refresh>,
    pub counters: Arc<dyn Counters>,
    pub clock: Arc<dyn Clock>,
    /// Whose months quotas are counted in.
    pub zone: BillingZone,
    /// Entries that a setting of this provider has; `None` = no such provider.
    pub schemas: fn(&str) -> Option<SettingSchema>,
    pub access: Arc<Access>,
    /// Origins of pages that may call the management API.
    pub cors: Arc<Origins>,
    /// Kinds of upstream that a model may have.
    pub model_providers: fn() -> Vec<&'static str>,
    /// What is missing in a model's config for its kind, as a sentence.
    pub check_model: fn(&str, &serde_json::Value) -> Result<(), String>,
    /// What is known of models by their prices.
    pub pricing: Arc<Pricing>,
    /// Most events in one answer; 0 = no cap.
    pub events_limit: u64,
    /// All metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub readiness: Arc<dyn Readiness>,
}

impl AdminState {
    /// The schemas of the built-in providers.
    pub fn built_in_schemas(provider: &str) -> Option<SettingSchema> {
        crate::providers::by_name(provider).map(|known| known.setting_schema())
    }
    /// After a committed change, before it is answered: the caller's next request shall find it in force.
    pub(super) async fn show_change(&self) {
        if tokio::time::timeout(REFRESH_WAIT, self.refresh.refresh()).await.is_err() {
            tracing::warn!("a configuration change is stored, but requests do not see it yet");
        }
    }
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("events_limit", &self.events_limit).finish_non_exhaustive()
    }
}
