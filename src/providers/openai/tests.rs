use super::*;
use crate::domain::{Money, UnixMillis};
use crate::metering::Pricing;
use crate::providers::{Ending, all, by_name, by_path, price};

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

/// An exchange from the request's bytes to its cost.
fn cost(path: &str, request: &str, response: &'static str) -> Option<Money> {
    let provider = by_name("openai")?;
    let endpoint = provider.endpoint(&Method::POST, path)?;
    let request = Bytes::copy_from_slice(request.as_bytes());
    let call = provider.read(&endpoint, &HeaderMap::new(), &request).ok()?;
    let mut meter = provider.meter(&endpoint, &call, 200, &HeaderMap::new(), &request);
    meter.push(Bytes::from_static(response.as_bytes()), &mut Vec::new());
    let reading = meter.reading(Ending::Complete);
    let setting = super::request::tests::setting(Some("sk-1"), None);
    let price = price(&Pricing::shipped(), &**provider, &setting, reading.model.as_deref(), &call.model, NOW)?;
    Some(price.cost(&reading.usage))
}

#[test]
fn an_exchange_has_its_exact_cost() {
    let chat = r#"{"model":"gpt-4o","messages":[]}"#;
    for (path, request, response, usd) in [
        ("/v1/chat/completions", chat, include_str!("fixtures/chat.json"), "0.002"),
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-4","messages":[]}"#,
            r#"{"model":"gpt-4","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":1000}}"#,
            "0.09",
        ),
        (
            "/v1/embeddings",
            r#"{"model":"text-embedding-3-small","input":"x"}"#,
            include_str!("fixtures/embeddings.json"),
            "0.00016382",
        ),
        (
            "/v1/embeddings",
            r#"{"model":"text-embedding-ada-002","input":"x"}"#,
            r#"{"data":[],"usage":{"prompt_tokens":10000,"total_tokens":10000}}"#,
            "0.001",
        ),
        // C06 and one web search.
        ("/v1/responses", r#"{"model":"gpt-6.1-sol","input":"x"}"#, include_str!("fixtures/responses.json"), "0.0241"),
        // C04: the tier of the answer counts.
        (
            "/v1/responses",
            r#"{"model":"gpt-5","input":"x","stream":true}"#,
            include_str!("fixtures/responses.sse"),
            "0.0061875",
        ),
    ] {
        assert_eq!(cost(path, request, response), Money::parse_usd(usd), "{request}");
    }
}

#[test]
fn the_provider_is_found_by_name_and_path() {
    assert!(!all().is_empty());
    let (provider, tail) = by_path("/api/providers/openai/v1/chat/completions").expect("openai");
    assert_eq!((provider.name(), &*tail), ("openai", "/v1/chat/completions"));
    assert_eq!(provider.base_url("https://api.openai.com/v1/"), provider.default_base_url());
}
