//! The one record of a request: who, what, how long, how much.

use super::{EventId, KeyId, Money, ObjectChanges, QuotaRule, Routed, SettingId, UnixMillis, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What is special about an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFlag {
    /// Tokens were counted here, not reported by the provider.
    Estimated,
    /// Ended early: client gone, upstream died, timeout.
    Aborted,
    /// No price was known: cost 0.
    Unpriced,
    /// Answered from the cache.
    Cached,
    /// Refused by a rule of the key.
    Refused,
    /// Booked after the process that served it was killed.
    Recovered,
}

/// One request's event. Times in milliseconds; [`Event::created_at`] is the moment of completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub created_at: UnixMillis,
    /// `None` when nobody was identified.
    pub key_id: Option<KeyId>,
    pub setting_id: Option<SettingId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Box<str>>,
    pub provider: Box<str>,
    pub model: Box<str>,
    /// Status sent to the client; 499 when the client left before one was sent.
    pub status: u16,
    pub method: Box<str>,
    /// Literal request path, without the query.
    pub path: Box<str>,
    pub latency_ms: u64,
    pub cost: Money,
    pub usage: Usage,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<EventFlag>,
    /// `x-custom-event-id`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub custom_id: Box<str>,
    /// The end user named in the body.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub user_id: Box<str>,
    /// The caller's own `x-request-id`, or ours.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub request_id: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub upstream_request_id: Box<str>,
    /// JSON from `x-metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// JSON kept because the key asks for it (`shouldLogRequest`); other bodies as `{"data": base64}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<RawValue>>,
    /// Of requests to a provider that keeps objects for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Box<ObjectChanges>>,
    /// The key's quota rule, when it has one: how the cost is taken from its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaRule>,
    /// Of requests that a route served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Box<Routed>>,
}

impl Event {
    pub fn has(&self, flag: EventFlag) -> bool {
        self.flags.contains(&flag)
    }
}
