use super::super::{OpenAi, endpoints};
use super::*;
use crate::domain::{Usage, UsageSource};
use crate::providers::openai::meter::unary::Unary;
use crate::providers::suite::{self, Outcome};
use crate::providers::{Ending, Provider, Reading};
use http::{HeaderValue, Method};
use proptest::prelude::*;

const CHAT: &str = "/v1/chat/completions";
const HELLO: &str = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello, world!"}],
    "prompt":"Hello, world!","input":"Hello, world!"}"#;
/// What `HELLO` counts to as a chat.
const HELLO_TOKENS: u64 = 11;

/// A recorded exchange: path, whether the client asked for usage, type and body of the answer.
#[derive(Clone, Copy, Debug)]
struct Case {
    path: &'static str,
    wants_usage: bool,
    events: bool,
    body: &'static str,
}

const fn events(path: &'static str, body: &'static str) -> Case {
    Case { path, wants_usage: false, events: true, body }
}
const fn unary(path: &'static str, body: &'static str) -> Case {
    Case { path, wants_usage: false, events: false, body }
}

const CHAT_STREAM: Case = events(CHAT, include_str!("../fixtures/chat.sse"));
const TOOLS: Case = events(CHAT, include_str!("../fixtures/tools.crlf.sse"));
const CONTINUOUS: Case = events(CHAT, include_str!("../fixtures/continuous.sse"));
const HUB: Case = events(CHAT, include_str!("../fixtures/hub.sse"));
const COMPLETIONS: Case = events("/v1/completions", include_str!("../fixtures/completions.sse"));
const RESPONSES_STREAM: Case = events("/v1/responses", include_str!("../fixtures/responses.sse"));
const CHAT_UNARY: Case = unary(CHAT, include_str!("../fixtures/chat.json"));
const EMBEDDINGS: Case = unary("/v1/embeddings", include_str!("../fixtures/embeddings.json"));
const RESPONSES_UNARY: Case = unary("/v1/responses", include_str!("../fixtures/responses.json"));

const ALL: [Case; 9] =
    [CHAT_STREAM, TOOLS, CONTINUOUS, HUB, COMPLETIONS, RESPONSES_STREAM, CHAT_UNARY, EMBEDDINGS, RESPONSES_UNARY];

impl Case {
    const fn asking(self) -> Self {
        Self { wants_usage: true, ..self }
    }
    fn meter(&self) -> Box<dyn ResponseMeter> {
        let call = Call {
            model: "gpt-4o".into(),
            stream: self.events,
            choices: 1,
            wants_usage: self.wants_usage,
            ..Call::default()
        };
        let mut headers = HeaderMap::new();
        let media = if self.events { "text/event-stream; charset=utf-8" } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let endpoint = endpoints::find(&Method::POST, self.path).expect(self.path);
        OpenAi.meter(&endpoint, &call, 200, &headers, &Bytes::from_static(HELLO.as_bytes()))
    }
    fn run(&self, body: &[u8], cuts: &[usize], ending: Ending) -> Outcome {
        suite::run(self.meter(), body, cuts, ending)
    }
    fn whole(&self) -> Outcome {
        self.run(self.body.as_bytes(), &[], Ending::Complete)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("utf-8")
}

#[test]
fn usage_that_nobody_asked_for_is_taken_out() {
    let outcome = CHAT_STREAM.whole();
    assert_eq!(text(&outcome.put_out), include_str!("../fixtures/chat.hidden.sse"));
    assert_eq!(outcome.completed_with.as_ref(), Some(&outcome.put_out), "the end is announced with the last bytes");
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.usage.out_text), (20, 9));
    assert_eq!(outcome.reading.usage.source, UsageSource::Upstream);
    assert_eq!(outcome.reading.usage.service_tier.as_deref(), Some("default"));
    assert_eq!(outcome.reading.model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert!(!outcome.reading.truncated && outcome.tail.is_none());
}

