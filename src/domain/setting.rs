//! A provider setting: one credential set for one provider, with what may be done with it.

use super::{Rate, Secret, SettingId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Prices of one setting that override the table. USD per 1000 tokens, by model, as the API carries them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CostMap {
    pub prompt_cost_per_model: BTreeMap<String, f64>,
    pub completion_cost_per_model: BTreeMap<String, f64>,
    pub embeddings_cost_per_model: BTreeMap<String, f64>,
}

impl CostMap {
    /// Prompt and completion price for a model: both must be given, an explicit zero counts.
    pub fn chat(&self, model: &str) -> Option<(Rate, Rate)> {
        let prompt = rate_per_thousand(*self.prompt_cost_per_model.get(model)?)?;
        let completion = rate_per_thousand(*self.completion_cost_per_model.get(model)?)?;
        Some((prompt, completion))
    }
    /// Whether it has a price of any kind for the model.
    pub fn knows(&self, model: &str) -> bool {
        self.chat(model).is_some() || self.embeddings(model).is_some()
    }
    pub fn embeddings(&self, model: &str) -> Option<Rate> {
        rate_per_thousand(*self.embeddings_cost_per_model.get(model)?)
    }
}

/// USD per 1000 tokens to a [`Rate`]; `None` when negative, not finite or absurd (above 9 USD per token).
#[expect(clippy::float_arithmetic, reason = "the cost map of the configuration API speaks floats")]
#[expect(clippy::cast_possible_truncation, reason = "range checked before the cast")]
fn rate_per_thousand(usd: f64) -> Option<Rate> {
    let units = (usd * 1e13).round();
    (units.is_finite() && (0.0..9e16).contains(&units)).then(|| Rate::from_units(units as i64))
}

/// A stored provider setting.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    pub id: SettingId,
    /// Grows with every write of this row; an update names the one it read.
    pub revision: i64,
    /// Provider name, lower case.
    pub provider: Box<str>,
    pub name: Box<str>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// Empty = all models.
    pub allowed_models: Box<[Box<str>]>,
    /// Entries that may be shown (`resourceName`, `url`, `awsRegion`, `awsAccessKeyId`, `baseUrl`).
    pub parameters: BTreeMap<Box<str>, Box<str>>,
    /// Entries that may not.
    pub secrets: BTreeMap<Box<str>, Secret>,
    pub cost_map: Option<CostMap>,
}

impl Setting {
    /// The provider credential, when this provider uses a plain one.
    pub fn api_key(&self) -> Option<&Secret> {
        self.secrets.get("apikey")
    }
    pub fn base_url(&self) -> Option<&str> {
        self.parameters.get("baseUrl").map(|u| &**u)
    }
    pub fn allows_model(&self, model: &str) -> bool {
        self.allowed_models.is_empty() || self.allowed_models.iter().any(|m| &**m == model)
    }
}
