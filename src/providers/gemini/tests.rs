use super::*;
use crate::domain::{Secret, SettingId, UnixMillis, UsageSource};
use crate::providers::{Ending, suite};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;

const MODEL: &str = "/v1beta/models/gemini-2.5-flash";
const ASKED: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Why is the sky blue?"}]}]}"#;
const STREAM: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Because of\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":2,\"totalTokenCount\":29,\"thoughtsTokenCount\":20},\"modelVersion\":\"gemini-2.5-flash-preview\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" Rayleigh scattering of the light of the sun\"}],\"role\":\"model\"},\"index\":0}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\".\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":12,\"totalTokenCount\":39,\"thoughtsTokenCount\":20}}\r\n\r\n",
);

fn setting(base: Option<&str>, key: Option<&str>) -> Setting {
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "gemini".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: base.map(|b| ("baseUrl".into(), b.into())).into_iter().collect(),
        secrets: key.map(|k| ("apikey".into(), Secret::new(k))).into_iter().collect(),
        cost_map: None,
    }
}

fn endpoint(operation: &str) -> Endpoint {
    Gemini.endpoint(&Method::POST, &format!("{MODEL}:{operation}")).expect(operation)
}

fn read(operation: &str, body: &str) -> Result<Call, BadCall> {
    Gemini.read(&endpoint(operation), &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()))
}

fn meter(operation: &str, body: &str, media: &'static str) -> Box<dyn ResponseMeter> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let call = read(operation, body).expect(body);
    Gemini.meter(&endpoint(operation), &call, 200, &headers, &Bytes::copy_from_slice(body.as_bytes()))
}

fn events() -> Box<dyn ResponseMeter> {
    meter("streamGenerateContent", ASKED, "text/event-stream")
}

fn told(usage: &Usage) -> (u64, u64, UsageSource) {
    (usage.prompt_tokens(), usage.completion_tokens(), usage.source)
}

