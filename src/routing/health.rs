//! Which upstreams are set aside because they fail: a circuit breaker for each credential and model row, fed by what
//! requests find anyhow. Nothing is asked of an upstream only to learn how it does.
//!
//! Well until so many requests in a row have failed; then set aside for a pause; then one request is a probe while the
//! others still pass by. A probe that succeeds ends it, one that fails doubles the pause.

use crate::domain::{ModelId, SettingId};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Failing targets that are remembered; beyond it the one that was heard of longest ago is forgotten, and so is well.
const MOST: usize = 10_000;

/// What fails or does well by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// A provider with one credential.
    Setting(SettingId),
    /// A model row with all of its credentials and regions.
    Row(ModelId),
}

/// When a target is set aside, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthRules {
    /// Requests that fail one after the other; 0 = nothing is ever set aside.
    pub failures: u32,
    /// The first pause, and the time in which a probe must be reported.
    pub pause: Duration,
    /// Whatever probes find, and whatever an upstream asks for.
    pub longest_pause: Duration,
}

/// How a target stands when it is its turn.
#[must_use = "a probe has to be reported"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Well,
    /// It was set aside, and the asker alone may try it. Its outcome has to be reported: [`Health::succeeded`],
    /// [`Health::failed`], or [`Health::released`] when it told nothing.
    Probe,
    SetAside {
        until: Instant,
    },
}

/// The failing ones. Shared by all requests; a target that does well is not in here.
#[derive(Debug)]
pub struct Health {
    rules: HealthRules,
    failing: RwLock<HashMap<Target, Failing>>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    /// Failed requests since the last that succeeded.
    in_a_row: u32,
    heard_of: Instant,
    aside: Option<Aside>,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    until: Instant,
    /// As probes have it: without what the upstream asked for.
    pause: Duration,
    /// A probe is under way, and is given up at this moment.
    probe: Option<Instant>,
}

impl Aside {
    fn for_a(pause: Duration, asked: Duration, now: Instant) -> Self {
        Self { until: after(now, pause.max(asked)), pause, probe: None }
    }

    fn standing(&self, now: Instant) -> Standing {
        let until = self.probe.map_or(self.until, |given_up| given_up.max(self.until));
        if until <= now { Standing::Probe } else { Standing::SetAside { until } }
    }
}

impl Health {
    pub fn new(rules: HealthRules) -> Self {
        let longest_pause = rules.longest_pause.max(rules.pause);
        Self { rules: HealthRules { longest_pause, ..rules }, failing: RwLock::default(), most: MOST }
    }

    /// Whether `target` may be tried now. Of all who ask when a pause is over, exactly one is told `Probe`; the next
    /// one is when that has failed and its pause is over, or when it has not been reported for a whole first pause.
    pub fn ask(&self, target: Target, now: Instant) -> Standing {
        let told = self.failing.read().get(&target).and_then(|failing| failing.aside).map(|aside| aside.standing(now));
        match told {
            None => Standing::Well,
            Some(Standing::Probe) => self.take_probe(target, now),
            Some(standing) => standing,
        }
    }

    /// Whether `target` could be tried now, without taking the place of a probe.
    pub fn is_well(&self, target: Target, now: Instant) -> bool {
        let aside = self.failing.read().get(&target).and_then(|failing| failing.aside);
        !aside.is_some_and(|aside| matches!(aside.standing(now), Standing::SetAside { .. }))
    }

    /// Asked again under the lock: others saw the same pause end.
    fn take_probe(&self, target: Target, now: Instant) -> Standing {
        let mut all = self.failing.write();
        let Some(aside) = all.get_mut(&target).and_then(|failing| failing.aside.as_mut()) else {
            return Standing::Well;
        };
        let standing = aside.standing(now);
        if standing == Standing::Probe {
            aside.probe = Some(after(now, self.rules.pause));
        }
        standing
    }

    /// A request has failed at `target` in a way that tells of its health; to be called once for all tries of the
    /// request there. `retry_after`: what the upstream asked for.
    pub fn failed(&self, target: Target, now: Instant, retry_after: Option<Duration>) {
        if self.rules.failures == 0 {
            return;
        }
        let asked = retry_after.unwrap_or_default().min(self.rules.longest_pause);
        let mut all = self.failing.write();
        if all.len() >= self.most && !all.contains_key(&target) {
            forget_oldest(&mut all);
        }
        let failing = all.entry(target).or_insert(Failing { in_a_row: 0, heard_of: now, aside: None });
        failing.in_a_row = failing.in_a_row.saturating_add(1);
        failing.heard_of = failing.heard_of.max(now);
        match &mut failing.aside {
            None if failing.in_a_row >= self.rules.failures => {
                failing.aside = Some(Aside::for_a(self.rules.pause, asked, now));
            }
            None => {}
            Some(aside) if aside.probe.is_some() => {
                let pause = aside.pause.saturating_mul(2).min(self.rules.longest_pause);
                *aside = Aside::for_a(pause, asked, now);
            }
            // Requests that were under way when it was set aside: they are no news, but for what is asked for.
            Some(aside) => aside.until = aside.until.max(after(now, asked)),
        }
    }

