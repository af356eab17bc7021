use super::*;
use crate::domain::{CostMap, Money, Secret, SettingId, UnixMillis, UsageSource};
use crate::metering::Pricing;
use crate::providers::{Ending, price, suite};
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use proptest::prelude::*;

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);
const CHAT: &str = r#"{"model":"qwen3:8b","messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;
const STREAM: &str = concat!(
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:00:00Z","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:00:00Z","message":{"role":"assistant","content":"Because of Rayleigh"},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:00:00Z","message":{"role":"assistant","content":" scattering."},"done":false}"#,
    "\n",
    r#"{"model":"qwen3:8b","created_at":"2026-11-21T10:00:01Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":5043500667,"load_duration":5025959,"prompt_eval_count":26,"prompt_eval_duration":325953000,"eval_count":290,"eval_duration":4709213000}"#,
    "\n",
);

fn setting(entries: &[(&str, &str)]) -> Setting {
    let (secrets, parameters): (Vec<_>, Vec<_>) = entries.iter().partition(|(name, _)| *name == "apikey");
    Setting {
        id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").expect("uuid"),
        revision: 1,
        provider: "ollama".into(),
        name: "s".into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: parameters.into_iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        secrets: secrets.into_iter().map(|(name, value)| ((*name).into(), Secret::new((*value).to_owned()))).collect(),
        cost_map: None,
    }
}

fn read(path: &str, body: &str) -> Result<Call, BadCall> {
    let endpoint = Ollama.endpoint(&Method::POST, path).expect(path);
    Ollama.read(&endpoint, &HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()))
}

fn meter(path: &str, body: &str, media: &'static str) -> Box<dyn ResponseMeter> {
    let endpoint = Ollama.endpoint(&Method::POST, path).expect(path);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let call = read(path, body).expect(body);
    Ollama.meter(&endpoint, &call, 200, &headers, &Bytes::copy_from_slice(body.as_bytes()))
}

fn lines() -> Box<dyn ResponseMeter> {
    meter("/api/chat", CHAT, "application/x-ndjson")
}

fn told(usage: &Usage) -> (u64, u64, UsageSource) {
    (usage.in_text, usage.out_text, usage.source)
}

