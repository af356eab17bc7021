//! The counters as the gateway uses them: races, window boundaries, settlement, eviction.

mod accounts;

use super::MemoryCounters;
use crate::domain::{BudgetMode, EventId, KeyId, Money, RateLimit, SpendLimit, UnixMillis, Window};
use crate::limits::{Ask, Counters, Refusal, Rules, Settlement, Verdict};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// 2024-02-01T00:00:15Z.
const NOW: UnixMillis = UnixMillis(1_706_745_615_000);
const HOLD_LIFE: Duration = Duration::from_secs(600);

fn key(n: u128) -> KeyId {
    // The last byte chooses the shard.
    KeyId::from_uuid(Uuid::from_u128(n))
}
fn event(n: u64) -> EventId {
    EventId::from_uuid(Uuid::from_u128(u128::from(n)))
}
fn usd(units: i64) -> Money {
    Money::from_units(units)
}
fn no_rules(mode: BudgetMode) -> Rules {
    Rules { rate: None, total_budget: None, window_budget: None, quota: None, mode }
}
fn rate(limit: u64, window: Window) -> Rules {
    Rules { rate: Some(RateLimit { limit, window }), ..no_rules(BudgetMode::Reserve) }
}
fn total(limit: i64, mode: BudgetMode) -> Rules {
    Rules { total_budget: Some(usd(limit)), ..no_rules(mode) }
}
fn windowed(limit: i64, window: Window, mode: BudgetMode) -> Rules {
    Rules { window_budget: Some(SpendLimit { limit: usd(limit), window }), ..no_rules(mode) }
}
fn ask(rules: Rules, n: u64, now: UnixMillis, hold: i64) -> Ask {
    Ask { key: key(7), rules, event: event(n), now, hold: usd(hold), hold_expires: now.plus(HOLD_LIFE) }
}
fn later(millis: i64) -> UnixMillis {
    UnixMillis(NOW.0 + millis)
}
fn settled(n: u64, cost: i64, at: UnixMillis) -> Settlement {
    Settlement { key: key(7), event: event(n), cost: usd(cost), at, quota: None }
}
fn passes(counters: &MemoryCounters, ask: &Ask) -> bool {
    matches!(counters.admit_now(ask), Verdict::Admitted { .. })
}
/// The port is async only for counters elsewhere.
fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).unwrap()
}
fn spent(counters: &MemoryCounters) -> Money {
    now(counters.spent(key(7))).unwrap()
}

