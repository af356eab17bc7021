//! Quota and balance through the counters: examples, races, months, what becomes of an account.

use super::*;
use crate::domain::{Account, BillingZone, QuotaRule};
use futures_util::FutureExt;

/// 2024-02-01T00:00:00Z, and 2024-01-01.
const THIS: UnixMillis = UnixMillis(1_706_745_600_000);
const LAST: UnixMillis = UnixMillis(1_704_067_200_000);

/// In USD, as people write it.
fn dollars(text: &str) -> Money {
    Money::parse_usd(text).unwrap()
}
fn rule(quota: Money, month: UnixMillis) -> QuotaRule {
    QuotaRule { quota, month }
}
fn quota(quota: i64, mode: BudgetMode) -> Rules {
    Rules { quota: Some(rule(usd(quota), THIS)), ..no_rules(mode) }
}
fn charged(n: u64, cost: Money, quota: QuotaRule) -> Settlement {
    Settlement { key: key(7), event: event(n), cost, at: NOW, quota: Some(quota) }
}
fn account(counters: &MemoryCounters) -> Account {
    counters.account(key(7)).now_or_never().unwrap().unwrap()
}
fn seeded(month: UnixMillis, used: Money, balance: Money) -> MemoryCounters {
    let counters = MemoryCounters::new();
    counters.seed_account(key(7), Account { month, month_fee: used, balance });
    counters
}
/// `None` = admitted, else whether there was nothing left.
fn refused(counters: &MemoryCounters, ask: &Ask) -> Option<bool> {
    match counters.admit_now(ask) {
        Verdict::Admitted { .. } => None,
        Verdict::Refused(Refusal::Quota { exhausted, .. }) => Some(exhausted),
        other @ Verdict::Refused(_) => panic!("{other:?}"),
    }
}

#[test]
fn c86_the_worked_examples() {
    for mode in [BudgetMode::Observe, BudgetMode::Reserve, BudgetMode::Strict] {
        // Quota, used, in which month, balance; then used and balance after a call of 0.0045, or a refusal.
        for (limit, used, month, balance, after) in [
            ("20", "0", THIS, "0", Some(("0.0045", "0"))),
            ("1", "0.999", THIS, "0.5", Some(("1", "0.4965"))),
            ("1", "1", THIS, "0.001", Some(("1", "-0.0035"))),
            ("1", "1", THIS, "0", None),
            ("1", "1", LAST, "0", Some(("0.0045", "0"))),
            ("0", "0", THIS, "2", Some(("0", "1.9955"))),
        ] {
            let (limit, fee) = (rule(dollars(limit), THIS), dollars("0.0045"));
            let before = Account { month, month_fee: dollars(used), balance: dollars(balance) };
            let counters = seeded(before.month, before.month_fee, before.balance);
            let rules = Rules { quota: Some(limit), ..no_rules(mode) };
            let verdict = refused(&counters, &Ask { hold: fee, ..ask(rules, 1, NOW, 0) });
            // The one call of these that is dearer than what is left: certainty refuses it, a lone call may overshoot.
            if mode == BudgetMode::Strict && before.balance == dollars("0.001") {
                assert_eq!((verdict, account(&counters)), (Some(false), before));
                continue;
            }
            let Some((used, balance)) = after else {
                assert_eq!((verdict, account(&counters)), (Some(true), before), "{mode:?}: refused, unchanged");
                continue;
            };
            assert_eq!(verdict, None, "{mode:?} {before:?}");
            counters.settle(charged(1, fee, limit));
            let expect = Account { month: THIS, month_fee: dollars(used), balance: dollars(balance) };
            assert_eq!((account(&counters), spent(&counters)), (expect, fee), "{mode:?}");
            assert_eq!(counters.holds(), (0, Money::ZERO));
        }
    }
}

#[test]
fn a_hundred_settlements_at_once_are_exact_and_straddle() {
    // 100 x 0.0045 against a quota of 0.2 of which 0.0001 is used: the rest comes from the balance to the unit.
    let (counters, limit) = (seeded(THIS, dollars("0.0001"), dollars("1")), rule(dollars("0.2"), THIS));
    let barrier = Barrier::new(10);
    thread::scope(|scope| {
        for thread in 0..10 {
            let (counters, barrier) = (&counters, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..10 {
                    let settlement = charged(thread * 10 + n, dollars("0.0045"), limit);
                    counters.settle(settlement);
                    counters.settle(settlement);
                }
            });
        }
    });
    let expect = Account { month: THIS, month_fee: dollars("0.2"), balance: dollars("0.7499") };
    assert_eq!((account(&counters), spent(&counters)), (expect, dollars("0.45")));
}

