//! The walk of a request on Pingora. One file per step, in the order in which they happen:
//!
//! | Step | File | From | To |
//! |---|---|---|---|
//! | arrive | `arrival` | headers | time, ids, deadline |
//! | route | `space` | method and path | provider and endpoint, or an answer of our own |
//! | identify | `walk` with `auth` and `snapshot` | presented key | the key and its settings |
//! | read | `read` | the body, bounded | bytes |
//! | own | `objects` | ids in path and body | objects of this key only |
//! | admit | `admit` | rules, price, limits | `Admitted`: held money, an open journal record |
//! | forward | `ready`, `forward`, `upstreams`, `headers` | the request as the provider wants it | the answer's head |
//! | relay | `relay`, `decode` | the answer, metered | bytes to the client |
//! | try again | `tries` with `routing` | a try that failed | another one, or the error that the client sees |
//! | routes | `route` | a path of the operator's own | its steps, until one answers; kept answers |
//! | upgrade | `socket` | frames both ways | an event for every bill that is told |
//! | settle | `settle` | usage and price | one event, before the last byte leaves |
//! | unify | `unified` | a model's name, any form of a conversation | the same, at whoever serves it |
//! | refuse | `refusal`, `refuse`, `answer` | any error | an answer in the client's dialect |

mod admit;
mod answer;
mod arrival;
mod cork;
mod cross_origin;
mod decode;
mod expiry;
mod face;
mod fetch;
mod flight;
mod forward;
mod headers;
mod ids;
mod objects;
mod read;
mod ready;
mod recorder;
mod refusal;
mod refuse;
mod relay;
mod retry_after;
mod route;
mod settle;
mod socket;
mod space;
mod tries;
mod unified;
mod upstreams;
mod walk;

pub use expiry::{ExpiredKeys, KeyExpiry, expire_keys};
pub use face::{Beside, Face};
pub use fetch::FetchRules;
pub use upstreams::PeerTimeouts;

use crate::auth::origins::Origins;
use crate::auth::shared::SharedSecrets;
use crate::domain::time::Clock;
use crate::domain::{BillingZone, BudgetMode, Key, Network, UnixMillis};
use crate::ledger::{Journal, Settle};
use crate::limits::{Counters, Rules};
use crate::metering::Pricing;
use crate::providers::Ambient;
use crate::routing::{Health, HealthRules, ResponseCache};
use crate::snapshot::Snapshot;
use crate::store::ObjectStore;
use crate::telemetry::{Metrics, RequestLog};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_limits::rate::Rate;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the gateway uses of the world.
#[derive(Clone)]
pub struct Ports {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<dyn Counters>,
    pub journal: Arc<dyn Journal>,
    pub pricing: Arc<Pricing>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub expiry: KeyExpiry,
    /// Whose a provider's objects are.
    pub objects: Arc<dyn ObjectStore>,
    /// The host's own credentials, for settings without any.
    pub ambient: Arc<dyn Ambient>,
    pub readiness: Arc<dyn Readiness>,
    /// Answers of routes.
    pub cache: Arc<dyn ResponseCache>,
    /// `None` = requests leave no line.
    pub request_log: Option<Arc<RequestLog>>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// Whether the process can serve, as `/readyz` tells it.
#[async_trait]
pub trait Readiness: Send + Sync {
    async fn report(&self) -> ReadyReport;
}

/// How the process is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadyReport {
    /// Every dependency is as it should be.
    pub ready: bool,
    /// Requests are served, if need be without a dependency.
    pub serving: bool,
    /// A JSON object that names each dependency.
    pub body: String,
}

