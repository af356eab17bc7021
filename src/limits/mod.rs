//! Rules of a key against its counts: rate, windowed and total budget, quota with balance, in one atomic step.
//!
//! The decision itself is pure (`decide`); who keeps the counts fills the port [`Counters`].

pub mod decide;
mod shared;

pub use decide::{Counts, decide};
pub use shared::{SharedLedger, Since, Standing};

use crate::domain::{
    Account, BillingZone, BudgetMode, Event, EventId, Key, KeyId, Money, QuotaRule, RateLimit, SpendLimit, UnixMillis,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Every rule of a key that needs counting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    pub rate: Option<RateLimit>,
    pub total_budget: Option<Money>,
    pub window_budget: Option<SpendLimit>,
    /// With the billing month of the moment that the rules are asked in.
    pub quota: Option<QuotaRule>,
    pub mode: BudgetMode,
}

impl Rules {
    /// As they are at the moment `at`.
    pub fn of(key: &Key, default_mode: BudgetMode, zone: &BillingZone, at: UnixMillis) -> Self {
        Self {
            rate: key.rate,
            total_budget: key.total_budget,
            window_budget: key.window_budget,
            quota: zone.rule_of(key, at),
            mode: key.budget_mode.unwrap_or(default_mode),
        }
    }
    pub const fn is_empty(&self) -> bool {
        self.rate.is_none() && !self.has_budget()
    }
    /// Whether any rule depends on what requests cost.
    pub const fn has_budget(&self) -> bool {
        self.total_budget.is_some() || self.window_budget.is_some() || self.quota.is_some()
    }
}

/// A request that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub key: KeyId,
    pub rules: Rules,
    /// Also the id of the hold.
    pub event: EventId,
    pub now: UnixMillis,
    /// What to set aside: the estimate, or the worst case in strict mode. Zero when nothing is priced.
    pub hold: Money,
    /// A hold that nobody settles ends here (a killed process).
    pub hold_expires: UnixMillis,
}

/// How the key's rate limit stands, for `x-ratelimit-*` headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateState {
    pub limit: u64,
    pub remaining: u64,
    /// Until the window ends.
    pub reset: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Admitted { rate: Option<RateState> },
    Refused(Refusal),
}

/// A refused request consumes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    Rate {
        state: RateState,
    },
    /// The windowed budget has no room. `exhausted`: spent has reached the limit, so nothing fits until the window ends;
    /// otherwise holds are in the way and room may come back sooner. `rate` is as it stands: nothing was taken of it.
    WindowBudget {
        retry_after: Duration,
        exhausted: bool,
        rate: Option<RateState>,
    },
    /// `exhausted`: spent has reached the limit, so the key is over for good; otherwise holds are in the way.
    TotalBudget {
        exhausted: bool,
        rate: Option<RateState>,
    },
    /// Quota and balance together have no room. `exhausted`: nothing is left of either, so it takes the next month or
    /// a payment; otherwise holds are in the way.
    Quota {
        exhausted: bool,
        rate: Option<RateState>,
    },
}

/// The end of an admitted request: its hold is replaced by its true cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlement {
    pub key: KeyId,
    pub event: EventId,
    pub cost: Money,
    /// Completion: decides the window that the cost falls into, as in the ledger.
    pub at: UnixMillis,
    /// As in the event ([`crate::domain::Event::quota`]): how the cost is taken from the key's account. `None` = not.
    pub quota: Option<QuotaRule>,
}

impl Settlement {
    /// What an event that has ended means to the counters; `None` when it is nobody's.
    pub fn of(event: &Event) -> Option<Self> {
        let (cost, at, quota) = (event.cost, event.created_at, event.quota);
        event.key_id.map(|key| Self { key, event: event.id, cost, at, quota })
    }
}

/// Money that is set aside for a running request, as one process tells another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    pub event: EventId,
    pub amount: Money,
    pub expires: UnixMillis,
}

/// The counts could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("the counters cannot be reached")]
pub struct CountersUnavailable;

/// Who keeps the counts.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Checks all rules and takes from all of them, or from none.
    async fn admit(&self, ask: &Ask) -> Result<Verdict, CountersUnavailable>;
    /// Never blocks and never fails from the caller's view. Settling an event twice counts once.
    fn settle(&self, settlement: Settlement);
    /// Takes an admission back, as if it had never been asked for: the request was refused after it
    /// (the journal was full). `ask` is the one that was admitted.
    fn release(&self, ask: &Ask);
    /// All-time spend as counted now.
    async fn spent(&self, key: KeyId) -> Result<Money, CountersUnavailable>;
    /// Used of the quota and left of the balance, as counted now. The default one for a key that never had any.
    async fn account(&self, key: KeyId) -> Result<Account, CountersUnavailable>;
    /// Adds to the balance what the store has added to it; requests may spend it from now on. Once per payment. A
    /// negative amount adds nothing.
    async fn credit(&self, key: KeyId, amount: Money);
    /// Forgets the rate or window-budget count of a key whose rule was changed by an operator.
    async fn reset_rate(&self, key: KeyId);
    async fn reset_window_budget(&self, key: KeyId);
    /// Requests in flight that hold money, and their sum.
    fn holds(&self) -> (u64, Money);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::samples;

    #[test]
    fn a_quota_is_a_budget_and_is_asked_for_in_the_month_of_the_zone() {
        let at = UnixMillis::parse_rfc3339("2024-02-29T16:00:00Z").unwrap();
        let zone = BillingZone::parse("Asia/Shanghai").unwrap();
        let of = |quota| {
            let key = samples::plain_key(1, |key| key.member().quota = quota);
            (Rules::of(&key, BudgetMode::Reserve, &zone, at), key.has_budget())
        };
        let (rules, has_budget) = of(Some(Money::ZERO));
        assert_eq!(rules.quota, Some(QuotaRule { quota: Money::ZERO, month: at }));
        assert!(rules.has_budget() && has_budget && !rules.is_empty());
        let (rules, has_budget) = of(None);
        assert!(rules.quota.is_none() && !rules.has_budget() && !has_budget && rules.is_empty());
    }
}
