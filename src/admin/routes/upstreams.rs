//! What steps refer to, as it is stored now: custom providers, model rows, provider settings.

use crate::admin::AdminState;
use crate::domain::{Model, Setting, SettingId, Step};
use crate::providers::custom::Custom;
use crate::providers::{self, Handle};
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What may answer a step.
pub(super) enum Upstream<'a> {
    Provider {
        handle: &'a Handle,
        /// Takes a body as it comes: what is behind it is the operator's business.
        custom: bool,
    },
    Row(&'a Model),
}

/// Everything that some steps name and that exists.
#[derive(Default)]
pub(super) struct Upstreams {
    custom: HashMap<Box<str>, Handle>,
    rows: HashMap<Box<str>, Model>,
    settings: HashMap<SettingId, Setting>,
}

impl Upstreams {
    /// Looks up what these steps name.
    pub(super) async fn of(state: &AdminState, steps: &[Named<'_>]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let (mut custom, mut rows, mut settings) = (HashSet::new(), HashSet::new(), HashSet::new());
        for step in steps {
            if step.provider == Step::MODEL {
                rows.insert(step.model);
            } else if providers::by_name(step.provider).is_none() {
                custom.insert(step.provider);
            }
            settings.extend(step.setting.and_then(SettingId::parse));
        }
        for name in custom {
            if let Some(row) = state.store.custom_provider_named(name).await? {
                found.custom.insert(name.into(), Arc::new(Custom::new(&row)));
            }
        }
        for name in rows {
            if let Some(row) = state.store.model_named(name).await? {
                found.rows.insert(name.into(), row);
            }
        }
        if !settings.is_empty() {
            let ids: Vec<_> = settings.into_iter().collect();
            let rows = state.store.list_settings(Some(&ids)).await?;
            found.settings = rows.into_iter().map(|row| (row.id, row)).collect();
        }
        Ok(found)
    }

    /// `None` when there is no such provider or model row.
    pub(super) fn get(&self, provider: &str, model: &str) -> Option<Upstream<'_>> {
        if provider == Step::MODEL {
            return self.rows.get(model).map(Upstream::Row);
        }
        let built_in = providers::by_name(provider).map(|handle| Upstream::Provider { handle, custom: false });
        built_in.or_else(|| Some(Upstream::Provider { handle: self.custom.get(provider)?, custom: true }))
    }

    pub(super) fn setting(&self, id: &str) -> Option<&Setting> {
        self.settings.get(&SettingId::parse(id)?)
    }
}

/// What a step refers to, in the case it is stored in.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) setting: Option<&'a str>,
}

impl<'a> From<&'a Step> for Named<'a> {
    fn from(step: &'a Step) -> Self {
        let setting = step.params.get(Step::SETTING).map(|id| &**id);
        Self { provider: &step.provider, model: &step.model, setting }
    }
}
