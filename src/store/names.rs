//! What rows and statements call things, whatever the engine: members of fixed sets, tables of grants, directions.

use super::{GranteeKind, Order};
use crate::domain::{RequestFormat, RetryStrategy};

/// What a row of the change feed tells of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    /// A key and a digest that it had before.
    OldDigest,
    Setting,
    CustomProvider,
    Model,
    Group,
    Route,
    /// Of a key, as the ledger has it.
    Standing,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Key,
        Self::OldDigest,
        Self::Setting,
        Self::CustomProvider,
        Self::Model,
        Self::Group,
        Self::Route,
        Self::Standing,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::OldDigest => "old_digest",
            Self::Setting => "setting",
            Self::CustomProvider => "custom_provider",
            Self::Model => "model",
            Self::Group => "group",
            Self::Route => "route",
            Self::Standing => "standing",
        }
    }
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// `None`, which is stored as NULL, for what was not said.
pub(super) const fn strategy_name(strategy: RetryStrategy) -> Option<&'static str> {
    match strategy {
        RetryStrategy::Unset => None,
        RetryStrategy::Constant => Some("constant"),
        RetryStrategy::Exponential => Some("exponential"),
    }
}

pub(super) fn strategy_named(name: &str) -> Option<RetryStrategy> {
    [RetryStrategy::Constant, RetryStrategy::Exponential].into_iter().find(|s| strategy_name(*s) == Some(name))
}

pub(super) const fn format_name(format: RequestFormat) -> &'static str {
    match format {
        RequestFormat::Chat => "chat",
        RequestFormat::Embeddings => "embeddings",
    }
}

pub(super) fn format_named(name: &str) -> Option<RequestFormat> {
    [RequestFormat::Chat, RequestFormat::Embeddings].into_iter().find(|f| format_name(*f) == name)
}

/// The milestone of a store whose first models were written.
pub(super) const SEEDED: &str = "first_models";

pub(super) const fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    }
}

/// The grants of a kind of grantee.
pub(super) struct Side {
    pub(super) table: &'static str,
    /// Its column that names the grantee.
    pub(super) grantee: &'static str,
    grantees: &'static str,
    /// The column of these by which they are named.
    number: &'static str,
}

impl Side {
    /// `number`: the column of a key's number.
    pub(super) const fn of(kind: GranteeKind, number: &'static str) -> Self {
        match kind {
            GranteeKind::Key => Self { table: "key_grants", grantee: "key_number", grantees: "keys", number },
            GranteeKind::Group => Self { table: "group_grants", grantee: "group_id", grantees: "groups", number: "id" },
        }
    }
    /// For lists: grants `g`, grantees `o`, models `m`.
    pub(super) fn joined(&self) -> String {
        let Self { table, grantee, grantees, number } = self;
        format!("{table} AS g JOIN {grantees} AS o ON o.{number} = g.{grantee} JOIN models AS m ON m.id = g.model_id")
    }
}
