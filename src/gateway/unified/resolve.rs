//! From a model's name to the upstream that serves it: a model row that the key is granted, or one of the key's own
//! provider settings.

use super::super::arrival::Arrival;
use super::error::UnifiedError;
use crate::domain::{Key, Setting};
use crate::metering::Pricing;
use crate::providers::{self, Handle};
use crate::snapshot::{ServedModel, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who answers to a name.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum Resolved {
    Row {
        served: Arc<ServedModel>,
        /// As the upstream names it: the row's own, or what the caller put behind the slash.
        model: Box<str>,
    },
    /// A provider setting, or several of which any will do.
    Own {
        provider: Handle,
        /// At least one.
        settings: Vec<Arc<Setting>>,
        model: Box<str>,
        /// What a route's step says beside.
        params: BTreeMap<Box<str>, Box<str>>,
    },
}

/// In the order: a row of this very name; `row/model`; `provider/model` or a bare name by the key's own settings; the
/// row that stands in for every unknown name.
pub(super) fn resolve(
    snapshot: &Snapshot,
    pricing: &Pricing,
    key: &Key,
    name: &str,
    arrival: &Arrival,
) -> Result<Resolved, UnifiedError> {
    let models = snapshot.models();
    let granted = |served: &Arc<ServedModel>| models.are_granted(key, served.row.id);
    let row = |served: &Arc<ServedModel>, model: Option<&str>| {
        let own = served.backend.as_ref().map_or("", |backend| &*backend.model);
        Resolved::Row { served: Arc::clone(served), model: model.unwrap_or(own).into() }
    };
    let exact = models.named(name);
    if let Some(served) = exact.filter(|served| granted(served)) {
        return Ok(row(served, None));
    }
    let wildcard = name.split_once('/').filter(|(_, model)| !model.is_empty()).and_then(|(left, model)| {
        let served = models.named(left)?;
        served.backend.as_ref().is_ok_and(|backend| backend.wildcard).then_some((served, model))
    });
    if let Some((served, model)) = wildcard.filter(|(served, _)| granted(served)) {
        return Ok(row(served, Some(model)));
    }
    if let Some(own) = own(snapshot, pricing, key, name, arrival) {
        return Ok(own);
    }
    // A row that is there but not granted is not replaced by another.
    if let Some(served) = exact.or(wildcard.map(|(served, _)| served)) {
        return Err(UnifiedError::NotGranted(served.row.name.clone()));
    }
    match models.fallback() {
        Some(served) if granted(served) => Ok(row(served, None)),
        Some(served) => Err(UnifiedError::NotGranted(served.row.name.clone())),
        None => Err(UnifiedError::UnknownModel(name.into())),
    }
}

/// By the key's own settings: `provider/model`, or a name that the prices of exactly one of their providers know.
fn own(snapshot: &Snapshot, pricing: &Pricing, key: &Key, name: &str, arrival: &Arrival) -> Option<Resolved> {
    let at = arrival.now;
    let chance = arrival.event_id.chance();
    let settings: Vec<&Arc<Setting>> = key.setting_ids.iter().filter_map(|id| snapshot.setting(*id)).collect();
    let of = |provider: &str, model: &str| {
        let fitting: Vec<_> = settings.iter().filter(|s| *s.provider == *provider && s.allows_model(model)).collect();
        let setting = fitting.get(if key.rotation { chance.checked_rem(fitting.len())? } else { 0 })?;
        let provider = providers::by_name(provider)?.clone();
        let settings = vec![Arc::clone(setting)];
        Some(Resolved::Own { provider, settings, model: model.into(), params: BTreeMap::new() })
    };
    if let Some((provider, model)) = name.split_once('/').filter(|(_, model)| !model.is_empty())
        && let Some(found) = of(provider, model)
    {
        return Some(found);
    }
    let knows = |setting: &&&Arc<Setting>| {
        providers::by_name(&setting.provider)
            .is_some_and(|provider| providers::price(pricing, &**provider, setting, None, name, at).is_some())
    };
    let mut knowing: Vec<&str> = settings.iter().filter(knows).map(|setting| &*setting.provider).collect();
    knowing.dedup();
    match knowing.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => of(first, name),
        _ => None,
    }
}

impl Resolved {
    pub(super) fn model(&self) -> &str {
        match self {
            Self::Row { model, .. } | Self::Own { model, .. } => model,
        }
    }
}
