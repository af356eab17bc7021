//! What rows stand for, whatever the engine: the lists of their columns, and each list read as what it holds.

use super::columns::{Columns, FromRow, Row};
use super::{Books, EventOrder, ImportNote, KeySort, KeySpend, Result};
use crate::domain::{
    Account, CustomProvider, Event, Group, Key, KeyId, Membership, ModelId, RateLimit, Route, SettingId, SpendLimit,
    StoredObject,
};
use uuid::Uuid;

/// Of a [`Key`], after its number: each engine calls that column by another name.
pub(super) const KEY: &str = "id, revision, digest, hint, name, tags, created_at, updated_at, revoked, \
    revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, rate_limit, rate_window, \
    total_budget, window_budget, window_budget_window, budget_mode, log_request, log_response, policy_id, \
    is_key_not_hashed, email, role, group_id, model_ids, quota";

/// By what keys are listed, as SQL. A key without an account or spend counts as one that has nothing in it.
pub(super) fn key_order(sort: KeySort, number: &str) -> String {
    let of_account = |what: &str| format!("coalesce((SELECT {what} FROM accounts AS a WHERE a.key_id = keys.id), 0)");
    match sort {
        KeySort::Created => "created_at".to_owned(),
        KeySort::Number => number.to_owned(),
        KeySort::Name => "name_folded".to_owned(),
        // An engine of many gateways has a sum for each of them.
        KeySort::Total => "coalesce((SELECT sum(s.total) FROM key_spend AS s WHERE s.key_id = keys.id), 0)".to_owned(),
        // As `Account::used`. The month is a number, not text of a caller.
        KeySort::Month(month) => of_account(&format!("CASE WHEN a.month >= {} THEN a.month_fee ELSE 0 END", month.0)),
        KeySort::Quota => "quota".to_owned(),
        KeySort::Balance => of_account("a.balance"),
        KeySort::Updated => "updated_at".to_owned(),
    }
}

impl FromRow for Key {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            number: columns.take()?,
            id: columns.take()?,
            revision: columns.take()?,
            digest: columns.take()?,
            hint: columns.take()?,
            name: columns.take()?,
            tags: columns.list()?.into(),
            created_at: columns.take()?,
            updated_at: columns.take()?,
            revoked: columns.take()?,
            revoked_reason: columns.take()?,
            single_setting: columns.take()?,
            setting_ids: columns.list::<Uuid>()?.into_iter().map(SettingId::from_uuid).collect(),
            rotation: columns.take()?,
            allowed_paths: columns.json()?,
            ttl: columns.take()?,
            rate: Option::zip(columns.take()?, columns.take()?).map(|(limit, window)| RateLimit { limit, window }),
            total_budget: columns.take()?,
            window_budget: Option::zip(columns.take()?, columns.take()?)
                .map(|(limit, window)| SpendLimit { limit, window }),
            budget_mode: columns.take()?,
            log_request: columns.take()?,
            log_response: columns.take()?,
            policy_id: columns.take()?,
            is_key_not_hashed: columns.take()?,
            // Few of a million keys need the space.
            membership: Some(columns.take()?).filter(|membership| *membership != Membership::default()).map(Box::new),
        })
    }
}

impl FromRow for Membership {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            email: columns.take()?,
            role: columns.or_default()?,
            group: columns.take()?,
            models: columns.list()?.into_iter().map(ModelId).collect(),
            quota: columns.take()?,
        })
    }
}

/// Of an [`Account`].
pub(super) const ACCOUNT: &str = "month, month_fee, balance";

impl FromRow for Account {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self { month: columns.take()?, month_fee: columns.take()?, balance: columns.take()? })
    }
}

impl FromRow for Books {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self { account: columns.take()?, total: columns.take()? })
    }
}

/// Of a [`CustomProvider`].
pub(super) const CUSTOM_PROVIDER: &str = "id, revision, name, created_at, updated_at, routes, authentication_param";

impl FromRow for CustomProvider {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            id: columns.take()?,
            revision: columns.take()?,
            name: columns.take()?,
            created_at: columns.take()?,
            updated_at: columns.take()?,
            routes: columns.json()?,
            authentication_param: columns.take()?,
        })
    }
}

/// Of a [`Group`], before the list of its models: each engine has another name for lists.
pub(super) const GROUP: &str = "id, revision, name, code, created_at, updated_at";

impl FromRow for Group {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            id: columns.take()?,
            revision: columns.take()?,
            name: columns.take()?,
            code: columns.take()?,
            created_at: columns.take()?,
            updated_at: columns.take()?,
            models: columns.list()?.into_iter().map(ModelId).collect(),
        })
    }
}

/// Of a [`Route`].
pub(super) const ROUTE: &str = "id, revision, name, path, created_at, updated_at, key_ids, steps, cache, \
    retry_strategy, request_format";

impl FromRow for Route {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            id: columns.take()?,
            revision: columns.take()?,
            name: columns.take()?,
            path: columns.take()?,
            created_at: columns.take()?,
            updated_at: columns.take()?,
            key_ids: columns.list()?.into_iter().map(KeyId::from_uuid).collect(),
            steps: columns.json()?,
            cache: columns.json()?,
            retry_strategy: columns.or_default()?,
            request_format: columns.take()?,
        })
    }
}

/// Of an [`Event`], before its bodies, which need not be in the same table.
pub(super) const EVENT: &str = "id, created_at, key_id, cost, latency_ms, status, provider, model, custom_id, \
    user_id, tags, flags, setting_id, method, path, usage, request_id, upstream_request_id, metadata, route";

/// By what events are listed: as SQL over [`EVENT`].
pub(super) const fn event_order(order: EventOrder) -> &'static str {
    match order {
        EventOrder::OldestFirst => "created_at, id",
        EventOrder::NewestFirst => "created_at DESC, id DESC",
        EventOrder::CheapestFirst => "cost, created_at, id",
        EventOrder::DearestFirst => "cost DESC, created_at DESC, id DESC",
    }
}

impl FromRow for Event {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            id: columns.take()?,
            created_at: columns.take()?,
            key_id: columns.take()?,
            cost: columns.take()?,
            latency_ms: columns.take()?,
            status: u16::try_from(columns.take::<i32>()?).unwrap_or(u16::MAX),
            provider: columns.take()?,
            model: columns.take()?,
            custom_id: columns.or_default()?,
            user_id: columns.or_default()?,
            tags: columns.list()?,
            flags: columns.json_or_null()?.unwrap_or_default(),
            setting_id: columns.take()?,
            method: columns.take()?,
            path: columns.take()?,
            usage: columns.json_or_null()?.unwrap_or_default(),
            request_id: columns.or_default()?,
            upstream_request_id: columns.or_default()?,
            metadata: columns.json_or_null()?,
            route: columns.json_or_null()?,
            request: columns.json_or_null()?,
            response: columns.json_or_null()?,
            objects: None,
            quota: None,
        })
    }
}

/// Of a [`StoredObject`].
pub(super) const OBJECT: &str = "id, kind, key_id, setting_id, charged_as";

impl FromRow for StoredObject {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self {
            id: columns.take()?,
            kind: columns.take()?,
            owner: columns.take()?,
            setting: columns.take()?,
            charged_as: columns.take()?,
        })
    }
}

/// Of an [`ImportNote`].
pub(super) const IMPORT_NOTE: &str = "source_id, target, revision";

impl FromRow for ImportNote {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self { source_id: columns.take()?, target: columns.take()?, revision: columns.take()? })
    }
}

/// A key and a sum.
impl FromRow for KeySpend {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        Ok(Self { key_id: columns.take()?, total: columns.take()? })
    }
}
