use super::*;
use crate::domain::{Money, Secret, SettingId, UnixMillis, UsageSource};
use crate::metering::Pricing;
use crate::providers::{Ending, base_url, by_name, price, suite};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);
const CLASSIC: &str = "/openai/deployments/my-dep/chat/completions";
const V1: &str = "/openai/v1/chat/completions";
const STREAM: &str = include_str!("fixtures/chat.sse");
const UNARY: &str = include_str!("fixtures/chat.json");

pub(super) fn setting(parameters: &[(&str, &str)]) -> Setting {
    let own = [("resourceName", "my-resource")];
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "azure".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: own.iter().chain(parameters).map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        secrets: [("apikey".into(), Secret::new("az-secret"))].into(),
        cost_map: None,
    }
}

fn read(path: &str, body: &str) -> (Endpoint, Call) {
    let endpoint = Azure.endpoint(&Method::POST, path).expect(path);
    let call = Azure.read(&endpoint, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes())).expect(body);
    (endpoint, call)
}

fn prepare(path: &str, query: Option<&str>, body: &str, setting: &Setting) -> Result<Outbound, IncompleteSetting> {
    let (endpoint, call) = read(path, body);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let (headers, call) = (HeaderMap::new(), Azure.with_setting(&call, setting));
    Azure.prepare(&Prepare {
        endpoint: &endpoint,
        call: &call,
        setting,
        headers: &headers,
        query,
        body: &body,
        ambient: None,
    })
}

