use super::unary::Unary;
use super::*;
use crate::providers::Provider as _;
use crate::providers::custom::Custom;
use crate::providers::custom::tests::{endpoint, row};
use crate::providers::{Ending, Progress, Reading};
use http::HeaderValue;
use proptest::prelude::*;

/// 10 tokens of cl100k in two messages.
const REQUEST: &str = r#"{"messages":[{"content":"The quick brown fox"},{"content":" jumps over the lazy dog."}]}"#;
const STREAM: &str = ": hello\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"Hello, \"}}]}\r\n\r\nevent: odd\ndata: {\"choices\":[{\"delta\":{\"content\":\"world!\"}}],\"x\":1e999}\n\n\
    data: [END]\n\n";

fn meter(stream: bool, status: u16, content_type: &'static str) -> Box<dyn ResponseMeter> {
    let custom = Custom::new(&row());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let call = Call { stream, choices: 1, ..Call::default() };
    custom.meter(&endpoint(&custom), &call, status, &headers, &Bytes::from_static(REQUEST.as_bytes()))
}

/// What the client gets, and the bill.
fn run(mut meter: Box<dyn ResponseMeter>, pieces: &[&[u8]]) -> (Vec<u8>, Reading, bool) {
    let mut out = Vec::new();
    let mut ended = false;
    for piece in pieces {
        ended |= meter.push(Bytes::copy_from_slice(piece), &mut out) == Progress::Ended;
        if ended {
            break;
        }
    }
    meter.end(&mut out);
    let reading = meter.reading(Ending::Complete);
    if reading.truncated {
        out.extend(meter.broken_tail("broken"));
    }
    (out.concat(), reading, ended)
}

fn stream(text: &str) -> (String, Reading, bool) {
    let (out, reading, ended) = run(meter(true, 200, "text/event-stream"), &[text.as_bytes()]);
    (String::from_utf8(out).unwrap(), reading, ended)
}

fn unary(text: &str) -> Reading {
    let (out, reading, _) = run(meter(false, 200, "application/json; charset=utf-8"), &[text.as_bytes()]);
    assert_eq!(out, text.as_bytes());
    reading
}

#[test]
fn c130_an_answer_without_usage_is_counted() {
    let reading = unary(r#"{"choices":[{"message":{"content":"Hello, world!"}}]}"#);
    let usage = reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (10, 4, UsageSource::Estimated));
    assert!(!reading.truncated);
}