#[test]
fn two_hundred_at_once_on_a_rate_of_fifty_admit_fifty() {
    for _ in 0..20 {
        let counters = MemoryCounters::new();
        let (barrier, admitted, remaining) = (Barrier::new(8), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8 {
                let (counters, barrier, admitted, remaining) = (&counters, &barrier, &admitted, &remaining);
                scope.spawn(move || {
                    barrier.wait();
                    for n in 0..25 {
                        let ask = ask(rate(50, Window::Minute), thread * 25 + n, NOW, 0);
                        if let Verdict::Admitted { rate: Some(state) } = counters.admit_now(&ask) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                            remaining.fetch_add(state.remaining, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 50);
        assert_eq!(remaining.into_inner(), (0..50).sum::<u64>(), "each admission saw its own place");
    }
}

#[test]
fn strict_budget_holds_under_racing_settlements() {
    let counters = MemoryCounters::new();
    let (barrier, bill) = (Barrier::new(8), AtomicI64::new(0));
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let (counters, barrier, bill) = (&counters, &barrier, &bill);
            scope.spawn(move || {
                barrier.wait();
                let mut flying = Vec::new();
                for n in 0..2_000 {
                    let hold = 1 + i64::try_from((n * 7 + thread) % 13).unwrap();
                    let ask = ask(total(5_000, BudgetMode::Strict), thread << 32 | n, NOW, hold);
                    if passes(counters, &ask) {
                        flying.push((ask.event, hold));
                    }
                    if flying.len() > 4 || n == 1_999 {
                        for (event, hold) in flying.drain(..) {
                            let cost = hold - hold % 3;
                            bill.fetch_add(cost, Ordering::Relaxed);
                            counters.settle(Settlement { key: key(7), event, cost: usd(cost), at: NOW, quota: None });
                        }
                    }
                }
            });
        }
    });
    let bill = bill.into_inner();
    assert!((4_980..=5_000).contains(&bill), "{bill}");
    assert_eq!(spent(&counters), usd(bill));
    assert_eq!(counters.holds(), (0, Money::ZERO));
}

#[test]
fn bounded_requests_admit_at_most_one_beyond_the_limit() {
    // Twenty in parallel that cost at most c against a limit L: floor(L / c) + 1.
    let counters = MemoryCounters::new();
    let admitted = (0..20).filter(|n| passes(&counters, &ask(total(100, BudgetMode::Reserve), *n, NOW, 30))).count();
    assert_eq!(admitted, 3);
}

#[test]
fn rate_begins_again_with_the_next_window() {
    for (window, end) in [(Window::Second, 1_000), (Window::Minute, 45_000), (Window::Hour, 3_585_000)] {
        let counters = MemoryCounters::new();
        let rules = rate(2, window);
        assert!(passes(&counters, &ask(rules, 1, NOW, 0)) && passes(&counters, &ask(rules, 2, later(1), 0)));
        assert!(!passes(&counters, &ask(rules, 3, later(end - 1), 0)), "{window:?}");
        assert!(passes(&counters, &ask(rules, 4, later(end), 0)), "{window:?}");
    }
}

#[test]
fn late_asker_is_counted_in_the_newer_window() {
    let counters = MemoryCounters::new();
    let rules = rate(1, Window::Minute);
    assert!(passes(&counters, &ask(rules, 1, later(45_000), 0)));
    assert!(!passes(&counters, &ask(rules, 2, later(44_999), 0)));
    assert!(!passes(&counters, &ask(rules, 3, later(45_001), 0)));
}

#[test]
fn clock_set_back_keeps_the_count_and_its_own_boundary() {
    let counters = MemoryCounters::new();
    let rules = rate(1, Window::Minute);
    assert!(passes(&counters, &ask(rules, 1, later(86_400_000), 0)));
    assert!(!passes(&counters, &ask(rules, 2, NOW, 0)));
    assert!(passes(&counters, &ask(rules, 3, later(45_000), 0)), "the next minute of the right clock");
}

#[test]
fn changed_unit_starts_a_new_count_and_changed_limit_does_not() {
    let counters = MemoryCounters::new();
    assert!(passes(&counters, &ask(rate(1, Window::Minute), 1, NOW, 0)));
    assert!(!passes(&counters, &ask(rate(1, Window::Minute), 2, NOW, 0)));
    assert!(passes(&counters, &ask(rate(2, Window::Minute), 3, NOW, 0)));
    assert!(passes(&counters, &ask(rate(1, Window::Hour), 4, NOW, 0)));
    now(counters.reset_rate(key(7)));
    assert!(passes(&counters, &ask(rate(1, Window::Hour), 5, NOW, 0)));
}

#[test]
fn spend_counts_in_the_window_of_its_completion() {
    let counters = MemoryCounters::new();
    let rules = windowed(10, Window::Minute, BudgetMode::Observe);
    let refused = |n, at| match counters.admit_now(&ask(rules, n, at, 0)) {
        Verdict::Refused(Refusal::WindowBudget { exhausted, .. }) => exhausted,
        _ => false,
    };
    for n in 1..=4 {
        assert!(passes(&counters, &ask(rules, n, NOW, 5)));
    }
    counters.settle(settled(1, 10, later(44_999)));
    assert!(refused(5, later(44_999)));
    assert!(passes(&counters, &ask(rules, 6, later(45_000), 0)), "a new minute");
    counters.settle(settled(2, 10, later(44_999)));
    assert!(passes(&counters, &ask(rules, 7, later(45_001), 0)), "the old minute's cost stays there");
    counters.settle(settled(3, 10, later(45_002)));
    assert!(refused(8, later(45_003)));
    now(counters.reset_window_budget(key(7)));
    assert!(!refused(9, later(45_004)));
    assert_eq!(spent(&counters), usd(30));
}

#[test]
fn strict_window_is_safe_across_the_boundary() {
    // A hold from the old window still claims room in the new one, where it may be settled.
    let counters = MemoryCounters::new();
    let rules = windowed(10, Window::Minute, BudgetMode::Strict);
    assert!(passes(&counters, &ask(rules, 1, NOW, 10)));
    assert!(!passes(&counters, &ask(rules, 2, later(46_000), 1)));
    counters.settle(settled(1, 10, later(46_001)));
    assert!(!passes(&counters, &ask(rules, 3, later(46_002), 0)));
    assert!(passes(&counters, &ask(rules, 4, later(105_000), 10)));
}

#[test]
fn settling_twice_counts_once() {
    let counters = MemoryCounters::new();
    let rules = total(100, BudgetMode::Strict);
    assert!(passes(&counters, &ask(rules, 1, NOW, 60)));
    for _ in 0..3 {
        counters.settle(settled(1, 50, NOW));
        counters.settle(settled(2, 7, NOW)); // admitted while the key had no rules: no hold, still once
    }
    assert_eq!(spent(&counters), usd(57));
    assert!(passes(&counters, &ask(rules, 3, NOW, 43)));
    assert_eq!(counters.holds(), (1, usd(43)));
}

#[test]
fn expired_hold_frees_its_room_and_its_cost_still_counts() {
    let counters = MemoryCounters::new();
    let rules = total(100, BudgetMode::Strict);
    assert!(passes(&counters, &ask(rules, 1, NOW, 100)));
    let expiry = NOW.plus(HOLD_LIFE);
    assert!(!passes(&counters, &ask(rules, 2, UnixMillis(expiry.0 - 1), 1)));
    assert!(passes(&counters, &ask(rules, 3, expiry, 60)));
    counters.settle(settled(1, 45, expiry));
    assert_eq!(spent(&counters), usd(45));
    assert_eq!(counters.holds(), (1, usd(60)));
}

#[test]
fn unbounded_holds_do_not_wear_the_sum_out() {
    let counters = MemoryCounters::new();
    let rules = total(100, BudgetMode::Observe);
    for n in 1..=3 {
        assert!(passes(&counters, &ask(rules, n, NOW, i64::MAX)));
    }
    counters.settle(settled(1, 0, NOW));
    counters.settle(settled(2, 0, NOW));
    assert_eq!(counters.holds(), (1, Money::MAX));
}

#[test]
fn release_gives_everything_back() {
    let counters = MemoryCounters::new();
    let rules = Rules { rate: rate(1, Window::Minute).rate, ..total(10, BudgetMode::Strict) };
    let first = ask(rules, 1, NOW, 10);
    assert!(passes(&counters, &first));
    counters.release(&first);
    counters.release(&first);
    assert_eq!(counters.holds(), (0, Money::ZERO));
    assert!(passes(&counters, &ask(rules, 2, NOW, 10)));
    assert!(!passes(&counters, &ask(rules, 3, NOW, 0)), "released once, not twice");
}

#[test]
fn seeds_stand_for_what_was_counted_before() {
    let counters = MemoryCounters::new();
    let minute = Window::Minute.bounds(NOW).0;
    counters.seed_total(key(7), usd(95));
    counters.seed_window(key(7), Window::Minute, minute, usd(9));
    counters.seed_rate(key(7), Window::Minute, minute, 3);
    assert_eq!(spent(&counters), usd(95));
    let one = |rules| passes(&counters, &ask(rules, 1, NOW, 0));
    assert!(!one(total(95, BudgetMode::Observe)));
    assert!(!one(windowed(9, Window::Minute, BudgetMode::Observe)));
    assert!(!one(rate(3, Window::Minute)));
    let all = Rules {
        rate: rate(4, Window::Minute).rate,
        window_budget: windowed(10, Window::Minute, BudgetMode::Observe).window_budget,
        ..total(96, BudgetMode::Observe)
    };
    assert!(one(all));
}

#[test]
fn idle_keys_leave_nothing_but_their_total() {
    let counters = MemoryCounters::new();
    let keys = 20_000u64;
    for n in 0..keys {
        let key = key(u128::from(n));
        let rules = Rules { rate: rate(5, Window::Second).rate, ..total(1_000, BudgetMode::Reserve) };
        let ask = Ask { key, ..ask(rules, n, NOW, 10) };
        assert!(passes(&counters, &ask));
        counters.settle(Settlement { key, ..settled(n, i64::try_from(n % 2).unwrap(), NOW) });
    }
    assert_eq!(counters.footprint().active_keys, keys);
    // One asker per shard, after the window: each sweeps its own shard.
    for shard in 0..64 {
        let ask = Ask { key: key(shard), ..ask(rate(5, Window::Second), keys + 1, later(20_000), 0) };
        assert!(passes(&counters, &ask));
    }
    assert_eq!(counters.footprint().active_keys, 64);
    counters.sweep(later(30_000));
    assert_eq!(counters.footprint().active_keys, 0);
    assert_eq!(counters.footprint().totals, keys / 2, "what spent nothing left nothing");
}

#[test]
fn what_matters_survives_a_sweep() {
    let counters = MemoryCounters::new();
    let month = windowed(10, Window::Month, BudgetMode::Strict);
    assert!(passes(&counters, &ask(month, 1, NOW, 4)));
    counters.settle(settled(1, 4, NOW));
    assert!(passes(&counters, &ask(month, 2, later(86_400_000), 6)));
    counters.sweep(later(86_400_001));
    assert!(!passes(&counters, &ask(month, 3, later(86_400_002), 1)), "spend of the month and the hold are both there");
    counters.forget(key(7));
    assert_eq!(counters.holds(), (0, Money::ZERO));
}

#[test]
fn keys_without_rules_leave_no_entry() {
    let counters = MemoryCounters::new();
    assert!(passes(&counters, &ask(no_rules(BudgetMode::Strict), 1, NOW, 5)));
    counters.settle(settled(1, 5, NOW));
    assert_eq!(counters.footprint(), super::Footprint { active_keys: 0, totals: 1, accounts: 0 });
}

#[derive(Clone, Debug)]
enum Step {
    Ask { hold: i64, wait: i64 },
    Settle { which: prop::sample::Index, share: i64, again: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0i64..300, 0i64..9_000).prop_map(|(hold, wait)| Step::Ask { hold, wait }),
        (any::<prop::sample::Index>(), 0i64..=100, any::<bool>()).prop_map(|(which, share, again)| Step::Settle {
            which,
            share,
            again
        }),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    /// Against a plain record of everything that happened: no minute exceeds its rate or its strict budget,
    /// the total is exact, and a refusal changes nothing.
    #[test]
    fn counts_agree_with_the_record(rate_limit in 1u64..6, limit in 1i64..1_000, steps in steps()) {
        let counters = MemoryCounters::new();
        let rules = Rules {
            rate: rate(rate_limit, Window::Minute).rate,
            ..windowed(limit, Window::Minute, BudgetMode::Strict)
        };
        let minute = |at: UnixMillis| at.0.div_euclid(60_000);
        let (mut now, mut next, mut bill) = (NOW, 0, 0);
        let mut flying: Vec<(u64, i64)> = Vec::new();
        let (mut admitted, mut spend) = (HashMap::<i64, u64>::new(), HashMap::<i64, i64>::new());
        for step in steps {
            match step {
                Step::Ask { hold, wait } => {
                    now = UnixMillis(now.0 + wait);
                    next += 1;
                    let (used, gone) = (admitted.entry(minute(now)).or_default(), spend.entry(minute(now)).or_default());
                    let held: i64 = flying.iter().map(|(_, hold)| hold).sum();
                    let before = counters.holds();
                    let expect = *used < rate_limit && *gone < limit && *gone + held + hold <= limit;
                    prop_assert_eq!(passes(&counters, &ask(rules, next, now, hold)), expect);
                    if expect {
                        *used += 1;
                        flying.push((next, hold));
                    } else {
                        prop_assert_eq!(counters.holds(), before);
                    }
                }
                Step::Settle { which, share, again } if !flying.is_empty() => {
                    let (n, hold) = flying.swap_remove(which.index(flying.len()));
                    let cost = hold * share / 100;
                    bill += cost;
                    *spend.entry(minute(now)).or_default() += cost;
                    for _ in 0..=usize::from(again) {
                        counters.settle(settled(n, cost, now));
                    }
                }
                Step::Settle { .. } => {}
            }
            prop_assert!(spend.values().all(|s| *s <= limit));
        }
        prop_assert_eq!(spent(&counters), usd(bill));
    }
}

#[test]
fn adopted_requests_count_as_if_admitted_here() {
    let (there, here) = (MemoryCounters::new(), MemoryCounters::new());
    let rules = Rules { rate: rate(2, Window::Minute).rate, ..windowed(100, Window::Minute, BudgetMode::Strict) };
    let running = ask(rules, 1, NOW, 60);
    assert!(passes(&there, &running));
    let held = there.held();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].event, held[0].amount, held[0].expires), (running.event, usd(60), running.hold_expires));

    here.adopt(&Ask { hold: held[0].amount, hold_expires: held[0].expires, ..running });
    assert_eq!(here.holds(), (1, usd(60)));
    assert!(!passes(&here, &ask(rules, 2, NOW, 41)), "its hold claims room");
    assert!(passes(&here, &ask(rules, 2, NOW, 40)));
    assert!(!passes(&here, &ask(rules, 3, NOW, 0)), "and it took one of the rate");
    // Its cost falls into a window of which nothing was counted before.
    here.settle(settled(1, 50, NOW));
    assert_eq!((here.holds(), spent(&here)), ((1, usd(40)), usd(50)));
    let other = windowed(50, Window::Minute, BudgetMode::Observe);
    assert!(!passes(&here, &ask(other, 4, NOW, 0)), "all of the window is spent");
    assert!(there.held().len() == 1 && here.held().len() == 1);
}
