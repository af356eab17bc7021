use super::*;
use crate::domain::{Usage, UsageSource};
use crate::providers::bedrock::Bedrock;
use crate::providers::suite::{Outcome, any_break_is_noticed, any_chunking_is_the_same, noise_passes, run};
use crate::providers::{Ending, Provider, Reading};
use crate::wire::event_stream::{Value, encode};
use base64::Engine as _;
use http::{HeaderValue, Method};
use proptest::prelude::*;

/// Asked with `Hello, world!`, which counts 4 and, with its message, 10; stretched for the family.
const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"Hello, world!"}]}],"prompt":"","model":"anthropic.claude-sonnet-4-5","stream":true}"#;

fn event(name: &str, payload: &str) -> Bytes {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    encode(&headers.map(|(name, text)| (name, Value::Text(text))), payload.as_bytes()).expect("short")
}

fn chunk(json: &str) -> Bytes {
    let encoded = base64::engine::general_purpose::STANDARD.encode(json);
    event("chunk", &format!(r#"{{"bytes":"{encoded}","p":"abcd"}}"#))
}

fn exception(name: &str, text: &str) -> Bytes {
    let headers = [(":exception-type", name), (":message-type", "exception")];
    encode(&headers.map(|(name, text)| (name, Value::Text(text))), text.as_bytes()).expect("short")
}

const METRICS: &str = r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":12,"outputTokenCount":5,"invocationLatency":420,"firstByteLatency":210}"#;

const CLAUDE: [&str; 5] = [
    r#"{"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-5","usage":{"input_tokens":20,"cache_read_input_tokens":100,"cache_creation_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":0},"output_tokens":1}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, world!"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#,
    r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":20,"outputTokenCount":7,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":40}}"#,
];

fn claude() -> Vec<Bytes> {
    CLAUDE.iter().map(|json| chunk(json)).collect()
}

