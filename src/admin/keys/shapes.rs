//! The JSON of keys in the configuration API, and what it means as a draft or a search.

use super::rules::Draft;
use super::service::Search;
use crate::admin::fields::Invalid;
use crate::admin::input::Object;
use crate::domain::{AllowedPath, BudgetMode, Key, Secret, SettingId, Window};
use crate::store::Order;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A path that a key may call, with its method.
#[derive(Serialize, Deserialize, ToSchema, Default)]
#[serde(default)]
pub(super) struct PathConfig {
    #[schema(required)]
    path: String,
    #[schema(required)]
    method: String,
}

/// A new key.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewKey {
    /// Not empty.
    #[schema(required)]
    name: Option<String>,
    /// The secret that callers present. Unique; stored as a digest only.
    #[schema(required)]
    key: Option<String>,
    /// Provider settings that the key may use; all must exist.
    setting_ids: Option<Vec<String>>,
    /// Deprecated form of `settingIds` with one id.
    setting_id: Option<String>,
    tags: Option<Vec<String>>,
    /// USD over the lifetime of the key; 0 = unlimited.
    cost_limit_in_usd: Option<f64>,
    /// USD per window; 0 = unlimited.
    cost_limit_in_usd_over_time: Option<f64>,
    /// `m`, `h`, `d` or `mo`.
    cost_limit_in_usd_unit: Option<String>,
    /// Requests per window; 0 = unlimited.
    rate_limit_over_time: Option<i64>,
    /// `s`, `m`, `h` or `d`.
    rate_limit_unit: Option<String>,
    /// Duration such as `30s`, `24h`, `2d`, from creation.
    ttl: Option<String>,
    /// Empty = all paths.
    #[schema(value_type = Option<Vec<PathConfig>>)]
    allowed_paths: Option<Vec<Object<PathConfig>>>,
    should_log_request: Option<bool>,
    should_log_response: Option<bool>,
    /// Choose among the settings at random.
    rotation_enabled: Option<bool>,
    policy_id: Option<String>,
    is_key_not_hashed: Option<bool>,
    /// `observe`, `reserve` or `strict`; empty = the gateway's default.
    budget_mode: Option<String>,
}

/// What to change of a key. Absent and null = unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyChange {
    /// Empty = unchanged.
    name: Option<String>,
    /// `[]` clears.
    tags: Option<Vec<String>>,
    /// `false` also clears `revokedReason`.
    revoked: Option<bool>,
    /// Stored together with `revoked: true` only.
    revoked_reason: Option<String>,
    /// 0 removes the limit.
    cost_limit_in_usd: Option<f64>,
    /// Together with its unit; 0 and an empty unit remove the limit.
    cost_limit_in_usd_over_time: Option<f64>,
    cost_limit_in_usd_unit: Option<String>,
    /// Together with its unit; 0 and an empty unit remove the limit.
    rate_limit_over_time: Option<i64>,
    rate_limit_unit: Option<String>,
    setting_ids: Option<Vec<String>>,
    setting_id: Option<String>,
    /// `[]` clears.
    #[schema(value_type = Option<Vec<PathConfig>>)]
    allowed_paths: Option<Vec<Object<PathConfig>>>,
    should_log_request: Option<bool>,
    should_log_response: Option<bool>,
    rotation_enabled: Option<bool>,
    /// Empty clears.
    policy_id: Option<String>,
    is_key_not_hashed: Option<bool>,
    /// Empty = the gateway's default.
    budget_mode: Option<String>,
}

/// A key as it is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyConfiguration {
    name: Box<str>,
    created_at: i64,
    updated_at: i64,
    #[schema(value_type = Vec<String>)]
    tags: Box<[Box<str>]>,
    key_id: String,
    revoked: bool,
    revoked_reason: Box<str>,
    cost_limit_in_usd: f64,
    cost_limit_in_usd_over_time: f64,
    cost_limit_in_usd_unit: &'static str,
    rate_limit_over_time: u64,
    rate_limit_unit: &'static str,
    ttl: Box<str>,
    setting_id: String,
    setting_ids: Vec<String>,
    allowed_paths: Vec<PathConfig>,
    should_log_request: bool,
    should_log_response: bool,
    rotation_enabled: bool,
    policy_id: Box<str>,
    is_key_not_hashed: bool,
    /// Empty = the gateway's default.
    budget_mode: &'static str,
}

/// Filters; those that are given must all match.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeySearch {
    /// The key carries all of these.
    tags: Option<Vec<String>>,
    key_ids: Option<Vec<String>>,
    /// Part of the name, in any case.
    name: Option<String>,
    revoked: Option<bool>,
    /// By creation: `desc` (default) or `asc`.
    order: Option<String>,
    /// 0 = all.
    limit: Option<i64>,
    offset: Option<i64>,
    return_count: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    pub(super) keys: Vec<KeyConfiguration>,
    /// All that match, whatever the paging; 0 unless `returnCount`.
    pub(super) count: u64,
}

