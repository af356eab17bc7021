//! Custom providers: HTTP APIs that an operator describes in a row of configuration. A provider like any other, made
//! of such a row; its JSON is read at the locations that the row names.
//!
//! `location` looks into JSON, `route` is one described path ready to use, `usage` reads what an answer reports,
//! `meter` follows a response. Bodies go on byte for byte; the only header set is the credential.

mod location;
mod meter;
mod route;
mod usage;

pub use location::{BadLocation, Location};
pub use route::Target;

use super::{
    BadCall, Billing, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider,
    ResponseMeter, SettingSchema, StepOperation,
};
use crate::domain::{CustomProvider, Setting, Step, Usage, UsageSource};
use crate::metering::ModelLimits;
use crate::wire::chat::Format;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use route::Route;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Output of a request that names no maximum, by a model of which none is known.
const UNKNOWN_OUTPUT: u64 = 4096;
/// What a custom provider cannot be called, besides the providers that are built in. Steps of routes say the last but
/// one, events of kept answers the last.
const RESERVED: [&str; 8] = ["openai", "anthropic", "azure", "bedrock", "deepinfra", "vllm", Step::MODEL, "cached"];

/// Whether a name, in lower case, belongs to a provider that operators do not describe.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || super::by_name(name).is_some()
}

/// Splits `/api/custom/providers/<name>/<tail>`: the name in lower case, and the tail with its slash.
pub fn split_path(path: &str) -> Option<(String, &str)> {
    let rest = path.strip_prefix("/api/custom/providers/")?;
    let (name, tail) = rest.split_at_checked(rest.find('/')?)?;
    Some((name.to_ascii_lowercase(), tail))
}

/// A custom provider, ready to serve.
#[derive(Debug)]
pub struct Custom {
    name: Box<str>,
    credential: Box<str>,
    routes: Box<[Arc<Route>]>,
}

impl Custom {
    pub fn new(row: &CustomProvider) -> Self {
        Self {
            name: row.name.clone(),
            credential: row.authentication_param.clone(),
            routes: row.routes.iter().map(|route| Arc::new(Route::new(route))).collect(),
        }
    }

    fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| *route.path == *path)
    }

    fn bearer(&self, setting: &Setting) -> Result<Option<HeaderValue>, IncompleteSetting> {
        if self.credential.is_empty() {
            return Ok(None);
        }
        let incomplete = IncompleteSetting { entry: "credential" };
        let secret =
            setting.secrets.get(&self.credential).filter(|s| !s.is_empty()).ok_or_else(|| incomplete.clone())?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", secret.expose())).map_err(|_| incomplete)?;
        bearer.set_sensitive(true);
        Ok(Some(bearer))
    }
}

impl Provider for Custom {
    fn name(&self) -> &str {
        &self.name
    }
    fn label(&self) -> &'static str {
        "custom"
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::OpenAi
    }
    /// None: every route has its own target.
    fn default_base_url(&self) -> &'static str {
        ""
    }
    /// Nothing that is known when this is built: its one entry has the name that the row gives it.
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema { required: &[], optional: &[], public: &[] }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        let route = self.route(path).filter(|_| method == Method::POST)?;
        Some(Endpoint {
            template: "/{path}",
            method: Method::POST,
            path: route.path.clone(),
            kind: 0,
            json_body: true,
            billing: Billing::Usage,
        })
    }
    fn read(&self, endpoint: &Endpoint, _headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        let gone = || BadCall { message: "The path is no longer served.".to_owned(), param: None };
        self.route(&endpoint.path).ok_or_else(gone)?.read(body)
    }
    /// One of its paths, named by the step. Nothing is known of what it speaks: the client's own form passes.
    fn step(
        &self,
        params: &BTreeMap<Box<str>, Box<str>>,
        operation: StepOperation,
        _model: &str,
        _stream: bool,
    ) -> Option<ChatRoute> {
        let route = self.route(params.get("path")?)?;
        let format = match operation {
            StepOperation::Chat(client) => client,
            StepOperation::Embeddings => Format::OpenAiChat,
        };
        Some(ChatRoute::new(format, &*route.path))
    }
    fn with_model(&self, endpoint: &Endpoint, body: &Bytes, model: &str) -> Option<Bytes> {
        let written = self.route(&endpoint.path).and_then(|route| route.with_model(body, model));
        Some(written.map_or_else(|| body.clone(), Bytes::from))
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        let target = self.route(&request.endpoint.path).and_then(|route| route.target.as_ref());
        let target = target.ok_or(IncompleteSetting { entry: "target_url" })?;
        Ok(Outbound {
            body: request.body.clone(),
            headers: self.bearer(request.setting)?.into_iter().map(|value| (AUTHORIZATION, value)).collect(),
            base_url: Some(target.base.clone()),
            path: Some(target.path.clone()),
            query: target.query_with(request.query),
            ..Outbound::default()
        })
    }
    fn step_params(&self) -> &'static [&'static str] {
        &["path"]
    }
    fn step_objection(&self, _name: &str, value: &str) -> Option<&'static str> {
        self.route(value).is_none().then_some("is not a path of this provider")
    }
    // What an unknown API makes of a body is bounded by nothing but the model's own limits.
    fn worst_case(&self, _endpoint: &Endpoint, call: &Call, _body: &[u8], limits: &ModelLimits) -> Option<Usage> {
        let each = match (call.max_output, limits.output) {
            (Some(asked), Some(limit)) => asked.min(limit),
            (asked, limit) => asked.or(limit)?,
        };
        let out_text = each.saturating_mul(call.choices.max(1));
        Some(Usage { in_text: limits.input?, out_text, ..Usage::default() })
    }
    fn estimate(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Usage {
        let each = call.max_output.or(limits.output).unwrap_or(UNKNOWN_OUTPUT);
        Usage {
            in_text: self.route(&endpoint.path).map_or(0, |route| route.prompt_tokens(body)),
            out_text: each.saturating_mul(call.choices.max(1)),
            source: UsageSource::Estimated,
            ..Usage::default()
        }
    }
    fn meter(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        status: u16,
        headers: &HeaderMap,
        request: &Bytes,
    ) -> Box<dyn ResponseMeter> {
        meter::of(self.route(&endpoint.path), call, status, headers, request)
    }
}

#[cfg(test)]
mod tests;
