//! Rows that hold secrets: how these are sealed in them, and how such a row is read before it is opened.

use super::columns::{Columns, FromRow, Row};
use super::seal::Sealer;
use super::text::json_text;
use super::{Grant, Page, Result};
use crate::domain::{Model, ModelId, Secret, Setting};
use std::collections::BTreeMap;

/// A row whose secrets are still sealed.
pub(super) trait Sealed {
    type Opened;
    /// [`super::StoreError::Unsealable`] without its master key.
    fn open(self, sealer: &Sealer) -> Result<Self::Opened>;
}

/// Of a [`SealedSetting`].
pub(super) const SETTING: &str =
    "id, revision, provider, name, created_at, updated_at, allowed_models, parameters, cost_map, secrets";

type SealedSecrets = BTreeMap<Box<str>, String>;

pub(super) struct SealedSetting {
    /// Without its secrets.
    setting: Setting,
    secrets: SealedSecrets,
}

/// The secrets as they are stored: sealed entry by entry.
pub(super) fn secrets_of(setting: &Setting, sealer: &Sealer) -> Result<String> {
    let mut sealed = SealedSecrets::new();
    for (entry, secret) in &setting.secrets {
        sealed.insert(entry.clone(), sealer.seal(setting.id, entry, secret)?);
    }
    json_text(&sealed)
}

impl FromRow for SealedSetting {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        let setting = Setting {
            id: columns.take()?,
            revision: columns.take()?,
            provider: columns.take()?,
            name: columns.take()?,
            created_at: columns.take()?,
            updated_at: columns.take()?,
            allowed_models: columns.json()?,
            parameters: columns.json()?,
            cost_map: columns.json_or_null()?,
            secrets: BTreeMap::new(),
        };
        Ok(Self { setting, secrets: columns.json()? })
    }
}

impl SealedSetting {
    /// Whether all was sealed with the first master key.
    pub(super) fn is_current(&self, sealer: &Sealer) -> bool {
        self.secrets.values().all(|sealed| sealer.is_current(sealed))
    }
}

impl Sealed for SealedSetting {
    type Opened = Setting;
    fn open(self, sealer: &Sealer) -> Result<Setting> {
        let mut setting = self.setting;
        for (entry, sealed) in self.secrets {
            let secret = sealer.open(setting.id, &entry, &sealed)?;
            setting.secrets.insert(entry, secret);
        }
        Ok(setting)
    }
}

/// Of a [`SealedModel`], of the table alias `m`.
pub(super) const MODEL: &str = "m.id, m.revision, m.name, m.provider, m.multiple, m.price_in, m.price_out, \
    m.created_at, m.updated_at, m.config";

/// What a sealed configuration is called.
const CONFIG: &str = "config";

pub(super) struct SealedModel {
    /// Without its configuration.
    model: Model,
    config: String,
}

/// The configuration as it is stored: sealed as a whole.
pub(super) fn config_of(id: ModelId, config: &Secret, sealer: &Sealer) -> Result<String> {
    Ok(sealer.seal(id, CONFIG, config)?)
}

impl FromRow for SealedModel {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        let model = Model {
            id: columns.take()?,
            revision: columns.take()?,
            name: columns.take()?,
            provider: columns.take()?,
            multiple: columns.take()?,
            price_in: columns.take()?,
            price_out: columns.take()?,
            created_at: columns.take()?,
            updated_at: columns.take()?,
            config: Secret::default(),
        };
        Ok(Self { model, config: columns.take()? })
    }
}

impl SealedModel {
    /// Whether it was sealed with the first master key.
    pub(super) fn is_current(&self, sealer: &Sealer) -> bool {
        sealer.is_current(&self.config)
    }
}

impl Sealed for SealedModel {
    type Opened = Model;
    fn open(mut self, sealer: &Sealer) -> Result<Model> {
        self.model.config = sealer.open(self.model.id, CONFIG, &self.config)?;
        Ok(self.model)
    }
}

/// Id, grantee, its name and the moment of the grant, then [`MODEL`].
pub(super) struct SealedGrant {
    /// Whose model is without its configuration.
    grant: Grant,
    config: String,
}

impl FromRow for SealedGrant {
    fn take(columns: &mut Columns<'_, impl Row>) -> Result<Self> {
        let (id, grantee, grantee_name, created_at) =
            (columns.take()?, columns.take()?, columns.take()?, columns.take()?);
        let SealedModel { model, config } = columns.take()?;
        Ok(Self { grant: Grant { id, grantee, grantee_name, created_at, model }, config })
    }
}

impl Sealed for SealedGrant {
    type Opened = Grant;
    fn open(self, sealer: &Sealer) -> Result<Grant> {
        let Self { grant, config } = self;
        let model = SealedModel { model: grant.model, config }.open(sealer)?;
        Ok(Grant { model, ..grant })
    }
}

pub(super) fn open_page<S: Sealed>(page: Page<S>, sealer: &Sealer) -> Result<Page<S::Opened>> {
    let rows = page.rows.into_iter().map(|row| row.open(sealer)).collect::<Result<_>>()?;
    Ok(Page { rows, count: page.count })
}
