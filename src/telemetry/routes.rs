//! Handles to the metrics of routes. A route's own are looked up once for a request; those of its steps are kept with it.

use super::labels::{CacheResult, PerLabel};
use super::metrics::OTHER;
use arc_swap::ArcSwap;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Operators make routes, and may make and delete them for ever: beyond it all further ones count as `other`.
const MAX_ROUTES: usize = 1_000;
/// Steps of a route that are told apart; those after it count as `other`.
const MAX_STEPS: u16 = 100;

/// The families, and the handles of every route that was called.
pub(super) struct Routes {
    families: Families,
    // Read on every request of a route, written once per route: readers take no lock.
    known: ArcSwap<HashMap<Box<str>, Arc<RouteMetrics>>>,
}

/// Labels of `tries`: route, step, provider, outcome; of `duration`: route, step; of `cache`: route, result.
#[derive(Clone)]
pub(super) struct Families {
    pub(super) tries: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) cache: IntCounterVec,
}

/// Counters of one route.
pub struct RouteMetrics {
    route: Box<str>,
    families: Families,
    cache: PerLabel<CacheResult>,
    tries: ArcSwap<HashMap<TryName, TryMetrics>>,
}

/// Step, provider, outcome.
type TryName = (u16, &'static str, &'static str);

#[derive(Clone)]
struct TryMetrics {
    count: IntCounter,
    duration: Histogram,
}

impl Routes {
    pub(super) fn new(families: Families) -> Self {
        Self { families, known: ArcSwap::default() }
    }

    /// The same for every later call with this path.
    pub(super) fn of(&self, path: &str) -> Arc<RouteMetrics> {
        let known = self.known.load();
        if let Some(metrics) = known.get(path) {
            return Arc::clone(metrics);
        }
        // No path of a route is this word: they begin with a slash.
        let name = if known.len() < MAX_ROUTES { path } else { OTHER };
        if let Some(metrics) = known.get(name) {
            return Arc::clone(metrics);
        }
        let made = Arc::new(RouteMetrics::new(name, self.families.clone()));
        self.known.rcu(|known| {
            let mut grown = HashMap::clone(known);
            grown.entry(name.into()).or_insert_with(|| Arc::clone(&made));
            grown
        });
        made
    }
}

impl RouteMetrics {
    fn new(route: &str, families: Families) -> Self {
        let cache = PerLabel::new(|result| families.cache.with_label_values(&[route, result]));
        Self { route: route.into(), families, cache, tries: ArcSwap::default() }
    }

    /// Counts one try. `step` is from 1; `outcome` is `answered` or what went wrong, a word of a fixed set; `took` is to
    /// the end of the try, or to its first output when it is the answer.
    pub fn tried(&self, step: u16, provider: &'static str, outcome: &'static str, took: Duration) {
        let name = (step.min(MAX_STEPS + 1), provider, outcome);
        let known = self.tries.load();
        match known.get(&name) {
            Some(metrics) => metrics.add(took),
            None => self.first_of(name).add(took),
        }
    }

    fn first_of(&self, name: TryName) -> TryMetrics {
        let (step, provider, outcome) = name;
        let step = if step > MAX_STEPS { OTHER.to_owned() } else { step.to_string() };
        let made = TryMetrics {
            count: self.families.tries.with_label_values(&[&*self.route, &step, provider, outcome]),
            duration: self.families.duration.with_label_values(&[&*self.route, &step]),
        };
        self.tries.rcu(|known| {
            let mut grown = HashMap::clone(known);
            grown.entry(name).or_insert_with(|| made.clone());
            grown
        });
        made
    }

    /// Counts what the cache was for a request. Not to be called for a route without one.
    pub fn cached(&self, result: CacheResult) {
        self.cache.add(result, 1);
    }
}

impl TryMetrics {
    fn add(&self, took: Duration) {
        self.count.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMetrics").field("route", &self.route).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn lines(metrics: &Metrics, family: &str) -> Vec<String> {
        let family = format!("tollgate_{family}");
        metrics.render().lines().filter(|line| line.starts_with(&family)).map(str::to_owned).collect()
    }

    #[test]
    fn tries_are_counted_by_step_provider_and_outcome() {
        let metrics = Metrics::new().unwrap();
        let route = metrics.route("/chat");
        route.tried(1, "p", "timeout", Duration::from_secs(3));
        route.tried(1, "p", "timeout", Duration::from_secs(3));
        metrics.route_try("/chat", 2, "q", "answered", Duration::from_millis(20));
        assert_eq!(
            lines(&metrics, "route_tries_total"),
            [
                r#"tollgate_route_tries_total{outcome="answered",provider="q",route="/chat",step="2"} 1"#,
                r#"tollgate_route_tries_total{outcome="timeout",provider="p",route="/chat",step="1"} 2"#,
            ]
        );
        let durations = lines(&metrics, "route_try_duration_seconds");
        for sample in [
            r#"tollgate_route_try_duration_seconds_bucket{route="/chat",step="1",le="2.5"} 0"#,
            r#"tollgate_route_try_duration_seconds_bucket{route="/chat",step="1",le="5"} 2"#,
            r#"tollgate_route_try_duration_seconds_count{route="/chat",step="2"} 1"#,
        ] {
            assert!(durations.iter().any(|line| line == sample), "{sample} in {durations:?}");
        }
    }

    #[test]
    fn what_the_cache_was_is_counted_by_route() {
        let metrics = Metrics::new().unwrap();
        let (one, two) = (metrics.route("/one"), metrics.route("/two"));
        one.cached(CacheResult::Hit);
        one.cached(CacheResult::Hit);
        two.cached(CacheResult::Joined);
        let counted = lines(&metrics, "route_cache_total");
        let above_zero: Vec<&String> = counted.iter().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(
            above_zero,
            [
                r#"tollgate_route_cache_total{result="hit",route="/one"} 2"#,
                r#"tollgate_route_cache_total{result="joined",route="/two"} 1"#,
            ]
        );
        assert_eq!(counted.len(), 8, "each result of each route is there from the start");
    }

    #[test]
    fn a_route_keeps_its_handle_and_their_number_is_bounded() {
        let metrics = Metrics::new().unwrap();
        let first = metrics.route("/0");
        for n in 0..MAX_ROUTES + 500 {
            metrics.route(&format!("/{n}")).cached(CacheResult::Miss);
        }
        assert!(Arc::ptr_eq(&first, &metrics.route("/0")));
        let counted = lines(&metrics, r#"route_cache_total{result="miss""#);
        assert_eq!(counted.len(), MAX_ROUTES + 1);
        let other = r#"tollgate_route_cache_total{result="miss",route="other"} 500"#;
        assert!(counted.iter().any(|line| line == other));
    }

    #[test]
    fn the_number_of_steps_is_bounded() {
        let metrics = Metrics::new().unwrap();
        for step in 1..=1_000 {
            metrics.route_try("/chat", step, "p", "connect", Duration::ZERO);
        }
        let counted = lines(&metrics, "route_tries_total");
        assert_eq!(counted.len(), 101);
        assert!(counted.iter().any(|line| line.ends_with(r#"step="other"} 900"#)), "{counted:?}");
    }

    #[test]
    fn two_threads_that_see_a_try_first_count_it_twice() {
        let metrics = Metrics::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for step in 1..=50 {
                        metrics.route_try("/chat", step, "p", "answered", Duration::ZERO);
                    }
                });
            }
        });
        let counted = lines(&metrics, "route_tries_total");
        assert_eq!(counted.len(), 50);
        assert!(counted.iter().all(|line| line.ends_with(" 8")), "{counted:?}");
    }
}
