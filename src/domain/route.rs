//! A route: one path that software calls, and the steps that may answer it, in the order in which they are tried.

use super::{KeyId, RouteId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// A stored route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub id: RouteId,
    /// Grows with every write of this row; an update names the one it read.
    pub revision: i64,
    pub name: Box<str>,
    /// Below `/api/routes` and `/api/route`, with its slash; unique.
    pub path: Box<str>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// Who may call it.
    pub key_ids: Vec<KeyId>,
    /// At least one.
    pub steps: Vec<Step>,
    pub cache: RouteCache,
    pub retry_strategy: RetryStrategy,
    pub request_format: RequestFormat,
}

/// One upstream of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// A provider's name, or [`Step::MODEL`].
    pub provider: Box<str>,
    /// As the provider names it; of a model row, the row's name.
    pub model: Box<str>,
    /// Further tries after the first.
    #[serde(default)]
    pub retries: u32,
    /// Before another try. `None` = as the strategy has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Duration>,
    /// Of one try, to the last byte of its answer.
    pub timeout: Duration,
    /// Of one try, to the first byte of its answer. `None` = only `timeout` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_timeout: Option<Duration>,
    /// What the provider needs to know beside the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<Box<str>, Box<str>>,
    /// Set over what the client's body says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_params: Vec<RequestParam>,
    /// Neighbours with a weight are equal: which one is tried first is drawn by it, in proportion. 0 = after the others.
    /// `None` = its place in the order stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

impl Step {
    /// In place of a provider: the step is a model row of the unified API.
    pub const MODEL: &str = "model";
    /// A parameter of any step: the provider setting whose credential is used, whoever calls. Without it the caller
    /// must have a setting of the step's provider.
    pub const SETTING: &str = "settingId";

    pub fn is_model_row(&self) -> bool {
        *self.provider == *Self::MODEL
    }
}

/// A member of the request's body that a step sets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestParam {
    pub name: Box<str>,
    /// JSON.
    pub value: Box<RawValue>,
}

impl PartialEq for RequestParam {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value.get() == other.value.get()
    }
}
impl Eq for RequestParam {}

/// Whether answers are kept, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RouteCache {
    pub enabled: bool,
    pub ttl: Duration,
    /// One key's answer serves the others too.
    #[serde(default)]
    pub shared: bool,
}

/// How the pauses between tries of one step grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryStrategy {
    /// Not said: as `Constant`.
    #[default]
    Unset,
    Constant,
    Exponential,
}

/// What a route's own path takes. A path below it, such as `<route>/v1/messages`, says so itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestFormat {
    #[default]
    Chat,
    Embeddings,
}

/// How a route came to an event's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Routed {
    pub route: RouteId,
    /// Of the step that answered, or was the last to fail: from 1, in the order of the route. 0 = none.
    pub step: u16,
    /// The tries that failed before, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
}

/// A try whose answer the client did not see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Try {
    pub step: u16,
    pub provider: Box<str>,
    pub model: Box<str>,
    /// The upstream's; 0 = it sent none.
    pub status: u16,
    /// What went wrong, as one word of a fixed set, such as `timeout`.
    pub failure: Box<str>,
    pub latency_ms: u64,
}
