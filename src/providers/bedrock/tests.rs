use super::*;
use crate::domain::{Money, Secret, SettingId, UnixMillis};
use crate::metering::Pricing;
use crate::providers::{Ending, by_name, by_path, price};

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

/// A setting with these entries, public or secret as the schema says.
pub(super) fn setting(entries: &[(&str, &str)]) -> Setting {
    let public = |name: &str| super::setting::SCHEMA.public.contains(&name);
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "bedrock".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: entries.iter().filter(|(name, _)| public(name)).map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        secrets: entries
            .iter()
            .filter(|(name, _)| !public(name))
            .map(|(n, v)| ((*n).into(), Secret::new(*v)))
            .collect(),
        cost_map: None,
    }
}

pub(super) fn keys() -> Setting {
    setting(&[("awsRegion", "us-east-1"), ("awsAccessKeyId", "AKIDEXAMPLE"), ("awsSecretAccessKey", "secret")])
}

/// An exchange from the request's bytes to its cost.
fn cost(path: &str, request: &str, headers: &[(&'static str, &'static str)], response: &'static str) -> Option<Money> {
    let provider = by_name("bedrock")?;
    let endpoint = provider.endpoint(&Method::POST, path)?;
    let request = Bytes::copy_from_slice(request.as_bytes());
    let call = provider.read(&endpoint, &HeaderMap::new(), &request).ok()?;
    let mut head = HeaderMap::new();
    for (name, value) in headers {
        head.insert(*name, http::HeaderValue::from_static(value));
    }
    let mut meter = provider.meter(&endpoint, &call, 200, &head, &request);
    meter.push(Bytes::from_static(response.as_bytes()), &mut Vec::new());
    let reading = meter.reading(Ending::Complete);
    let price = price(&Pricing::shipped(), &**provider, &keys(), reading.model.as_deref(), &call.model, NOW)?;
    Some(price.cost(&reading.usage))
}

#[test]
fn an_exchange_has_its_exact_cost() {
    const COUNTS: &[(&str, &str)] =
        &[("x-amzn-bedrock-input-token-count", "14"), ("x-amzn-bedrock-output-token-count", "36")];
    for (name, path, request, headers, response, usd) in [
        (
            "C27",
            "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
            r#"{"messages":[]}"#,
            &[][..],
            r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn",
                "usage":{"inputTokens":500,"outputTokens":80,"totalTokens":2880,"cacheReadInputTokens":2000,
                "cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"5m","inputTokens":300}]}}"#,
            "0.0016225",
        ),
        (
            "C29",
            "/model/meta.llama3-8b-instruct-v1:0/invoke",
            r#"{"prompt":"Hi"}"#,
            &[],
            r#"{"generation":"x","prompt_token_count":100,"generation_token_count":20,"stop_reason":"stop"}"#,
            "0.000042",
        ),
        (
            "C30",
            "/model/mistral.mistral-7b-instruct-v0:2/invoke",
            r#"{"prompt":"Hi"}"#,
            COUNTS,
            r#"{"outputs":[{"text":"x","stop_reason":"stop"}]}"#,
            "0.0000093",
        ),
    ] {
        assert_eq!(cost(path, request, headers, response), Money::parse_usd(usd), "{name}");
    }
}

#[test]
fn the_dialect_follows_the_path() {
    for (path, dialect) in [
        ("/api/providers/bedrock/model/m/converse", Dialect::Aws),
        ("/api/providers/bedrock/anthropic/v1/messages", Dialect::Anthropic),
    ] {
        let (provider, tail) = by_path(path).expect(path);
        let endpoint = provider.endpoint(&Method::POST, &tail).expect(path);
        assert_eq!((provider.name(), provider.dialect(&endpoint)), ("bedrock", dialect));
    }
}
