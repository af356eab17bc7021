//! Azure OpenAI: OpenAI's operations behind deployments, which customers name as they like.
//!
//! `endpoints` lays three forms of path onto OpenAI's, `deployments` says which model is behind a name and what it
//! costs where, `request` sets the credential and the version. Bodies, bounds and meters are OpenAI's.
//! Left out: sockets, deployment management, and the search extensions that only old versions had.

use super::base_url::is_host_label;
use super::openai::OpenAi;
use super::path::percent_encoded;
use super::{
    BadCall, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider, ResponseMeter,
    SettingSchema, StepOperation, UploadReader,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use crate::wire::json_walk::members;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::borrow::Cow;
use std::collections::BTreeMap;

mod deployments;
mod endpoints;
mod request;

#[derive(Clone, Copy, Debug)]
pub struct Azure;

/// The path decides: the body's model is not looked at by the provider.
fn named(deployment: Option<&str>, call: Call) -> Call {
    match deployment {
        Some(deployment) => Call { model: deployment.into(), alias: call.model, ..call },
        None => call,
    }
}

/// A form that passes while it arrives.
struct Upload {
    deployment: Option<Box<str>>,
    form: Box<dyn UploadReader>,
}

impl UploadReader for Upload {
    fn push(&mut self, piece: &[u8]) {
        self.form.push(piece);
    }
    fn call(&self) -> Call {
        named(self.deployment.as_deref(), self.form.call())
    }
}

impl Provider for Azure {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        "azure"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::OpenAi
    }
    fn default_base_url(&self) -> &'static str {
        "https://{resourceName}.openai.azure.com"
    }
    fn base_url<'a>(&self, configured: &'a str) -> &'a str {
        request::base_url(configured)
    }
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema {
            required: &["resourceName", "apikey"],
            optional: &["baseUrl", "apiVersion", "authScheme", "dataZone", "deployments"],
            public: &["resourceName", "baseUrl", "apiVersion", "authScheme", "dataZone", "deployments"],
        }
    }
    fn objection(&self, entry: &str, value: &str) -> Option<&'static str> {
        match entry {
            "resourceName" if !is_host_label(value) => Some("must be one label of a host name"),
            "apiVersion" if !request::is_version(value) => Some("must be a version such as 2024-10-21"),
            "authScheme" if request::AuthScheme::parse(value).is_none() => Some("must be api-key or bearer"),
            "dataZone" if !deployments::ZONES.contains(&value) => Some("must be eu or us"),
            "deployments" if !deployments::are_sound(value) => {
                Some("must be a list such as my-deployment=gpt-4o,other=gpt-5")
            }
            _ => None,
        }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        endpoints::find(method, path)
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        let call = OpenAi.read(endpoint, headers, body)?;
        Ok(named(endpoints::deployment(&endpoint.path), call))
    }
    fn with_setting<'a>(&self, call: &'a Call, setting: &Setting) -> Cow<'a, Call> {
        deployments::resolved(call, setting)
    }
    fn events_name_the_answering_model(&self) -> bool {
        true
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        request::prepare(request)
    }
    fn chat(&self, _client: Format, model: &str, _stream: bool) -> Option<ChatRoute> {
        Some(ChatRoute::new(Format::OpenAiChat, format!("/openai/deployments/{model}/chat/completions")))
    }
    /// The step's deployment answers; which model is behind it is what the step says.
    fn step(
        &self,
        params: &BTreeMap<Box<str>, Box<str>>,
        operation: StepOperation,
        model: &str,
        _stream: bool,
    ) -> Option<ChatRoute> {
        let deployment = percent_encoded(params.get("deploymentId").map_or(model, |name| name));
        let operation = match operation {
            StepOperation::Chat(_) => "chat/completions",
            StepOperation::Embeddings => "embeddings",
        };
        let path = format!("/openai/deployments/{deployment}/{operation}");
        let version = params.get("apiVersion").map(|version| format!("api-version={}", percent_encoded(version)));
        Some(ChatRoute { query: version.unwrap_or_default().into(), ..ChatRoute::new(Format::OpenAiChat, path) })
    }
    fn target(&self, model: &str) -> Target {
        OpenAi.target(model)
    }
    fn step_params(&self) -> &'static [&'static str] {
        &["deploymentId", "apiVersion"]
    }
    // Both become part of a URL.
    fn step_objection(&self, name: &str, value: &str) -> Option<&'static str> {
        match name {
            "deploymentId" if !endpoints::is_name(value) => {
                Some("must be the name of a deployment: up to 64 letters, digits, dots, hyphens and underscores")
            }
            "apiVersion" if !request::is_version(value) => Some("must be a version such as 2024-10-21"),
            _ => None,
        }
    }
    fn price_names(&self, model: &str, setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
        deployments::price_names(model, setting, take);
    }
    fn upload(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Option<Box<dyn UploadReader>> {
        let form = OpenAi.upload(&endpoints::as_openai(endpoint), headers)?;
        let deployment = endpoints::deployment(&endpoint.path).map(Into::into);
        Some(Box::new(Upload { deployment, form }))
    }
    fn references(&self, endpoint: &Endpoint, query: Option<&str>, body: &[u8]) -> Vec<Box<str>> {
        OpenAi.references(&endpoints::as_openai(endpoint), query, body)
    }
    fn lists_objects(&self, endpoint: &Endpoint) -> bool {
        OpenAi.lists_objects(&endpoints::as_openai(endpoint))
    }
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
        // Documents that the provider fetches for each turn it takes.
        if members(body).any(|m| (m.is("data_sources") || m.is("dataSources")) && m.value != b"null") {
            return None;
        }
        OpenAi.worst_case(endpoint, call, body, limits)
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
        OpenAi.meter(&endpoints::as_openai(endpoint), call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