#[test]
fn a_reported_usage_wins() {
    for usage in [r#"{"prompt_tokens":100,"completion_tokens":7}"#, r#"{"input_tokens":100,"output_tokens":7}"#] {
        let reading = unary(&format!(r#"{{"choices":[{{"message":{{"content":"Hello"}}}}],"usage":{usage}}}"#));
        let usage = reading.usage;
        assert_eq!((usage.in_text, usage.out_text, usage.source), (100, 7, UsageSource::Upstream));
    }
}

#[test]
fn failures_cost_nothing() {
    assert_eq!(unary(r#"{"error":{"message":"no"}}"#).usage, Usage::default());
    let (_, reading, _) = run(meter(false, 500, "application/json"), &[b"{\"usage\":{\"prompt_tokens\":9}}"]);
    assert_eq!(reading, Reading::default());
    let (_, reading, _) = run(meter(true, 200, "text/event-stream"), &[b"data: {\"error\":{}}\n\ndata: [END]\n\n"]);
    assert_eq!(reading.usage, Usage::default());
}

#[test]
fn a_cut_answer_is_noticed() {
    let reading = unary(r#"{"choices":[{"message":{"content":"Hel"#);
    assert!(reading.truncated && reading.usage.in_text == 10);
}

#[test]
fn c131_a_stream_ends_after_its_end_word() {
    let after = "data: {\"choices\":[{\"delta\":{\"content\":\"never\"}}]}\n\n";
    let (out, reading, ended) = stream(&format!("{STREAM}{after}"));
    assert_eq!(out, STREAM);
    assert!(ended && !reading.truncated);
    let usage = reading.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (10, 4, UsageSource::Estimated));

    let (out, reading, ended) = stream(STREAM.split("data: [END]").next().unwrap());
    assert!(!ended && reading.truncated && out.ends_with("\n\n") && out.contains("upstream_disconnected"));
    assert_eq!(reading.usage.out_text, 4, "what was sent is billed");
}

#[test]
fn usage_in_a_stream_is_the_last_one_told() {
    let frames = "data: {\"message\":{\"usage\":{\"input_tokens\":100,\"output_tokens\":1}}}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Hello, world!\"}}]}\n\n";
    let usage = stream(&format!("{frames}data: {{\"usage\":{{\"output_tokens\":50}}}}\n\ndata: [END]\n\n")).1.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (100, 50, UsageSource::Upstream));
    let usage = stream(frames).1.usage;
    assert_eq!((usage.in_text, usage.out_text, usage.source), (100, 4, UsageSource::Partial), "at least what was seen");
}

#[test]
fn c133_too_many_empty_frames_end_a_stream() {
    let (empty, full) = ("data: {\"choices\":[]}\n\n", "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    let fine = format!("{empty}{empty}{full}{empty}{empty}data: [END]\n\n");
    let (out, reading, _) = stream(&fine);
    assert_eq!((out, reading.truncated), (fine, false));
    let (out, reading, ended) = stream(&format!("{full}{empty}{empty}{empty}{full}data: [END]\n\n"));
    let expected = format!("{full}{empty}{empty}");
    assert!(ended && reading.truncated && out.starts_with(&expected));
    let tail = out.strip_prefix(&expected).unwrap();
    assert!(tail.starts_with("data: {\"error\":") && tail.contains("without text") && tail.ends_with("\n\n"), "{tail}");
    assert_eq!(reading.usage.out_text, 1);
}

#[test]
fn frames_without_empty_lines_between_are_read_too() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello, \"}}]}\ndata: {\"choices\":[{\"delta\":{\"content\":\"world!\"}}]}\ndata: [END]\n\n";
    let (out, reading, ended) = stream(text);
    assert_eq!((out.as_str(), reading.usage.out_text, ended), (text, 4, true));
    let pretty = "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"Hello, world!\"}}]}\n\ndata: [END]\n\n";
    assert_eq!(stream(pretty).1.usage.out_text, 4);
}

#[test]
fn answers_beyond_memory_are_measured() {
    let custom = Custom::new(&row());
    let bill = || Bill { route: Arc::clone(&custom.routes[0]), sent: Bytes::from_static(REQUEST.as_bytes()) };
    let long = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]"#, "a".repeat(4000));
    for (end, expected) in [("}", 4049 / 4), (r#","usage":{"prompt_tokens":1,"completion_tokens":2}}"#, 2)] {
        let text = format!("{long}{end}");
        let pieces: Vec<_> = text.as_bytes().chunks(50).collect();
        let reading = run(Box::new(Unary::with_limits(bill(), 1000, 200)), &pieces).1;
        assert!(reading.usage.out_text.abs_diff(expected) < 10, "{}", reading.usage.out_text);
    }
    let giant = [b"data: \"".as_slice(), &vec![b'x'; 3 << 20], b"\"\n\ndata: [END]\n\n"].concat();
    let pieces: Vec<_> = giant.chunks(64 * 1024).collect();
    let (out, reading, ended) = run(meter(true, 200, "text/event-stream"), &pieces);
    assert!(out == giant && ended && reading.usage.out_text > 700_000);
}

fn cut(text: &[u8], mut at: Vec<usize>) -> Vec<&[u8]> {
    at.iter_mut().for_each(|at| *at %= text.len() + 1);
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at.into_iter().chain([text.len()]) {
        pieces.push(&text[from..to]);
        from = to;
    }
    pieces
}

#[test]
fn a_cut_at_every_byte_changes_nothing() {
    for (is_stream, media, text) in [
        (true, "text/event-stream", STREAM),
        (false, "application/json", r#"{"choices":[{"message":{"content":"Hi"}}]}"#),
    ] {
        let whole = run(meter(is_stream, 200, media), &[text.as_bytes()]);
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(run(meter(is_stream, 200, media), &[head, tail]), whole, "{at}");
        }
    }
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same(at in prop::collection::vec(0usize..1000, 0..20)) {
        let text = STREAM.as_bytes();
        prop_assert_eq!(run(meter(true, 200, "text/event-stream"), &cut(text, at)), run(meter(true, 200, "text/event-stream"), &[text]));
    }

    #[test]
    fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..300), is_stream: bool) {
        let media = if is_stream { "text/event-stream" } else { "application/json" };
        let mut meter = meter(false, 200, media);
        let mut out = Vec::new();
        meter.push(Bytes::from(bytes.clone()), &mut out);
        meter.end(&mut out);
        meter.reading(Ending::Complete);
        prop_assert_eq!(out.concat(), bytes);
    }
}