#[test]
fn path_and_body_make_the_call() {
    let call = read("streamGenerateContent", ASKED).expect("a call");
    assert_eq!((&*call.model, call.stream, call.max_output, call.choices), ("gemini-2.5-flash", true, None, 1));
    for config in [
        r#""generationConfig":{"maxOutputTokens":9,"candidateCount":3}"#,
        r#""generation_config":{"max_output_tokens":"9","candidate_count":3}"#,
        r#""generationConfig":{"maxOutputTokens":1,"max_output_tokens":9,"candidateCount":3}"#,
        r#""generationConfig":{"maxOutputTokens":9},"generation\u005fconfig":{"candidateCount":3}"#,
    ] {
        let call = read("generateContent", &format!(r#"{{"contents":[],{config}}}"#)).expect(config);
        assert_eq!((call.max_output, call.choices, call.stream), (Some(9), 3, false), "{config}");
    }
    let call = read("generateContent", r#"{"model":"models/gemini-2.5-pro","serviceTier":"SERVICE_TIER_PRIORITY"}"#);
    let call = call.expect("a call");
    assert_eq!((&*call.more_models, &*call.tier), (&[Box::from("gemini-2.5-pro")][..], "priority"));
    let batch = r#"{"requests":[{"model":"models/gemini-2.5-flash"},{"model":"models/other"},{"model":"other"}]}"#;
    assert_eq!(&*read("batchEmbedContents", batch).expect("a call").more_models, [Box::from("other")]);
    for bad in ["[]", "", r#"{"contents":"#] {
        assert!(read("generateContent", bad).is_err(), "{bad}");
    }
}

#[test]
fn names_have_two_spellings() {
    for (key, name, same) in [
        ("maxOutputTokens", "max_output_tokens", true),
        ("max_output_tokens", "max_output_tokens", true),
        ("max_outputTokens", "max_output_tokens", true),
        ("tools", "tools", true),
        ("maxoutputtokens", "max_output_tokens", false),
        ("maxOutputToken", "max_output_tokens", false),
        ("maxOutputTokensX", "max_output_tokens", false),
        ("", "tools", false),
    ] {
        assert_eq!(request::is(key.as_bytes(), name), same, "{key}");
    }
}

#[test]
fn only_the_settings_key_goes_out_and_only_what_is_metered_comes_back() {
    let endpoint = endpoint("generateContent");
    let call = read("generateContent", ASKED).expect("a call");
    let headers = HeaderMap::from_iter([
        ("accept".parse().expect("a name"), HeaderValue::from_static("application/x-protobuf")),
        ("x-goog-fieldmask".parse().expect("a name"), HeaderValue::from_static("candidates")),
    ]);
    let body = Bytes::from_static(ASKED.as_bytes());
    let prepared = |setting: &Setting, query, headers: &HeaderMap| {
        let (endpoint, call, body) = (&endpoint, &call, &body);
        Gemini.prepare(&Prepare { endpoint, call, setting, headers, query, body, ambient: None })
    };
    let own = setting(Some("http://127.0.0.1:1/v1beta/"), Some("g-secret"));
    let query = "key=mine&alt=sse&$alt=proto&alt=proto&fields=candidates&access_token=t&%6bey=k&pageSize=5";
    let outbound = prepared(&own, Some(query), &headers).expect("complete");
    let pairs: Vec<_> = outbound.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().expect("text"))).collect();
    assert_eq!(pairs, [("x-goog-api-key", "g-secret"), ("x-goog-fieldmask", "*"), ("accept", "*/*")]);
    assert_eq!(outbound.query.as_deref(), Some("alt=sse&pageSize=5"));
    assert_eq!(outbound.base_url.as_deref(), Some("http://127.0.0.1:1"));
    assert!(!format!("{outbound:?}").contains("g-secret"));
    let plain = prepared(&setting(None, Some("g-secret")), None, &HeaderMap::new()).expect("complete");
    assert_eq!((plain.headers.len(), plain.base_url, plain.query.as_deref()), (1, None, Some("")));
    assert_eq!(prepared(&setting(None, None), None, &headers).expect_err("no key").entry, "apikey");
}

#[test]
fn what_the_credential_keeps_is_named() {
    let body = br#"{"cachedContent":"cachedContents/c1","contents":[{"parts":[
        {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f1"}},
        {"file_data":{"file_uri":"files/f2"}},
        {"fileData":{"fileUri":"https://www.youtube.com/watch?v=files/x"}}]}]}"#;
    let ids = Gemini.references(&endpoint("generateContent"), None, body);
    assert_eq!(ids, ["cachedContents/c1", "files/f1", "files/f2"].map(Box::from));
    assert!(Gemini.references(&endpoint("generateContent"), None, ASKED.as_bytes()).is_empty());
}

#[test]
fn a_stream_is_billed_by_its_last_usage() {
    let outcome = suite::run(events(), STREAM.as_bytes(), &[], Ending::Complete);
    assert_eq!((&outcome.put_out[..], outcome.completed_with.as_deref()), (STREAM.as_bytes(), Some(STREAM.as_bytes())));
    assert_eq!(told(&outcome.reading.usage), (7, 32, UsageSource::Upstream));
    assert_eq!((outcome.reading.usage.out_reasoning, outcome.reading.truncated, outcome.tail), (20, false, None));
    assert_eq!(outcome.reading.model.as_deref(), Some("gemini-2.5-flash-preview"));
}

