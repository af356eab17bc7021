//! AWS Bedrock: signed requests, the model in the path, streams of binary messages, and as many forms of a body as
//! there are makers of models. Also messages in Anthropic's own form, which become invocations.
//!
//! `endpoints` says what a path is, `setting` which credential and host, `sign` signs, `request` reads and prepares a
//! body, `family` what a model id tells, `bound` and `prompt` what a request will consume, `usage` what was consumed,
//! `price` under which names, `meter` follows a response.

use super::path::percent_encoded;
use super::{
    BadCall, Call, ChatRoute, Dialect, EmbeddingRoute, Endpoint, IncompleteSetting, Outbound, Prepare, Provider,
    ResponseMeter, SettingSchema,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::{HeaderMap, Method};

mod bound;
mod endpoints;
mod family;
mod generate;
mod meter;
mod price;
mod prompt;
mod request;
mod setting;
mod sign;
mod usage;

pub use endpoints::Kind;

#[derive(Clone, Copy, Debug)]
pub struct Bedrock;

impl Provider for Bedrock {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "bedrock"
    }
    fn dialect(&self, endpoint: &Endpoint) -> Dialect {
        if Kind::of(endpoint).is_anthropic() { Dialect::Anthropic } else { Dialect::Aws }
    }
    /// Never used: the setting's region makes the host.
    fn default_base_url(&self) -> &'static str {
        "https://bedrock-runtime.us-east-1.amazonaws.com"
    }
    fn setting_schema(&self) -> SettingSchema {
        setting::SCHEMA
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        endpoints::find(method, path)
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        request::read(endpoint, headers, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn signing_service(&self) -> Option<&'static str> {
        Some(sign::SERVICE)
    }
    fn is_ambient(&self, setting: &Setting) -> bool {
        setting::is_ambient(setting)
    }
    fn chat(&self, _client: Format, model: &str, stream: bool) -> Option<ChatRoute> {
        let operation = if stream { "converse-stream" } else { "converse" };
        Some(ChatRoute::new(Format::Converse, format!("/model/{}/{operation}", percent_encoded(model))))
    }
    fn embeddings(&self, model: &str, known: &str) -> Option<EmbeddingRoute> {
        let (format, sizes) = family::embeddings(known)?;
        Some(EmbeddingRoute { format, path: format!("/model/{}/invoke", percent_encoded(model)), sizes })
    }
    fn knowledge(&self, stream: bool) -> Option<&'static str> {
        Some(if stream { "/retrieveAndGenerateStream" } else { "/retrieveAndGenerate" })
    }
    fn retrieval(&self, base: &str) -> Option<String> {
        Some(format!("/knowledgebases/{}/retrieve", percent_encoded(base)))
    }
    fn target(&self, model: &str) -> Target {
        family::target(model)
    }
    fn price_names(&self, model: &str, setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        price::names(model, setting, take);
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
