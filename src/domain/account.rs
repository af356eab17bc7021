//! Quota and balance of a key: a quota that is new each month is used first, then a balance that was paid in.

use super::{Money, UnixMillis};
use serde::{Deserialize, Serialize};

/// The rule as it was when a request was admitted or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuotaRule {
    /// Of each month.
    pub quota: Money,
    /// Start of the billing month.
    pub month: UnixMillis,
}

/// What has been used of the quota, and what is left of the balance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Start of the month that `month_fee` belongs to.
    pub month: UnixMillis,
    /// Taken from the quota in that month. Spending from the balance is not in it.
    pub month_fee: Money,
    /// Negative by what requests in flight have overshot.
    pub balance: Money,
}

impl Account {
    /// Taken from the quota of the month that begins at `month`.
    pub fn used(&self, month: UnixMillis) -> Money {
        // An account of a later month: the asker was late, and counts in that month.
        if self.month >= month { self.month_fee } else { Money::ZERO }
    }

    /// What may still be spent under `rule`: the rest of the quota and a positive balance.
    pub fn available(&self, rule: QuotaRule) -> Money {
        let rest = rule.quota.saturating_sub(self.used(rule.month)).max(Money::ZERO);
        rest.saturating_add(self.balance.max(Money::ZERO))
    }

    /// Takes a cost: from the rest of the quota first, whatever is more from the balance.
    pub fn charge(&mut self, cost: Money, rule: QuotaRule) {
        let used = self.used(rule.month);
        self.month = self.month.max(rule.month);
        let rest = rule.quota.saturating_sub(used).max(Money::ZERO);
        let from_quota = cost.min(rest);
        self.month_fee = used.saturating_add(from_quota);
        self.balance = self.balance.saturating_sub(cost.saturating_sub(from_quota));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: UnixMillis = UnixMillis(1_704_067_200_000);
    const THIS: UnixMillis = UnixMillis(1_706_745_600_000);

    fn usd(text: &str) -> Money {
        Money::parse_usd(text).unwrap()
    }

    #[test]
    fn c86_the_worked_examples() {
        // Quota, used, in which month, balance; then used and balance after a call of 0.0045, or a refusal.
        for (quota, used, month, balance, after) in [
            ("20", "0", THIS, "0", Some(("0.0045", "0"))),
            ("1", "0.999", THIS, "0.5", Some(("1", "0.4965"))),
            ("1", "1", THIS, "0.001", Some(("1", "-0.0035"))),
            ("1", "1", THIS, "0", None),
            ("1", "1", LAST, "0", Some(("0.0045", "0"))),
            ("0", "0", THIS, "2", Some(("0", "1.9955"))),
        ] {
            let rule = QuotaRule { quota: usd(quota), month: THIS };
            let mut account = Account { month, month_fee: usd(used), balance: usd(balance) };
            let admitted = account.available(rule) > Money::ZERO;
            assert_eq!(admitted, after.is_some(), "{quota} {used} {balance}");
            let Some((used, balance)) = after else { continue };
            account.charge(usd("0.0045"), rule);
            let expect = Account { month: THIS, month_fee: usd(used), balance: Money::parse_usd(balance).unwrap() };
            assert_eq!(account, expect);
        }
    }

    #[test]
    fn a_late_charge_counts_in_the_month_that_has_begun() {
        let mut account = Account { month: THIS, month_fee: usd("1"), balance: usd("5") };
        account.charge(usd("2"), QuotaRule { quota: usd("2"), month: LAST });
        assert_eq!(account, Account { month: THIS, month_fee: usd("2"), balance: usd("4") });
    }

    #[test]
    fn a_lower_quota_does_not_touch_the_balance_by_itself() {
        let mut account = Account { month: THIS, month_fee: usd("3"), balance: usd("1") };
        let rule = QuotaRule { quota: usd("2"), month: THIS };
        assert_eq!(account.available(rule), usd("1"));
        account.charge(usd("0.5"), rule);
        assert_eq!((account.month_fee, account.balance), (usd("3"), usd("0.5")));
    }
}
