//! The decision itself: one ask against plain counts, all rules at once, nothing taken.
//!
//! Order: rate, windowed budget, total budget, quota with balance; the first that objects is the refusal.
//! Sums are made in 128 bits, so no amount can wrap or saturate its way past a limit.

use super::{Ask, RateState, Refusal, Verdict};
use crate::domain::{Account, BudgetMode, Money, UnixMillis, Window};
use std::time::Duration;

/// What has been counted for a key when it asks. Each figure belongs to the window that holds `ask.now`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests admitted in the rate window.
    pub admitted: u64,
    /// Settled in the budget window.
    pub window_spent: Money,
    /// Settled since the key exists.
    pub total_spent: Money,
    /// Used of the quota, left of the balance.
    pub account: Account,
    /// Sum of the holds that have not expired.
    pub held: Money,
    /// How many those are. A hold of zero counts: its request may still cost something.
    pub in_flight: u64,
}

/// Whether `ask` may pass. The caller takes the slot and the hold if so, in the same atomic step.
pub fn decide(ask: &Ask, counts: &Counts) -> Verdict {
    let mut rate = None;
    if let Some(rule) = ask.rules.rate {
        let state = |remaining| RateState { limit: rule.limit, remaining, reset: until_end(rule.window, ask.now) };
        match rule.limit.checked_sub(counts.admitted.saturating_add(1)) {
            Some(remaining) => rate = Some(state(remaining)),
            None => return Verdict::Refused(Refusal::Rate { state: state(0) }),
        }
    }
    if let Some(rule) = ask.rules.window_budget {
        let room = room(ask, rule.limit, counts.window_spent, counts);
        if room != Room::Fits {
            let retry_after = until_end(rule.window, ask.now);
            let (exhausted, rate) = (room == Room::Exhausted, untouched_rate(ask, counts));
            return Verdict::Refused(Refusal::WindowBudget { retry_after, exhausted, rate });
        }
    }
    if let Some(limit) = ask.rules.total_budget {
        let room = room(ask, limit, counts.total_spent, counts);
        if room != Room::Fits {
            let (exhausted, rate) = (room == Room::Exhausted, untouched_rate(ask, counts));
            return Verdict::Refused(Refusal::TotalBudget { exhausted, rate });
        }
    }
    if let Some(rule) = ask.rules.quota {
        // What is available counts as the limit of a budget of which nothing is spent yet.
        let room = room(ask, counts.account.available(rule), Money::ZERO, counts);
        if room != Room::Fits {
            let (exhausted, rate) = (room == Room::Exhausted, untouched_rate(ask, counts));
            return Verdict::Refused(Refusal::Quota { exhausted, rate });
        }
    }
    Verdict::Admitted { rate }
}

/// How the rate stands when something else refuses.
fn untouched_rate(ask: &Ask, counts: &Counts) -> Option<RateState> {
    let rule = ask.rules.rate?;
    let remaining = rule.limit.saturating_sub(counts.admitted);
    Some(RateState { limit: rule.limit, remaining, reset: until_end(rule.window, ask.now) })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Fits,
    /// Holds and this request together are too much; spent alone is below the limit.
    Full,
    /// Spent has reached the limit.
    Exhausted,
}

/// Every mode needs spent < limit first, also for a request that holds nothing: a budget that is
/// used up admits no one. `strict` and `reserve` then need what is held and what is asked to fit;
/// `reserve` lets a request through that is alone, whatever it asks.
fn room(ask: &Ask, limit: Money, spent: Money, counts: &Counts) -> Room {
    if spent >= limit {
        return Room::Exhausted;
    }
    let claimed =
        i128::from(spent.units()) + i128::from(counts.held.units()) + i128::from(ask.hold.max(Money::ZERO).units());
    let fits = match ask.rules.mode {
        BudgetMode::Observe => true,
        BudgetMode::Reserve => claimed <= i128::from(limit.units()) || counts.in_flight == 0,
        BudgetMode::Strict => claimed <= i128::from(limit.units()),
    };
    if fits { Room::Fits } else { Room::Full }
}

