//! Reads what rules need of a request body, and prepares what goes upstream: always the client's own bytes.

use super::Kind;
use crate::providers::{BadCall, Call, IncompleteSetting, Outbound, Prepare};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// Sent for clients that name none: the API refuses a request without one.
const OLDEST_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The members that matter, of any type. A repeated one is a mistake: we and the upstream could read different ones.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_tokens_to_sample: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    requests: Option<&'a RawValue>,
}

const REPEATED: [&str; 6] = ["model", "stream", "max_tokens", "max_tokens_to_sample", "metadata", "requests"];

pub(super) fn read(kind: Kind, headers: &HeaderMap, bytes: &[u8]) -> Result<Call, BadCall> {
    if !kind.has_json_body() {
        return Ok(Call { choices: 1, ..Call::default() });
    }
    // A derived reader would take an array as well, member by member.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(bad("The body must be a JSON object.", None));
    }
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    let number = |value: Option<&RawValue>| value.and_then(|v| whole_number(v.get().as_bytes()));
    let mut named = Vec::new();
    if kind == Kind::CreateBatch {
        for request in elements(body.requests.map_or(b"", |r| r.get().as_bytes())) {
            members(request).filter(|m| m.is("params")).for_each(|params| models(params.value, &mut named));
        }
    } else {
        named.push(model(body.model)?);
        models(bytes, &mut named);
    }
    let mut named = named.into_iter();
    let first = named.next().unwrap_or_default();
    let more_models = named.filter(|name| *name != first).collect();
    let user = body.metadata.and_then(|m| member(m.get().as_bytes(), "user_id")).and_then(|m| string(m.value));
    Ok(Call {
        model: first,
        more_models,
        stream: matches!(kind, Kind::Messages | Kind::Complete) && body.stream.is_some_and(|v| v.get() == "true"),
        user: user.map(|id| unescape(id).into()).unwrap_or_default(),
        max_output: match kind {
            Kind::Messages => number(body.max_tokens),
            Kind::Complete => number(body.max_tokens_to_sample),
            _ => None,
        },
        choices: 1,
        long_context: headers.get_all(BETA).iter().any(|v| v.as_bytes().windows(10).any(|w| w == b"context-1m")),
        ..Call::default()
    })
}

/// All models that one request names: its own, those of its tools (an advisor), those to fall back to.
fn models(request: &[u8], found: &mut Vec<Box<str>>) {
    let mut add = |holder: &[u8]| {
        for name in members(holder).filter(|m| m.is("model")).filter_map(|m| string(m.value)) {
            let name: Box<str> = unescape(name).into();
            if !found.contains(&name) {
                found.push(name);
            }
        }
    };
    add(request);
    for m in members(request).filter(|m| m.is("tools") || m.is("fallbacks")) {
        elements(m.value).for_each(&mut add);
    }
}

/// Text must be text: whether a model is allowed and what it costs hangs on it.
fn model(value: Option<&RawValue>) -> Result<Box<str>, BadCall> {
    let Some(value) = value else { return Ok(Box::default()) };
    serde_json::from_str(value.get()).map_err(|_| bad("The model must be a string.", Some("model")))
}

fn unreadable(error: &serde_json::Error) -> BadCall {
    let text = error.to_string();
    match REPEATED.into_iter().find(|name| text.starts_with(&format!("duplicate field `{name}`"))) {
        Some(name) => bad(&format!("The body has more than one {name}."), Some(name)),
        None => bad(&format!("The body is not valid JSON (line {}, column {}).", error.line(), error.column()), None),
    }
}

fn bad(message: &str, param: Option<&'static str>) -> BadCall {
    BadCall { message: message.to_owned(), param }
}

pub(super) fn prepare(request: &Prepare<'_>) -> Result<Outbound, IncompleteSetting> {
    let incomplete = IncompleteSetting { entry: "apikey" };
    let key = request.setting.api_key().filter(|key| !key.is_empty()).ok_or_else(|| incomplete.clone())?;
    let mut key = HeaderValue::try_from(key.expose()).map_err(|_| incomplete)?;
    key.set_sensitive(true);
    let mut headers = vec![(API_KEY, key)];
    if !request.headers.contains_key(VERSION) {
        headers.push((VERSION, OLDEST_VERSION));
    }
    Ok(Outbound {
        body: request.body.clone(),
        headers,
        base_url: request.setting.base_url().map(|url| base_url(url).into()),
        ..Outbound::default()
    })
}

