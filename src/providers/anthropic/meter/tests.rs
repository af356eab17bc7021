use super::super::{Anthropic, endpoints};
use super::*;
use crate::domain::{Usage, UsageSource};
use crate::providers::anthropic::meter::unary::Unary;
use crate::providers::suite::{self, Outcome};
use crate::providers::{Ending, Provider, Reading};
use http::{HeaderValue, Method};
use proptest::prelude::*;

const MESSAGES: &str = "/v1/messages";
const HELLO: &str = r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"Hello, world!"}],
    "prompt":"Hello, world!"}"#;
/// What `HELLO` counts to as a message, and as a completion.
const HELLO_TOKENS: u64 = 13;
const HELLO_COMPLETION: u64 = 6;

/// A recorded exchange: path, type and body of the answer.
#[derive(Clone, Copy, Debug)]
struct Case {
    path: &'static str,
    events: bool,
    body: &'static str,
}

const fn events(path: &'static str, body: &'static str) -> Case {
    Case { path, events: true, body }
}
const fn unary(path: &'static str, body: &'static str) -> Case {
    Case { path, events: false, body }
}

const STREAM: Case = events(MESSAGES, include_str!("../fixtures/message.sse"));
const TOOLS: Case = events(MESSAGES, include_str!("../fixtures/tools.crlf.sse"));
const OVERLOADED: Case = events(MESSAGES, include_str!("../fixtures/overloaded.sse"));
const COMPLETION_STREAM: Case = events("/v1/complete", include_str!("../fixtures/complete.sse"));
const UNARY: Case = unary(MESSAGES, include_str!("../fixtures/message.json"));
const COMPLETION: Case = unary("/v1/complete", include_str!("../fixtures/complete.json"));

const STREAMS: [Case; 4] = [STREAM, TOOLS, OVERLOADED, COMPLETION_STREAM];
const ALL: [Case; 6] = [STREAM, TOOLS, OVERLOADED, COMPLETION_STREAM, UNARY, COMPLETION];

impl Case {
    fn meter(&self) -> Box<dyn ResponseMeter> {
        self.asked(200, "claude-opus-5-5", None)
    }
    fn asked(&self, status: u16, model: &str, max_output: Option<u64>) -> Box<dyn ResponseMeter> {
        let call = Call { model: model.into(), stream: self.events, choices: 1, max_output, ..Call::default() };
        let mut headers = HeaderMap::new();
        let media = if self.events { "text/event-stream; charset=utf-8" } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let endpoint = endpoints::find(&Method::POST, self.path).expect(self.path);
        Anthropic.meter(&endpoint, &call, status, &headers, &Bytes::from_static(HELLO.as_bytes()))
    }
    fn run(&self, body: &[u8], ending: Ending) -> Outcome {
        suite::run(self.meter(), body, &[], ending)
    }
    fn whole(&self) -> Outcome {
        self.run(self.body.as_bytes(), Ending::Complete)
    }
    fn until(&self, mark: &str) -> Outcome {
        let at = self.body.find(mark).expect(mark);
        self.run(&self.body.as_bytes()[..at], Ending::Aborted)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("utf-8")
}

#[test]
fn every_answer_passes_byte_for_byte_however_it_is_cut() {
    for case in ALL {
        assert_eq!(text(&case.whole().put_out), case.body);
        suite::any_chunking_is_the_same(|| case.meter(), case.body.as_bytes());
    }
}

#[test]
fn every_break_of_a_stream_is_noticed() {
    for case in [STREAM, TOOLS, COMPLETION_STREAM] {
        suite::any_break_is_noticed(|| case.meter(), case.body.as_bytes());
        assert!(case.whole().completed_with.is_some(), "the end is announced");
    }
}

#[test]
fn an_unchanged_event_is_not_copied() {
    let piece = Bytes::from_static(STREAM.body.as_bytes());
    let mut out = Vec::new();
    STREAM.meter().push(piece.clone(), &mut out);
    assert!(out.iter().all(|part| piece.as_ptr_range().contains(&part.as_ptr())));
}

#[test]
fn a_stream_is_told_in_two_parts_and_billed_once() {
    let outcome = STREAM.whole();
    let expected = Usage {
        in_text: 20,
        cache_read_text: 100,
        cache_write_5m: 40,
        out_text: 7,
        service_tier: Some("standard".into()),
        source: UsageSource::Upstream,
        ..Usage::default()
    };
    let model = Some("claude-sonnet-4-5-20250929".into());
    assert_eq!(outcome.reading, Reading { usage: expected, model, truncated: false, ..Reading::default() });
    assert_eq!(outcome.completed_with.as_deref(), Some(STREAM.body.as_bytes()));
}

#[test]
fn tools_of_the_provider_make_the_input_grow() {
    let outcome = TOOLS.whole();
    let usage = &outcome.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.web_search), (5000, 85, 2));
    assert_eq!((usage.speed.as_deref(), usage.inference_geo.as_deref()), (Some("fast"), Some("us")));
    let shown: Vec<_> = outcome.also.iter().map(|(model, u)| (&**model, u.in_text, u.out_text)).collect();
    assert_eq!(shown, [("claude-opus-5-5", 1000, 50), ("claude-sonnet-4-5", 100, 10)]);
}

