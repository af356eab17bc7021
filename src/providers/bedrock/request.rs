//! Reads what rules need of a request body, and prepares what goes upstream: the client's own bytes, except for
//! messages in Anthropic's form, whose model and stream flag belong into the path.

use super::bound;
use super::endpoints::{self, Kind};
use super::family::Family;
use super::generate;
use super::setting::{self, Credential};
use crate::providers::path::percent_encoded;
use crate::providers::{BadCall, Call, Endpoint, IncompleteSetting, Outbound, Prepare};
use crate::wire::{json_edit, json_walk};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STREAM_ACCEPT: HeaderName = HeaderName::from_static("x-amzn-bedrock-accept");
/// Both ways.
pub(super) const SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// What an invocation of a Claude model must name.
const ANTHROPIC_VERSION: &[u8] = b"\"bedrock-2023-05-31\"";

/// Members that bound or select something. One that is repeated could be read differently by us and upstream.
const UNIQUE: [&str; 12] = [
    "model",
    "stream",
    "max_tokens",
    "max_tokens_to_sample",
    "max_completion_tokens",
    "max_gen_len",
    "n",
    "num_generations",
    "inferenceConfig",
    "textGenerationConfig",
    "serviceTier",
    "additionalModelRequestFields",
];

pub(super) fn read(endpoint: &Endpoint, headers: &HeaderMap, body: &Bytes) -> Result<Call, BadCall> {
    let kind = Kind::of(endpoint);
    let model = endpoints::model(endpoint);
    if !endpoint.json_body {
        return Ok(Call { model: model.into(), choices: 1, ..Call::default() });
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad("The body must be a JSON object.", None));
    }
    serde_json::from_slice::<&RawValue>(body)
        .map_err(|e| bad(&format!("The body is not valid JSON (line {}, column {}).", e.line(), e.column()), None))?;
    let mut found: [Option<&[u8]>; UNIQUE.len()] = [None; UNIQUE.len()];
    let mut user = None;
    for m in json_walk::members(body) {
        if let Some((name, place)) = UNIQUE.iter().zip(&mut found).find(|(name, _)| m.is(name))
            && place.replace(m.value).is_some()
        {
            return Err(bad(&format!("The body has more than one {name}."), Some(*name)));
        }
        match m.key {
            b"metadata" => user = json_walk::member(m.value, "user_id").and_then(|u| json_walk::string(u.value)),
            b"user" => user = json_walk::string(m.value),
            _ => {}
        }
    }
    let value = |name: &str| UNIQUE.iter().zip(found).find(|(have, _)| **have == name).and_then(|(_, value)| value);
    let mut call = Call {
        model: model.into(),
        stream: matches!(kind, Kind::InvokeStream | Kind::ConverseStream),
        user: user.map(json_walk::unescape).unwrap_or_default().into(),
        tier: tier(headers, body),
        ..Call::default()
    };
    if kind == Kind::Generate {
        (call.model, call.alias) = generate::model(body);
        call.stream = endpoint.template.ends_with("Stream");
        call.max_output = generate::max_output(body);
        call.choices = 1;
        return Ok(call);
    }
    if kind.is_anthropic() {
        let named = value("model").and_then(json_walk::string).map(json_walk::unescape).unwrap_or_default();
        // It becomes a path.
        let id = endpoints::model_id(&named.replace('%', "%25")).filter(|id| **id == *named);
        call.model = id.ok_or_else(|| bad("The model must be the id of a Bedrock model.", Some("model")))?.into();
        call.stream = value("stream") == Some(b"true");
    }
    let number = |name: &str| value(name).and_then(json_walk::whole_number);
    call.choices = number("n").max(number("num_generations")).unwrap_or(1).max(1);
    call.max_output = if kind.is_converse() {
        // Other fields go to the model as they are, and one of them may be a maximum of its own.
        let more = value("additionalModelRequestFields").unwrap_or_default();
        let sure = memchr::memmem::find(&more.to_ascii_lowercase(), b"max").is_none() && !more.contains(&b'\\');
        value("inferenceConfig").filter(|_| sure).and_then(|config| number_in(config, &["maxTokens"]))
    } else {
        let family = if kind.is_anthropic() { Family::Claude } else { Family::of(&call.model) };
        family.max_output(&value)
    };
    Ok(call)
}

/// The service tier asked for, in the body of a conversation or the head of an invocation.
fn tier(headers: &HeaderMap, body: &[u8]) -> Box<str> {
    let named = bound::tier(body).map(json_walk::unescape);
    let named = named.or_else(|| Some(headers.get(SERVICE_TIER)?.to_str().ok()?.into()));
    named.unwrap_or_default().into()
}

/// The largest of some members of an object. Repeated ones all count.
pub(super) fn number_in(object: &[u8], names: &[&str]) -> Option<u64> {
    let named = json_walk::members(object).filter(|m| names.iter().any(|name| m.is(name)));
    named.filter_map(|m| json_walk::whole_number(m.value)).max()
}

fn bad(message: &str, param: Option<&'static str>) -> BadCall {
    BadCall { message: message.to_owned(), param }
}

pub(super) fn prepare(request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
    let &Prepare { endpoint, call, setting, headers, body, ambient, .. } = request;
    let kind = Kind::of(endpoint);
    let mut outbound = Outbound { body: body.clone(), ..Outbound::default() };
    match setting.base_url() {
        Some(url) => outbound.base_url = Some(url.trim_end_matches('/').into()),
        None => outbound.public_url = Some(setting::public_url(setting, endpoints::is_agents(endpoint))?.into()),
    }
    // Some clients name no type for an invocation, which the service wants.
    if endpoint.json_body && !headers.contains_key(CONTENT_TYPE) {
        outbound.headers.push((CONTENT_TYPE, JSON));
    }
    if kind.is_anthropic() {
        let operation = if call.stream { "invoke-with-response-stream" } else { "invoke" };
        outbound.path = Some(format!("/model/{}/{operation}", percent_encoded(&call.model)).into());
        outbound.query = Some("".into());
        outbound.body = invocation(kind, headers, body).map_or_else(|| body.clone(), Bytes::from);
        outbound.headers.push((if call.stream { STREAM_ACCEPT } else { ACCEPT }, JSON));
    }
    match setting::credential(setting, ambient)? {
        Credential::Bearer(value) => outbound.headers.push((AUTHORIZATION, value)),
        Credential::Keys(keys) => outbound.signer = Some(Box::new(keys)),
    }
    Ok(outbound)
}

/// The body of a message as an invocation has it: without the model and the stream flag, with what is elsewhere told
/// in headers. `None` when it is no object.
fn invocation(kind: Kind, headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    let mut body = body.to_vec();
    for name in ["model", "stream"] {
        body = json_edit::remove(&body, name).unwrap_or(body);
    }
    if kind == Kind::Messages && json_walk::member(&body, "anthropic_version").is_none() {
        body = json_edit::set(&body, "anthropic_version", ANTHROPIC_VERSION)?;
    }
    let features = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
    let features: Vec<&str> = features.flat_map(|v| v.split(',')).map(str::trim).filter(|f| !f.is_empty()).collect();
    if !features.is_empty() && json_walk::member(&body, "anthropic_beta").is_none() {
        body = json_edit::set(&body, "anthropic_beta", &serde_json::to_vec(&features).ok()?)?;
    }
    Some(body)
}

#[cfg(test)]
mod tests;
