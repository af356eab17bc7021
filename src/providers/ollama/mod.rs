//! Ollama: open models on a server of the operator's own, in its own form. An answer is a line of JSON for each piece,
//! the last of which has the counts; what was asked for at once is one object with the same members.
//!
//! `endpoints` lists what is inference, everything else stays closed: pulling, pushing and deleting models are the
//! operator's. Nobody lists prices for it: they come from a setting's cost map or the operator's price file.

use super::{
    BadCall, Call, ChatRoute, Dialect, EmbeddingRoute, Endpoint, IncompleteSetting, Outbound, Prepare, Provider,
    ResponseMeter, SettingSchema, open_models,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, ReasoningStyle, Target};
use crate::wire::embeddings;
use bytes::Bytes;
use endpoints::Kind;
use http::{HeaderMap, Method};

mod bound;
mod endpoints;
mod meter;
mod request;

#[derive(Clone, Copy, Debug)]
pub struct Ollama;

impl Provider for Ollama {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "ollama"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::Ollama
    }
    fn unknown_dialect(&self) -> Dialect {
        Dialect::Ollama
    }
    fn default_base_url(&self) -> &'static str {
        "http://localhost:11434"
    }
    fn base_url<'a>(&self, configured: &'a str) -> &'a str {
        request::base_url(configured)
    }
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema { required: &["url"], optional: &["apikey"], public: &["url"] }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        endpoints::find(method, path)
    }
    fn read(&self, endpoint: &Endpoint, _headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        request::read(Kind::of(endpoint), endpoint.json_body, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn price_names(&self, model: &str, _setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        if !take(model) {
            take(&request::other_name(model));
        }
    }
    fn chat(&self, _client: Format, _model: &str, _stream: bool) -> Option<ChatRoute> {
        Some(ChatRoute::new(Format::Ollama, "/api/chat"))
    }
    fn embeddings(&self, _model: &str, _known: &str) -> Option<EmbeddingRoute> {
        Some(EmbeddingRoute { format: embeddings::Format::Ollama, path: "/api/embed".into(), sizes: true })
    }
    fn target(&self, model: &str) -> Target {
        Target { reasoning: ReasoningStyle::Effort, prefill: true, ..open_models::target(model) }
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
        meter::of(Kind::of(endpoint), call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
