//! Every metric of the gateway, on a registry of its own. Written by the request path through resolved handles,
//! read by whoever answers `/metrics`; values that live elsewhere (journal, holds) are handed in before rendering.

use super::endpoint::{EndpointMetrics, ProviderMetrics};
use super::labels::{AbortedBy, ConnectionState, PerLabel, RefusalReason};
use super::routes::{Families, RouteMetrics, Routes};
use crate::domain::Money;
use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds; long answers of reasoning models take minutes.
const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Seconds.
const FIRST_BYTE_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Seconds, from 10 microseconds.
const OVERHEAD_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];
/// Endpoint handles kept. Templates are fixed in code, far fewer than this; beyond it all count as `other`.
const MAX_ENDPOINTS: usize = 2_048;
pub(super) const OTHER: &str = "other";

/// Two metrics claim the same name.
#[derive(Debug, thiserror::Error)]
#[error("a metric cannot be registered")]
pub struct MetricsError(#[from] prometheus::Error);

type Result<T> = std::result::Result<T, MetricsError>;
type EndpointName = (&'static str, &'static str);

/// All metrics. One per process, shared.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    first_byte: HistogramVec,
    overhead: Histogram,
    tokens: IntCounterVec,
    cost_usd: CounterVec,
    unpriced: IntCounterVec,
    refusals: PerLabel<RefusalReason>,
    aborted: PerLabel<AbortedBy>,
    connections: PerLabel<ConnectionState>,
    in_flight: IntGauge,
    journal_pending: IntGauge,
    journal_bytes: IntGauge,
    journal_rejected: IntGauge,
    journal_dropped: PulledCounter,
    holds: IntGauge,
    held_usd: Gauge,
    keys_loaded: IntGauge,
    snapshot_age: Gauge,
    store_errors: IntCounter,
    log_dropped: PulledCounter,
    routes: Routes,
    dependency_up: IntGaugeVec,
    set_aside: IntGauge,
    cache_bytes: IntGauge,
    // Read on every request, written once per endpoint: readers take no lock.
    endpoints: ArcSwap<HashMap<EndpointName, Arc<EndpointMetrics>>>,
}

