//! What counters that several gateways share need of the ledger: who spent what, so that counts which were lost come
//! back exactly.
//!
//! Each gateway ([`InstanceId`]) books its own events. What one has booked of a key only grows, so a count of it is a
//! position: told again or late it changes nothing, and the difference of two of them is what is new.

use super::CountersUnavailable;
use crate::domain::{Account, InstanceId, KeyId, Money, UnixMillis};
use async_trait::async_trait;

/// From when on a key's windows count; `None` = it has no such rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Since {
    pub rate: Option<UnixMillis>,
    pub window: Option<UnixMillis>,
}

/// What the ledger knows of one key, from one consistent view.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// All-time spend, by who booked it.
    pub spent: Vec<(InstanceId, Money)>,
    /// Cost of the events completed at or after [`Since::window`].
    pub window_spent: Money,
    /// Admitted requests whose admission is at or after [`Since::rate`], by who booked them.
    pub admitted: Vec<(InstanceId, u64)>,
    /// Empty when nothing has happened to it.
    pub account: Account,
    /// Everything that was ever credited to it.
    pub credited: Money,
}

/// The ledger that gateways share.
#[async_trait]
pub trait SharedLedger: Send + Sync {
    async fn standing(&self, key: KeyId, since: Since) -> Result<Standing, CountersUnavailable>;
    /// All-time spend of every key that `instance` ever booked events of.
    async fn spent_by(&self, instance: InstanceId) -> Result<Vec<(KeyId, Money)>, CountersUnavailable>;
}