#[test]
fn unary_answers_are_read() {
    let reading = UNARY.whole().reading;
    let usage = &reading.usage;
    assert_eq!((usage.in_text, usage.cache_read_text, usage.out_text, usage.out_reasoning), (1000, 30_000, 900, 300));
    assert_eq!((usage.cache_write_5m, usage.cache_write_1h, usage.source), (1500, 500, UsageSource::Upstream));
    assert_eq!(reading.model.as_deref(), Some("claude-opus-5-5"));
}

#[test]
fn completions_are_counted() {
    for case in [COMPLETION, COMPLETION_STREAM] {
        let reading = case.whole().reading;
        // " Hello, world!" is four tokens of the encoding at hand, five of an elder model's.
        let expected =
            Usage { in_text: HELLO_COMPLETION, out_text: 5, source: UsageSource::Estimated, ..Usage::default() };
        let model = Some("claude-2.1".into());
        assert_eq!(reading, Reading { usage: expected, model, truncated: false, ..Reading::default() });
        let short = suite::run(case.asked(200, "claude-2", Some(2)), case.body.as_bytes(), &[], Ending::Complete);
        assert_eq!(short.reading.usage.out_text, 2, "never above what was asked for");
    }
}

#[test]
fn a_broken_stream_has_an_exact_input_and_an_output_of_what_was_seen() {
    let early = STREAM.until("event: ping");
    assert_eq!((early.reading.usage.in_text, early.reading.usage.out_text), (20, 1), "the first word of the provider");
    let late = STREAM.until("event: content_block_stop");
    let usage = &late.reading.usage;
    // Six tokens were seen, at 115 percent.
    assert_eq!((usage.in_text, usage.cache_read_text, usage.cache_write_5m), (20, 100, 40));
    assert_eq!(usage.out_text, 7);
    assert_eq!(usage.source, UsageSource::Partial);
    assert!(late.reading.truncated && late.completed_with.is_none());
    let total = TOOLS
        .until("event: message_delta\r\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"");
    assert_eq!(
        (total.reading.usage.in_text, total.reading.usage.out_text),
        (2060, 30),
        "totals win where they are more"
    );
    let stopped = STREAM.until("event: message_stop");
    assert_eq!((stopped.reading.usage.out_text, stopped.reading.usage.source), (7, UsageSource::Upstream));
    assert!(stopped.reading.truncated, "its end was not seen all the same");
    let nothing = STREAM.run(b"event: mess", Ending::Aborted).reading;
    assert_eq!((nothing.usage.in_text, nothing.usage.source), (HELLO_TOKENS, UsageSource::Estimated));
}

#[test]
fn results_of_searches_are_no_output() {
    let seen = TOOLS.until("event: message_delta");
    // A thought, two names of tools, and the arguments.
    assert!((15..=25).contains(&seen.reading.usage.out_text), "{}", seen.reading.usage.out_text);
}

#[test]
fn a_break_is_told_by_an_event_with_a_name() {
    for body in [STREAM.body.as_bytes(), b"event: mess"] {
        let cut = body.len() / 2;
        let outcome = STREAM.run(&body[..cut], Ending::Aborted);
        assert!(outcome.put_out.is_empty() || outcome.put_out.ends_with(b"\n\n"), "no half event is sent");
        let tail = outcome.tail.expect("tail");
        let data =
            text(&tail).strip_prefix("event: error\ndata: ").and_then(|t| t.strip_suffix("\n\n")).expect("event");
        let error: serde_json::Value = serde_json::from_str(data).expect("json");
        assert_eq!(error, serde_json::json!({"type": "error", "error": {"type": "api_error", "message": "lost"}}));
    }
}

#[test]
fn a_failure_that_the_provider_reports_is_its_last_word() {
    let outcome = OVERLOADED.whole();
    assert_eq!(outcome.completed_with.as_deref(), Some(OVERLOADED.body.as_bytes()), "booked before it leaves");
    assert!(outcome.reading.truncated && outcome.tail.is_none(), "one error, not two");
    // Four tokens were seen, at 135 percent.
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.usage.out_text), (25, 6));
    assert_eq!(outcome.reading.usage.source, UsageSource::Partial);
    for first in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "event: error\ndata: a text\n\n",
    ] {
        let outcome = STREAM.run(first.as_bytes(), Ending::Complete);
        assert_eq!((outcome.reading.usage, outcome.tail), (Usage::default(), None), "{first}");
    }
}

#[test]
fn no_result_no_bill() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#;
    assert_eq!(unary(MESSAGES, error).whole().reading, Reading::default());
    for odd in ["<html>", "", "[]", r#"{"status":"ok"}"#] {
        assert_eq!(unary(MESSAGES, odd).whole().reading, Reading::default(), "{odd}");
    }
    for status in [400, 429, 500, 529, 302] {
        let outcome = suite::run(UNARY.asked(status, "m", None), UNARY.body.as_bytes(), &[], Ending::Complete);
        assert_eq!((text(&outcome.put_out), outcome.reading), (UNARY.body, Reading::default()), "{status}");
    }
}