fn until_end(window: Window, now: UnixMillis) -> Duration {
    window.bounds(now).1.since(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventId, KeyId, QuotaRule, RateLimit, SpendLimit};
    use crate::limits::Rules;
    use proptest::prelude::*;
    use uuid::Uuid;

    /// 15 s into a minute, 2024-02-01.
    const NOW: UnixMillis = UnixMillis(1_706_745_615_000);
    const LEFT: Duration = Duration::from_secs(45);

    fn usd(units: i64) -> Money {
        Money::from_units(units)
    }

    fn ask(mode: BudgetMode, hold: i64) -> Ask {
        Ask {
            key: KeyId::from_uuid(Uuid::from_u128(1)),
            rules: Rules { rate: None, total_budget: None, window_budget: None, quota: None, mode },
            event: EventId::from_uuid(Uuid::from_u128(2)),
            now: NOW,
            hold: usd(hold),
            hold_expires: NOW.plus(Duration::from_secs(600)),
        }
    }

    fn total(mode: BudgetMode, limit: i64, hold: i64) -> Ask {
        let mut ask = ask(mode, hold);
        ask.rules.total_budget = Some(usd(limit));
        ask
    }

    fn counts(spent: i64, held: i64, in_flight: u64) -> Counts {
        let account = Account::default();
        Counts { admitted: 0, window_spent: usd(spent), total_spent: usd(spent), account, held: usd(held), in_flight }
    }

    const ADMITTED: Verdict = Verdict::Admitted { rate: None };
    const FULL: Verdict = Verdict::Refused(Refusal::TotalBudget { exhausted: false, rate: None });
    const EXHAUSTED: Verdict = Verdict::Refused(Refusal::TotalBudget { exhausted: true, rate: None });

    #[test]
    fn budget_modes_follow_their_formula() {
        use BudgetMode::{Observe, Reserve, Strict};
        for (mode, limit, spent, held, in_flight, hold, expect) in [
            // spent < limit, whatever is held or asked
            (Observe, 100, 99, 1_000, 50, 1_000, ADMITTED),
            (Observe, 100, 100, 0, 0, 0, EXHAUSTED),
            (Observe, 100, 101, 0, 0, 0, EXHAUSTED),
            (Observe, 0, 0, 0, 0, 0, EXHAUSTED),
            // spent + held + estimate <= limit
            (Reserve, 100, 40, 30, 2, 30, ADMITTED),
            (Reserve, 100, 40, 30, 2, 31, FULL),
            // or alone
            (Reserve, 100, 99, 0, 0, 5_000, ADMITTED),
            (Reserve, 100, 100, 0, 0, 0, EXHAUSTED),
            (Reserve, 100, 99, 0, 1, 2, FULL),
            (Reserve, 100, 99, 0, 1, 1, ADMITTED),
            (Reserve, 100, 40, 60, 1, 0, ADMITTED),
            (Reserve, 100, 40, 61, 1, 0, FULL),
            // spent + held + worst <= limit, alone or not
            (Strict, 100, 40, 30, 2, 30, ADMITTED),
            (Strict, 100, 40, 30, 2, 31, FULL),
            (Strict, 100, 99, 0, 0, 2, FULL),
            (Strict, 100, 99, 0, 0, 1, ADMITTED),
            // a hold of zero still needs something left
            (Strict, 100, 99, 0, 0, 0, ADMITTED),
            (Strict, 100, 100, 0, 0, 0, EXHAUSTED),
            (Strict, 0, 0, 0, 0, 0, EXHAUSTED),
            // sums beyond 64 bits and negative holds
            (Strict, i64::MAX, i64::MAX - 1, i64::MAX, 1, i64::MAX, FULL),
            (Strict, i64::MAX, 1, 0, 0, i64::MAX, FULL),
            (Strict, 100, 90, 15, 1, -50, FULL),
        ] {
            let verdict = decide(&total(mode, limit, hold), &counts(spent, held, in_flight));
            assert_eq!(verdict, expect, "{mode:?} limit {limit} spent {spent} held {held}/{in_flight} asks {hold}");
        }
    }

    /// An ask under a quota, against an account of this month.
    fn quota(mode: BudgetMode, quota: i64, used: i64, balance: i64, hold: i64) -> (Ask, Account) {
        let mut ask = ask(mode, hold);
        let month = Window::Month.bounds(NOW).0;
        ask.rules.quota = Some(QuotaRule { quota: usd(quota), month });
        (ask, Account { month, month_fee: usd(used), balance: usd(balance) })
    }

    #[test]
    fn quota_and_balance_are_one_budget_in_every_mode() {
        use BudgetMode::{Observe, Reserve, Strict};
        let full = Verdict::Refused(Refusal::Quota { exhausted: false, rate: None });
        let exhausted = Verdict::Refused(Refusal::Quota { exhausted: true, rate: None });
        for (mode, limit, used, balance, held, in_flight, hold, expect) in [
            // available > 0, whatever is held or asked
            (Observe, 100, 99, 0, 1_000, 50, 1_000, ADMITTED),
            (Observe, 100, 100, 1, 1_000, 50, 1_000, ADMITTED),
            (Observe, 100, 100, 0, 0, 0, 0, exhausted),
            (Observe, 100, 100, -5, 0, 0, 0, exhausted),
            (Observe, 0, 0, 0, 0, 0, 0, exhausted),
            (Observe, 0, 0, 1, 0, 0, 0, ADMITTED),
            // a debt does not eat into the quota
            (Observe, 100, 99, -50, 0, 0, 0, ADMITTED),
            (Strict, 100, 40, -50, 0, 0, 60, ADMITTED),
            (Strict, 100, 40, -50, 0, 0, 61, full),
            // holds + estimate <= available
            (Reserve, 100, 40, 20, 50, 2, 30, ADMITTED),
            (Reserve, 100, 40, 20, 50, 2, 31, full),
            // or alone, with something left
            (Reserve, 100, 99, 0, 0, 0, 5_000, ADMITTED),
            (Reserve, 100, 100, 1, 0, 0, 5_000, ADMITTED),
            (Reserve, 100, 100, 0, 0, 0, 0, exhausted),
            (Reserve, 0, 0, 0, 0, 0, 0, exhausted),
            // what others hold has used up the rest: nothing, not even a request that holds nothing
            (Reserve, 100, 40, 20, 81, 1, 0, full),
            (Reserve, 100, 40, 20, 80, 1, 0, ADMITTED),
            (Reserve, 100, 40, 20, 80, 1, 1, full),
            // holds + worst case <= available, alone or not
            (Strict, 100, 40, 20, 50, 2, 30, ADMITTED),
            (Strict, 100, 40, 20, 50, 2, 31, full),
            (Strict, 100, 99, 1, 0, 0, 3, full),
            (Strict, 100, 99, 1, 0, 0, 2, ADMITTED),
            (Strict, 100, 100, 0, 0, 0, 0, exhausted),
            // lowered below what is used: the balance is all there is
            (Strict, 10, 40, 20, 0, 0, 20, ADMITTED),
            (Strict, 10, 40, 20, 0, 0, 21, full),
            // sums beyond 64 bits
            (Strict, i64::MAX, 0, i64::MAX, i64::MAX, 1, 1, full),
            (Strict, 100, 90, 0, 15, 1, -50, full),
        ] {
            let (ask, account) = quota(mode, limit, used, balance, hold);
            let counts = Counts { account, held: usd(held), in_flight, ..Counts::default() };
            let says = format!("{mode:?} {used} of {limit} + {balance}, held {held}/{in_flight}, asks {hold}");
            assert_eq!(decide(&ask, &counts), expect, "{says}");
        }
    }

    #[test]
    fn quota_objects_last_and_takes_nothing() {
        let (mut ask, account) = quota(BudgetMode::Strict, 10, 10, 0, 0);
        ask.rules.rate = Some(RateLimit { limit: 2, window: Window::Minute });
        ask.rules.total_budget = Some(usd(5));
        let mut counts = Counts { account, ..counts(5, 0, 0) };
        assert!(matches!(decide(&ask, &counts), Verdict::Refused(Refusal::TotalBudget { .. })));
        counts.total_spent = usd(4);
        let rate = Some(RateState { limit: 2, remaining: 2, reset: LEFT });
        assert_eq!(decide(&ask, &counts), Verdict::Refused(Refusal::Quota { exhausted: true, rate }));
        counts.account.balance = usd(1);
        assert!(matches!(decide(&ask, &counts), Verdict::Admitted { .. }));
        counts.admitted = 2;
        assert!(matches!(decide(&ask, &counts), Verdict::Refused(Refusal::Rate { .. })));
    }

    #[test]
    fn what_was_used_last_month_is_free_again() {
        let (ask, mut account) = quota(BudgetMode::Strict, 10, 10, 0, 10);
        account.month = UnixMillis(account.month.0 - 1);
        assert_eq!(decide(&ask, &Counts { account, ..Counts::default() }), ADMITTED);
    }

    #[test]
    fn rate_of_n_admits_n() {
        for (limit, admitted, remaining) in
            [(1, 0, Some(0)), (1, 1, None), (3, 0, Some(2)), (3, 2, Some(0)), (3, 3, None), (3, u64::MAX, None)]
        {
            let mut ask = ask(BudgetMode::Reserve, 0);
            ask.rules.rate = Some(RateLimit { limit, window: Window::Minute });
            let verdict = decide(&ask, &Counts { admitted, ..Counts::default() });
            let expect = match remaining {
                Some(remaining) => Verdict::Admitted { rate: Some(RateState { limit, remaining, reset: LEFT }) },
                None => Verdict::Refused(Refusal::Rate { state: RateState { limit, remaining: 0, reset: LEFT } }),
            };
            assert_eq!(verdict, expect, "{admitted} of {limit}");
        }
    }

    #[test]
    fn rate_objects_before_window_before_total() {
        let mut ask = total(BudgetMode::Strict, 10, 0);
        ask.rules.rate = Some(RateLimit { limit: 1, window: Window::Minute });
        ask.rules.window_budget = Some(SpendLimit { limit: usd(10), window: Window::Minute });
        let mut counts = counts(10, 0, 0);
        counts.admitted = 1;
        assert!(matches!(decide(&ask, &counts), Verdict::Refused(Refusal::Rate { .. })));
        counts.admitted = 0;
        // A budget that refuses takes nothing of the rate, and tells how it stands.
        let rate = Some(RateState { limit: 1, remaining: 1, reset: LEFT });
        let window = Refusal::WindowBudget { retry_after: LEFT, exhausted: true, rate };
        assert_eq!(decide(&ask, &counts), Verdict::Refused(window));
        counts.window_spent = usd(9);
        assert_eq!(decide(&ask, &counts), Verdict::Refused(Refusal::TotalBudget { exhausted: true, rate }));
        counts.total_spent = usd(9);
        assert!(matches!(decide(&ask, &counts), Verdict::Admitted { rate: Some(_) }));
    }

    #[test]
    fn full_window_is_not_an_exhausted_one() {
        let mut ask = ask(BudgetMode::Strict, 5);
        ask.rules.window_budget = Some(SpendLimit { limit: usd(10), window: Window::Minute });
        let refusal = Refusal::WindowBudget { retry_after: LEFT, exhausted: false, rate: None };
        assert_eq!(decide(&ask, &counts(4, 2, 1)), Verdict::Refused(refusal));
    }

    #[test]
    fn no_rule_admits_everything() {
        let ask = ask(BudgetMode::Strict, i64::MAX);
        assert_eq!(decide(&ask, &counts(i64::MAX, i64::MAX, 9)), ADMITTED);
    }

    /// A request asks with a hold, or the n-th one in flight ends and costs a share of its hold.
    #[derive(Clone, Debug)]
    enum Step {
        Ask(i64),
        Settle(prop::sample::Index, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0i64..400).prop_map(Step::Ask),
            (any::<prop::sample::Index>(), 0u8..=100).prop_map(|(which, share)| Step::Settle(which, share)),
        ];
        prop::collection::vec(step, 1..120)
    }

    /// Plays the steps; everything in flight is settled at its full hold in the end.
    /// Returns what was spent and the dearest single request.
    fn play(mode: BudgetMode, limit: i64, steps: &[Step]) -> (i64, i64) {
        let (mut spent, mut dearest, mut flying) = (0, 0, Vec::new());
        let mut settle = |cost: i64| {
            spent += cost;
            dearest = dearest.max(cost);
            spent
        };
        let mut settled = 0;
        for step in steps {
            match step {
                Step::Ask(hold) => {
                    let now = counts(settled, flying.iter().sum(), flying.len() as u64);
                    if decide(&total(mode, limit, *hold), &now) == ADMITTED {
                        flying.push(*hold);
                    }
                }
                Step::Settle(which, share) if !flying.is_empty() => {
                    let hold = flying.swap_remove(which.index(flying.len()));
                    settled = settle(hold * i64::from(*share) / 100);
                }
                Step::Settle(..) => {}
            }
        }
        for hold in flying {
            settle(hold);
        }
        (spent, dearest)
    }

    proptest! {
        #[test]
        fn strict_never_overspends(limit in 0i64..1_000, steps in steps()) {
            let (spent, _) = play(BudgetMode::Strict, limit, &steps);
            prop_assert!(spent <= limit, "{spent} of {limit}");
        }

        #[test]
        fn reserve_overspends_by_less_than_one_request(limit in 0i64..1_000, steps in steps()) {
            let (spent, dearest) = play(BudgetMode::Reserve, limit, &steps);
            prop_assert!(spent <= limit || spent - limit < dearest, "{spent} of {limit}, dearest {dearest}");
        }
    }
}