    /// A request has got its answer from `target`.
    pub fn succeeded(&self, target: Target) {
        // Nearly always there is nothing to forget, and readers do not wait for each other.
        if self.failing.read().contains_key(&target) {
            self.failing.write().remove(&target);
        }
    }

    /// Whoever was told `Probe` has learnt nothing, as when its client left: the next who asks is the probe.
    /// Only for whoever was told so; anybody else would free the place of a probe that is under way.
    pub fn released(&self, target: Target) {
        if let Some(aside) = self.failing.write().get_mut(&target).and_then(|failing| failing.aside.as_mut()) {
            aside.probe = None;
        }
    }

    /// Targets that are passed by now.
    pub fn set_aside(&self, now: Instant) -> usize {
        let passed_by = |failing: &&Failing| {
            failing.aside.is_some_and(|aside| matches!(aside.standing(now), Standing::SetAside { .. }))
        };
        self.failing.read().values().filter(passed_by).count()
    }
}

fn forget_oldest(all: &mut HashMap<Target, Failing>) {
    let oldest = all.iter().min_by_key(|(_, failing)| failing.heard_of).map(|(target, _)| *target);
    if let Some(oldest) = oldest {
        all.remove(&oldest);
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    // Only a pause of centuries is beyond what a moment can hold.
    now.checked_add(pause).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use uuid::Uuid;

    const ROW: Target = Target::Row(ModelId(7));
    const RULES: HealthRules =
        HealthRules { failures: 3, pause: Duration::from_secs(30), longest_pause: Duration::from_secs(100) };

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Set aside at the moment that is returned.
    fn set_aside(health: &Health) -> Instant {
        let now = Instant::now();
        for _ in 0..RULES.failures {
            health.failed(ROW, now, None);
        }
        now
    }

    #[test]
    fn failures_in_a_row_set_a_target_aside_and_no_other() {
        let (health, now) = (Health::new(RULES), Instant::now());
        health.failed(ROW, now, None);
        health.failed(ROW, now, None);
        health.succeeded(ROW);
        for _ in 0..2 {
            health.failed(ROW, now, None);
            assert_eq!(health.ask(ROW, now), Standing::Well, "it begins again after a success");
        }
        health.failed(ROW, now, None);
        assert_eq!(health.ask(ROW, now), Standing::SetAside { until: seconds(now, 30) });
        assert_eq!(health.set_aside(now), 1);
        assert_eq!(health.ask(Target::Row(ModelId(8)), now), Standing::Well);
        assert_eq!(health.ask(Target::Setting(SettingId::from_uuid(Uuid::from_u128(7))), now), Standing::Well);
    }

    #[test]
    fn after_the_pause_one_probe_decides() {
        let health = Health::new(RULES);
        let now = set_aside(&health);
        let just_before = seconds(now, 30) - Duration::from_nanos(1);
        assert_eq!(health.ask(ROW, just_before), Standing::SetAside { until: seconds(now, 30) });
        let over = seconds(now, 30);
        assert_eq!(health.ask(ROW, over), Standing::Probe);
        assert_eq!(health.ask(ROW, over), Standing::SetAside { until: seconds(now, 60) });
        health.succeeded(ROW);
        assert_eq!(health.ask(ROW, over), Standing::Well);
        assert!(health.failing.read().is_empty(), "what is well takes no room");
    }

    #[test]
    fn the_pause_doubles_with_each_failed_probe_up_to_the_longest() {
        let health = Health::new(RULES);
        let mut at = set_aside(&health) + RULES.pause;
        for pause in [60, 100, 100] {
            assert_eq!(health.ask(ROW, at), Standing::Probe);
            health.failed(ROW, at, None);
            let until = seconds(at, pause);
            assert_eq!(health.ask(ROW, at), Standing::SetAside { until });
            at = until;
        }
        assert_eq!(health.ask(ROW, at), Standing::Probe);
        health.succeeded(ROW);
        let again = set_aside(&health);
        let until = seconds(again, 30);
        assert_eq!(health.ask(ROW, again), Standing::SetAside { until }, "a success forgets how long pauses were");
    }

    #[test]
    fn an_upstream_that_asks_for_time_gets_it_within_bounds() {
        for (asked, pause) in [(10, 30), (45, 45), (3600, 100)] {
            let (health, now) = (Health::new(HealthRules { failures: 1, ..RULES }), Instant::now());
            health.failed(ROW, now, Some(Duration::from_secs(asked)));
            assert_eq!(health.ask(ROW, now), Standing::SetAside { until: seconds(now, pause) }, "{asked}");
        }
        let health = Health::new(RULES);
        let now = set_aside(&health);
        health.failed(ROW, now, Some(Duration::from_secs(50)));
        assert_eq!(health.ask(ROW, now), Standing::SetAside { until: seconds(now, 50) }, "also once it is set aside");
        health.failed(ROW, now, None);
        assert_eq!(health.ask(ROW, now), Standing::SetAside { until: seconds(now, 50) });
        assert_eq!(health.ask(ROW, seconds(now, 50)), Standing::Probe);
        health.failed(ROW, seconds(now, 50), None);
        let until = seconds(now, 110);
        assert_eq!(health.ask(ROW, seconds(now, 50)), Standing::SetAside { until }, "what is doubled is our own pause");
    }

    #[test]
    fn those_under_way_when_it_was_set_aside_change_nothing() {
        let health = Health::new(RULES);
        let now = set_aside(&health);
        for _ in 0..100 {
            health.failed(ROW, seconds(now, 5), None);
        }
        assert_eq!(health.ask(ROW, seconds(now, 5)), Standing::SetAside { until: seconds(now, 30) });
        health.succeeded(ROW);
        assert_eq!(health.ask(ROW, seconds(now, 5)), Standing::Well, "an answer is an answer");
    }

    #[test]
    fn a_probe_that_came_to_nothing_makes_room_for_the_next() {
        let health = Health::new(RULES);
        let over = set_aside(&health) + RULES.pause;
        assert_eq!(health.ask(ROW, over), Standing::Probe);
        health.released(ROW);
        assert_eq!(health.ask(ROW, over), Standing::Probe, "released");
        let given_up = over + RULES.pause;
        assert_eq!(health.ask(ROW, given_up - Duration::from_nanos(1)), Standing::SetAside { until: given_up });
        assert_eq!(health.ask(ROW, given_up), Standing::Probe, "never reported");
        assert!(matches!(health.ask(ROW, given_up), Standing::SetAside { .. }));
        health.released(Target::Row(ModelId(9)));
    }

    #[test]
    fn only_those_that_are_passed_by_now_are_counted() {
        let health = Health::new(RULES);
        let now = set_aside(&health);
        health.failed(Target::Row(ModelId(8)), now, None);
        assert_eq!(health.set_aside(now), 1);
        assert_eq!(health.set_aside(seconds(now, 30)), 0, "nobody asks for it any more");
        let _probe = health.ask(ROW, seconds(now, 30));
        assert_eq!(health.set_aside(seconds(now, 30)), 1);
    }

    #[test]
    fn rules_that_are_off_or_odd_do_no_harm() {
        let now = Instant::now();
        let off = Health::new(HealthRules { failures: 0, ..RULES });
        for _ in 0..100 {
            off.failed(ROW, now, Some(Duration::MAX));
        }
        assert_eq!(off.ask(ROW, now), Standing::Well);
        assert!(off.failing.read().is_empty());
        let odd = Health::new(HealthRules { failures: 1, pause: Duration::MAX, longest_pause: Duration::ZERO });
        odd.failed(ROW, now, Some(Duration::MAX));
        assert_eq!(odd.ask(ROW, now), Standing::Probe, "a pause that cannot be told is none");
        let short = Health::new(HealthRules { failures: 1, pause: RULES.pause, longest_pause: Duration::ZERO });
        short.failed(ROW, now, None);
        assert_eq!(short.ask(ROW, now), Standing::SetAside { until: now + RULES.pause });
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten_first() {
        let health = Health { most: 3, ..Health::new(HealthRules { failures: 1, ..RULES }) };
        let start = Instant::now();
        let row = |n| Target::Row(ModelId(n));
        for n in 0..3 {
            health.failed(row(n), seconds(start, u64::try_from(n).unwrap()), None);
        }
        health.failed(row(0), seconds(start, 3), None);
        health.failed(row(9), seconds(start, 4), None);
        let now = seconds(start, 5);
        assert_eq!(health.failing.read().len(), 3);
        assert_eq!(health.ask(row(1), now), Standing::Well, "heard of longest ago");
        for kept in [0, 2, 9] {
            assert!(matches!(health.ask(row(kept), now), Standing::SetAside { .. }), "{kept}");
        }
    }

    #[test]
    fn of_many_who_ask_at_once_exactly_one_is_the_probe() {
        const THREADS: usize = 8;
        let health = Arc::new(Health::new(RULES));
        let mut over = set_aside(&health) + RULES.pause;
        for round in 0..200 {
            let (probes, start) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(THREADS)));
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        start.wait();
                        for _ in 0..20 {
                            match health.ask(ROW, over) {
                                Standing::Probe => {
                                    probes.fetch_add(1, Ordering::Relaxed);
                                }
                                Standing::SetAside { until } => assert!(until > over),
                                Standing::Well => panic!("nobody reported a success"),
                            }
                        }
                    });
                }
            });
            assert_eq!(probes.load(Ordering::Relaxed), 1, "round {round}");
            health.failed(ROW, over, None);
            over += RULES.longest_pause;
        }
    }
}