/// The base of all paths, which begin with `/v1` themselves.
pub(super) fn base_url(configured: &str) -> &str {
    let url = configured.trim().trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/')
}

/// Models are listed by their dated name, by the family, or by the family's `-latest`.
pub(super) fn price_names(model: &str, take: &mut dyn FnMut(&str) -> bool) {
    if take(model) {
        return;
    }
    if let Some(family) = model.strip_suffix("-latest") {
        take(family);
        return;
    }
    let dated = model.rsplit_once('-').filter(|(_, date)| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()));
    let family = dated.map_or(model, |(family, _)| family);
    if dated.is_none() || !take(family) {
        take(&format!("{family}-latest"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{Secret, Setting, SettingId, UnixMillis};
    use crate::providers::anthropic::endpoints;
    use bytes::Bytes;
    use http::Method;

    fn call(kind: Kind, body: &str) -> Result<Call, BadCall> {
        read(kind, &HeaderMap::new(), body.as_bytes())
    }

    pub(in crate::providers::anthropic) fn setting(key: Option<&str>, base: Option<&str>) -> Setting {
        Setting {
            id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
            revision: 1,
            provider: "anthropic".into(),
            name: "s".into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            allowed_models: Box::default(),
            parameters: base.map(|b| ("baseUrl".into(), b.into())).into_iter().collect(),
            secrets: key.map(|k| ("apikey".into(), Secret::new(k))).into_iter().collect(),
            cost_map: None,
        }
    }

    fn prepared(setting: &Setting, headers: &HeaderMap, body: &Bytes) -> Result<Outbound, IncompleteSetting> {
        let endpoint = endpoints::find(&Method::POST, "/v1/messages").expect("messages");
        let call = Call::default();
        prepare(&Prepare { endpoint: &endpoint, call: &call, setting, headers, query: None, body, ambient: None })
    }

    #[test]
    fn odd_shapes_are_read() {
        let odd = r#" {"model":"claude-opus-5-5","system":[{"type":"text","text":"\ud83d"}],"top_p":0.9,
            "max_tokens":100.0,"temperature":1e400,"stream":"true","metadata":{"user_id":"u\u0031"},
            "messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"unknown":{"a":[{}]}} "#;
        let expected = Call {
            model: "claude-opus-5-5".into(),
            user: "u1".into(),
            max_output: Some(100),
            choices: 1,
            ..Call::default()
        };
        assert_eq!(call(Kind::Messages, odd), Ok(expected));
        for nothing in ["{}", r#"{"model":null,"max_tokens":-5,"stream":1,"metadata":[{"user_id":"u"}]}"#] {
            assert_eq!(call(Kind::Messages, nothing), Ok(Call { choices: 1, ..Call::default() }));
        }
        let complete = r#"{"model":"claude-2","prompt":"a","max_tokens":1,"max_tokens_to_sample":2,"stream":true}"#;
        let read = call(Kind::Complete, complete).expect("valid");
        assert_eq!((read.max_output, read.stream), (Some(2), true));
        assert_eq!(call(Kind::Other, "not read"), Ok(Call { choices: 1, ..Call::default() }));
    }

    #[test]
    fn every_model_that_is_set_to_work_is_named() {
        let names = |kind, body: &str| {
            let read = call(kind, body).expect(body);
            (read.model.to_string(), read.more_models.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let advised = r#"{"model":"a","tools":[{"name":"x"},{"type":"advisor_20260301","mod\u0065l":"b"}],
            "fallbacks":[{"model":"c"},{"model":"a"}]}"#;
        assert_eq!(names(Kind::Messages, advised), ("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(names(Kind::Messages, r#"{"model":"a","fallbacks":"default"}"#), ("a".to_owned(), vec![]));
        let batch = r#"{"requests":[{"custom_id":"1","params":{"model":"a"}},{"params":{"model":"b"},"params":{"model":"c"}}]}"#;
        assert_eq!(names(Kind::CreateBatch, batch), ("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(names(Kind::CreateBatch, "{}"), (String::new(), vec![]));
    }

    #[test]
    fn a_longer_context_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.append(BETA, HeaderValue::from_static("interleaved-thinking-2025-05-14"));
        assert!(!read(Kind::Messages, &headers, b"{}").expect("valid").long_context);
        headers.append(BETA, HeaderValue::from_static("files-api-2025-04-14, context-1m-2025-08-07"));
        assert!(read(Kind::Messages, &headers, b"{}").expect("valid").long_context);
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (body, param) in [
            ("", None),
            ("[]", None),
            ("[\"claude\",true]", None),
            ("{\"model\":\"a\"", None),
            ("{} {}", None),
            (r#"{"model":7}"#, Some("model")),
            (r#"{"model":"\ud83d"}"#, Some("model")),
            (r#"{"model":"a","mod\u0065l":"b"}"#, Some("model")),
            (r#"{"stream":false,"stream":true}"#, Some("stream")),
            (r#"{"max_tokens":1,"max_tokens":9}"#, Some("max_tokens")),
        ] {
            let error = call(Kind::Messages, body).expect_err(body);
            assert_eq!(error.param, param, "{body}: {error}");
            assert!(!error.message.contains("claude"), "no text of the body: {error}");
        }
    }

    #[test]
    fn the_credential_is_set_and_hidden_and_the_body_not_even_copied() {
        let body = Bytes::from_static(br#"{ "model" : "m", "x":1e400, "y":"\ud83d" }"#);
        let out = prepared(&setting(Some("sk-secret"), None), &HeaderMap::new(), &body).expect("key");
        assert_eq!(out.body.as_ptr(), body.as_ptr());
        assert_eq!(out.headers[0].0, "x-api-key");
        assert_eq!(out.headers[0].1.as_bytes(), b"sk-secret");
        assert!(out.headers[0].1.is_sensitive() && !format!("{out:?}").contains("sk-secret"));
        for key in [None, Some(""), Some("line\nbreak")] {
            let error = prepared(&setting(key, None), &HeaderMap::new(), &body).expect_err("no key");
            assert_eq!(error.entry, "apikey");
        }
    }

    #[test]
    fn the_version_is_the_clients_or_the_oldest() {
        let setting = setting(Some("k"), None);
        let versions = |headers: &HeaderMap| {
            let out = prepared(&setting, headers, &Bytes::new()).expect("key");
            out.headers.iter().filter(|(name, _)| *name == VERSION).map(|(_, v)| v.clone()).collect::<Vec<_>>()
        };
        assert_eq!(versions(&HeaderMap::new()), ["2023-06-01"]);
        let mut headers = HeaderMap::new();
        headers.insert(VERSION, HeaderValue::from_static("2026-10-21"));
        assert!(versions(&headers).is_empty(), "the client's own stays");
    }

    #[test]
    fn a_base_may_be_written_with_the_version() {
        for (written, base) in [
            ("https://api.anthropic.com/v1/", "https://api.anthropic.com"),
            ("http://127.0.0.1:9000/prefix", "http://127.0.0.1:9000/prefix"),
            ("https://host/v1", "https://host"),
        ] {
            let out = prepared(&setting(Some("k"), Some(written)), &HeaderMap::new(), &Bytes::new());
            assert_eq!(out.map(|o| o.base_url), Ok(Some(base.into())));
        }
    }

    #[test]
    fn a_model_has_its_price_under_several_names() {
        let names = |model: &str| {
            let mut names = Vec::new();
            price_names(model, &mut |name| {
                names.push(name.to_owned());
                false
            });
            names
        };
        assert_eq!(
            names("claude-3-opus-20240229"),
            ["claude-3-opus-20240229", "claude-3-opus", "claude-3-opus-latest"]
        );
        assert_eq!(names("claude-3-5-sonnet-latest"), ["claude-3-5-sonnet-latest", "claude-3-5-sonnet"]);
        assert_eq!(names("claude-opus-5"), ["claude-opus-5", "claude-opus-5-latest"]);
    }
}