/// How the gateway behaves.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    pub request_timeout: Duration,
    pub max_request_timeout: Duration,
    /// Longest silence of an upstream, and of a client that does not read.
    pub idle_timeout: Duration,
    /// How long an unused upstream connection is kept.
    pub upstream_keepalive: Duration,
    /// How long an unused client connection is kept.
    pub client_keepalive: Duration,
    pub connect_timeout: Duration,
    pub body_limit: u64,
    pub upload_limit: u64,
    pub body_memory: u64,
    pub body_timeout: Duration,
    pub log_body_limit: usize,
    /// Requests at once; more are refused with 503.
    pub max_in_flight: u64,
    pub cors: bool,
    /// Of pages that may call the unified API, where `cors` is on.
    pub origins: Origins,
    pub remove_user_agent: bool,
    pub budget_mode: BudgetMode,
    /// Whose months quotas are counted in.
    pub billing_zone: BillingZone,
    pub allow_unpriced: bool,
    pub durable_to_disk: bool,
    pub refusals_per_key_per_minute: u32,
    pub anonymous_refusals_per_minute: u32,
    /// Configured base URLs by provider name.
    pub base_urls: HashMap<String, String>,
    /// Networks that no upstream connection goes to.
    pub deny_targets: Vec<Network>,
    /// Secrets that see all models and call none.
    pub boot_keys: SharedSecrets,
    /// Of model rows on AWS that name none.
    pub aws_region: String,
    /// After so long a silence a translated stream tells its client that it lives.
    pub keep_alive: Duration,
    /// Pictures that clients name by URL.
    pub fetch: FetchRules,
    /// Parameters that an upstream has no word for are refused, not dropped.
    pub refuse_unsupported: bool,
    pub routes: RouteRules,
}

/// How routes behave.
#[derive(Clone, Copy, Debug)]
pub struct RouteRules {
    pub health: HealthRules,
    /// Longest answer that is kept, bytes.
    pub cache_entry: usize,
}

/// Different requests at once that others wait for; beyond it everybody asks for itself.
const MOST_FLIGHTS: usize = 100_000;

/// Everything that serves requests.
pub struct Gateway {
    ports: Ports,
    settings: GatewaySettings,
    sink: Arc<dyn Settle>,
    connector: Connector,
    upstreams: upstreams::Upstreams,
    memory: read::BodyMemory,
    refusals: Rate,
    objects: objects::Objects,
    /// Upstreams that fail, as routes find them.
    health: Arc<Health>,
    draining: Arc<AtomicBool>,
    /// Requests to routes that others wait for.
    flights: Arc<flight::Flights>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Requests in flight, for whoever waits for the last one.
#[derive(Clone, Debug)]
pub struct InFlight {
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
}

impl InFlight {
    pub fn count(&self) -> u64 {
        self.metrics.in_flight()
    }
    /// From now on connections are closed after their request.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

impl Gateway {
    pub fn new(ports: Ports, settings: GatewaySettings, connector: ConnectorOptions) -> Self {
        let sink = settle::Sink {
            journal: ports.journal.clone(),
            counters: ports.counters.clone(),
            clock: ports.clock.clone(),
            zone: settings.billing_zone.clone(),
        };
        let timeouts = PeerTimeouts { connect: settings.connect_timeout, keepalive: settings.upstream_keepalive };
        Self {
            sink: Arc::new(sink),
            connector: Connector::new(Some(connector)),
            upstreams: upstreams::Upstreams::new(timeouts, &settings.deny_targets),
            memory: read::BodyMemory::new(settings.body_memory),
            refusals: Rate::new(Duration::from_secs(60)),
            objects: objects::Objects::new(ports.objects.clone()),
            health: Arc::new(Health::new(settings.routes.health)),
            flights: flight::Flights::new(MOST_FLIGHTS),
            draining: Arc::default(),
            ports,
            settings,
        }
    }

    /// What has to be counted of a key at a moment.
    fn rules_of(&self, key: &Key, at: UnixMillis) -> Rules {
        Rules::of(key, self.settings.budget_mode, &self.settings.billing_zone, at)
    }

    /// Which upstreams are set aside, for whoever counts them.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    pub fn in_flight(&self) -> InFlight {
        InFlight { metrics: self.ports.metrics.clone(), draining: self.draining.clone() }
    }
}
