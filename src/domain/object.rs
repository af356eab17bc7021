//! What a provider keeps for its callers: files, threads, batches, stored responses. Each belongs to the key that made
//! it, and work whose consumption is told only later is charged once, by the id of its object.

use super::{KeyId, SettingId};
use serde::{Deserialize, Serialize};

/// What one request changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectChanges {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<MadeObject>,
    /// Objects whose consumption is in this event's cost. The ledger takes each once: what comes second costs nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charged: Vec<Box<str>>,
}

impl ObjectChanges {
    pub const fn is_empty(&self) -> bool {
        self.made.is_empty() && self.charged.is_empty()
    }
}

/// An object that came into being.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeObject {
    /// As the provider names it.
    pub id: Box<str>,
    /// The provider's word for its kind (`file`, `batch`).
    pub kind: Box<str>,
    /// The object under whose id its consumption is charged, when that is another: the batch of an output file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged_as: Option<Box<str>>,
}

/// What is known of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredObject {
    pub id: Box<str>,
    pub kind: Box<str>,
    pub owner: KeyId,
    /// Whose credential it was made with.
    pub setting: Option<SettingId>,
    pub charged_as: Option<Box<str>>,
}