#[test]
fn what_was_asked_for_stays_byte_for_byte() {
    for case in ALL.map(Case::asking) {
        let outcome = case.whole();
        assert_eq!(text(&outcome.put_out), case.body);
    }
    for case in [HUB, RESPONSES_STREAM, CHAT_UNARY, EMBEDDINGS, RESPONSES_UNARY] {
        assert_eq!(text(&case.whole().put_out), case.body, "nothing to hide, nothing to change");
    }
}

#[test]
fn an_unchanged_event_is_not_copied() {
    let piece = Bytes::from_static(CHAT_STREAM.body.as_bytes());
    let mut out = Vec::new();
    CHAT_STREAM.asking().meter().push(piece.clone(), &mut out);
    assert!(out.iter().all(|part| piece.as_ptr_range().contains(&part.as_ptr())));
}

#[test]
fn other_lines_of_a_changed_event_stay() {
    let outcome = TOOLS.whole();
    let put_out = text(&outcome.put_out);
    assert!(put_out.starts_with(": keep-alive\r\n\r\nevent: message\r\nid: 0\r\ndata: {"));
    assert_eq!(put_out, TOOLS.body.replace(",\"usage\":null", "").replace(
        "data: {\"id\":\"chatcmpl-2\",\"object\":\"chat.completion.chunk\",\"created\":1795219200,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],\"usage\":{\"prompt_tokens\":60,\"completion_tokens\":15,\"total_tokens\":75}}\r\n\r\n", ""));
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.usage.out_text), (60, 15));
}

#[test]
fn the_last_usage_wins() {
    let outcome = CONTINUOUS.whole();
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.usage.out_text), (100, 2));
    assert_eq!(outcome.reading.usage.source, UsageSource::Upstream);
    assert!(text(&outcome.put_out).contains("\"content\":\"One\"") && !text(&outcome.put_out).contains("usage"));
    let first = CONTINUOUS.body.find("\n\n").expect("event") + 2;
    let broken = CONTINUOUS.run(&CONTINUOUS.body.as_bytes()[..first], &[], Ending::Aborted);
    assert_eq!((broken.reading.usage.out_text, broken.reading.usage.source), (1, UsageSource::Partial));
}

#[test]
fn unary_answers_are_read() {
    let reading = CHAT_UNARY.whole().reading;
    let usage = reading.usage;
    assert_eq!((usage.in_text, usage.cache_read_text, usage.out_text), (200, 800, 50));
    assert_eq!(reading.model.as_deref(), Some("gpt-4o-2024-08-06"));
    let usage = EMBEDDINGS.whole().reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (8191, 0, UsageSource::Upstream));
    let usage = RESPONSES_UNARY.whole().reading.usage;
    assert_eq!((usage.in_text, usage.cache_read_text, usage.cache_write_30m, usage.out_text), (1000, 6000, 3000, 400));
    assert_eq!((usage.out_reasoning, usage.web_search), (300, 1));
}

#[test]
fn responses_report_at_their_end() {
    let outcome = RESPONSES_STREAM.whole();
    let usage = outcome.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.out_reasoning), (300, 1200, 1000));
    assert_eq!(usage.service_tier.as_deref(), Some("flex"), "the tier that served, not the one asked for");
    assert_eq!(outcome.reading.model.as_deref(), Some("gpt-5-2025-08-07"));
    assert_eq!(outcome.completed_with.as_deref(), Some(RESPONSES_STREAM.body.as_bytes()));
}

#[test]
fn a_stream_without_usage_is_counted() {
    let outcome = HUB.whole();
    let expected = Usage { in_text: HELLO_TOKENS, out_text: 4, source: UsageSource::Estimated, ..Usage::default() };
    assert_eq!(
        outcome.reading,
        Reading { usage: expected, model: Some("gpt-4o".into()), truncated: false, ..Reading::default() }
    );
}

