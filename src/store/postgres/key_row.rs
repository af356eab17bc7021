//! The row of a key as it is written: one list of columns for both statements, so that neither forgets one.

use super::Result;
use super::row::{Value, refused, storable};
use crate::domain::{BudgetMode, Key, ModelId, Money, Role};
use crate::store::text::{folded, json_text, stored};
use deadpool_postgres::Transaction;
use std::borrow::Cow;
use std::collections::HashSet;
use std::pin::pin;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// What is written once.
const FIRST: [(&str, Type); 6] = [
    ("id", Type::UUID),
    ("number", Type::INT8),
    ("revision", Type::INT8),
    ("digest", Type::BYTEA),
    ("created_at", Type::INT8),
    ("model_ids", Type::INT8_ARRAY),
];

/// What every update replaces, in the order of [`Draft::values`].
const REPLACED: [(&str, Type); 27] = [
    ("hint", Type::TEXT),
    ("name", Type::TEXT),
    ("name_folded", Type::TEXT),
    ("tags", Type::TEXT_ARRAY),
    ("updated_at", Type::INT8),
    ("revoked", Type::BOOL),
    ("revoked_reason", Type::TEXT),
    ("single_setting", Type::BOOL),
    ("setting_ids", Type::UUID_ARRAY),
    ("rotation", Type::BOOL),
    ("allowed_paths", Type::TEXT),
    ("ttl", Type::TEXT),
    ("rate_limit", Type::INT8),
    ("rate_window", Type::TEXT),
    ("total_budget", Type::INT8),
    ("window_budget", Type::INT8),
    ("window_budget_window", Type::TEXT),
    ("budget_mode", Type::TEXT),
    ("log_request", Type::BOOL),
    ("log_response", Type::BOOL),
    ("policy_id", Type::TEXT),
    ("is_key_not_hashed", Type::BOOL),
    ("email", Type::TEXT),
    ("email_folded", Type::TEXT),
    ("role", Type::TEXT),
    ("group_id", Type::INT8),
    ("quota", Type::INT8),
];

/// What a key is stored as.
struct Draft<'k> {
    key: &'k Key,
    hint: Cow<'k, str>,
    name: Cow<'k, str>,
    name_folded: String,
    tags: Vec<Cow<'k, str>>,
    revoked_reason: Cow<'k, str>,
    setting_ids: Vec<Uuid>,
    allowed_paths: String,
    ttl: Cow<'k, str>,
    rate_limit: Option<i64>,
    rate_window: Option<&'static str>,
    total_budget: Option<i64>,
    window_budget: Option<i64>,
    window_budget_window: Option<&'static str>,
    budget_mode: Option<&'static str>,
    policy_id: Cow<'k, str>,
    email: Option<Cow<'k, str>>,
    email_folded: Option<String>,
    role: Option<&'static str>,
    group_id: Option<i64>,
    quota: Option<i64>,
}

impl<'k> Draft<'k> {
    fn new(key: &'k Key) -> Result<Self> {
        let (name, email) = (storable(&key.name), key.email().map(storable));
        Ok(Self {
            key,
            hint: storable(&key.hint),
            name_folded: folded(&name),
            name,
            tags: key.tags.iter().map(|tag| storable(tag)).collect(),
            revoked_reason: storable(&key.revoked_reason),
            setting_ids: key.setting_ids.iter().map(|id| *id.as_uuid()).collect(),
            allowed_paths: json_text(&key.allowed_paths)?,
            ttl: storable(&key.ttl),
            rate_limit: key.rate.map(|rate| stored(rate.limit)),
            rate_window: key.rate.map(|rate| rate.window.unit()),
            total_budget: key.total_budget.map(Money::units),
            window_budget: key.window_budget.map(|budget| budget.limit.units()),
            window_budget_window: key.window_budget.map(|budget| budget.window.unit()),
            budget_mode: key.budget_mode.map(BudgetMode::name),
            policy_id: storable(&key.policy_id),
            email_folded: email.as_deref().map(folded),
            email,
            role: (key.role() != Role::default()).then(|| key.role().name()),
            group_id: key.group().map(|group| group.0),
            quota: key.quota().map(Money::units),
        })
    }

    /// Of [`REPLACED`].
    fn values(&self) -> [Value<'_>; REPLACED.len()] {
        [
            &self.hint,
            &self.name,
            &self.name_folded,
            &self.tags,
            &self.key.updated_at.0,
            &self.key.revoked,
            &self.revoked_reason,
            &self.key.single_setting,
            &self.setting_ids,
            &self.key.rotation,
            &self.allowed_paths,
            &self.ttl,
            &self.rate_limit,
            &self.rate_window,
            &self.total_budget,
            &self.window_budget,
            &self.window_budget_window,
            &self.budget_mode,
            &self.key.log_request,
            &self.key.log_response,
            &self.policy_id,
            &self.key.is_key_not_hashed,
            &self.email,
            &self.email_folded,
            &self.role,
            &self.group_id,
            &self.quota,
        ]
    }
}

/// Stores new keys, numbered from `first` in their order, in one round trip however many they are.
pub(super) async fn copy(tx: &Transaction<'_>, keys: &[Key], first: i64) -> Result<()> {
    let columns: Vec<_> = FIRST.iter().chain(&REPLACED).map(|(name, _)| *name).collect();
    let types: Vec<_> = FIRST.iter().chain(&REPLACED).map(|(_, of)| of.clone()).collect();
    let sql = format!("COPY keys ({}) FROM STDIN BINARY", columns.join(", "));
    let mut writer = pin!(BinaryCopyInWriter::new(tx.copy_in(&sql).await?, &types));
    for (number, key) in (first..).zip(keys) {
        let draft = Draft::new(key)?;
        let models: Vec<i64> = distinct(key.models()).map(|model| model.0).collect();
        let digest = &key.digest.as_bytes()[..];
        let models = (!models.is_empty()).then_some(models);
        let once: [Value<'_>; FIRST.len()] = [key.id.as_uuid(), &number, &1_i64, &digest, &key.created_at.0, &models];
        let values: Vec<_> = once.into_iter().chain(draft.values()).collect();
        writer.as_mut().write(&values).await.map_err(refused)?;
    }
    writer.finish().await.map_err(refused)?;
    Ok(())
}

/// Each once, in their order.
pub(super) fn distinct(models: &[ModelId]) -> impl Iterator<Item = ModelId> {
    let mut seen = HashSet::new();
    models.iter().copied().filter(move |model| seen.insert(*model))
}

/// Whether the stored one was the one that was read.
pub(super) async fn update(tx: &Transaction<'_>, key: &Key) -> Result<bool> {
    let columns: Vec<_> = (3..).zip(&REPLACED).map(|(n, (name, _))| format!("{name} = ${n}")).collect();
    let sql =
        format!("UPDATE keys SET revision = revision + 1, {} WHERE id = $1 AND revision = $2", columns.join(", "));
    let draft = Draft::new(key)?;
    let read: [Value<'_>; 2] = [key.id.as_uuid(), &key.revision];
    let values: Vec<_> = read.into_iter().chain(draft.values()).collect();
    let updated = tx.execute(&tx.prepare_cached(&sql).await?, &values).await.map_err(refused)?;
    Ok(updated > 0)
}