#[test]
fn an_answer_without_usage_or_end_is_counted() {
    let silent = UNARY.body.replace("\"usage\"", "\"not\"");
    let reading = suite::run(UNARY.meter(), silent.as_bytes(), &[7], Ending::Complete).reading;
    assert_eq!((reading.usage.in_text, reading.usage.source), (HELLO_TOKENS, UsageSource::Estimated));
    assert!(reading.usage.out_text > 0 && !reading.truncated);
    let cut = UNARY.until("\"stop_reason\"").reading;
    assert_eq!((cut.usage.in_text, cut.usage.source, cut.truncated), (HELLO_TOKENS, UsageSource::Estimated, true));
    let headless = STREAM.body.split_once("event: content_block_start").expect("start").1;
    let reading =
        STREAM.run(format!("event: x{headless}").replace("\"usage\"", "\"not\"").as_bytes(), Ending::Complete);
    assert_eq!((reading.reading.usage.in_text, reading.reading.usage.source), (HELLO_TOKENS, UsageSource::Estimated));
}

#[test]
fn odd_types_are_passed_and_do_no_harm() {
    for body in [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":7}\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":[],\"model\":{}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":null,\"usage\":\"many\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":[\"content_block_delta\"],\"delta\":{}}\n\n",
        "event: brand_new\ndata: {\"type\":\"brand_new\"}\n\n",
        "data\n\ndata:\n\n: comment\n\nevent: only\n\n",
    ] {
        let outcome = STREAM.run(body.as_bytes(), Ending::Complete);
        assert_eq!(text(&outcome.put_out), body);
        assert_eq!((outcome.reading.usage.in_text, outcome.reading.truncated), (HELLO_TOKENS, true), "{body}");
    }
}

#[test]
fn of_a_huge_answer_the_end_is_kept() {
    let filler = "0.25,".repeat(2000);
    let body = format!(r#"{{"content":[{filler}0],"usage":{{"input_tokens":7,"output_tokens":9,"speed":"fast"}}}}"#);
    let bill = Bill::new(Kind::Messages, &Call::default(), &Bytes::new());
    let outcome = suite::run(
        Box::new(Unary::with_limits(bill, 4000, 300)),
        body.as_bytes(),
        &(0..body.len()).step_by(100).collect::<Vec<_>>(),
        Ending::Complete,
    );
    assert_eq!(outcome.put_out, body.as_bytes());
    let usage = outcome.reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.speed.as_deref()), (7, 9, Some("fast")));
}

#[test]
fn an_oversized_event_passes_and_the_end_is_still_seen() {
    let filler = "x".repeat(crate::wire::sse::EVENT_LIMIT + 200);
    let huge =
        format!("event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"blob\":\"{filler}\"}}\n\n");
    let body = format!("{huge}{}", STREAM.body);
    let outcome = suite::run(STREAM.meter(), body.as_bytes(), &[1000, 700_000], Ending::Complete);
    assert!(outcome.put_out == body.as_bytes());
    assert_eq!((outcome.reading.usage.in_text, outcome.reading.truncated), (20, false));
    let half = STREAM.run(&huge.as_bytes()[..huge.len() - 100], Ending::Aborted);
    assert!(half.tail.is_some_and(|t| t.starts_with(b"\n\nevent: error\n")), "the half that was sent is ended first");
}

#[test]
fn what_is_not_metered_passes() {
    let case = events("/v1/messages/count_tokens", "event: half");
    let outcome = case.whole();
    assert_eq!((text(&outcome.put_out), outcome.reading), (case.body, Reading::default()));
    assert!(outcome.tail.is_some_and(|t| t.starts_with(b"\n\nevent: error\n")));
    let endpoint = endpoints::find(&Method::GET, "/v1/messages/batches/b/results").expect("results");
    let meter = Anthropic.meter(&endpoint, &Call::default(), 200, &HeaderMap::new(), &Bytes::new());
    assert!(!meter.is_stream() && meter.broken_tail("lost").is_none());
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_answer_and_bill(
        which in 0..ALL.len(),
        mut cuts in prop::collection::vec(0..3000usize, 0..24),
    ) {
        cuts.sort_unstable();
        let case = ALL[which];
        prop_assert_eq!(suite::run(case.meter(), case.body.as_bytes(), &cuts, Ending::Complete), case.whole());
    }

    #[test]
    fn noise_passes_unchanged(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        which in 0..ALL.len(),
        chunk in 1..40usize,
    ) {
        suite::noise_passes(ALL[which].meter(), &noise, chunk);
    }

    #[test]
    fn a_stream_with_noise_in_it_passes_unchanged(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        which in 0..STREAMS.len(),
        at in 0..3000usize,
        chunk in 1..90usize,
    ) {
        let mut body = STREAMS[which].body.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise);
        suite::noise_passes(STREAMS[which].meter(), &body, chunk);
    }
}
