//! What one admission and its settlement cost: alone, over many keys, and with all threads on one key.

use divan::{Bencher, black_box};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tollgate::counters::MemoryCounters;
use tollgate::domain::{BudgetMode, EventId, KeyId, Money, QuotaRule, RateLimit, SpendLimit, UnixMillis, Window};
use tollgate::limits::{Ask, Counters, Counts, Rules, Settlement, decide};
use uuid::Uuid;

fn main() {
    divan::main();
}

const NOW: UnixMillis = UnixMillis(1_706_745_615_000);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn ask(key: u64) -> Ask {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Ask {
        key: KeyId::from_uuid(Uuid::from_u64_pair(key, key)),
        rules: Rules {
            rate: Some(RateLimit { limit: u64::MAX, window: Window::Minute }),
            total_budget: Some(Money::MAX),
            window_budget: Some(SpendLimit { limit: Money::MAX, window: Window::Day }),
            quota: Some(QuotaRule { quota: Money::MAX, month: Window::Month.bounds(NOW).0 }),
            mode: BudgetMode::Reserve,
        },
        event: EventId::from_uuid(Uuid::from_u64_pair(n, n)),
        now: NOW,
        hold: Money::from_units(1_000),
        hold_expires: NOW.plus(Duration::from_secs(600)),
    }
}

fn admit_and_settle(counters: &MemoryCounters, key: u64) {
    let ask = ask(key);
    black_box(counters.admit_now(&ask));
    counters.settle(Settlement {
        key: ask.key,
        event: ask.event,
        cost: Money::from_units(7),
        at: NOW,
        quota: ask.rules.quota,
    });
}

#[divan::bench]
fn decision_alone(bencher: Bencher) {
    let (ask, counts) = (ask(1), Counts::default());
    bencher.bench(|| decide(black_box(&ask), black_box(&counts)));
}

#[divan::bench(threads = [1, 2])]
fn one_key(bencher: Bencher) {
    let counters = MemoryCounters::new();
    bencher.bench(|| admit_and_settle(&counters, 1));
}

#[divan::bench(threads = [1, 2])]
fn million_keys(bencher: Bencher) {
    let counters = MemoryCounters::new();
    for key in 0..1_000_000 {
        admit_and_settle(&counters, key);
    }
    bencher.bench(|| admit_and_settle(&counters, NEXT.load(Ordering::Relaxed).wrapping_mul(0x9E37_79B9) % 1_000_000));
}

/// The worst list of holds that a key may have.
#[divan::bench]
fn key_with_ten_thousand_in_flight(bencher: Bencher) {
    let counters = MemoryCounters::new();
    for _ in 0..10_000 {
        counters.admit_now(&ask(1));
    }
    bencher.bench(|| admit_and_settle(&counters, 1));
}
