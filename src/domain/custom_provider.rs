//! A provider that an operator describes: an HTTP API, and where in its JSON the things stand that rules and bills need.

use super::{CustomProviderId, UnixMillis};
use serde::{Deserialize, Serialize};

/// A stored custom provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustomProvider {
    pub id: CustomProviderId,
    /// Grows with every write of this row; an update names the one it read.
    pub revision: i64,
    /// Lower case, unique, never changes.
    pub name: Box<str>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// In the order in which they were given.
    pub routes: Vec<CustomRoute>,
    /// The entry of a setting that is sent as bearer credential, lower case; empty = none is sent.
    pub authentication_param: Box<str>,
}

/// One path of a custom provider. Locations are texts here; whoever uses them parses them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomRoute {
    /// Below `/api/custom/providers/<name>`, with its slash.
    pub path: String,
    /// Where the request goes: an absolute URL, perhaps with a query.
    pub target_url: String,
    pub model_location: String,
    pub request_prompt_location: String,
    pub response_completion_location: String,
    /// Empty = this path never streams.
    pub stream_location: String,
    /// Data of the frame after which a stream is over.
    pub stream_end_word: String,
    pub stream_response_completion_location: String,
    /// Frames in a row without text before a stream is given up; 0 = any number.
    pub stream_max_empty_messages: u64,
}
