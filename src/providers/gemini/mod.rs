//! Gemini's API: the model and the operation stand in the path, names of members in either of two spellings, and every
//! piece of a stream tells the usage so far.
//!
//! `endpoints` finds the operation, `request` reads and prepares, `bound` looks ahead, `usage` reads counts, `meter`
//! follows responses. Files and cached contents are made elsewhere: naming one is for keys that own it.

use super::{
    BadCall, Call, ChatRoute, Dialect, EmbeddingRoute, Endpoint, IncompleteSetting, Outbound, Prepare, Provider,
    ResponseMeter, SettingSchema,
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
mod prompt;
mod request;
mod usage;

#[derive(Clone, Copy, Debug)]
pub struct Gemini;

impl Provider for Gemini {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "gemini"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::Google
    }
    fn unknown_dialect(&self) -> Dialect {
        Dialect::Google
    }
    fn default_base_url(&self) -> &'static str {
        "https://generativelanguage.googleapis.com"
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
    fn read(&self, endpoint: &Endpoint, _headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        request::read(endpoint, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn references(&self, _endpoint: &Endpoint, _query: Option<&str>, body: &[u8]) -> Vec<Box<str>> {
        request::references(body)
    }
    fn price_names(&self, model: &str, _setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        request::price_names(model, take);
    }
    fn chat(&self, _client: Format, model: &str, stream: bool) -> Option<ChatRoute> {
        let (operation, query) = if stream { ("streamGenerateContent", "alt=sse") } else { ("generateContent", "") };
        let path = format!("/v1beta/models/{model}:{operation}");
        Some(ChatRoute { query: query.into(), ..ChatRoute::new(Format::Gemini, path) })
    }
    fn embeddings(&self, model: &str, _known: &str) -> Option<EmbeddingRoute> {
        let path = format!("/v1beta/models/{model}:batchEmbedContents");
        Some(EmbeddingRoute { format: embeddings::Format::Gemini, path, sizes: true })
    }
    fn target(&self, model: &str) -> Target {
        Target {
            model: model.into(),
            reasoning: ReasoningStyle::Budget,
            prefill: false,
            top_k: true,
            ..Target::default()
        }
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
