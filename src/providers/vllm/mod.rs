//! vLLM: OpenAI's operations on a server of the operator's own, which reports usage with every piece when it is asked.
//!
//! `endpoints` lists what is inference, everything else stays closed; `request` asks for the usage. Nobody lists prices
//! for it: they come from a setting's cost map or the operator's price file. Bodies and meters are OpenAI's.

use super::open_models;
use super::openai::{Kind, OpenAi, Shown, meter_showing};
use super::{
    BadCall, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider, ResponseMeter,
    SettingSchema,
};
use crate::domain::Usage;
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::{HeaderMap, Method};

mod endpoints;
mod request;

#[derive(Clone, Copy, Debug)]
pub struct Vllm;

impl Provider for Vllm {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "vllm"
    }
    fn dialect(&self, endpoint: &Endpoint) -> Dialect {
        if endpoint.template == endpoints::MESSAGES { Dialect::Anthropic } else { Dialect::OpenAi }
    }
    fn default_base_url(&self) -> &'static str {
        "http://localhost:8000"
    }
    fn base_url<'a>(&self, configured: &'a str) -> &'a str {
        OpenAi.base_url(configured)
    }
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema { required: &["url"], optional: &["apikey"], public: &["url"] }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        endpoints::find(method, path)
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        OpenAi.read(endpoint, headers, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn references(&self, endpoint: &Endpoint, query: Option<&str>, body: &[u8]) -> Vec<Box<str>> {
        OpenAi.references(endpoint, query, body)
    }
    fn chat(&self, _client: Format, _model: &str, _stream: bool) -> Option<ChatRoute> {
        Some(ChatRoute::new(Format::OpenAiChat, "/v1/chat/completions"))
    }
    fn target(&self, model: &str) -> Target {
        open_models::target(model)
    }
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
        let bound = OpenAi.worst_case(endpoint, call, body, limits)?;
        open_models::with_template(Kind::of(endpoint), bound, body, limits)
    }
    fn estimate(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
        OpenAi.estimate(endpoint, call, body, limits)
    }
    fn meter(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        status: u16,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Box<dyn ResponseMeter> {
        let shown = if !request::is_metered_stream(endpoint, call) || request::asks_for_all(call, request) {
            Shown::All
        } else if call.wants_usage {
            Shown::AtEnd
        } else {
            Shown::Nothing
        };
        meter_showing(shown, endpoint, call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