#[test]
fn a_broken_stream_is_counted_and_said_to_be_broken() {
    let cut = CHAT_STREAM.body.find("\\ud83d").expect("cut");
    let outcome = CHAT_STREAM.run(&CHAT_STREAM.body.as_bytes()[..cut], &[], Ending::Aborted);
    let usage = &outcome.reading.usage;
    // Hello, "usage":null, café
    assert_eq!((usage.in_text, usage.out_text, usage.source), (HELLO_TOKENS, 9, UsageSource::Estimated));
    assert!(outcome.reading.truncated && outcome.completed_with.is_none());
    assert!(outcome.put_out.ends_with(b"\n\n"), "no half event is sent");
    let tail = outcome.tail.expect("tail");
    let error = text(&tail).strip_prefix("data: ").and_then(|t| t.strip_suffix("\n\n")).expect("one frame");
    let error: serde_json::Value = serde_json::from_str(error).expect("json");
    assert_eq!(error["error"]["message"], "lost");
    assert_eq!(error["error"]["type"], "upstream_error");
    assert!(!text(&tail).contains("[DONE]"));
}

#[test]
fn broken_responses_end_with_their_error_event() {
    let cut = RESPONSES_STREAM.body.find("response.output_text.done").expect("cut");
    let outcome = RESPONSES_STREAM.run(&RESPONSES_STREAM.body.as_bytes()[..cut], &[], Ending::Aborted);
    assert_eq!((outcome.reading.usage.out_text, outcome.reading.usage.source), (4, UsageSource::Estimated));
    let tail = outcome.tail.expect("tail");
    let data = text(&tail).strip_prefix("event: error\ndata: ").and_then(|t| t.strip_suffix("\n\n")).expect("event");
    let error: serde_json::Value = serde_json::from_str(data).expect("json");
    assert_eq!(
        (&error["type"], &error["message"], &error["sequence_number"]),
        (&"error".into(), &"lost".into(), &5.into())
    );
}

#[test]
fn no_result_no_bill() {
    let error = r#"{"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}"#;
    assert_eq!(unary(CHAT, error).whole().reading, Reading::default());
    let frame = events(CHAT, "data: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: [DONE]\n\n");
    assert_eq!(frame.whole().reading, Reading::default());
    for odd in ["<html>", "", "[]", r#"{"status":"ok"}"#] {
        assert_eq!(unary(CHAT, odd).whole().reading, Reading::default(), "{odd}");
    }
    let endpoint = endpoints::find(&Method::POST, CHAT).expect("chat");
    for status in [400, 429, 500, 302] {
        let body = Bytes::from_static(CHAT_UNARY.body.as_bytes());
        let mut meter = OpenAi.meter(&endpoint, &Call::default(), status, &HeaderMap::new(), &Bytes::new());
        let mut out = Vec::new();
        meter.push(body.clone(), &mut out);
        meter.end(&mut out);
        assert_eq!((out, meter.reading(Ending::Complete)), (vec![body], Reading::default()), "{status}");
    }
}

#[test]
fn an_answer_that_broke_off_is_counted() {
    let cut = CHAT_UNARY.body.find("\"refusal\"").expect("cut");
    let outcome = CHAT_UNARY.run(&CHAT_UNARY.body.as_bytes()[..cut], &[7, 90], Ending::Aborted);
    let usage = &outcome.reading.usage;
    assert_eq!((usage.in_text, usage.source), (HELLO_TOKENS, UsageSource::Estimated));
    assert!((8..=14).contains(&usage.out_text), "{}", usage.out_text);
    assert!(outcome.reading.truncated);
}

