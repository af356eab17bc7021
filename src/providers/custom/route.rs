//! One described path, ready to use: locations parsed, target taken apart, request bodies read.

use super::location::{Ambiguous, Location};
use crate::domain::CustomRoute;
use crate::metering::count::Encoding;
use crate::providers::{BadCall, Call};
use crate::wire::json_walk::{member, whole_number};
use serde::de::IgnoredAny;

/// Custom providers are counted in this encoding, whatever their models are.
pub(super) const ENCODING: Encoding = Encoding::Cl100k;

/// A target URL in the parts that a request is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Scheme, host and port.
    pub base: Box<str>,
    /// Begins with a slash.
    pub path: Box<str>,
    pub query: Option<Box<str>>,
}

impl Target {
    /// `None` when it is no absolute http or https URL.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        Some(Self {
            base: format!("{scheme}://{}", uri.authority()?).into(),
            path: if uri.path().is_empty() { "/".into() } else { uri.path().into() },
            query: uri.query().filter(|query| !query.is_empty()).map(Into::into),
        })
    }

    /// What is sent in place of the client's query; `None` = the client's own.
    pub(super) fn query_with(&self, clients: Option<&str>) -> Option<Box<str>> {
        let own = self.query.as_deref()?;
        Some(match clients.filter(|query| !query.is_empty()) {
            Some(clients) => format!("{own}&{clients}").into(),
            None => own.into(),
        })
    }
}

/// A path of a custom provider. A location that cannot be parsed was refused when the row was made: it finds nothing.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: Box<str>,
    pub(super) target: Option<Target>,
    model: Option<Location>,
    prompt: Option<Location>,
    pub(super) completion: Option<Location>,
    stream: Option<Location>,
    pub(super) delta: Option<Location>,
    pub(super) end_word: Box<str>,
    /// 0 = no limit.
    pub(super) most_empty: u64,
}

impl Route {
    pub(super) fn new(row: &CustomRoute) -> Self {
        let location = |text: &str| Location::parse(text).ok();
        Self {
            path: row.path.as_str().into(),
            target: Target::parse(&row.target_url),
            model: location(&row.model_location),
            prompt: location(&row.request_prompt_location),
            completion: location(&row.response_completion_location),
            stream: location(&row.stream_location),
            delta: location(&row.stream_response_completion_location),
            end_word: row.stream_end_word.trim().into(),
            most_empty: row.stream_max_empty_messages,
        }
    }

    pub(super) fn read(&self, body: &[u8]) -> Result<Call, BadCall> {
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(body) {
            let (line, column) = (error.line(), error.column());
            return Err(bad(format!("The body is not valid JSON (line {line}, column {column}).")));
        }
        let twice = |what: &str| bad(format!("The body does not say in one way only what its {what} is."));
        let model = self.model.as_ref().map_or(Ok(None), |at| at.string(body)).map_err(|Ambiguous| twice("model"))?;
        let stream = self.stream.as_ref().map_or(Ok(false), |at| at.flag(body)).map_err(|Ambiguous| twice("stream"))?;
        let number = |name: &str| member(body, name).and_then(|m| whole_number(m.value));
        let maximum = ["max_tokens", "max_completion_tokens", "max_output_tokens"].into_iter().filter_map(number).max();
        Ok(Call {
            model: model.unwrap_or_default().into(),
            stream,
            max_output: maximum,
            choices: number("n").unwrap_or(1).max(1),
            ..Call::default()
        })
    }

    /// The body with this name of the model; `None` where its location cannot be written.
    pub(super) fn with_model(&self, body: &[u8], model: &str) -> Option<Vec<u8>> {
        self.model.as_ref()?.with_string(body, model)
    }

    pub(super) fn prompt_tokens(&self, body: &[u8]) -> u64 {
        let text = self.prompt.as_ref().map(|at| at.text(body)).unwrap_or_default();
        if text.is_empty() { 0 } else { ENCODING.count(&text) }
    }
}

fn bad(message: String) -> BadCall {
    BadCall { message, param: None }
}
