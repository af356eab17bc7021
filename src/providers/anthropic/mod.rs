//! Anthropic: key in `x-api-key`, a version header, JSON, server-sent events with names.
//!
//! `endpoints` says what a path is, `request` reads and prepares a body, `bound` and `prompt` say what it will
//! consume, `usage` reads what was consumed, `objects` whose things are named, `meter` follows a response. Nothing here prices anything.

use super::{
    BadCall, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider, ResponseMeter,
    SettingSchema,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::providers::claude;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::{HeaderMap, Method};

mod bound;
mod endpoints;
mod meter;
mod objects;
mod prompt;
mod request;
mod usage;

pub use endpoints::Kind;

#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

impl Provider for Anthropic {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "anthropic"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::Anthropic
    }
    fn unknown_dialect(&self) -> Dialect {
        Dialect::Anthropic
    }
    fn default_base_url(&self) -> &'static str {
        "https://api.anthropic.com"
    }
    fn base_url<'a>(&self, configured: &'a str) -> &'a str {
        request::base_url(configured)
    }
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema { required: &["apikey"], optional: &["baseUrl"], public: &["baseUrl"] }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        endpoints::find(method, path)
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        request::read(Kind::of(endpoint), headers, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn references(&self, endpoint: &Endpoint, _query: Option<&str>, body: &[u8]) -> Vec<Box<str>> {
        objects::references(endpoint, body)
    }
    fn lists_objects(&self, endpoint: &Endpoint) -> bool {
        objects::is_list(endpoint)
    }
    fn chat(&self, _client: Format, _model: &str, _stream: bool) -> Option<ChatRoute> {
        Some(ChatRoute::new(Format::Anthropic, "/v1/messages"))
    }
    fn target(&self, model: &str) -> Target {
        claude::target(model).unwrap_or_else(|| Target { model: model.into(), ..Target::default() })
    }
    fn price_names(&self, model: &str, _setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        request::price_names(model, take);
    }
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
        bound::worst_case(Kind::of(endpoint), call, body, limits)
    }
    fn estimate(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
        bound::estimate(Kind::of(endpoint), call, body, limits)
    }
    fn meter(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        status: u16,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Box<dyn ResponseMeter> {
        meter::of(endpoint, call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
