//! What stands behind a model row: the upstream that its `provider` and `config` describe, ready to be asked.
//!
//! `kinds` has a line for each value of `provider`, `config` reads what operators write there.

mod config;
mod kinds;
#[cfg(test)]
mod tests;

use super::{EmbeddingRoute, Handle};
use crate::domain::{Model, Rate, Setting, SettingId};
use crate::wire::chat::{CachePoints, MaxTokens, Reasoning, Target};
use std::sync::Arc;

pub use config::Misconfigured;
pub use kinds::names;

/// Answers out of a knowledge base.
pub const KNOWLEDGE_BASE: &str = "bedrock-knowledge-base";

/// Another path serves it: the one of a route.
pub const ROUTE: &str = "route";

/// The path of the route that a row of that kind stands for.
///
/// # Errors
/// The row names none.
pub fn route_of(row: &Model) -> Result<Option<Box<str>>, Misconfigured> {
    if *row.provider == *ROUTE { kinds::route(row.config.expose()).map(Some) } else { Ok(None) }
}

/// Whether a model of this kind can be called with this config.
///
/// # Errors
/// What is missing, as a sentence without values.
pub fn check(kind: &str, config: &serde_json::Value) -> Result<(), String> {
    let config = config.to_string();
    let checked = if kind == ROUTE { kinds::route(&config).map(drop) } else { kinds::of(kind, &config).map(drop) };
    checked.map_err(|missing| missing.to_string())
}

/// An upstream for one model row.
#[derive(Clone, Debug)]
pub struct Backend {
    pub provider: Handle,
    /// As the upstream names it. Empty = a caller must say (`name/modelid`).
    pub model: Box<str>,
    /// Another name that tells what the model can, where `model` is the id of a profile.
    pub base_model: Box<str>,
    /// A caller may say `name/modelid`.
    pub wildcard: bool,
    /// One per credential and region, at least one, unless `setting` names a stored one. Any of them will do, another
    /// one when it fails.
    pub settings: Vec<Arc<Setting>>,
    /// A stored provider setting in place of credentials of its own.
    pub setting: Option<SettingId>,
    /// Further attempts after the first, before the first byte of an answer.
    pub max_retries: u32,
    pub max_tokens: MaxTokens,
    /// When the client does not say.
    pub reasoning: Option<Reasoning>,
    pub cache_points: CachePoints,
    /// What cached tokens cost, where that is not what all tokens of a prompt cost.
    pub cached_rates: CachedRates,
    pub use_case: UseCase,
    /// Of Titan's embeddings.
    pub embedding: EmbeddingOptions,
    /// What only a knowledge base has.
    pub knowledge: Option<KnowledgeBase>,
}

/// Prices of cached tokens; `None` = that of any other token of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CachedRates {
    pub read: Option<Rate>,
    pub write: Option<Rate>,
}

/// What a row can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UseCase {
    /// Conversations, and whatever else its provider serves.
    #[default]
    Chat,
    Embeddings,
    KnowledgeBase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EmbeddingOptions {
    pub dimensions: Option<u64>,
    pub normalize: Option<bool>,
}

/// A knowledge base and who answers from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnowledgeBase {
    pub id: Box<str>,
    pub answerer: Answerer,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answerer {
    /// The service itself, with this model.
    Arn(Box<str>),
    /// Another model row, by name, from what was found.
    Model(Box<str>),
}

impl Backend {
    /// # Errors
    /// The row's provider is unknown or its config lacks something.
    pub fn of(row: &Model) -> Result<Self, Misconfigured> {
        kinds::build(row)
    }

    /// What the model of this name can, with what the row says of it.
    pub fn target(&self, model: &str) -> Target {
        let known = if self.base_model.is_empty() { model } else { &self.base_model };
        let mut target = self.provider.target(known);
        target.model = model.into();
        target.max_tokens.default = self.max_tokens.default.or(target.max_tokens.default);
        target.max_tokens.cap = self.max_tokens.cap.or(target.max_tokens.cap);
        target.cache_points = self.cache_points.clone();
        target
    }

    /// How the model of this name is asked for vectors, where that is not in OpenAI's form.
    pub fn embeddings(&self, model: &str) -> Option<EmbeddingRoute> {
        let known = if self.base_model.is_empty() { model } else { &self.base_model };
        self.provider.embeddings(model, known)
    }

    /// The credential of the `turn`-th attempt. `region` is for those that name none.
    pub fn attempt(&self, turn: usize, region: &str) -> Option<Arc<Setting>> {
        let index = turn.checked_rem(self.settings.len())?;
        let setting = self.settings.get(index)?;
        let wants_region = self.provider.setting_schema().required.contains(&"awsRegion");
        if !wants_region || setting.parameters.contains_key("awsRegion") {
            return Some(Arc::clone(setting));
        }
        let mut placed = Setting::clone(setting);
        placed.parameters.insert("awsRegion".into(), region.into());
        Some(Arc::new(placed))
    }
}