#[test]
fn a_new_month_brings_a_new_quota_and_nothing_else() {
    for (zone, end) in [("UTC", "2024-02-29T23:59:59Z"), ("Asia/Shanghai", "2024-02-29T15:59:59Z")] {
        let zone = BillingZone::parse(zone).unwrap();
        let last_second = UnixMillis::parse_rfc3339(end).unwrap();
        let midnight = last_second.plus(Duration::from_secs(1));
        let rules = |at| Rules { quota: Some(rule(usd(10), zone.month_start(at))), ..no_rules(BudgetMode::Strict) };
        let settle = |counters: &MemoryCounters, n, cost, at| {
            counters.settle(Settlement { quota: rules(at).quota, ..settled(n, cost, at) });
        };
        let counters = MemoryCounters::new();
        credit(&counters, key(7), usd(3));
        assert_eq!(refused(&counters, &ask(rules(last_second), 1, last_second, 12)), None);
        settle(&counters, 1, 12, last_second);
        let expect = Account { month: zone.month_start(last_second), month_fee: usd(10), balance: usd(1) };
        assert_eq!(account(&counters), expect);
        assert_eq!(refused(&counters, &ask(rules(last_second), 2, last_second, 2)), Some(false));
        // The unused is not carried over, the balance is.
        assert_eq!(refused(&counters, &ask(rules(midnight), 3, midnight, 12)), Some(false));
        assert_eq!(refused(&counters, &ask(rules(midnight), 4, midnight, 11)), None);
        settle(&counters, 4, 4, midnight);
        assert_eq!(account(&counters), Account { month: midnight, month_fee: usd(4), balance: usd(1) });
        assert_eq!(spent(&counters), usd(16), "the total knows no months");
        // Somebody with a late clock asks in the month that has begun.
        assert_eq!(refused(&counters, &ask(rules(last_second), 5, last_second, 8)), Some(false));
        assert_eq!(refused(&counters, &ask(rules(last_second), 6, last_second, 7)), None);
    }
}

#[test]
fn a_request_over_the_end_of_a_month_is_paid_in_the_month_of_its_end() {
    let counters = seeded(LAST, usd(9), Money::ZERO);
    let before = UnixMillis(THIS.0 - 1);
    let rules = Rules { quota: Some(rule(usd(10), LAST)), ..no_rules(BudgetMode::Strict) };
    assert_eq!(refused(&counters, &ask(rules, 1, before, 1)), None);
    // While it runs, its hold claims room in the new month.
    assert_eq!(refused(&counters, &ask(quota(10, BudgetMode::Strict), 2, NOW, 10)), Some(false));
    counters.settle(charged(1, usd(1), rule(usd(10), THIS)));
    assert_eq!(account(&counters), Account { month: THIS, month_fee: usd(1), balance: Money::ZERO });
}

#[test]
fn a_quota_that_is_lowered_or_raised_counts_at_once() {
    let counters = seeded(THIS, usd(6), usd(5));
    let asks = |limit, n, hold| refused(&counters, &ask(quota(limit, BudgetMode::Strict), n, NOW, hold));
    // Lowered: what was spent stays spent from the quota, what comes is for the balance.
    assert_eq!(asks(4, 1, 6), Some(false));
    assert_eq!(asks(4, 2, 2), None);
    counters.settle(charged(2, usd(2), rule(usd(4), THIS)));
    assert_eq!(account(&counters), Account { month: THIS, month_fee: usd(6), balance: usd(3) });
    // Raised: the difference is free at once.
    assert_eq!(asks(20, 3, 18), Some(false));
    assert_eq!(asks(20, 4, 17), None);
    counters.settle(charged(4, usd(17), rule(usd(20), THIS)));
    assert_eq!(account(&counters), Account { month: THIS, month_fee: usd(20), balance: Money::ZERO });
    assert_eq!(asks(20, 5, 0), Some(true));
}

