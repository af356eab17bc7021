use super::*;
use crate::domain::{Money, Secret, SettingId, UnixMillis, UsageSource};
use crate::metering::Pricing;
use crate::providers::{Ending, price, suite};
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);
const STREAM: &str = include_str!("fixtures/finish.sse");
const UNARY: &str = include_str!("fixtures/chat.json");
const LLAMA: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct";

fn setting(base: Option<&str>) -> Setting {
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "deepinfra".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: base.map(|b| ("baseUrl".into(), b.into())).into_iter().collect(),
        secrets: [("apikey".into(), Secret::new("di-secret"))].into(),
        cost_map: None,
    }
}

fn read(path: &str, body: &str) -> (Endpoint, Call) {
    let endpoint = DeepInfra.endpoint(&Method::POST, path).expect(path);
    let call = DeepInfra.read(&endpoint, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes())).expect(body);
    (endpoint, call)
}

fn meter(stream: bool, asking: bool) -> Box<dyn ResponseMeter> {
    let options = if asking { r#","stream_options":{"include_usage":true}"# } else { "" };
    let body = format!(r#"{{"model":"{LLAMA}","messages":[],"stream":{stream}{options}}}"#);
    let (endpoint, call) = read("/v1/chat/completions", &body);
    let mut headers = HeaderMap::new();
    let media = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    DeepInfra.meter(&endpoint, &call, 200, &headers, &Bytes::from(body))
}

#[test]
fn paths_lose_the_version_that_the_base_has() {
    for (path, upstream, billing) in [
        ("/v1/chat/completions", "/chat/completions", Billing::Usage),
        ("/v1/completions", "/completions", Billing::Usage),
        ("/v1/embeddings", "/embeddings", Billing::Usage),
        ("/v1/audio/transcriptions", "/audio/transcriptions", Billing::Unpriced),
        ("/v1/images/generations", "/images/generations", Billing::Unpriced),
    ] {
        let found = DeepInfra.endpoint(&Method::POST, path).expect(path);
        assert_eq!((&*found.path, found.billing, found.template), (upstream, billing, path));
    }
    let models = DeepInfra.endpoint(&Method::GET, "/v1/models").expect("models");
    assert_eq!((&*models.path, models.billing), ("/models", Billing::Free));
    for path in
        ["/v1/inference/m", "/v1/files", "/v1/anthropic/messages", "/v1/openai/chat/completions", "/v1/responses"]
    {
        assert_eq!(DeepInfra.endpoint(&Method::POST, path), None, "{path}");
    }
}

#[test]
fn the_credential_and_the_base_are_the_settings() {
    let (endpoint, call) = read("/v1/chat/completions", r#"{"model":"m","messages":[],"stream":true}"#);
    let (headers, body) = (HeaderMap::new(), Bytes::from_static(br#"{"model":"m","messages":[],"stream":true}"#));
    let prepared = |setting: &Setting| {
        let (endpoint, call, headers, body) = (&endpoint, &call, &headers, &body);
        DeepInfra.prepare(&Prepare { endpoint, call, setting, headers, query: None, body, ambient: None })
    };
    let outbound = prepared(&setting(None)).expect("complete");
    assert!(matches!(&*outbound.headers, [(name, value)] if *name == AUTHORIZATION && value == "Bearer di-secret"));
    assert_eq!(outbound.base_url, None);
    assert!(outbound.body.ends_with(br#""stream_options":{"include_usage":true}}"#));
    let own = prepared(&setting(Some("http://127.0.0.1:1/v1/openai/"))).expect("complete");
    assert_eq!(own.base_url.as_deref(), Some("http://127.0.0.1:1/v1/openai"), "the version is part of this base");
}

#[test]
fn c31_names_are_priced_in_any_case() {
    let cost = |model: &str| {
        let usage = Usage { in_text: 15, out_text: 16, ..Usage::default() };
        price(&Pricing::shipped(), &DeepInfra, &setting(None), Some(model), model, NOW).map(|p| p.cost(&usage))
    };
    let usd = Money::parse_usd("0.00000125");
    assert_eq!(cost(LLAMA), usd);
    assert_eq!(cost(&LLAMA.to_lowercase()), usd);
    assert_eq!(cost(&format!("{}:abc123", LLAMA.to_uppercase())), usd);
    assert_eq!(cost("meta-llama/Meta-Llama-3.1"), None, "never by prefix");
}

#[test]
fn usage_on_the_finish_chunk_is_read_and_hidden_alone() {
    let asked = suite::run(meter(true, true), STREAM.as_bytes(), &[], Ending::Complete);
    assert_eq!(asked.put_out, STREAM.as_bytes());
    let usage = &asked.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (15, 16, UsageSource::Upstream));
    let silent = suite::run(meter(true, false), STREAM.as_bytes(), &[], Ending::Complete);
    let text = String::from_utf8(silent.put_out).expect("utf-8");
    assert!(text.contains(r#""finish_reason":"stop"}]}"#) && !text.contains("usage"), "{text}");
    assert_eq!(silent.reading, asked.reading);
    let unary = suite::run(meter(false, false), UNARY.as_bytes(), &[], Ending::Complete);
    assert_eq!(unary.put_out, UNARY.as_bytes(), "the provider's own estimate passes");
    assert_eq!((unary.reading.usage.in_text, unary.reading.usage.out_text), (15, 16));
}

#[test]
fn any_chunking_and_any_break_is_survived() {
    for asking in [false, true] {
        suite::any_chunking_is_the_same(|| meter(true, asking), STREAM.as_bytes());
        suite::any_break_is_noticed(|| meter(true, asking), STREAM.as_bytes());
    }
    suite::any_chunking_is_the_same(|| meter(false, false), UNARY.as_bytes());
}