#[test]
fn a_body_is_read_as_the_server_reads_it() {
    let call = read("/api/chat", CHAT).expect("a call");
    assert_eq!((&*call.model, &*call.alias, call.stream, call.max_output), ("qwen3:8b", "qwen3:8b", true, None));
    let call = read("/api/chat", r#"{"model":"llama3","stream":false,"options":{"num_predict":7}}"#).expect("a call");
    assert_eq!((&*call.alias, call.stream, call.max_output), ("llama3:latest", false, Some(7)));
    for endless in ["-1", "0", "-2"] {
        let body = format!(r#"{{"model":"a/b:latest","options":{{"num_predict":{endless}}}}}"#);
        let call = read("/api/generate", &body).expect("a call");
        assert_eq!((&*call.alias, call.max_output, call.stream), ("a/b", None, true));
    }
    assert!(!read("/api/embed", r#"{"model":"m","input":"a"}"#).expect("a call").stream);
    let call = read("/api/show", r#"{"model":"m","name":"n"}"#).expect("a call");
    assert_eq!((&*call.model, &*call.more_models), ("m", &[Box::from("n")][..]));
    assert_eq!(&*read("/api/show", r#"{"name":"n"}"#).expect("a call").model, "n");
}

#[test]
fn no_two_readings_of_a_decisive_member() {
    for (body, param) in [
        (r#"{"model":"a","model":"b"}"#, Some("model")),
        (r#"{"model":"a","Model":"b"}"#, Some("model")),
        (r#"{"MODEL":"b"}"#, Some("model")),
        (r#"{"model":"a","\u017ftream":false}"#, Some("stream")),
        (r#"{"model":"a","Options":{}}"#, Some("options")),
        (r#"{"model":7}"#, Some("model")),
        ("[]", None),
        (r#"{"model":"a""#, None),
    ] {
        assert_eq!(read("/api/chat", body).expect_err(body).param, param, "{body}");
    }
}

#[test]
fn a_credential_is_sent_where_there_is_one() {
    let endpoint = Ollama.endpoint(&Method::POST, "/api/chat").expect("chat");
    let (headers, body) = (HeaderMap::new(), Bytes::from_static(CHAT.as_bytes()));
    let call = read("/api/chat", CHAT).expect("a call");
    let prepared = |setting: &Setting| {
        let (endpoint, call, headers, body) = (&endpoint, &call, &headers, &body);
        Ollama.prepare(&Prepare { endpoint, call, setting, headers, query: Some("key=k"), body, ambient: None })
    };
    let outbound = prepared(&setting(&[("url", "http://gpu:11434/api/"), ("apikey", "o-secret")])).expect("complete");
    assert!(matches!(&*outbound.headers, [(name, value)] if *name == AUTHORIZATION && value == "Bearer o-secret"));
    assert_eq!((outbound.base_url.as_deref(), outbound.query.as_deref()), (Some("http://gpu:11434"), Some("")));
    assert_eq!(outbound.body, CHAT.as_bytes());
    assert!(!format!("{outbound:?}").contains("o-secret"));
    assert_eq!(prepared(&setting(&[("url", "http://gpu")])).expect("complete").headers, []);
    assert_eq!(prepared(&setting(&[])).expect_err("no url").entry, "url");
}

#[test]
fn a_stream_is_billed_by_its_last_line() {
    let outcome = suite::run(lines(), STREAM.as_bytes(), &[], Ending::Complete);
    assert_eq!((&outcome.put_out[..], outcome.completed_with.as_deref()), (STREAM.as_bytes(), Some(STREAM.as_bytes())));
    assert_eq!(told(&outcome.reading.usage), (26, 290, UsageSource::Upstream));
    assert_eq!(
        (outcome.reading.model.as_deref(), outcome.reading.truncated, outcome.tail),
        (Some("qwen3:8b"), false, None)
    );
    // The prompt was at hand already: the server does not count it again.
    let silent = STREAM.replace(r#""prompt_eval_count":26,"#, "");
    let usage = suite::run(lines(), silent.as_bytes(), &[], Ending::Complete).reading.usage;
    assert!(usage.in_text > 5 && usage.in_text < 26, "{usage:?}");
    assert_eq!((usage.out_text, usage.source), (290, UsageSource::Estimated));
}

#[test]
fn a_broken_stream_is_counted_and_told() {
    let cut = STREAM.find(" scattering").expect("cut");
    let outcome = suite::run(lines(), &STREAM.as_bytes()[..cut], &[], Ending::Aborted);
    let usage = &outcome.reading.usage;
    assert!(usage.in_text > 5 && (3..=10).contains(&usage.out_text), "{usage:?}");
    assert_eq!((usage.source, outcome.reading.truncated), (UsageSource::Estimated, true));
    assert_eq!(outcome.tail.as_deref(), Some(&b"{\"error\":\"lost\"}\n"[..]));
}

#[test]
fn an_error_in_the_middle_ends_the_stream() {
    let error = "{\"error\":\"model runner has stopped\"}\n";
    let outcome = suite::run(lines(), error.as_bytes(), &[], Ending::Complete);
    assert_eq!((outcome.put_out, outcome.tail), (error.as_bytes().to_vec(), None));
    assert_eq!(told(&outcome.reading.usage), (0, 0, UsageSource::None));
    let begun = STREAM.find('\n').expect("a line") + 1;
    let half = format!("{}{error}", STREAM.split_at(begun).0);
    let usage = suite::run(lines(), half.as_bytes(), &[], Ending::Complete).reading.usage;
    assert!(usage.in_text > 0 && usage.out_text > 0 && usage.source == UsageSource::Estimated, "{usage:?}");
}

#[test]
fn whole_answers_tell_their_counts() {
    let whole = |path, body: &str, answer: &str| {
        let outcome =
            suite::run(meter(path, body, "application/json; charset=utf-8"), answer.as_bytes(), &[9], Ending::Complete);
        assert_eq!((&outcome.put_out[..], outcome.completed_with), (answer.as_bytes(), None));
        told(&outcome.reading.usage)
    };
    let asked = r#"{"model":"m","stream":false,"messages":[{"role":"user","content":"hello there"}]}"#;
    let counted = r#"{"model":"m","message":{"content":"Hi"},"done":true,"prompt_eval_count":3,"eval_count":4}"#;
    assert_eq!(whole("/api/chat", asked, counted), (3, 4, UsageSource::Upstream));
    let (input, output, source) = whole("/api/chat", asked, r#"{"model":"m","message":{"content":"Hi"},"done":true}"#);
    assert!(input > 2 && output == 1 && source == UsageSource::Estimated, "{input} {output}");
    let embedded = r#"{"model":"m","embeddings":[[0.1,0.2]],"total_duration":1,"prompt_eval_count":8}"#;
    assert_eq!(whole("/api/embed", r#"{"model":"m","input":["a","b"]}"#, embedded), (8, 0, UsageSource::Upstream));
    let generated = r#"{"model":"m","response":"Hi","done":true,"context":[1,2],"prompt_eval_count":5,"eval_count":6}"#;
    assert_eq!(
        whole("/api/generate", r#"{"model":"m","prompt":"p","stream":false}"#, generated),
        (5, 6, UsageSource::Upstream)
    );
    let loaded = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#;
    assert_eq!(whole("/api/chat", r#"{"model":"m","stream":false}"#, loaded), (0, 0, UsageSource::None));
}

#[test]
fn only_the_operator_has_prices() {
    let mut own = setting(&[("url", "http://gpu")]);
    let cost = |setting: &Setting, model: &str| {
        let usage = Usage { in_text: 26, out_text: 290, ..Usage::default() };
        price(&Pricing::shipped(), &Ollama, setting, Some(model), model, NOW).map(|p| p.cost(&usage))
    };
    assert_eq!(cost(&own, "llama3"), None);
    own.cost_map = Some(CostMap {
        prompt_cost_per_model: [("llama3".to_owned(), 0.001)].into(),
        completion_cost_per_model: [("llama3".to_owned(), 0.002)].into(),
        ..CostMap::default()
    });
    for same in ["llama3", "llama3:latest"] {
        assert_eq!(cost(&own, same), Money::parse_usd("0.000606"), "{same}");
    }
    assert_eq!(cost(&own, "llama3:70b"), None);
}

#[test]
fn bounds_hold() {
    let bound = |path: &str, body: &str, input, output| {
        let endpoint = Ollama.endpoint(&Method::POST, path).expect(path);
        let call = read(path, body).expect(body);
        let found = Ollama.worst_case(&endpoint, &call, body.as_bytes(), &ModelLimits { input, output });
        found.map(|usage| (usage.in_text, usage.out_text))
    };
    let plain = r#"{"model":"m","messages":[],"options":{"num_predict":5}}"#;
    assert_eq!(bound("/api/chat", plain, None, None), Some((plain.len() as u64 + 2048, 5)));
    assert_eq!(bound("/api/chat", plain, Some(1000), Some(3)), Some((1000, 3)));
    assert_eq!(bound("/api/chat", r#"{"model":"m","messages":[]}"#, Some(9), None), None, "nothing bounds the output");
    let roomy = r#"{"model":"m","messages":[],"options":{"num_predict":5,"num_ctx":512}}"#;
    assert_eq!(bound("/api/chat", roomy, None, None), Some((512, 5)));
    for beyond in [
        r#"{"model":"m","options":{"num_predict":5},"messages":[{"role":"user","images":["aGk="]}]}"#,
        r#"{"model":"m","options":{"num_predict":5},"messages":[{"role":"user","Images":["aGk="]}]}"#,
        r#"{"model":"m","options":{"num_predict":5},"messages":[{"role":"user","im\u0061ges":["aGk="]}]}"#,
        r#"{"model":"m","options":{"num_predict":5},"template":"{{ range }}"}"#,
    ] {
        assert_eq!(bound("/api/chat", beyond, None, None), None, "{beyond}");
        assert_eq!(bound("/api/chat", beyond, Some(4096), None), Some((4096, 5)), "{beyond}");
    }
    let texts = r#"{"model":"m","input":["a","b"]}"#;
    assert_eq!(bound("/api/embed", texts, None, None), Some((texts.len() as u64 + 2048, 0)));
    assert_eq!(bound("/api/show", r#"{"model":"m"}"#, None, None), Some((0, 0)));
}

#[test]
fn any_chunking_and_any_break_is_survived() {
    suite::any_chunking_is_the_same(lines, STREAM.as_bytes());
    suite::any_break_is_noticed(lines, STREAM.as_bytes());
}

proptest! {
    #[test]
    fn noise_passes_unchanged(noise in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..40usize) {
        suite::noise_passes(lines(), &noise, chunk);
    }
}