#[test]
fn a_broken_stream_is_billed_by_the_more_of_said_and_seen() {
    let cut = STREAM.find("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\".\"").expect("cut");
    let outcome = suite::run(events(), &STREAM.as_bytes()[..cut], &[], Ending::Aborted);
    // Twenty-two were told with the first piece; what was seen is less.
    assert_eq!(told(&outcome.reading.usage), (7, 22, UsageSource::Partial));
    assert!(outcome.reading.truncated);
    let silent = STREAM.replace("thoughtsTokenCount", "other").replace("candidatesTokenCount", "another");
    let cut = silent.find("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\".\"").expect("cut");
    let usage = suite::run(events(), &silent.as_bytes()[..cut], &[], Ending::Aborted).reading.usage;
    assert!(usage.out_text >= 8 && usage.in_text == 7 && usage.source == UsageSource::Partial, "{usage:?}");
    let tail = String::from_utf8(outcome.tail.expect("a tail").to_vec()).expect("utf-8");
    assert!(tail.starts_with("data: {\"error\":{") && tail.ends_with("}}\n\n") && tail.contains("lost"), "{tail}");
}

#[test]
fn without_usage_it_is_counted() {
    let silent = STREAM.replace("usageMetadata", "nothing");
    let usage = suite::run(events(), silent.as_bytes(), &[], Ending::Complete).reading.usage;
    assert!(usage.in_text > 5 && usage.out_text > 8 && usage.source == UsageSource::Estimated, "{usage:?}");
    let error = "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n";
    let failed = suite::run(events(), error.as_bytes(), &[], Ending::Complete);
    assert_eq!((told(&failed.reading.usage), failed.tail), ((0, 0, UsageSource::None), None));
}

#[test]
fn several_candidates_end_one_by_one() {
    let body = r#"{"contents":[],"generationConfig":{"candidateCount":2}}"#;
    let piece = |index: u8, out: u8| {
        format!(
            "data: {{\"candidates\":[{{\"finishReason\":\"STOP\",\"index\":{index}}}],\"usageMetadata\":{{\"promptTokenCount\":1,\"candidatesTokenCount\":{out}}}}}\n\n"
        )
    };
    let stream = format!("{}{}", piece(1, 3), piece(0, 8));
    let make = || meter("streamGenerateContent", body, "text/event-stream");
    let outcome = suite::run(make(), stream.as_bytes(), &[], Ending::Complete);
    assert_eq!(
        (told(&outcome.reading.usage), outcome.completed_with),
        ((1, 8, UsageSource::Upstream), Some(stream.clone().into_bytes()))
    );
    suite::any_break_is_noticed(make, stream.as_bytes());
}

#[test]
fn whole_answers_and_lists_of_pieces() {
    let whole = |operation, body: &str, answer: &str| {
        let outcome = suite::run(
            meter(operation, body, "application/json; charset=UTF-8"),
            answer.as_bytes(),
            &[9],
            Ending::Complete,
        );
        assert_eq!(outcome.put_out, answer.as_bytes());
        (told(&outcome.reading.usage), outcome.reading.truncated)
    };
    let answer = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"thoughtsTokenCount":10}}"#;
    let said = (4, 12, UsageSource::Upstream);
    assert_eq!(whole("generateContent", ASKED, answer), (said, false));
    assert_eq!(whole("streamGenerateContent", ASKED, &format!("[{{\"candidates\":[]}},\r\n{answer}]")), (said, false));
    assert!(whole("streamGenerateContent", ASKED, &format!("[{answer},\r\n")).1, "the list has no end");
    assert!(whole("generateContent", ASKED, answer.split_at(60).0).1);
    let ((input, output, source), _) = whole(
        "embedContent",
        r#"{"content":{"parts":[{"text":"What is the meaning of life?"}]}}"#,
        r#"{"embedding":{"values":[0.1]}}"#,
    );
    assert!(input >= 6 && output == 0 && source == UsageSource::Estimated, "{input}");
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
    assert_eq!(whole("generateContent", ASKED, blocked), ((4, 0, UsageSource::Upstream), false));
}

#[test]
fn searches_are_counted_as_they_are_billed() {
    let answer = r#"{"candidates":[{"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a","b"]}}],"modelVersion":"M","usageMetadata":{"promptTokenCount":4}}"#;
    for (model, searches) in [("gemini-2.5-pro", 1), ("gemini-3-pro-preview", 2)] {
        let answer = answer.replace("\"M\"", &format!("\"{model}\""));
        let meter = meter("generateContent", ASKED, "application/json");
        let usage = suite::run(meter, answer.as_bytes(), &[], Ending::Complete).reading.usage;
        assert_eq!(usage.web_search, searches, "{model}");
    }
}

