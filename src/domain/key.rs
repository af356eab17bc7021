//! A gateway key: what it may call, how fast, and for how much.

use super::{GroupId, KeyId, ModelId, Money, QuotaRule, SettingId, UnixMillis, Window, duration};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// SHA-256 of the raw key. The raw key itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// One entry of `allowedPaths`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AllowedPath {
    pub path: String,
    pub method: String,
}

/// At most `limit` requests per window. `limit` is at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    pub limit: u64,
    pub window: Window,
}

/// At most `limit` spent per window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpendLimit {
    pub limit: Money,
    pub window: Window,
}

/// How much certainty an admission against a budget needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetMode {
    /// Admit while spent < limit: everything in flight may overspend.
    Observe,
    /// Admit while spent + holds + estimate <= limit, or the key has nothing in flight and spent < limit.
    Reserve,
    /// Admit only when the worst case fits: never overspends.
    Strict,
}

impl BudgetMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Reserve => "reserve",
            Self::Strict => "strict",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Observe, Self::Reserve, Self::Strict].into_iter().find(|m| m.name() == name)
    }
}

/// What a key may do in the management API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    #[default]
    User,
    /// Everything, for everybody.
    Admin,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|r| r.name() == name)
    }
}

/// What makes a key a user of the unified API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    pub email: Option<Box<str>>,
    pub role: Role,
    pub group: Option<GroupId>,
    /// Granted to the key itself, in the order of the grants. Changed by grants only.
    pub models: Box<[ModelId]>,
    /// Month quota. `None` = neither quota nor balance is asked for.
    pub quota: Option<Money>,
}

/// A stored key. Boxed slices keep a million of them small.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    pub id: KeyId,
    /// Counted from 1 in the order of creation, never given twice: the `id` of the management API. 0 before it is stored.
    pub number: i64,
    /// Grows with every write of this row; an update names the one it read.
    pub revision: i64,
    pub digest: KeyDigest,
    /// First 5 and last 3 characters of the raw key, for lists.
    pub hint: Box<str>,
    pub name: Box<str>,
    pub tags: Box<[Box<str>]>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    pub revoked: bool,
    pub revoked_reason: Box<str>,
    /// The deprecated `settingId` form was used: `setting_ids` holds that one id.
    pub single_setting: bool,
    pub setting_ids: Box<[SettingId]>,
    /// `rotationEnabled`: choose among the settings at random.
    pub rotation: bool,
    pub allowed_paths: Box<[AllowedPath]>,
    /// Go duration text as given; empty = none.
    pub ttl: Box<str>,
    pub rate: Option<RateLimit>,
    /// `costLimitInUsd`, over the key's lifetime.
    pub total_budget: Option<Money>,
    /// `costLimitInUsdOverTime`.
    pub window_budget: Option<SpendLimit>,
    /// `None` = `limits.budget_mode`.
    pub budget_mode: Option<BudgetMode>,
    pub log_request: bool,
    pub log_response: bool,
    pub policy_id: Box<str>,
    /// Echoed only; the digest is stored either way.
    pub is_key_not_hashed: bool,
    /// `None` for keys that only the configuration API has touched.
    pub membership: Option<Box<Membership>>,
}

impl Key {
    pub fn role(&self) -> Role {
        self.membership.as_ref().map_or(Role::User, |m| m.role)
    }
    pub fn email(&self) -> Option<&str> {
        self.membership.as_ref()?.email.as_deref()
    }
    pub fn group(&self) -> Option<GroupId> {
        self.membership.as_ref()?.group
    }
    /// Granted to the key itself.
    pub fn models(&self) -> &[ModelId] {
        self.membership.as_ref().map_or(&[], |m| &m.models)
    }
    pub fn quota(&self) -> Option<Money> {
        self.membership.as_ref()?.quota
    }
    /// The quota rule in the billing month that begins at `month`.
    pub fn quota_rule(&self, month: UnixMillis) -> Option<QuotaRule> {
        self.quota().map(|quota| QuotaRule { quota, month })
    }
    /// The membership, made when there is none.
    pub fn member(&mut self) -> &mut Membership {
        self.membership.get_or_insert_default()
    }

    /// When the key ends by itself; `None` without a ttl (or with a zero one).
    pub fn expires_at(&self) -> Option<UnixMillis> {
        if self.ttl.is_empty() {
            return None;
        }
        let ttl = duration::parse(&self.ttl).filter(|d| *d > Duration::ZERO)?;
        Some(self.created_at.plus(ttl))
    }
    /// Whether any rule of this key depends on what requests cost.
    pub fn has_budget(&self) -> bool {
        self.total_budget.is_some() || self.window_budget.is_some() || self.quota().is_some()
    }
}
