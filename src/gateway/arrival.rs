//! What is known of a request before anybody looks at its key: time, path, ids, deadlines, wishes.

use super::{Gateway, cross_origin, headers, ids};
use crate::auth::origins::Allowed;
use crate::domain::{EventId, UnixMillis, duration};
use crate::gateway::refuse::GatewayError;
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::Instant;

/// Longest `x-custom-event-id` and `x-metadata` that are kept, bytes.
const LONGEST_CUSTOM_ID: usize = 1024;
const LONGEST_METADATA: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) started: Instant,
    pub(super) now: UnixMillis,
    pub(super) event_id: EventId,
    /// The caller's own id when it is sane, else the event's.
    pub(super) request_id: Box<str>,
    pub(super) method: Method,
    pub(super) path: Box<str>,
    pub(super) allowed: Allowed,
}

impl Arrival {
    pub(super) fn new(g: &Gateway, head: &RequestHeader) -> Self {
        let now = g.ports.clock.now();
        let event_id = ids::event_id(now);
        let request_id = match headers::sane_request_id(&head.headers) {
            Some(id) => id.into(),
            None => event_id.to_string().into(),
        };
        let allowed = cross_origin::allowed(g, head.uri.path(), &head.headers);
        Self {
            started: Instant::now(),
            now,
            event_id,
            request_id,
            method: head.method.clone(),
            path: head.uri.path().into(),
            allowed,
        }
    }

    /// When the request must be over: `x-request-timeout` up to the configured maximum, else the default.
    pub(super) fn deadline(&self, g: &Gateway, headers: &HeaderMap) -> Result<Instant, GatewayError> {
        self.deadline_or(g, headers, g.settings.request_timeout)
    }

    /// As [`Self::deadline`], with another default.
    pub(super) fn deadline_or(
        &self,
        g: &Gateway,
        headers: &HeaderMap,
        default: Duration,
    ) -> Result<Instant, GatewayError> {
        let timeout = match headers.get(headers::REQUEST_TIMEOUT) {
            None => default,
            Some(value) => value
                .to_str()
                .ok()
                .and_then(duration::parse)
                .filter(|t| *t > Duration::ZERO)
                .ok_or(GatewayError::BadTimeout)?
                .min(g.settings.max_request_timeout),
        };
        Ok(self.started + timeout)
    }
}

/// `x-custom-event-id`, cut to a storable length.
pub(super) fn custom_id(headers: &HeaderMap) -> Box<str> {
    let Some(value) = headers.get(headers::CUSTOM_EVENT_ID) else { return Box::default() };
    let text = String::from_utf8_lossy(value.as_bytes());
    cut(&text, LONGEST_CUSTOM_ID).into()
}

/// `x-metadata`: its JSON when it is JSON, else the text as a JSON string.
pub(super) fn metadata(headers: &HeaderMap) -> Option<Box<RawValue>> {
    let text = String::from_utf8_lossy(headers.get(headers::METADATA)?.as_bytes()).into_owned();
    if text.len() <= LONGEST_METADATA
        && let Ok(json) = RawValue::from_string(text.clone())
    {
        return Some(json);
    }
    serde_json::value::to_raw_value(cut(&text, LONGEST_METADATA)).ok()
}

/// The longest prefix of at most `limit` bytes that ends between characters.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(name: &'static str, value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn metadata_is_json_or_a_string() {
        assert_eq!(metadata(&with("x-metadata", br#"{"a":1}"#)).unwrap().get(), r#"{"a":1}"#);
        assert_eq!(metadata(&with("x-metadata", b"plain")).unwrap().get(), r#""plain""#);
        assert!(metadata(&HeaderMap::new()).is_none());
    }

    #[test]
    fn custom_ids_are_cut_between_characters() {
        let long = "é".repeat(LONGEST_CUSTOM_ID);
        let id = custom_id(&with("x-custom-event-id", long.as_bytes()));
        assert_eq!(id.len(), LONGEST_CUSTOM_ID);
        assert!(id.chars().all(|c| c == 'é'));
    }
}
