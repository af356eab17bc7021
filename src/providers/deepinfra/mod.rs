//! DeepInfra: open models behind OpenAI's operations. Bodies and meters are OpenAI's; paths, names of models and what a
//! template may add to a prompt are its own.
//!
//! Its `estimated_cost` passes on to the client; the bill is made of tokens and the price table.

use super::open_models;
use super::openai::{Kind, OpenAi};
use super::{
    BadCall, Billing, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider,
    ResponseMeter, SettingSchema,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::{HeaderMap, Method};

mod names;

#[derive(Clone, Copy, Debug)]
pub struct DeepInfra;

/// What is served of OpenAI's operations, and whether its tokens are its price.
const SERVED: &[(Method, &str, Billing)] = &[
    (Method::POST, "/v1/chat/completions", Billing::Usage),
    (Method::POST, "/v1/completions", Billing::Usage),
    (Method::POST, "/v1/embeddings", Billing::Usage),
    (Method::GET, "/v1/models", Billing::Free),
    (Method::POST, "/v1/images/generations", Billing::Unpriced),
    (Method::POST, "/v1/audio/speech", Billing::Unpriced),
    (Method::POST, "/v1/audio/transcriptions", Billing::Unpriced),
    (Method::POST, "/v1/audio/translations", Billing::Unpriced),
];

impl Provider for DeepInfra {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "deepinfra"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::OpenAi
    }
    fn default_base_url(&self) -> &'static str {
        "https://api.deepinfra.com/v1/openai"
    }
    fn setting_schema(&self) -> SettingSchema {
        OpenAi.setting_schema()
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        let found = OpenAi.endpoint(method, path)?;
        let (.., billing) = SERVED.iter().find(|(has, template, _)| has == method && *template == found.template)?;
        // The base has the version already.
        let path = found.path.strip_prefix("/v1")?.into();
        Some(Endpoint { path, billing: *billing, ..found })
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        OpenAi.read(endpoint, headers, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        let base_url = request.setting.base_url().map(|url| self.base_url(url).into());
        Ok(Outbound { base_url, ..OpenAi.prepare(request)? })
    }
    fn price_names(&self, model: &str, _setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        names::of(model, take);
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
        OpenAi.meter(endpoint, call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