#[test]
fn holds_of_others_count_and_a_lone_call_does_not_wait_for_them() {
    let counters = seeded(THIS, usd(90), usd(5));
    let asks = |n, hold| refused(&counters, &ask(quota(100, BudgetMode::Reserve), n, NOW, hold));
    assert_eq!(asks(1, 40), None, "alone, it is asked for no more than that something is left");
    assert_eq!(asks(2, 0), Some(false), "then its hold is more than what is left");
    counters.settle(charged(1, usd(3), rule(usd(100), THIS)));
    assert_eq!((asks(3, 8), asks(4, 5), asks(5, 4)), (None, Some(false), None), "12 are available");
    assert_eq!(counters.holds(), (2, usd(12)));
    // Over, whatever happened: an expired hold claims nothing.
    let later = NOW.plus(HOLD_LIFE);
    assert_eq!(refused(&counters, &ask(quota(100, BudgetMode::Reserve), 6, later, 12)), None);
}

#[test]
fn twenty_at_once_on_a_small_rest_admit_one_beyond_it_at_most() {
    let counters = seeded(THIS, usd(0), usd(40));
    let barrier = Barrier::new(20);
    let admitted: usize = thread::scope(|scope| {
        let one = |n| {
            let (counters, barrier) = (&counters, &barrier);
            scope.spawn(move || {
                barrier.wait();
                usize::from(refused(counters, &ask(quota(60, BudgetMode::Reserve), n, NOW, 30)).is_none())
            })
        };
        let all: Vec<_> = (0..20).map(one).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 3, "100 are available");
}

#[test]
fn a_payment_opens_the_door_and_a_released_ask_leaves_no_trace() {
    let counters = MemoryCounters::new();
    let wants = |n| ask(quota(0, BudgetMode::Strict), n, NOW, 4);
    assert_eq!(refused(&counters, &wants(1)), Some(true), "neither quota nor balance");
    for _ in 0..50 {
        credit(&counters, key(7), dollars("0.01"));
    }
    credit(&counters, key(7), dollars("-0.01"));
    assert_eq!(account(&counters).balance, dollars("0.5"));
    let before = account(&counters);
    assert_eq!(refused(&counters, &wants(2)), None);
    counters.release(&wants(2));
    assert_eq!((account(&counters), counters.holds()), (before, (0, Money::ZERO)));
}

#[test]
fn costs_without_a_quota_rule_and_costs_of_nothing_leave_the_account_alone() {
    let counters = MemoryCounters::new();
    counters.settle(settled(1, 5, NOW));
    counters.settle(charged(2, Money::ZERO, rule(usd(10), THIS)));
    assert_eq!(account(&counters), Account::default());
    assert_eq!(counters.footprint().accounts, 0);
    counters.settle(charged(3, usd(5), rule(usd(10), THIS)));
    assert_eq!((account(&counters).month_fee, spent(&counters)), (usd(5), usd(10)));
}

#[test]
fn an_account_outlives_sweeps_and_resets_and_ends_with_its_key() {
    let counters = seeded(THIS, usd(10), Money::ZERO);
    now(counters.reset_rate(key(7)));
    now(counters.reset_window_budget(key(7)));
    counters.sweep(later(40 * 86_400_000));
    assert_eq!(counters.footprint(), crate::counters::Footprint { active_keys: 0, totals: 0, accounts: 1 });
    assert_eq!(refused(&counters, &ask(quota(10, BudgetMode::Observe), 1, NOW, 0)), Some(true));
    counters.seed_account(key(8), Account::default());
    assert_eq!(counters.footprint().accounts, 1, "what nothing has happened to takes no room");
    counters.forget(key(7));
    assert_eq!((account(&counters), counters.footprint().accounts), (Account::default(), 0));
}

#[test]
fn the_next_process_goes_on_with_holds_and_account() {
    let there = seeded(THIS, usd(80), usd(10));
    let running = ask(quota(100, BudgetMode::Strict), 1, NOW, 25);
    assert_eq!(refused(&there, &running), None);
    // What the next one reads in the store, and what it is told is held.
    let here = seeded(THIS, usd(80), usd(10));
    let held = there.held();
    here.adopt(&Ask { hold: held[0].amount, hold_expires: held[0].expires, ..running });
    assert_eq!(refused(&here, &ask(quota(100, BudgetMode::Strict), 2, NOW, 6)), Some(false));
    assert_eq!(refused(&here, &ask(quota(100, BudgetMode::Strict), 3, NOW, 5)), None);
    // The end of the adopted one is told with the rule in its event.
    here.settle(charged(1, usd(22), rule(usd(100), THIS)));
    assert_eq!(account(&here), Account { month: THIS, month_fee: usd(100), balance: usd(8) });
    assert_eq!(here.holds(), (1, usd(5)));
}

/// A request asks with a hold, the n-th in flight ends at a share of it, or somebody pays; time goes on.
#[derive(Clone, Debug)]
enum Move {
    Ask { hold: i64, days: i64 },
    Settle { which: prop::sample::Index, share: i64 },
    Pay(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        4 => (0i64..300, 0i64..3).prop_map(|(hold, days)| Move::Ask { hold, days }),
        4 => (any::<prop::sample::Index>(), 0i64..=100).prop_map(|(which, share)| Move::Settle { which, share }),
        1 => (0i64..300).prop_map(Move::Pay),
    ];
    prop::collection::vec(step, 1..150)
}

/// What came of it: quota and payments together, and what of them was used up.
#[derive(Default, Debug)]
struct Played {
    spent: i64,
    paid: i64,
    /// Quotas of all months that saw a request.
    granted: i64,
    lowest_balance: i64,
    dearest: i64,
}

fn play(mode: BudgetMode, limit: i64, moves: &[Move]) -> Played {
    let counters = MemoryCounters::new();
    let (mut now, mut next, mut played) = (NOW, 0, Played::default());
    let mut flying: Vec<(u64, i64)> = Vec::new();
    let mut months = std::collections::HashSet::new();
    let rule_at = |at| rule(usd(limit), BillingZone::UTC.month_start(at));
    let settle = |played: &mut Played, n: u64, cost: i64, at: UnixMillis| {
        counters.settle(Settlement { quota: Some(rule_at(at)), ..settled(n, cost, at) });
        played.spent += cost;
        played.dearest = played.dearest.max(cost);
        let account = account(&counters);
        played.lowest_balance = played.lowest_balance.min(account.balance.units());
        assert!(account.month_fee <= usd(limit), "never more than the quota out of the quota");
    };
    for step in moves {
        match step {
            Move::Ask { hold, days } => {
                // A hold ends within its life, so time that passes here is shorter than the life of holds.
                now = UnixMillis(now.0 + days * 86_400_000);
                next += 1;
                let rules = Rules { quota: Some(rule_at(now)), ..no_rules(mode) };
                let forever = now.plus(Duration::from_secs(1_000 * 86_400));
                months.insert(rule_at(now).month);
                if refused(&counters, &Ask { hold_expires: forever, ..ask(rules, next, now, *hold) }).is_none() {
                    flying.push((next, *hold));
                }
            }
            Move::Settle { which, share } if !flying.is_empty() => {
                let (n, hold) = flying.swap_remove(which.index(flying.len()));
                settle(&mut played, n, hold * share / 100, now);
            }
            Move::Settle { .. } => {}
            Move::Pay(amount) => {
                credit(&counters, key(7), usd(*amount));
                played.paid += amount;
            }
        }
    }
    for (n, hold) in flying {
        settle(&mut played, n, hold, now);
    }
    played.granted = limit * i64::try_from(months.len()).unwrap();
    assert_eq!(spent(&counters), usd(played.spent));
    played
}

proptest! {
    #[test]
    fn strict_never_spends_more_than_was_available(limit in 0i64..500, moves in moves()) {
        let played = play(BudgetMode::Strict, limit, &moves);
        prop_assert!(played.lowest_balance >= 0, "{played:?}");
        prop_assert!(played.spent <= played.granted + played.paid, "{played:?}");
    }

    #[test]
    fn reserve_overspends_by_less_than_one_request(limit in 0i64..500, moves in moves()) {
        // One month: in each new one there is a quota again, and with it one request that may overshoot.
        let moves: Vec<Move> = moves.into_iter().map(|step| match step {
            Move::Ask { hold, .. } => Move::Ask { hold, days: 0 },
            // A payment fills the hole that an overshoot has made, and another one may follow.
            Move::Pay(_) => Move::Pay(0),
            other @ Move::Settle { .. } => other,
        }).collect();
        let played = play(BudgetMode::Reserve, limit, &moves);
        prop_assert!(-played.lowest_balance < played.dearest.max(1), "{played:?}");
        prop_assert_eq!(played.spent <= limit, played.lowest_balance == 0);
    }
}

fn credit(counters: &MemoryCounters, key: KeyId, amount: Money) {
    now(counters.credit(key, amount));
}