#[test]
fn moderations_are_free_without_a_guess() {
    let case =
        unary("/v1/moderations", r#"{"id":"modr-1","model":"omni-moderation-latest","results":[{"flagged":false}]}"#);
    let reading = case.whole().reading;
    assert_eq!((reading.usage, reading.model.as_deref()), (Usage::default(), Some("omni-moderation-latest")));
}

#[test]
fn of_a_huge_answer_the_end_is_kept() {
    let filler = "0.25,".repeat(2000);
    let body = format!(
        r#"{{"model":"early","data":[{filler}0],"usage":{{"prompt_tokens":7,"total_tokens":7}},"service_tier":"flex"}}"#
    );
    let call = Call { model: "m".into(), choices: 1, ..Call::default() };
    let bill = Bill::new(Kind::Embeddings, &call, &Bytes::new());
    let mut meter = Unary::with_limits(bill, 4000, 300);
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(100) {
        meter.push(Bytes::copy_from_slice(piece), &mut out);
    }
    assert_eq!(out.concat(), body.as_bytes());
    let reading = meter.reading(Ending::Complete);
    assert_eq!((reading.usage.in_text, reading.usage.service_tier.as_deref()), (7, Some("flex")));
}

#[test]
fn a_searching_chat_is_billed_one_search() {
    let mut meter = {
        let call = Call { model: "gpt-4o-search-preview".into(), choices: 1, ..Call::default() };
        let endpoint = endpoints::find(&Method::POST, CHAT).expect("chat");
        OpenAi.meter(&endpoint, &call, 200, &HeaderMap::new(), &Bytes::new())
    };
    meter.push(
        Bytes::from_static(br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#),
        &mut Vec::new(),
    );
    assert_eq!(meter.reading(Ending::Complete).usage.web_search, 1);
}

#[test]
fn what_is_not_metered_passes() {
    let endpoint = endpoints::find(&Method::POST, "/v1/brand/new").expect("anything");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let mut meter = OpenAi.meter(&endpoint, &Call::default(), 200, &headers, &Bytes::new());
    let mut out = Vec::new();
    meter.push(Bytes::from_static(b"data: {\"usage\":null,"), &mut out);
    assert_eq!(out, [&b"data: {\"usage\":null,"[..]]);
    assert!(meter.broken_tail("lost").is_some_and(|t| t.starts_with(b"\n\nevent: error\ndata: {")));
}

#[test]
fn an_oversized_event_passes_and_the_end_is_still_seen() {
    let huge = format!("data: {{\"choices\":[],\"blob\":\"{}\"}}\n\n", "x".repeat(crate::wire::sse::EVENT_LIMIT + 200));
    let body = format!("{huge}{}", CHAT_STREAM.body);
    let outcome = CHAT_STREAM.asking().run(body.as_bytes(), &[1000, 700_000], Ending::Complete);
    assert!(outcome.put_out == body.as_bytes());
    assert_eq!(outcome.reading.usage.in_text, 20);
    let half = CHAT_STREAM.run(&huge.as_bytes()[..huge.len() - 100], &[], Ending::Aborted);
    assert!(half.tail.is_some_and(|t| t.starts_with(b"\n\ndata: ")), "the half that was sent is ended first");
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_answer_and_bill(
        which in 0..ALL.len(),
        asking in any::<bool>(),
        mut cuts in prop::collection::vec(0..3000usize, 0..24),
    ) {
        cuts.sort_unstable();
        let case = if asking { ALL[which].asking() } else { ALL[which] };
        prop_assert_eq!(case.run(case.body.as_bytes(), &cuts, Ending::Complete), case.whole());
    }

    #[test]
    fn any_break_gives_a_prefix_and_a_bill(which in 0..ALL.len(), at in 0..3000usize, chunk in 1..64usize) {
        let case = ALL[which];
        let body = &case.body.as_bytes()[..at.min(case.body.len())];
        let cuts: Vec<_> = (0..body.len()).step_by(chunk).collect();
        let outcome = case.run(body, &cuts, Ending::Aborted);
        prop_assert!(case.whole().put_out.starts_with(&outcome.put_out));
        prop_assert_eq!(outcome.reading.truncated, outcome.completed_with.is_none());
        prop_assert!(outcome.reading.usage.prompt_tokens() > 0);
    }

    #[test]
    fn noise_passes_unchanged(noise in prop::collection::vec(any::<u8>(), 0..300), which in 0..ALL.len(), chunk in 1..40usize) {
        let case = ALL[which].asking();
        let cuts: Vec<_> = (0..noise.len()).step_by(chunk).collect();
        prop_assert_eq!(case.run(&noise, &cuts, Ending::Complete).put_out, noise);
    }
}
