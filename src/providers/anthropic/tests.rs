use super::*;
use crate::domain::{Money, UnixMillis};
use crate::metering::Pricing;
use crate::providers::{Ending, by_name, by_path, price};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

/// An exchange from the request's bytes to its cost.
fn cost(path: &str, request: &str, response: &str) -> Option<Money> {
    let provider = by_name("anthropic")?;
    let endpoint = provider.endpoint(&Method::POST, path)?;
    let request = Bytes::copy_from_slice(request.as_bytes());
    let call = provider.read(&endpoint, &HeaderMap::new(), &request).ok()?;
    let mut headers = HeaderMap::new();
    let media = if call.stream { "text/event-stream" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    let mut meter = provider.meter(&endpoint, &call, 200, &headers, &request);
    meter.push(Bytes::copy_from_slice(response.as_bytes()), &mut Vec::new());
    let reading = meter.reading(Ending::Complete);
    let setting = super::request::tests::setting(Some("sk-1"), None);
    let priced = |model: Option<&str>| price(&Pricing::shipped(), &**provider, &setting, model, &call.model, NOW);
    let mut sum = priced(reading.model.as_deref())?.cost(&reading.usage);
    for (model, usage) in meter.also() {
        sum = sum.saturating_add(priced(Some(&model))?.cost(&usage));
    }
    Some(sum)
}

fn message(model: &str, usage: &str) -> String {
    format!(r#"{{"type":"message","model":"{model}","content":[],"usage":{usage}}}"#)
}

#[test]
fn an_exchange_has_its_exact_cost() {
    let sonnet = "claude-sonnet-4-5-20250929";
    let opus = "claude-opus-5-5";
    for (id, response, usd) in [
        (
            "C20",
            message(
                sonnet,
                r#"{"input_tokens":20,"cache_read_input_tokens":100,"cache_creation_input_tokens":40,"output_tokens":7}"#,
            ),
            "0.000345",
        ),
        ("C21", include_str!("fixtures/message.json").to_owned(), "0.0395"),
        ("C22", message(opus, r#"{"input_tokens":1000,"output_tokens":200,"speed":"fast"}"#), "0.016"),
        ("C23", message(opus, r#"{"input_tokens":1000,"output_tokens":200,"inference_geo":"us"}"#), "0.0088"),
        (
            "C25",
            message(sonnet, r#"{"input_tokens":8000,"output_tokens":600,"server_tool_use":{"web_search_requests":2}}"#),
            "0.053",
        ),
        (
            "C26",
            message(
                "claude-haiku-5-5",
                r#"{"input_tokens":50000,"cache_read_input_tokens":60000,"output_tokens":100}"#,
            ),
            "0.02825",
        ),
    ] {
        let request = r#"{"model":"claude-opus-5-5","messages":[]}"#;
        assert_eq!(cost("/v1/messages", request, &response), Money::parse_usd(usd), "{id}");
    }
    // C20 told in two parts, and what a stream with tools, a summary and an advisor costs:
    // (5000 x 8 + 85 x 40 + 1000 x 8 + 50 x 40) x 1.1 + (100 x 3 + 10 x 15), in millionths, and two searches.
    let streamed = r#"{"model":"claude-opus-5-5","messages":[],"stream":true}"#;
    for (response, usd) in
        [(include_str!("fixtures/message.sse"), "0.000345"), (include_str!("fixtures/tools.crlf.sse"), "0.07919")]
    {
        assert_eq!(cost("/v1/messages", streamed, response), Money::parse_usd(usd));
    }
}

#[test]
fn elder_models_have_a_price_by_any_of_their_names() {
    for (model, usd) in [
        ("claude-3-opus-20240229", "15"),
        ("claude-3-5-haiku-20241022", "0.8"),
        ("claude-3-5-sonnet-latest", "3"),
        ("claude-sonnet-4-20250514", "3"),
        ("claude-opus-4-1-20250805", "15"),
    ] {
        let request = format!(r#"{{"model":"{model}","messages":[]}}"#);
        let answer = message(model, r#"{"input_tokens":1000000,"output_tokens":0}"#);
        // Some cost more beyond 200 000 tokens; none of these.
        assert_eq!(cost("/v1/messages", &request, &answer), Money::parse_usd(usd), "{model}");
    }
    assert_eq!(cost("/v1/messages", r#"{"model":"claude"}"#, &message("claude", "{\"input_tokens\":1}")), None);
}

#[test]
fn the_worst_case_covers_every_exchange() {
    let provider = by_name("anthropic").expect("anthropic");
    let endpoint = provider.endpoint(&Method::POST, "/v1/messages").expect("messages");
    let body = Bytes::from_static(
        br#"{"model":"claude-opus-5-5","max_tokens":1024,"speed":"fast","messages":[{"role":"user","content":"Hello, world!"}]}"#,
    );
    let call = provider.read(&endpoint, &HeaderMap::new(), &body).expect("valid");
    let setting = super::request::tests::setting(Some("sk-1"), None);
    let price = price(&Pricing::shipped(), &**provider, &setting, None, &call.model, NOW).expect("listed");
    let worst = provider.worst_case(&endpoint, &call, &body, &price.limits()).expect("bounded");
    // As dear as it can get: all of the prompt written for an hour, the whole output, at speed, in the dearer place.
    let dear = Usage {
        cache_write_1h: body.len() as u64,
        out_text: 1024,
        speed: Some("fast".into()),
        inference_geo: Some("us".into()),
        ..Usage::default()
    };
    assert_eq!(price.ceiling(&worst), price.cost(&dear));
}

#[test]
fn the_provider_is_found_by_name_and_path() {
    let (provider, tail) = by_path("/api/providers/anthropic/v1/messages").expect("anthropic");
    assert_eq!((provider.name(), &*tail), ("anthropic", "/v1/messages"));
    assert_eq!(provider.base_url("https://api.anthropic.com/v1/"), provider.default_base_url());
    assert_eq!(provider.unknown_dialect(), Dialect::Anthropic);
}
