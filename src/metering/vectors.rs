//! The cost vectors of the provider reference, all 34, against the shipped table.

use super::Pricing;
use crate::domain::{Money, UnixMillis, Usage, UsageSource};

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

fn u() -> Usage {
    Usage::default()
}

fn tokens(in_text: u64, cache_read_text: u64, out_text: u64) -> Usage {
    Usage { in_text, cache_read_text, out_text, ..u() }
}

fn tier(name: &str, usage: Usage) -> Usage {
    Usage { service_tier: Some(name.into()), ..usage }
}

/// An operator's entry: per-image prices are gone from the public OpenAI lists.
const PER_IMAGE: &str = r#"{"schema_version":1,"entries":[{"provider":"openai","id":"dall-e-3","units":{"image":[
    {"size":"1024x1024","quality":"standard","usd":"0.04"},{"size":"1024x1792","quality":"hd","usd":"0.08"}]}}]}"#;

#[test]
fn all_vectors_cost_exactly() {
    let table = Pricing::shipped().with_overrides(PER_IMAGE).expect("sound");
    let thinking = || Usage { out_reasoning: 1000, ..tokens(300, 0, 1200) };
    let images = Usage { images: 2, image_size: Some("1024x1792".into()), image_quality: Some("hd".into()), ..u() };
    let openai = "openai";
    let cases: Vec<(&str, &str, &str, Usage, &str)> = vec![
        ("C01", openai, "gpt-4o", tokens(1000, 0, 500), "0.0075"),
        ("C02", openai, "gpt-4o", tokens(200, 800, 50), "0.002"),
        ("C03", openai, "gpt-5", thinking(), "0.012375"),
        ("C04", openai, "gpt-5", tier("flex", thinking()), "0.0061875"),
        ("C05", openai, "gpt-5", tier("priority", thinking()), "0.02475"),
        ("C06", openai, "gpt-6.1-sol", Usage { cache_write_30m: 3000, ..tokens(1000, 6000, 400) }, "0.0141"),
        ("C07", openai, "gpt-5.4", tokens(200_000, 100_000, 1000), "1.0725"),
        ("C08", openai, "gpt-5.4", tokens(272_000, 0, 1000), "0.695"),
        ("C09", openai, "gpt-4o-mini", tokens(100, 0, 90), "0.000069"),
        ("C10", openai, "gpt-audio", Usage { in_audio: 800, out_audio: 500, ..tokens(200, 0, 100) }, "0.0591"),
        ("C11", openai, "text-embedding-3-small", tokens(8191, 0, 0), "0.00016382"),
        ("C12", openai, "gpt-image-1", Usage { in_image: 323, out_image: 4160, ..tokens(50, 0, 0) }, "0.16988"),
        ("C13", openai, "dall-e-3", images, "0.16"),
        ("C14", openai, "tts-1", Usage { characters: 1234, ..u() }, "0.01851"),
        ("C15", openai, "gpt-4o-mini-tts", Usage { out_audio: 101, ..tokens(14, 0, 0) }, "0.0012204"),
        ("C16", openai, "whisper-1", Usage { audio_millis: 75_400, ..u() }, "0.00754"),
        ("C17", openai, "gpt-4o-transcribe", Usage { in_audio: 100, ..tokens(20, 0, 40) }, "0.00105"),
        (
            "C18",
            openai,
            "gpt-realtime",
            Usage { in_audio: 200, cache_read_audio: 500, out_audio: 400, ..tokens(100, 200, 50) },
            "0.03348",
        ),
        ("C19", openai, "gpt-5", Usage { web_search: 3, ..tokens(5000, 0, 700) }, "0.04325"),
        ("C20", "anthropic", "claude-sonnet-4-5", Usage { cache_write_5m: 40, ..tokens(20, 100, 7) }, "0.000345"),
        (
            "C21",
            "anthropic",
            "claude-opus-5-5",
            Usage { cache_write_5m: 1500, cache_write_1h: 500, ..tokens(1000, 30_000, 900) },
            "0.0395",
        ),
        ("C22", "anthropic", "claude-opus-5-5", Usage { speed: Some("fast".into()), ..tokens(1000, 0, 200) }, "0.016"),
        (
            "C23",
            "anthropic",
            "claude-opus-5-5",
            Usage { inference_geo: Some("us".into()), ..tokens(1000, 0, 200) },
            "0.0088",
        ),
        ("C24", "anthropic", "claude-sonnet-4-5", Usage { batch: true, ..tokens(1000, 0, 500) }, "0.00525"),
        ("C25", "anthropic", "claude-sonnet-4-5", Usage { web_search: 2, ..tokens(8000, 0, 600) }, "0.053"),
        ("C26", "anthropic", "claude-haiku-5-5", tokens(50_000, 60_000, 100), "0.02825"),
        (
            "C27",
            "bedrock",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            Usage { cache_write_5m: 300, ..tokens(500, 2000, 80) },
            "0.0016225",
        ),
        ("C28", "bedrock", "amazon.nova-lite-v1:0", tokens(12, 0, 5), "0.00000192"),
        ("C29", "bedrock", "meta.llama3-8b-instruct-v1:0", tokens(100, 0, 20), "0.000042"),
        ("C30", "bedrock", "mistral.mistral-7b-instruct-v0:2", tokens(14, 0, 36), "0.0000093"),
        ("C31", "deepinfra", "meta-llama/Meta-Llama-3.1-8B-Instruct", tokens(15, 0, 16), "0.00000125"),
        ("C32", "azure", "eu/gpt-4o", tokens(1000, 0, 100), "0.00385"),
        ("C33", openai, "gpt-4o", Usage { source: UsageSource::Estimated, ..tokens(1000, 0, 40) }, "0.0029"),
        ("C34", openai, "omni-moderation-latest", tokens(123_456, 0, 0), "0"),
    ];
    assert_eq!(cases.len(), 34);
    for (id, provider, model, usage, usd) in cases {
        let price = table.price(provider, model, NOW, None).unwrap_or_else(|| panic!("{id}: {model} has no price"));
        assert_eq!(price.cost(&usage), Money::parse_usd(usd).expect(usd), "{id}");
    }
}