fn meter(body: &str, events: bool) -> Box<dyn ResponseMeter> {
    let (endpoint, call) = read(CLASSIC, body);
    let mut headers = HeaderMap::new();
    let media = if events { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Azure.meter(&endpoint, &call, 200, &headers, &Bytes::copy_from_slice(body.as_bytes()))
}

const ASKING: &str = r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
const SILENT: &str = r#"{"messages":[],"stream":true}"#;

#[test]
fn the_path_names_the_model_where_it_names_one() {
    let (_, call) = read(CLASSIC, r#"{"model":"gpt-4o","messages":[],"user":"u","max_tokens":5}"#);
    assert_eq!((&*call.model, &*call.alias, &*call.user, call.max_output), ("my-dep", "gpt-4o", "u", Some(5)));
    let (_, call) = read(V1, r#"{"model":"my-dep","messages":[]}"#);
    assert_eq!((&*call.model, &*call.alias), ("my-dep", ""));
    let known = setting(&[("deployments", "my-dep=gpt-4o")]);
    let call = Azure.with_setting(&call, &known);
    assert_eq!((&*call.model, &*call.alias), ("gpt-4o", "my-dep"));
}

#[test]
fn c88_the_resource_is_the_host() {
    let resource = setting(&[]);
    let url = |configured| base_url(&Azure, configured, &resource).map(|url| url.into_owned());
    assert_eq!(url(None).as_deref(), Ok("https://my-resource.openai.azure.com"));
    assert_eq!(url(Some("http://127.0.0.1:9/openai/")).as_deref(), Ok("http://127.0.0.1:9"));
    for bad in ["evil.com/", "a.b", "a@b", "", "x#"] {
        let resource = setting(&[("resourceName", bad)]);
        let error = base_url(&Azure, None, &resource).expect_err(bad);
        assert_eq!(error.entry, "resourceName");
        assert!(Azure.objection("resourceName", bad).is_some(), "{bad}");
    }
    let own = setting(&[("baseUrl", "https://r.services.ai.azure.com/openai/v1")]);
    let outbound = prepare(CLASSIC, None, SILENT, &own).expect("complete");
    assert_eq!(outbound.base_url.as_deref(), Some("https://r.services.ai.azure.com"));
}

#[test]
fn the_credential_stands_where_the_setting_says() {
    for (scheme, name, value) in [
        (None, "api-key", "az-secret"),
        (Some("api-key"), "api-key", "az-secret"),
        (Some("bearer"), "authorization", "Bearer az-secret"),
    ] {
        let setting = setting(&scheme.map(|s| [("authScheme", s)]).unwrap_or([("x", "y")]));
        let outbound = prepare(CLASSIC, None, SILENT, &setting).expect("complete");
        let name = HeaderName::from_static(name);
        assert!(matches!(&*outbound.headers, [(have, v)] if *have == name && v == value), "{:?}", outbound.headers);
        assert!(!format!("{outbound:?}").contains("az-secret"));
    }
    let error = prepare(CLASSIC, None, SILENT, &setting(&[("authScheme", "basic")])).expect_err("unknown");
    assert_eq!(error.entry, "authScheme");
    let mut bare = setting(&[]);
    bare.secrets.clear();
    assert_eq!(prepare(CLASSIC, None, SILENT, &bare).expect_err("no key").entry, "apikey");
    assert_ne!(HeaderName::from_static("api-key"), AUTHORIZATION);
}

#[test]
fn usage_is_asked_for_where_the_version_knows_the_question() {
    for (path, query, default, asks) in [
        (CLASSIC, Some("api-version=2024-10-21"), None, true),
        (CLASSIC, Some("api-version=2024-09-01-preview"), None, true),
        (CLASSIC, Some("api-version=2024-06-01"), None, false),
        (CLASSIC, Some("api-version=2024-06-01"), Some("2024-10-21"), false),
        (CLASSIC, None, Some("2024-10-21"), true),
        (CLASSIC, None, Some("2023-05-15"), false),
        (CLASSIC, None, None, false),
        (V1, None, None, true),
        (V1, None, Some("2023-05-15"), true),
        (V1, Some("api-version=preview"), None, true),
    ] {
        let setting = setting(&default.map(|v| [("apiVersion", v)]).unwrap_or([("x", "y")]));
        let outbound = prepare(path, query, SILENT, &setting).expect("complete");
        let asked = outbound.body.ends_with(br#""stream_options":{"include_usage":true}}"#);
        assert_eq!((asked, asked || outbound.body == SILENT), (asks, true), "{path} {query:?} {default:?}");
        let adds = path == CLASSIC && query.is_none() && default.is_some();
        assert_eq!(outbound.query.is_some(), adds, "{path} {query:?} {default:?}");
    }
}

#[test]
fn entries_are_looked_at() {
    for (entry, good, bad) in [
        ("resourceName", "my-res1", "my.res"),
        ("apiVersion", "2024-10-21", "2024"),
        ("authScheme", "bearer", "Basic"),
        ("dataZone", "eu", "europe"),
        ("deployments", "a=gpt-4o,b=gpt-5", "a:gpt-4o"),
    ] {
        assert_eq!(Azure.objection(entry, good), None, "{entry}");
        assert!(Azure.objection(entry, bad).is_some(), "{entry}");
        let schema = Azure.setting_schema();
        assert!(schema.required.contains(&entry) || schema.optional.contains(&entry), "{entry}");
    }
}

#[test]
fn c32_an_exchange_has_the_price_of_its_zone() {
    let eu = &[("deployments", "my-dep=gpt-4o"), ("dataZone", "eu")][..];
    let unmapped = &[("dataZone", "eu")][..];
    let global = &[("deployments", "my-dep=gpt-4o")][..];
    let lying = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#;
    for (parameters, answer, usd) in [
        (eu, UNARY, Some("0.00385")),
        (eu, STREAM, Some("0.00385")),
        (unmapped, UNARY, Some("0.00385")),
        (eu, lying, Some("0.00385")),
        (global, UNARY, Some("0.0035")),
        (unmapped, lying, None),
    ] {
        let setting = setting(parameters);
        let (_, call) = read(CLASSIC, SILENT);
        let call = Azure.with_setting(&call, &setting);
        let outcome = suite::run(meter(SILENT, answer == STREAM), answer.as_bytes(), &[], Ending::Complete);
        let model = outcome.reading.model.as_deref();
        let price = price(&Pricing::shipped(), &Azure, &setting, model, &call.model, NOW);
        assert_eq!(price.map(|p| p.cost(&outcome.reading.usage)), usd.and_then(Money::parse_usd), "{parameters:?}");
    }
}

#[test]
fn a_filter_report_is_no_usage_and_no_model() {
    let outcome = suite::run(meter(ASKING, true), STREAM.as_bytes(), &[], Ending::Complete);
    assert_eq!(outcome.put_out, STREAM.as_bytes());
    assert_eq!(outcome.reading.model.as_deref(), Some("gpt-4o-2024-11-20"));
    let usage = &outcome.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (1000, 100, UsageSource::Upstream));
    let hidden = suite::run(meter(SILENT, true), STREAM.as_bytes(), &[], Ending::Complete);
    let text = String::from_utf8(hidden.put_out).expect("utf-8");
    assert!(!text.contains("usage") && text.contains("prompt_filter_results") && text.contains("check_offset"));
    assert_eq!(hidden.reading, outcome.reading);
    let first = STREAM.find("\n\n").expect("event") + 2;
    let broken = suite::run(meter(SILENT, true), &STREAM.as_bytes()[..first], &[], Ending::Aborted);
    assert_eq!((broken.reading.model, broken.reading.usage.source), (None, UsageSource::Estimated));
}

#[test]
fn fetched_documents_have_no_bound() {
    let (endpoint, call) = read(CLASSIC, r#"{"messages":[],"max_tokens":5}"#);
    let limits = ModelLimits { input: Some(128_000), output: Some(4096) };
    let bound = |body: &str| Azure.worst_case(&endpoint, &call, body.as_bytes(), &limits).map(|u| u.out_text);
    assert_eq!(bound(r#"{"messages":[],"max_tokens":5}"#), Some(5));
    assert_eq!(bound(r#"{"messages":[],"data_sources":null}"#), Some(5));
    assert_eq!(bound(r#"{"messages":[],"data_sources":[{"type":"azure_search"}]}"#), None);
    assert_eq!(bound(r#"{"messages":[],"data\u005fsources":[{}]}"#), None);
}

#[test]
fn any_chunking_and_any_break_is_survived() {
    for body in [SILENT, ASKING] {
        suite::any_chunking_is_the_same(|| meter(body, true), STREAM.as_bytes());
        suite::any_break_is_noticed(|| meter(body, true), STREAM.as_bytes());
    }
    suite::any_chunking_is_the_same(|| meter("{}", false), UNARY.as_bytes());
    assert!(by_name("azure").is_some());
}

proptest! {
    #[test]
    fn noise_passes_unchanged(noise in prop::collection::vec(any::<u8>(), 0..300), events in any::<bool>(), chunk in 1..40usize) {
        suite::noise_passes(meter(ASKING, events), &noise, chunk);
    }

    #[test]
    fn any_path_and_query_is_survived(path in "(/|%|\\.|openai|v1|deployments|[a-z]{1,3}){0,8}", query in "(&|=|%|api-version|api-key|[a-z0-9]){0,8}") {
        if let Some(endpoint) = Azure.endpoint(&Method::POST, &path) {
            prop_assert!(endpoint.path.starts_with("/openai/"));
            let headers = HeaderMap::new();
            let (call, setting, body) = (Call::default(), setting(&[("apiVersion", "2024-10-21")]), Bytes::new());
            let request = Prepare {
                endpoint: &endpoint, call: &call, setting: &setting, headers: &headers, query: Some(&query), body: &body, ambient: None,
            };
            let sent = Azure.prepare(&request).expect("complete").query;
            prop_assert!(!sent.as_deref().unwrap_or(&query).split('&').any(|part| part.starts_with("api-key=")));
        }
    }
}

fn params(all: &[(&str, &str)]) -> BTreeMap<Box<str>, Box<str>> {
    all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

#[test]
fn c136_a_step_asks_its_deployment_in_its_version() {
    let named = params(&[("deploymentId", "prod-gpt4"), ("apiVersion", "2024-10-21")]);
    for (operation, path) in [
        (StepOperation::Chat(Format::OpenAiChat), "/openai/deployments/prod-gpt4/chat/completions"),
        (StepOperation::Chat(Format::Anthropic), "/openai/deployments/prod-gpt4/chat/completions"),
        (StepOperation::Embeddings, "/openai/deployments/prod-gpt4/embeddings"),
    ] {
        let route = Azure.step(&named, operation, "gpt-4", true).expect(path);
        assert_eq!((&*route.path, &*route.query), (path, "api-version=2024-10-21"));
        assert_eq!(route.format, Format::OpenAiChat);
        let endpoint = Azure.endpoint(&Method::POST, &route.path).expect(path);
        assert_eq!(endpoint.billing, crate::providers::Billing::Usage);
        let sent = prepare(path, Some(&route.query), r#"{"model":"gpt-4"}"#, &setting(&[("apiVersion", "2023-05-15")]));
        assert_eq!(sent.expect("a request").query, None, "the step's own version is sent");
    }
    let chat = StepOperation::Chat(Format::OpenAiChat);
    let unnamed = Azure.step(&params(&[]), chat, "gpt-4", false).expect("a route");
    assert_eq!((&*unnamed.path, &*unnamed.query), ("/openai/deployments/gpt-4/chat/completions", ""));
    // What would be read as another path or query is no deployment and no version.
    let odd = params(&[("deploymentId", "a/../b?x=1"), ("apiVersion", "2024-10-21&api-key=x")]);
    let odd = Azure.step(&odd, chat, "gpt-4", false).expect("a route");
    assert_eq!(&*odd.query, "api-version=2024-10-21%26api-key%3Dx");
    assert_eq!(Azure.endpoint(&Method::POST, &odd.path), None);
}

#[test]
fn a_step_costs_and_is_called_what_it_says() {
    let own = |setting: &Setting| {
        let (_, call) = read(CLASSIC, r#"{"model":"something"}"#);
        let call = call.of_step("gpt-4o", setting);
        let price = |answered| price(&Pricing::shipped(), &Azure, setting, answered, &call.model, NOW);
        let usage = Usage { in_text: 1_000_000, ..Usage::default() };
        let costs = [None, Some("gpt-4o-mini-2024-07-18")].map(|a| price(a).map(|price| price.cost(&usage)));
        (call.model.to_string(), call.alias.to_string(), costs)
    };
    let [step, answered] = ["2.5", "0.15"].map(Money::parse_usd);
    let expected = ("gpt-4o".to_owned(), "my-dep".to_owned(), [step, answered]);
    assert_eq!(own(&setting(&[])), expected);
    assert_eq!(own(&setting(&[("deployments", "my-dep=gpt-5,gpt-4o=gpt-5")])), expected, "the step knows better");

    let mut priced = setting(&[]);
    priced.cost_map = Some(crate::domain::CostMap {
        prompt_cost_per_model: BTreeMap::from([("my-dep".to_owned(), 0.001)]),
        completion_cost_per_model: BTreeMap::from([("my-dep".to_owned(), 0.001)]),
        ..Default::default()
    });
    let [one, _] = ["1", "1"].map(Money::parse_usd);
    assert_eq!(own(&priced), ("my-dep".to_owned(), "gpt-4o".to_owned(), [one, one]), "a price of its own goes first");
}
