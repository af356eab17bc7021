//! OpenAI: bearer key, JSON, server-sent events. Most others speak a dialect of this.
//!
//! `endpoints` says what a path is, `request` and `form` read and prepare a body, `bound`, `prompt` and `media` say what
//! it will consume, `usage` reads what was consumed, `meter` follows a response. Nothing here prices anything.

use super::{
    BadCall, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider, ResponseMeter,
    SettingSchema, Socket, UploadReader,
};
use crate::domain::Usage;
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::{HeaderMap, Method};

mod bound;
mod endpoints;
mod form;
mod media;
mod meter;
mod models;
mod objects;
mod prompt;
mod realtime;
mod request;
mod usage;

pub use endpoints::Kind;
pub use meter::Shown;
pub(super) use usage::read as read_usage;

/// Follows a response of this dialect for a provider that was asked for more usage than OpenAI can be.
pub(super) fn meter_showing(
    shown: Shown,
    endpoint: &Endpoint,
    call: &Call,
    status: u16,
    headers: &HeaderMap,
    request: &Bytes,
) -> Box<dyn ResponseMeter> {
    meter::of(endpoint, call, status, headers, request, shown)
}

/// Labels of all endpoints.
pub(super) fn templates() -> impl Iterator<Item = &'static str> {
    endpoints::templates()
}

#[derive(Clone, Copy, Debug)]
pub struct OpenAi;

impl OpenAi {
    /// The body, asked for the usage of its stream.
    pub(super) fn asking_for_usage(self, request: &Prepare<'_>) -> Bytes {
        request::asking_for_usage(Kind::of(request.endpoint), request.call, request.body)
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "openai"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::OpenAi
    }
    fn default_base_url(&self) -> &'static str {
        "https://api.openai.com"
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
        request::read(Kind::of(endpoint), endpoint.json_body, headers, body)
    }
    fn upload(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Option<Box<dyn UploadReader>> {
        let kind = Kind::of(endpoint);
        let form = kind.is_form().then(|| form::Form::new(kind, headers)).flatten()?;
        Some(Box::new(form))
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        let mut outbound = request::prepare(Kind::of(request.endpoint), request.call, request.setting, request.body)?;
        outbound.headers.extend(request::beta(request.endpoint.template, request.headers));
        Ok(outbound)
    }
    fn socket(&self, endpoint: &Endpoint, query: Option<&str>, headers: &HeaderMap) -> Option<Socket> {
        realtime::socket(endpoint, query, headers)
    }
    fn references(&self, endpoint: &Endpoint, _query: Option<&str>, body: &[u8]) -> Vec<Box<str>> {
        objects::references(endpoint, body)
    }
    fn lists_objects(&self, endpoint: &Endpoint) -> bool {
        objects::is_list(endpoint)
    }
    fn chat(&self, client: Format, model: &str, _stream: bool) -> Option<ChatRoute> {
        Some(match client {
            Format::OpenAiCompletions if models::completes_only(model) => ChatRoute::new(client, "/v1/completions"),
            Format::OpenAiResponses => ChatRoute::new(client, "/v1/responses"),
            _ => ChatRoute::new(Format::OpenAiChat, "/v1/chat/completions"),
        })
    }
    fn target(&self, model: &str) -> Target {
        models::target(model)
    }
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
        // A connection may last and ask for ever.
        let endless = endpoint.template == endpoints::REALTIME;
        if endless { None } else { bound::worst_case(Kind::of(endpoint), call, body, limits) }
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
        meter_showing(Shown::to(Kind::of(endpoint), call), endpoint, call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