#[test]
fn prices_are_found_without_a_version() {
    let names = |model: &str| {
        let mut tried = Vec::new();
        request::price_names(model, &mut |name| {
            tried.push(name.to_owned());
            false
        });
        tried.join(",")
    };
    assert_eq!(names("models/gemini-2.0-flash-001"), "gemini-2.0-flash-001,gemini-2.0-flash");
    assert_eq!(names("gemini-flash-latest"), "gemini-flash-latest,gemini-flash");
    assert_eq!(names("gemini-2.5-pro"), "gemini-2.5-pro");
}

#[test]
fn bounds_hold() {
    const LIMITS: ModelLimits = ModelLimits { input: Some(1_000_000), output: Some(65_536) };
    let bound = |body: &str, limits: &ModelLimits| {
        let call = read("generateContent", body).expect(body);
        let found = Gemini.worst_case(&endpoint("generateContent"), &call, body.as_bytes(), limits);
        found.map(|usage| (usage.in_text, usage.out_text))
    };
    let text = r#"{"contents":[{"parts":[{"text":"hi"},{"functionResponse":{"name":"f","response":{}}}]}],"tools":[{"functionDeclarations":[]}],"generationConfig":{"maxOutputTokens":5,"candidateCount":2}}"#;
    assert_eq!(bound(text, &LIMITS), Some((text.len() as u64, 10)));
    assert_eq!(bound(text, &ModelLimits::default()), Some((text.len() as u64, 10)));
    assert_eq!(bound(ASKED, &LIMITS), Some((ASKED.len() as u64, 65_536)));
    assert_eq!(bound(ASKED, &ModelLimits::default()), None, "nothing bounds the output");
    for outside in [
        r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}]}"#,
        r#"{"contents":{"parts":{"inline_data":{}}}}"#,
        r#"{"contents":[{"p\u0061rts":[{"fileData":{"fileUri":"files/f"}}]}]}"#,
        r#"{"systemInstruction":{"parts":[{"fileData":{}}]}}"#,
        r#"{"cachedContent":"cachedContents/c"}"#,
        r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","parts":[{"inlineData":{}}]}}]}]}"#,
    ] {
        assert_eq!(bound(outside, &LIMITS), Some((1_000_000, 65_536)), "{outside}");
        assert_eq!(bound(outside, &ModelLimits { input: None, ..LIMITS }), None, "{outside}");
    }
    for endless in ["googleSearch", "code_execution", "urlContext", "brandNew"] {
        let body = format!(r#"{{"contents":[],"tools":[{{"functionDeclarations":[]}},{{"{endless}":{{}}}}]}}"#);
        assert_eq!(bound(&body, &LIMITS), None, "{endless}");
    }
    let call = read("generateContent", ASKED).expect("a call");
    let estimate = Gemini.estimate(&endpoint("generateContent"), &call, ASKED.as_bytes(), &LIMITS);
    assert!((8..20).contains(&estimate.in_text) && estimate.out_text == 65_536, "{estimate:?}");
    let embed = read("embedContent", ASKED).expect("a call");
    let none = ModelLimits::default();
    let found = Gemini.worst_case(&endpoint("embedContent"), &embed, ASKED.as_bytes(), &none).expect("bounded");
    assert_eq!((found.in_text, found.out_text), (ASKED.len() as u64, 0));
}

#[test]
fn any_chunking_and_any_break_is_survived() {
    suite::any_chunking_is_the_same(events, STREAM.as_bytes());
    suite::any_break_is_noticed(events, STREAM.as_bytes());
}

proptest! {
    #[test]
    fn noise_passes_unchanged(noise in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..40usize) {
        suite::noise_passes(events(), &noise, chunk);
    }
}
