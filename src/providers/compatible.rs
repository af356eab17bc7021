//! Whoever copied OpenAI's operations, at a base URL that a model row names: used as it is written, with the version in
//! it. Also a deployment of Azure OpenAI that is named by its whole URL. Bodies and meters are OpenAI's.
//!
//! There is no URL space for these: only model rows lead here.

use super::openai::OpenAi;
use super::{
    BadCall, Call, ChatRoute, Dialect, Endpoint, IncompleteSetting, Outbound, Prepare, Provider, ResponseMeter,
    SettingSchema,
};
use crate::domain::{Setting, Usage};
use crate::metering::ModelLimits;
use crate::wire::chat::{Format, Target};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compatible {
    /// A bearer token, or none.
    Open,
    /// A deployment's URL, `api-key` and a version in the query.
    Deployment,
}

impl Provider for Compatible {
    fn name(&self) -> &str {
        self.label()
    }
    fn label(&self) -> &'static str {
        match self {
            Self::Open => "openai-compatible",
            Self::Deployment => "azure-openai",
        }
    }
    fn dialect(&self, _endpoint: &Endpoint) -> Dialect {
        Dialect::OpenAi
    }
    /// Never used: the model row names the URL.
    fn default_base_url(&self) -> &'static str {
        "http://localhost"
    }
    fn setting_schema(&self) -> SettingSchema {
        SettingSchema {
            required: &["baseUrl"],
            optional: &["apikey", "apiVersion"],
            public: &["baseUrl", "apiVersion"],
        }
    }
    fn endpoint(&self, method: &Method, path: &str) -> Option<Endpoint> {
        let found = OpenAi.endpoint(method, path)?;
        // The base has the version already.
        let path = found.path.strip_prefix("/v1")?.into();
        Some(Endpoint { path, ..found })
    }
    fn read(&self, endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
        OpenAi.read(endpoint, headers, body)
    }
    fn prepare(&self, request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
        let setting = request.setting;
        let base_url =
            setting.base_url().filter(|url| !url.is_empty()).ok_or(IncompleteSetting { entry: "baseURL" })?;
        let version = setting.parameters.get("apiVersion").filter(|_| *self == Self::Deployment);
        Ok(Outbound {
            base_url: Some(base_url.trim_end_matches('/').into()),
            headers: credential(*self, setting)?.into_iter().collect(),
            query: version.map(|version| format!("api-version={version}").into()),
            body: OpenAi.asking_for_usage(request),
            ..Outbound::default()
        })
    }
    fn chat(&self, client: Format, model: &str, stream: bool) -> Option<ChatRoute> {
        // The newer of OpenAI's two forms is spoken by few.
        let client = if client == Format::OpenAiResponses { Format::OpenAiChat } else { client };
        OpenAi.chat(client, model, stream)
    }
    fn target(&self, model: &str) -> Target {
        OpenAi.target(model)
    }
    /// Nobody lists prices for an unknown host: the model row has them.
    fn price_names(&self, _model: &str, _setting: &Setting, _take: &mut dyn FnMut(&str) -> bool) {}
    fn worst_case(&self, endpoint: &Endpoint, call: &Call, body: &[u8], limits: &ModelLimits) -> Option<Usage> {
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
        OpenAi.meter(endpoint, call, status, headers, request)
    }
}

fn credential(kind: Compatible, setting: &Setting) -> Result<Option<(HeaderName, HeaderValue)>, IncompleteSetting> {
    let Some(key) = setting.api_key().filter(|key| !key.is_empty()) else {
        // A server of one's own may ask for nothing; a deployment always asks.
        return if kind == Compatible::Open { Ok(None) } else { Err(IncompleteSetting { entry: "apiKey" }) };
    };
    let (name, value) = match kind {
        Compatible::Open => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        Compatible::Deployment => (API_KEY, key.expose().to_owned()),
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| IncompleteSetting { entry: "apiKey" })?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}
