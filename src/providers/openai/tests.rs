use super::*;
use crate::domain::{Money, UnixMillis};
use crate::metering::Pricing;
use crate::providers::{Ending, by_name, by_path, price};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

/// An exchange from the request's bytes to its cost.
fn cost(path: &str, request: &str, response: &'static str) -> Option<Money> {
    let provider = by_name("openai")?;
    let endpoint = provider.endpoint(&Method::POST, path)?;
    let request = Bytes::copy_from_slice(request.as_bytes());
    let media = |text| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
    let form = media("multipart/form-data; boundary=cut");
    let call = provider.read(&endpoint, &form, &request).ok()?;
    let events = response.starts_with("data:") || response.starts_with("event:");
    let json = if events { "text/event-stream" } else { "application/json" };
    let answer = media(if response.starts_with("ID3") { "audio/mpeg" } else { json });
    let mut meter = provider.meter(&endpoint, &call, 200, &answer, &request);
    meter.push(Bytes::from_static(response.as_bytes()), &mut Vec::new());
    let reading = meter.reading(Ending::Complete);
    let setting = super::request::tests::setting(Some("sk-1"), None);
    let table = Pricing::shipped().with_overrides(PER_PICTURE).ok()?;
    let price_of = |model: &str| price(&table, &**provider, &setting, None, model, NOW);
    if let [charge] = &*reading.charges {
        return Some(price_of(&charge.model)?.cost(&charge.usage));
    }
    let own = price(&table, &**provider, &setting, reading.model.as_deref(), &call.model, NOW)?.cost(&reading.usage);
    meter.also().iter().try_fold(own, |sum, (model, usage)| Some(sum.saturating_add(price_of(model)?.cost(usage))))
}

/// An operator's entry: such prices are gone from the public lists.
const PER_PICTURE: &str = r#"{"schema_version":1,"entries":[{"provider":"openai","id":"dall-e-3","units":{"image":[
    {"size":"1024x1024","quality":"standard","usd":"0.04"},{"size":"1024x1792","quality":"hd","usd":"0.08"}]}}]}"#;

#[test]
fn pictures_and_sound_have_their_exact_cost() {
    let form =
        |model: &str| format!("--cut\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--cut--\r\n");
    let long = format!(r#"{{"model":"tts-1","voice":"alloy","input":"{}"}}"#, "\u{e9}".repeat(1234));
    for (path, request, response, usd) in [
        // C12, and a drawing by gpt-5: 100 x 1.25/M + 50 x 10/M.
        (
            "/v1/images/generations",
            r#"{"model":"gpt-image-1","prompt":"a"}"#.to_owned(),
            include_str!("fixtures/image.json"),
            "0.170505",
        ),
        // 50 x 5/M + 4260 x 40/M
        (
            "/v1/images/generations",
            r#"{"model":"gpt-image-1","prompt":"a","stream":true}"#.to_owned(),
            include_str!("fixtures/image.sse"),
            "0.17065",
        ),
        // C13
        (
            "/v1/images/generations",
            r#"{"model":"dall-e-3","prompt":"a","n":2,"size":"1024x1792","quality":"hd"}"#.to_owned(),
            r#"{"created":1,"data":[{"url":"a"},{"url":"b"}]}"#,
            "0.16",
        ),
        // C14
        ("/v1/audio/speech", long, "ID3", "0.01851"),
        // C15
        (
            "/v1/audio/speech",
            r#"{"model":"gpt-4o-mini-tts","input":"a","stream_format":"sse"}"#.to_owned(),
            include_str!("fixtures/speech.sse"),
            "0.0012204",
        ),
        // C16
        (
            "/v1/audio/transcriptions",
            form("whisper-1"),
            r#"{"text":"a","usage":{"type":"duration","seconds":75.4}}"#,
            "0.00754",
        ),
        ("/v1/audio/translations", form("whisper-1"), r#"{"text":"a","duration":75.4}"#, "0.00754"),
        // C17
        ("/v1/audio/transcriptions", form("gpt-4o-transcribe"), include_str!("fixtures/transcript.json"), "0.00105"),
        ("/v1/audio/transcriptions", form("gpt-4o-transcribe"), include_str!("fixtures/transcript.sse"), "0.00105"),
        // 1000 x 2.5/M + 50 x 10/M, one search of files, one session.
        (
            "/v1/threads/runs",
            r#"{"assistant_id":"a","stream":true}"#.to_owned(),
            include_str!("fixtures/run.sse"),
            "0.0355",
        ),
    ] {
        assert_eq!(cost(path, &request, response), Money::parse_usd(usd), "{path} {response}");
    }
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
    let (provider, tail) = by_path("/api/providers/openai/v1/chat/completions").expect("openai");
    assert_eq!((provider.name(), &*tail), ("openai", "/v1/chat/completions"));
    assert_eq!(provider.base_url("https://api.openai.com/v1/"), provider.default_base_url());
}