impl Metrics {
    pub fn new() -> Result<Self> {
        let registry = Registry::new_custom(Some("tollgate".to_owned()), None)?;
        let r = &registry;
        let build =
            add(r, IntGaugeVec::new(opts("build_info", "Always 1; the label tells the version."), &["version"]))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let refusals =
            counters(r, "refusals_total", "Requests turned away by the gateway itself, by reason.", &["reason"])?;
        let aborted = counters(r, "aborted_total", "Admitted requests that ended early, by who ended them.", &["by"])?;
        let connections = counters(
            r,
            "upstream_connections_total",
            "Connections to upstreams that requests were given, opened or reused.",
            &["state"],
        )?;
        Ok(Self {
            requests: counters(
                r,
                "requests_total",
                "Requests answered, by the class of the status sent to the client.",
                &["provider", "endpoint", "status_class"],
            )?,
            duration: histograms(
                r,
                "request_duration_seconds",
                "From the first byte of a request to the last byte of its response.",
                &["provider", "endpoint"],
                DURATION_BUCKETS,
            )?,
            first_byte: histograms(
                r,
                "time_to_first_byte_seconds",
                "From the first byte of a request to the first byte of its response.",
                &["provider", "endpoint"],
                FIRST_BYTE_BUCKETS,
            )?,
            overhead: add(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "overhead_seconds",
                        "Time a request spent inside the gateway, not waiting for client or upstream.",
                    )
                    .buckets(OVERHEAD_BUCKETS.to_vec()),
                ),
            )?,
            tokens: counters(r, "tokens_total", "Tokens metered, by disjoint kinds.", &["provider", "kind"])?,
            cost_usd: add(
                r,
                CounterVec::new(opts("cost_usd_total", "Cost booked, US dollars; the ledger is exact."), &["provider"]),
            )?,
            unpriced: counters(
                r,
                "unpriced_requests_total",
                "Requests served although no price is known for them.",
                &["provider"],
            )?,
            refusals: PerLabel::of(&refusals),
            aborted: PerLabel::of(&aborted),
            connections: PerLabel::of(&connections),
            in_flight: gauge(r, "in_flight_requests", "Requests being served now.")?,
            journal_pending: gauge(r, "journal_pending_events", "Closed events that the store does not have yet.")?,
            journal_bytes: gauge(r, "journal_bytes", "Bytes the journal takes on disk.")?,
            journal_rejected: gauge(
                r,
                "journal_rejected_events",
                "Closed events that the store refuses, set aside in the file events.rejected.",
            )?,
            journal_dropped: PulledCounter::new(
                r,
                "journal_notes_dropped_total",
                "Optional events (refusals) dropped because the journal's queue was full.",
            )?,
            holds: gauge(r, "holds", "Requests in flight that hold money.")?,
            held_usd: add(r, Gauge::with_opts(opts("held_usd", "Money held for requests in flight, US dollars.")))?,
            keys_loaded: gauge(r, "keys_loaded", "Gateway keys in the picture that requests read.")?,
            snapshot_age: add(
                r,
                Gauge::with_opts(opts("snapshot_age_seconds", "Since the configuration was last known to be current.")),
            )?,
            store_errors: add(
                r,
                IntCounter::with_opts(opts("store_errors_total", "Calls to the durable store that failed.")),
            )?,
            log_dropped: PulledCounter::new(
                r,
                "log_lines_dropped_total",
                "Log lines dropped because the output was slower than the gateway.",
            )?,
            dependency_up: add(
                r,
                IntGaugeVec::new(
                    opts("dependency_up", "Whether what the gateway depends on was as it should be, seconds ago."),
                    &["dependency"],
                ),
            )?,
            routes: Routes::new(route_families(r)?),
            set_aside: gauge(r, "route_set_aside", "Credentials and models that routes pass by because they fail.")?,
            cache_bytes: gauge(r, "route_cache_bytes", "Bytes that kept answers of routes take.")?,
            endpoints: ArcSwap::default(),
            registry,
        })
    }

    /// The handles of one endpoint; the same for every later call. Lock-free but for the first call of each endpoint.
    pub fn endpoint(&self, provider: &'static str, template: &'static str) -> Arc<EndpointMetrics> {
        let known = self.endpoints.load();
        let wanted = (provider, template);
        let name = if known.len() < MAX_ENDPOINTS || known.contains_key(&wanted) { wanted } else { (OTHER, OTHER) };
        if let Some(metrics) = known.get(&name) {
            return Arc::clone(metrics);
        }
        let made = Arc::new(self.resolve(name));
        self.endpoints.rcu(|known| {
            let mut grown = HashMap::clone(known);
            grown.entry(name).or_insert_with(|| Arc::clone(&made));
            grown
        });
        made
    }

    fn resolve(&self, (provider, template): EndpointName) -> EndpointMetrics {
        EndpointMetrics {
            requests: PerLabel::new(|class| self.requests.with_label_values(&[provider, template, class])),
            duration: self.duration.with_label_values(&[provider, template]),
            first_byte: self.first_byte.with_label_values(&[provider, template]),
            overhead: self.overhead.clone(),
            provider: Arc::new(ProviderMetrics {
                tokens: PerLabel::new(|kind| self.tokens.with_label_values(&[provider, kind])),
                cost_usd: self.cost_usd.with_label_values(&[provider]),
                unpriced: self.unpriced.with_label_values(&[provider]),
            }),
        }
    }

    /// The handles of the route at this path; the same for every later call. Lock-free but for the first call of each.
    pub fn route(&self, path: &str) -> Arc<RouteMetrics> {
        self.routes.of(path)
    }
    /// As [`RouteMetrics::tried`], for who does it once.
    pub fn route_try(&self, path: &str, step: u16, provider: &'static str, outcome: &'static str, took: Duration) {
        self.routes.of(path).tried(step, provider, outcome, took);
    }

    /// Counts a request as in flight until the value is dropped.
    #[must_use = "the request counts as in flight for as long as this lives"]
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
    /// Requests being served now.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or(0)
    }
    pub fn refused(&self, reason: RefusalReason) {
        self.refusals.add(reason, 1);
    }
    pub fn aborted(&self, by: AbortedBy) {
        self.aborted.add(by, 1);
    }
    pub fn connected(&self, state: ConnectionState) {
        self.connections.add(state, 1);
    }
    pub fn store_failed(&self) {
        self.store_errors.inc();
    }

    pub fn observe_journal(&self, pending_events: u64, rejected_events: u64, bytes: u64) {
        self.journal_pending.set(signed(pending_events));
        self.journal_rejected.set(signed(rejected_events));
        self.journal_bytes.set(signed(bytes));
    }
    /// `total` since the journal was opened.
    pub fn observe_dropped_notes(&self, total: u64) {
        self.journal_dropped.observe(total);
    }
    pub fn observe_holds(&self, count: u64, sum: Money) {
        self.holds.set(signed(count));
        self.held_usd.set(sum.to_usd_f64());
    }
    pub fn observe_snapshot(&self, keys: u64, age: Duration) {
        self.keys_loaded.set(signed(keys));
        self.snapshot_age.set(age.as_secs_f64());
    }
    /// As `/readyz` tells it.
    pub fn observe_dependency(&self, name: &str, ok: bool) {
        self.dependency_up.with_label_values(&[name]).set(i64::from(ok));
    }
    pub fn observe_routes(&self, set_aside: usize, cache_bytes: u64) {
        self.set_aside.set(i64::try_from(set_aside).unwrap_or(i64::MAX));
        self.cache_bytes.set(signed(cache_bytes));
    }
    /// `total` since the log was opened.
    pub fn observe_dropped_log_lines(&self, total: u64) {
        self.log_dropped.observe(total);
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Encoding into a string fails only for a family without samples; those before it are kept.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics cannot be rendered completely");
        }
        text
    }
    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A counter whose total is kept elsewhere. Observing the same total twice, or from two threads, counts it once.
#[derive(Debug)]
struct PulledCounter {
    counter: IntCounter,
    seen: AtomicU64,
}

impl PulledCounter {
    fn new(registry: &Registry, name: &str, help: &str) -> Result<Self> {
        Ok(Self { counter: add(registry, IntCounter::with_opts(opts(name, help)))?, seen: AtomicU64::new(0) })
    }
    fn observe(&self, total: u64) {
        let before = self.seen.fetch_max(total, Ordering::Relaxed);
        self.counter.inc_by(total.saturating_sub(before));
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> Result<C> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    add(registry, IntCounterVec::new(opts(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    add(registry, HistogramVec::new(options, labels))
}

fn route_families(r: &Registry) -> Result<Families> {
    Ok(Families {
        tries: counters(
            r,
            "route_tries_total",
            "Tries of the steps of routes, by how they ended.",
            &["route", "step", "provider", "outcome"],
        )?,
        duration: histograms(
            r,
            "route_try_duration_seconds",
            "From the beginning of a try to its end, or to its first output when it is the answer.",
            &["route", "step"],
            DURATION_BUCKETS,
        )?,
        cache: counters(
            r,
            "route_cache_total",
            "Requests of routes with a cache, by what it was for them.",
            &["route", "result"],
        )?,
    })
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    add(registry, IntGauge::with_opts(opts(name, help)))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