fn converse() -> Vec<Bytes> {
    vec![
        event("messageStart", r#"{"role":"assistant","p":"ab"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hello, world!"},"p":"abcd"}"#),
        event("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        event("messageStop", r#"{"stopReason":"end_turn"}"#),
        event(
            "metadata",
            r#"{"metrics":{"latencyMs":551},"serviceTier":{"type":"flex"},"usage":{"inputTokens":500,"outputTokens":80,"cacheReadInputTokens":2000,"cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"5m","inputTokens":300}]}}"#,
        ),
    ]
}

fn meter_with(path: &str, status: u16, headers: &[(&'static str, &'static str)]) -> Box<dyn ResponseMeter> {
    let endpoint = Bedrock.endpoint(&Method::POST, path).expect(path);
    let mut head = HeaderMap::new();
    for (name, value) in headers {
        head.insert(*name, HeaderValue::from_static(value));
    }
    let request = Bytes::from_static(HELLO.as_bytes());
    let call = Bedrock.read(&endpoint, &HeaderMap::new(), &request).expect(path);
    Bedrock.meter(&endpoint, &call, status, &head, &request)
}

fn stream(path: &str) -> Box<dyn ResponseMeter> {
    meter_with(path, 200, &[("content-type", "application/vnd.amazon.eventstream")])
}

fn unary(path: &str, body: &str) -> Reading {
    run(meter_with(path, 200, &[("content-type", "application/json")]), body.as_bytes(), &[3, 9], Ending::Complete)
        .reading
}

const CONVERSE_STREAM: &str = "/model/anthropic.claude-sonnet-4-5/converse-stream";
const CLAUDE_STREAM: &str = "/model/anthropic.claude-sonnet-4-5/invoke-with-response-stream";
const MESSAGES: &str = "/anthropic/v1/messages";

fn whole(path: &str, messages: &[Bytes]) -> Outcome {
    run(stream(path), &messages.concat(), &[], Ending::Complete)
}

fn numbers(usage: &Usage) -> (u64, u64, u64, u64, UsageSource) {
    (usage.in_text, usage.cache_read_text, usage.cache_write_5m, usage.out_text, usage.source)
}

#[test]
fn streams_pass_as_they_are_however_they_are_cut() {
    for (path, messages) in [(CONVERSE_STREAM, converse()), (CLAUDE_STREAM, claude())] {
        let body = messages.concat();
        let outcome = whole(path, &messages);
        assert_eq!(outcome.put_out, body);
        assert_eq!(outcome.completed_with, Some(body.clone()), "the end is announced with the last message");
        any_chunking_is_the_same(|| stream(path), &body);
        any_break_is_noticed(|| stream(path), &body);
    }
    let body = claude().concat();
    any_chunking_is_the_same(|| stream(MESSAGES), &body);
    any_break_is_noticed(|| stream(MESSAGES), &body);
}

#[test]
fn the_bill_is_the_models_own_then_the_services_account() {
    let reading = whole(CONVERSE_STREAM, &converse()).reading;
    assert_eq!(numbers(&reading.usage), (500, 2000, 300, 80, UsageSource::Upstream));
    assert_eq!((reading.usage.service_tier.as_deref(), reading.truncated), (Some("flex"), false));
    let reading = whole(CLAUDE_STREAM, &claude()).reading;
    assert_eq!(numbers(&reading.usage), (20, 100, 40, 7, UsageSource::Upstream), "totals, not sums");
    assert_eq!(reading.model, None, "the short name in the answer would select another price");
    let llama = [
        chunk(r#"{"generation":"Hel","prompt_token_count":100,"generation_token_count":1,"stop_reason":null}"#),
        chunk(r#"{"generation":"lo","prompt_token_count":null,"generation_token_count":20,"stop_reason":null}"#),
        chunk(&format!(
            r#"{{"generation":"","prompt_token_count":null,"generation_token_count":20,"stop_reason":"stop",{METRICS}}}"#
        )),
    ];
    let path = "/model/meta.llama3-8b-instruct-v1%3A0/invoke-with-response-stream";
    assert_eq!(numbers(&whole(path, &llama).reading.usage), (100, 0, 0, 20, UsageSource::Upstream));
    let path = "/model/mistral.x/invoke-with-response-stream";
    let mistral =
        [chunk(r#"{"outputs":[{"text":"Hi","stop_reason":null}]}"#), chunk(&format!(r#"{{"outputs":[],{METRICS}}}"#))];
    assert_eq!(numbers(&whole(path, &mistral).reading.usage), (12, 0, 0, 5, UsageSource::Upstream));
    let nova = [
        chunk(r#"{"contentBlockDelta":{"delta":{"text":"Hi"},"contentBlockIndex":0}}"#),
        chunk(&format!(
            r#"{{"metadata":{{"usage":{{"inputTokens":12,"outputTokens":5,"cacheReadInputTokenCount":3}}}},{METRICS}}}"#
        )),
    ];
    let path = "/model/amazon.nova-lite-v1:0/invoke-with-response-stream";
    assert_eq!(numbers(&whole(path, &nova).reading.usage), (12, 3, 0, 5, UsageSource::Upstream));
}

#[test]
fn unary_answers_are_read_in_every_form() {
    for (path, body, input, output) in [
        (
            "/model/anthropic.claude-x/invoke",
            r#"{"type":"message","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":20,"output_tokens":7}}"#,
            20,
            7,
        ),
        (
            "/model/amazon.nova-x/invoke",
            r#"{"output":{"message":{}},"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#,
            1,
            2,
        ),
        ("/model/amazon.titan-text-x/invoke", r#"{"inputTextTokenCount":3,"results":[{"tokenCount":4}]}"#, 3, 4),
        ("/model/amazon.titan-embed-text-v2:0/invoke", r#"{"embedding":[0.5],"inputTextTokenCount":9}"#, 9, 0),
        (
            "/model/deepseek.r1-v1:0/invoke",
            r#"{"choices":[{"text":"x"}],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
            5,
            6,
        ),
        ("/model/x.y/converse", r#"{"output":{},"usage":{"inputTokens":5,"outputTokens":6,"totalTokens":11}}"#, 5, 6),
    ] {
        let usage = unary(path, body).usage;
        assert_eq!(numbers(&usage), (input, 0, 0, output, UsageSource::Upstream), "{path}");
    }
    let routed = r#"{"output":{},"usage":{"inputTokens":5,"outputTokens":6},
        "trace":{"promptRouter":{"invokedModelId":"arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x"}}}"#;
    let model = unary("/model/arn:aws:bedrock:us-east-1:1:default-prompt-router%2Fx/converse", routed).model;
    assert_eq!(model.as_deref(), Some("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x"));
}

#[test]
fn the_head_tells_what_the_body_does_not() {
    let head = [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-input-token-count", "14"),
        ("x-amzn-bedrock-output-token-count", "36"),
        ("x-amzn-bedrock-service-tier", "priority"),
    ];
    let outcome =
        run(meter_with("/model/mistral.x/invoke", 200, &head), br#"{"outputs":[{"text":"x"}]}"#, &[], Ending::Complete);
    assert_eq!(numbers(&outcome.reading.usage), (14, 0, 0, 36, UsageSource::Upstream));
    assert_eq!(outcome.reading.usage.service_tier.as_deref(), Some("priority"));
    let embed = [("content-type", "application/json"), ("x-amzn-bedrock-input-token-count", "14")];
    let outcome =
        run(meter_with("/model/cohere.embed-x/invoke", 200, &embed), br#"{"embeddings":[[1]]}"#, &[], Ending::Complete);
    assert_eq!(numbers(&outcome.reading.usage), (14, 0, 0, 0, UsageSource::Upstream));
    let huge = vec![b' '; 9 * 1024 * 1024];
    let outcome = run(meter_with("/model/mistral.x/invoke", 200, &head), &huge, &[1, 5_000_000], Ending::Complete);
    assert_eq!(numbers(&outcome.reading.usage), (14, 0, 0, 36, UsageSource::Upstream), "nothing so long is kept");
}

#[test]
fn what_nobody_reports_is_counted() {
    let usage = unary("/model/mistral.x/invoke", r#"{"outputs":[{"text":"Hello, world!"}]}"#).usage;
    assert_eq!(numbers(&usage), (5 + 6, 0, 0, 5, UsageSource::Estimated));
    for odd in ["", "<html>", "[]", "{}"] {
        assert_eq!(unary("/model/mistral.x/invoke", odd), Reading::default(), "{odd}");
    }
}

#[test]
fn a_broken_stream_is_counted_and_ends_in_an_exception() {
    let body = converse()[..2].concat();
    let outcome = run(stream(CONVERSE_STREAM), &[&body[..], b"\0\0"].concat(), &[], Ending::Aborted);
    assert_eq!(outcome.put_out, body, "no half message is sent");
    assert_eq!(numbers(&outcome.reading.usage), (5 + 6, 0, 0, 5, UsageSource::Estimated));
    assert!(outcome.reading.truncated);
    let tail = outcome.tail.expect("tail");
    assert_eq!(tail, {
        let headers = [
            (":exception-type", "modelStreamErrorException"),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        encode(&headers.map(|(name, text)| (name, Value::Text(text))), br#"{"message":"lost"}"#).expect("short")
    });
    // The input is known from the first message of a Claude stream; the output is what was seen.
    let outcome = run(stream(CLAUDE_STREAM), &claude()[..2].concat(), &[], Ending::Aborted);
    assert_eq!(numbers(&outcome.reading.usage), (20, 100, 40, 5, UsageSource::Partial));
}

#[test]
fn a_clean_end_without_the_last_message() {
    let reading = whole(CONVERSE_STREAM, &converse()[..4]).reading;
    assert!(!reading.truncated, "the answer was whole; only its bill is missing");
    assert_eq!(reading.usage.source, UsageSource::Estimated);
    assert!(whole(CONVERSE_STREAM, &converse()[..3]).reading.truncated);
    assert!(whole(CLAUDE_STREAM, &claude()[..4]).reading.truncated);
    let half = [&converse()[..4].concat()[..], &converse()[4][..30]].concat();
    assert!(run(stream(CONVERSE_STREAM), &half, &[], Ending::Complete).reading.truncated, "bytes are left over");
}

#[test]
fn an_exception_is_the_end() {
    let slow = r#"{"message":"Too many tokens"}"#;
    let early = [event("messageStart", r#"{"role":"assistant"}"#), exception("throttlingException", slow)];
    let outcome = whole(CONVERSE_STREAM, &early);
    assert_eq!(outcome.put_out, early.concat());
    assert_eq!((outcome.completed_with.is_some(), outcome.tail), (true, None), "it is told once");
    assert_eq!(
        outcome.reading,
        Reading { truncated: true, ..Reading::default() },
        "nothing was written, nothing is billed"
    );
    let late = [&converse()[..2], &[exception("modelStreamErrorException", slow)]].concat();
    let reading = whole(CONVERSE_STREAM, &late).reading;
    assert_eq!(numbers(&reading.usage), (5 + 6, 0, 0, 5, UsageSource::Estimated));
    assert!(reading.truncated);
}

#[test]
fn a_damaged_message_is_not_passed_on() {
    let mut body = converse().concat();
    let first = converse()[0].len();
    body[first + 40] ^= 1;
    let outcome = run(stream(CONVERSE_STREAM), &body, &[5, 60, 200], Ending::Complete);
    let rest = outcome.put_out.strip_prefix(&converse()[0][..]).expect("what came before");
    let (mut framer, mut found) = (crate::wire::event_stream::Framer::default(), Vec::new());
    framer.push(&Bytes::copy_from_slice(rest), |message| found.push(message)).expect("sound");
    assert_eq!((found.len(), found[0].text(":exception-type")), (1, Some("modelStreamErrorException")));
    assert!(outcome.reading.truncated && outcome.tail.is_none());
}

#[test]
fn anthropic_clients_get_events() {
    let outcome = whole(MESSAGES, &claude());
    let expected: String = CLAUDE
        .iter()
        .map(|json| {
            let name = json.split('"').nth(3).expect("a type");
            format!("event: {name}\ndata: {json}\n\n")
        })
        .collect();
    assert_eq!(std::str::from_utf8(&outcome.put_out), Ok(&*expected));
    assert_eq!(numbers(&outcome.reading.usage), (20, 100, 40, 7, UsageSource::Upstream));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.amazon.eventstream"));
    stream(MESSAGES).head(&mut headers);
    assert_eq!(headers[CONTENT_TYPE], "text/event-stream; charset=utf-8");
    let failed = [&claude()[..1], &[exception("throttlingException", r#"{"message":"slow \"down\""}"#)]].concat();
    let outcome = whole(MESSAGES, &failed);
    let text = String::from_utf8(outcome.put_out).expect("text");
    let data = text.rsplit_once("event: error\ndata: ").expect("an error").1;
    let error: serde_json::Value = serde_json::from_str(data.trim()).expect("json");
    assert_eq!(error["error"], serde_json::json!({"type": "rate_limit_error", "message": "slow \"down\""}));
    let broken = run(stream(MESSAGES), &claude()[..2].concat(), &[], Ending::Aborted);
    assert!(broken.tail.is_some_and(|tail| tail.starts_with(b"event: error\ndata: {")));
    let odd = [chunk("{\"type\":\"a\\nb\",\n\"x\":1}"), chunk(r#"{"completion":" Hi"}"#)];
    let text = String::from_utf8(whole(MESSAGES, &odd).put_out).expect("text");
    assert_eq!(
        text,
        "event: message\ndata: {\"type\":\"a\\nb\",\ndata: \"x\":1}\n\nevent: message\ndata: {\"completion\":\" Hi\"}\n\n"
    );
}

#[test]
fn errors_and_free_answers_pass_and_cost_nothing() {
    for (path, status) in [(CONVERSE_STREAM, 400), (CONVERSE_STREAM, 503), ("/model/m/count-tokens", 200)] {
        let body = br#"{"message":"no","inputTokens":5}"#;
        let outcome =
            run(meter_with(path, status, &[("content-type", "application/json")]), body, &[4], Ending::Complete);
        assert_eq!((outcome.put_out, outcome.reading), (body.to_vec(), Reading::default()), "{path} {status}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..5_usize, cut in 1..40_usize) {
        for path in [CONVERSE_STREAM, CLAUDE_STREAM, MESSAGES] {
            let body = [&claude()[..at].concat()[..], &noise, &converse().concat()].concat();
            let cuts: Vec<_> = (0..body.len()).step_by(cut).collect();
            run(stream(path), &body, &cuts, Ending::Complete);
        }
        let json = chunk(&String::from_utf8_lossy(&noise));
        whole(MESSAGES, &[json]);
        let stream_type = [("content-type", "application/vnd.amazon.eventstream")];
        noise_passes(meter_with(CONVERSE_STREAM, 500, &stream_type), &noise, cut);
        run(meter_with("/model/x/invoke", 200, &[("content-type", "application/json")]), &noise, &[3], Ending::Complete);
    }
}
