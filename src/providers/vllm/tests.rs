use super::*;
use crate::domain::{CostMap, Money, Secret, Setting, SettingId, UnixMillis, UsageSource};
use crate::metering::Pricing;
use crate::providers::{Ending, price, suite};
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use proptest::prelude::*;

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);
const CHAT: &str = "/v1/chat/completions";
const STREAM: &str = include_str!("fixtures/continuous.sse");

const SILENT: &str = r#"{"model":"qwen3-32b","messages":[],"stream":true}"#;
const ASKING: &str = r#"{"model":"qwen3-32b","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
const ASKING_ALL: &str = r#"{"model":"qwen3-32b","messages":[],"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}"#;

fn setting(url: &str, key: Option<&str>) -> Setting {
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "vllm".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: [("url".into(), url.into())].into(),
        secrets: key.map(|k| ("apikey".into(), Secret::new(k))).into_iter().collect(),
        cost_map: None,
    }
}

fn read(body: &str) -> (Endpoint, Call) {
    let endpoint = Vllm.endpoint(&Method::POST, CHAT).expect("chat");
    let call = Vllm.read(&endpoint, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes())).expect(body);
    (endpoint, call)
}

fn prepare(body: &str, setting: &Setting) -> Result<Outbound, IncompleteSetting> {
    let (endpoint, call) = read(body);
    let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()));
    let (endpoint, call, body) = (&endpoint, &call, &body);
    Vllm.prepare(&Prepare { endpoint, call, setting, headers: &headers, query: None, body, ambient: None })
}

fn meter(body: &str, events: bool) -> Box<dyn ResponseMeter> {
    let (endpoint, call) = read(body);
    let mut headers = HeaderMap::new();
    let media = if events { "text/event-stream; charset=utf-8" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Vllm.meter(&endpoint, &call, 200, &headers, &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn streams_are_asked_for_usage_with_every_piece() {
    let url = setting("http://gpu:8000/v1/", None);
    for (body, upstream) in [
        (
            r#"{ "stream" : true,"top_k":1e400,"y":"\ud83d" }"#,
            r#"{ "stream" : true,"top_k":1e400,"y":"\ud83d","stream_options":{"include_usage":true,"continuous_usage_stats":true} }"#,
        ),
        (ASKING, ASKING_ALL),
        (ASKING_ALL, ASKING_ALL),
        (
            r#"{"stream":true,"stream_options":{"continuous_usage_stats":false}}"#,
            r#"{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true}}"#,
        ),
        (r#"{"stream":true,"stream_options":"yes"}"#, r#"{"stream":true,"stream_options":"yes"}"#),
        (r#"{"model":"m","messages":[]}"#, r#"{"model":"m","messages":[]}"#),
    ] {
        let outbound = prepare(body, &url).expect("complete");
        assert_eq!(outbound.body, upstream.as_bytes());
        assert_eq!(outbound.base_url.as_deref(), Some("http://gpu:8000"));
    }
}

#[test]
fn a_credential_is_sent_where_there_is_one() {
    assert_eq!(prepare(SILENT, &setting("http://gpu", None)).map(|o| o.headers), Ok(Vec::new()));
    let outbound = prepare(SILENT, &setting("http://gpu", Some("v-secret"))).expect("complete");
    assert!(matches!(&*outbound.headers, [(name, value)] if *name == AUTHORIZATION && value == "Bearer v-secret"));
    assert!(!format!("{outbound:?}").contains("v-secret"));
    assert_eq!(prepare(SILENT, &setting("", None)).expect_err("no url").entry, "url");
}

#[test]
fn the_client_sees_the_usage_that_it_asked_for() {
    let shown =
        |body| String::from_utf8(suite::run(meter(body, true), STREAM.as_bytes(), &[], Ending::Complete).put_out);
    assert_eq!(shown(ASKING_ALL).as_deref(), Ok(STREAM));
    let silent = shown(SILENT).expect("utf-8");
    assert_eq!((silent.matches("usage").count(), silent.matches("\n\n").count()), (0, 5));
    let asking = shown(ASKING).expect("utf-8");
    assert_eq!((asking.matches("usage").count(), asking.matches("\n\n").count()), (1, 6));
    assert!(asking.contains(r#""choices":[],"usage":{"prompt_tokens":30,"total_tokens":36,"completion_tokens":6}"#));
    assert!(silent.contains(r#""token_ids":[10061,752]"#) && silent.contains(r#""stop_reason":null"#));
}

#[test]
fn a_broken_stream_is_billed_by_its_last_report() {
    let cut = STREAM.find(r#"{"content":"."}"#).expect("cut");
    let outcome = suite::run(meter(SILENT, true), &STREAM.as_bytes()[..cut], &[], Ending::Aborted);
    let usage = &outcome.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (30, 5, UsageSource::Partial));
    assert!(outcome.reading.truncated && outcome.tail.is_some());
    let whole = suite::run(meter(SILENT, true), STREAM.as_bytes(), &[], Ending::Complete);
    let usage = &whole.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (30, 6, UsageSource::Upstream), "the last one, no sum");
}

#[test]
fn an_error_in_the_stream_passes() {
    let error = "data: {\"error\":{\"message\":\"engine dead\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n";
    let outcome = suite::run(meter(SILENT, true), error.as_bytes(), &[], Ending::Complete);
    assert_eq!(outcome.put_out, error.as_bytes());
    assert_eq!((outcome.reading.usage.completion_tokens(), outcome.tail), (0, None));
}

#[test]
fn only_the_operator_has_prices() {
    let mut own = setting("http://gpu", None);
    let price = |setting: &Setting| price(&Pricing::shipped(), &Vllm, setting, Some("qwen3-32b"), "qwen3-32b", NOW);
    assert!(price(&own).is_none());
    own.cost_map = Some(CostMap {
        prompt_cost_per_model: [("qwen3-32b".to_owned(), 0.001)].into(),
        completion_cost_per_model: [("qwen3-32b".to_owned(), 0.002)].into(),
        ..CostMap::default()
    });
    let usage = Usage { in_text: 30, out_text: 6, ..Usage::default() };
    assert_eq!(price(&own).map(|p| p.cost(&usage)), Money::parse_usd("0.000042"));
}

#[test]
fn messages_speak_another_dialect() {
    let endpoint = Vllm.endpoint(&Method::POST, "/v1/messages").expect("messages");
    assert_eq!(Vllm.dialect(&endpoint), Dialect::Anthropic);
    let call = Vllm.read(&endpoint, &HeaderMap::new(), &Bytes::from_static(b"{\"model\":\"m\"}")).expect("json");
    assert_eq!(&*call.model, "m", "so that allowed models hold");
}

#[test]
fn any_chunking_and_any_break_is_survived() {
    for body in [SILENT, ASKING, ASKING_ALL] {
        suite::any_chunking_is_the_same(|| meter(body, true), STREAM.as_bytes());
        suite::any_break_is_noticed(|| meter(body, true), STREAM.as_bytes());
    }
}

proptest! {
    #[test]
    fn noise_passes_unchanged(noise in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..40usize) {
        suite::noise_passes(meter(ASKING_ALL, true), &noise, chunk);
    }
}