impl KeySearch {
    pub(super) fn checked(self) -> Result<Search, Invalid> {
        let mut invalid = Invalid::default();
        let tags = self.tags.unwrap_or_default();
        let ids = self.key_ids.unwrap_or_default();
        invalid.all_filled("tags", &tags);
        invalid.all_filled("keyIds", &ids);
        let ascending = invalid.ascending("order", self.order.as_deref());
        let order = if ascending { Order::Ascending } else { Order::Descending };
        let paging = invalid.paging(self.limit, self.offset, self.return_count);
        invalid.none_or_all()?;
        let name = self.name.filter(|name| !name.is_empty());
        Ok(Search { tags, ids, provider: None, name, revoked: self.revoked, order, paging })
    }
}

fn paths(given: Option<Vec<Object<PathConfig>>>) -> Option<Vec<AllowedPath>> {
    let stored = |Object(config): Object<PathConfig>| AllowedPath { path: config.path, method: config.method };
    given.map(|configs| configs.into_iter().map(stored).collect())
}

impl From<NewKey> for Draft {
    fn from(new: NewKey) -> Self {
        Self {
            name: new.name,
            key: new.key.map(Secret::from),
            ttl: new.ttl,
            tags: new.tags,
            total_usd: new.cost_limit_in_usd,
            window_usd: new.cost_limit_in_usd_over_time,
            window_unit: new.cost_limit_in_usd_unit,
            rate: new.rate_limit_over_time,
            rate_unit: new.rate_limit_unit,
            setting_id: new.setting_id,
            setting_ids: new.setting_ids,
            allowed_paths: paths(new.allowed_paths),
            log_request: new.should_log_request,
            log_response: new.should_log_response,
            rotation: new.rotation_enabled,
            policy_id: new.policy_id,
            is_key_not_hashed: new.is_key_not_hashed,
            budget_mode: new.budget_mode,
            revoked: None,
            revoked_reason: None,
        }
    }
}

impl From<KeyChange> for Draft {
    fn from(change: KeyChange) -> Self {
        Self {
            name: change.name,
            key: None,
            ttl: None,
            tags: change.tags,
            revoked: change.revoked,
            revoked_reason: change.revoked_reason,
            total_usd: change.cost_limit_in_usd,
            window_usd: change.cost_limit_in_usd_over_time,
            window_unit: change.cost_limit_in_usd_unit,
            rate: change.rate_limit_over_time,
            rate_unit: change.rate_limit_unit,
            setting_id: change.setting_id,
            setting_ids: change.setting_ids,
            allowed_paths: paths(change.allowed_paths),
            log_request: change.should_log_request,
            log_response: change.should_log_response,
            rotation: change.rotation_enabled,
            policy_id: change.policy_id,
            is_key_not_hashed: change.is_key_not_hashed,
            budget_mode: change.budget_mode,
        }
    }
}

impl From<Key> for KeyConfiguration {
    fn from(key: Key) -> Self {
        let ids = key.setting_ids.iter().map(SettingId::to_string);
        let (setting_id, setting_ids) =
            if key.single_setting { (ids.collect(), Vec::new()) } else { (String::new(), ids.collect()) };
        let path = |allowed: AllowedPath| PathConfig { path: allowed.path, method: allowed.method };
        Self {
            name: key.name,
            created_at: key.created_at.seconds(),
            updated_at: key.updated_at.seconds(),
            tags: key.tags,
            key_id: key.id.to_string(),
            revoked: key.revoked,
            revoked_reason: key.revoked_reason,
            cost_limit_in_usd: key.total_budget.unwrap_or_default().to_usd_f64(),
            cost_limit_in_usd_over_time: key.window_budget.map(|b| b.limit).unwrap_or_default().to_usd_f64(),
            cost_limit_in_usd_unit: key.window_budget.map(|b| b.window).map_or("", Window::unit),
            rate_limit_over_time: key.rate.map_or(0, |rate| rate.limit),
            rate_limit_unit: key.rate.map(|rate| rate.window).map_or("", Window::unit),
            ttl: key.ttl,
            setting_id,
            setting_ids,
            allowed_paths: key.allowed_paths.into_iter().map(path).collect(),
            should_log_request: key.log_request,
            should_log_response: key.log_response,
            rotation_enabled: key.rotation,
            policy_id: key.policy_id,
            is_key_not_hashed: key.is_key_not_hashed,
            budget_mode: key.budget_mode.map_or("", BudgetMode::name),
        }
    }
}
