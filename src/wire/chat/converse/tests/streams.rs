use super::*;
use crate::wire::chat::Collector;
use crate::wire::chat::converse::{Reader, Writer};
use crate::wire::event_stream::{Framer, Value as Header, encode};
use bytes::Bytes;
use proptest::prelude::*;

/// A failing frame that another implementation wrote.
const THROTTLED: &str = "000000b0000000614f5086b30f3a657863657074696f6e2d747970650700137468726f74746c696e674578636570\
    74696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d7479706507000965\
    7863657074696f6e7b226d657373616765223a22546f6f206d616e7920746f6b656e732c20706c656173652077616974206265666f7265\
    20747279696e6720616761696e2e227df70ae57f";
const ERROR: &str = "0000005a0000004a8188a08d0b3a6572726f722d636f646507000f496e7465726e616c4661696c7572650e3a657272\
    6f722d6d657373616765070004626f6f6d0d3a6d6573736167652d747970650700056572726f72f8d6999d";

/// Thoughts, a text and a call, padded as the upstream does it.
const THOUGHTS_TEXT_AND_CALL: [&str; 11] = [
    r#"messageStart {"role":"assistant","p":"abcd"}"#,
    r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Need weather."}},"p":"a"}"#,
    r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"EqQBCg"}},"p":"ab"}"#,
    r#"contentBlockStop {"contentBlockIndex":0,"p":"abc"}"#,
    r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"One moment."},"p":"abcde"}"#,
    r#"contentBlockStop {"contentBlockIndex":1}"#,
    r#"contentBlockStart {"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"tooluse_X1","name":"get_weather"}}}"#,
    r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"city\":\"Paris\"}"}}}"#,
    r#"contentBlockStop {"contentBlockIndex":2}"#,
    r#"messageStop {"stopReason":"tool_use","p":"xyz"}"#,
    r#"metadata {"usage":{"inputTokens":500,"outputTokens":80,"totalTokens":2880,"cacheReadInputTokens":2000,"cacheWriteInputTokens":300,"cacheDetails":[{"ttl":"5m","inputTokens":300}]},"metrics":{"latencyMs":900}}"#,
];

fn frames(lines: &[&str]) -> Vec<u8> {
    let frame = |line: &&str| {
        let (kind, payload) = line.split_once(' ').expect("kind and payload");
        let headers = [
            (":event-type", Header::Text(kind)),
            (":content-type", Header::Text("application/json")),
            (":message-type", Header::Text("event")),
        ];
        encode(&headers, payload.as_bytes()).expect("a frame")
    };
    lines.iter().flat_map(frame).collect()
}

fn read(body: &[u8], size: usize) -> Vec<Event> {
    let (mut reader, mut out) = (Reader::default(), Vec::new());
    for piece in body.chunks(size.max(1)) {
        reader.push(&Bytes::copy_from_slice(piece), &mut out);
    }
    reader.end(&mut out);
    out
}

fn events(lines: &[&str]) -> Vec<Event> {
    read(&frames(lines), usize::MAX)
}

fn start() -> Event {
    Event::Start { id: String::new(), model: String::new(), tokens: Tokens::default() }
}

fn stop(stop: Stop) -> Event {
    Event::Stop { stop, sequence: None }
}

fn expected() -> Vec<Event> {
    vec![
        start(),
        Event::Thinking("Need weather.".into()),
        Event::Signature("EqQBCg".into()),
        Event::BlockEnd,
        Event::Text("One moment.".into()),
        Event::BlockEnd,
        Event::ToolCall { id: "tooluse_X1".into(), name: "get_weather".into() },
        Event::Arguments(r#"{"city":"Paris"}"#.into()),
        Event::BlockEnd,
        stop(Stop::ToolUse),
        Event::Tokens(Tokens { input: 500, cache_read: 2000, cache_write: 300, output: 80, ..Tokens::default() }),
        Event::End,
    ]
}

/// Each frame as its kind and payload, with its headers checked.
fn lines(body: &[u8]) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut framer = Framer::default();
    framer
        .push(&Bytes::copy_from_slice(body), |message| {
            let headers: Vec<(&str, Header<'_>)> = message.headers().map(|header| header.expect("a header")).collect();
            let [(class, Header::Text(kind)), content, (":message-type", Header::Text(word))] = headers[..] else {
                panic!("{headers:?}")
            };
            assert_eq!(content, (":content-type", Header::Text("application/json")));
            assert_eq!(class, format!(":{word}-type"));
            found.push((kind.to_owned(), serde_json::from_slice(message.payload()).expect("JSON")));
        })
        .expect("frames");
    assert!(!framer.is_unfinished());
    found
}

fn write(events: Vec<Event>) -> Vec<(String, Value)> {
    let (mut writer, mut out) = (Writer::new(Asked::default()), Vec::new());
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    lines(&out)
}

fn parsed(lines: &[&str]) -> Vec<(String, Value)> {
    let parse = |line: &&str| {
        let (kind, payload) = line.split_once(' ').expect("kind and payload");
        (kind.to_owned(), serde_json::from_str(payload).expect("JSON"))
    };
    lines.iter().map(parse).collect()
}

#[test]
fn a_stream_becomes_events() {
    assert_eq!(events(&THOUGHTS_TEXT_AND_CALL), expected());
}

#[test]
fn the_usage_may_be_missing_but_not_the_stop() {
    let without_usage = &THOUGHTS_TEXT_AND_CALL[..10];
    let mut whole = expected();
    whole.remove(10);
    assert_eq!(events(without_usage), whole);
    assert_eq!(events(&THOUGHTS_TEXT_AND_CALL[..9]), expected()[..9]);
    // The usage was begun: something is missing.
    let mut cut = frames(&THOUGHTS_TEXT_AND_CALL);
    cut.pop();
    assert_eq!(read(&cut, usize::MAX), expected()[..10]);
    // Usage before the stop.
    let mut swapped = THOUGHTS_TEXT_AND_CALL;
    swapped.swap(9, 10);
    let mut whole = expected();
    whole.swap(9, 10);
    assert_eq!(events(&swapped), whole);
}

#[test]
fn the_sequence_that_ended_a_stream_is_told() {
    let stopped =
        r#"messageStop {"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}}"#;
    let told = Event::Stop { stop: Stop::Sequence, sequence: Some("END".into()) };
    assert_eq!(events(&[stopped]), [told, Event::End]);
}

#[test]
fn a_stream_that_fails_says_why() {
    let mut body = frames(&THOUGHTS_TEXT_AND_CALL[..5]);
    body.extend(hex::decode(THROTTLED).expect("hex"));
    body.extend(frames(&THOUGHTS_TEXT_AND_CALL[5..]));
    let mut found = expected()[..5].to_vec();
    let message = "Too many tokens, please wait before trying again.".to_owned();
    found.push(Event::Failed(Failure { kind: FailureKind::Rate, message, code: None }));
    assert_eq!(read(&body, usize::MAX), found);

    let failure = Failure { kind: FailureKind::Server, message: "boom".into(), code: None };
    assert_eq!(read(&hex::decode(ERROR).expect("hex"), 7), [Event::Failed(failure)]);

    let mut damaged = frames(&THOUGHTS_TEXT_AND_CALL);
    *damaged.last_mut().expect("a byte") ^= 1;
    let found = read(&damaged, 100);
    assert_eq!(found[..10], expected()[..10]);
    assert!(matches!(&found[10..], [Event::Failed(Failure { kind: FailureKind::Server, .. })]), "{found:?}");
}

#[test]
fn what_is_not_understood_is_left_out() {
    let found = events(&[
        r#"messageStart {"role":"assistant"}"#,
        r#"news {"a":1}"#,
        r#"contentBlockStart {"contentBlockIndex":0,"start":{"image":{"format":"png"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"image":{"source":{}}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"citation":{"title":"t"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":0}"#,
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":""}}"#,
        r"contentBlockDelta no JSON",
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"a"}}"#,
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"citation":{"title":"t","source":"u"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"text":"b"}}"#,
        r#"contentBlockDelta {"contentBlockIndex":3,"delta":{"reasoningContent":{"redactedContent":"cg=="}}}"#,
        r#"contentBlockStart {"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":4}"#,
        r#"messageStop {"stopReason":"end_turn"}"#,
        r#"metadata {"metrics":{"latencyMs":1}}"#,
        r#"contentBlockDelta {"contentBlockIndex":9,"delta":{"text":"late"}}"#,
    ]);
    let citation = Citation { url: "u".into(), title: "t".into(), quote: String::new() };
    let whole = [
        start(),
        Event::Text("a".into()),
        Event::Citation(citation),
        Event::BlockEnd,
        Event::Text("b".into()),
        Event::BlockEnd,
        Event::RedactedThinking("cg==".into()),
        Event::BlockEnd,
        Event::ToolCall { id: "t".into(), name: "f".into() },
        Event::Arguments("{}".into()),
        Event::BlockEnd,
        stop(Stop::End),
        Event::End,
    ];
    assert_eq!(found, whole);
}

#[test]
fn text_and_calls_are_written_as_bedrock_does() {
    let tokens = Tokens { input: 310, output: 58, ..Tokens::default() };
    let piece = |text: &str| Event::Arguments(text.into());
    let tool = |id: &str, name: &str| Event::ToolCall { id: id.into(), name: name.into() };
    let found = write(vec![
        Event::Start { id: "chatcmpl-1".into(), model: "m".into(), tokens: Tokens::default() },
        Event::Text("Sure.".into()),
        tool("call_a1", "get_weather"),
        piece(""),
        piece("{\"ci"),
        piece("ty\":\"Paris\"}"),
        tool("call_b2", "get_time"),
        piece("{}"),
        stop(Stop::ToolUse),
        Event::Tokens(tokens),
        Event::End,
    ]);
    let whole = parsed(&[
        r#"messageStart {"role":"assistant"}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Sure."}}"#,
        r#"contentBlockStop {"contentBlockIndex":0}"#,
        r#"contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"call_a1","name":"get_weather"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"ci"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"toolUse":{"input":"ty\":\"Paris\"}"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":1}"#,
        r#"contentBlockStart {"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"call_b2","name":"get_time"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":2}"#,
        r#"messageStop {"stopReason":"tool_use"}"#,
        r#"metadata {"usage":{"inputTokens":310,"outputTokens":58,"totalTokens":368,"cacheReadInputTokens":0,"cacheWriteInputTokens":0},"metrics":{"latencyMs":0}}"#,
    ]);
    assert_eq!(found, whole);
}

#[test]
fn everything_else_is_written_too() {
    let citation = Citation { url: "u".into(), title: "t".into(), quote: "q".into() };
    let found = write(vec![
        Event::Thinking("hm".into()),
        Event::Signature("s".into()),
        Event::BlockEnd,
        Event::RedactedThinking("cmVk".into()),
        Event::Text(String::new()),
        Event::Text("a".into()),
        Event::Citation(citation.clone()),
        Event::BlockEnd,
        Event::BlockEnd,
        Event::Citation(citation),
        Event::Text("b".into()),
        Event::ToolCall { id: "odd id".into(), name: "f".into() },
        Event::End,
        Event::Text("late".into()),
    ]);
    let id = "odd id";
    let call = format!(
        r#"contentBlockStart {{"contentBlockIndex":4,"start":{{"toolUse":{{"toolUseId":"{id}","name":"f"}}}}}}"#
    );
    let whole = parsed(&[
        r#"messageStart {"role":"assistant"}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#,
        r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":0}"#,
        r#"contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"cmVk"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":1}"#,
        r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"text":"a"}}"#,
        r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"citation":{"title":"t","sourceContent":[{"text":"q"}],"location":{"web":{"url":"u"}}}}}"#,
        r#"contentBlockStop {"contentBlockIndex":2}"#,
        r#"contentBlockDelta {"contentBlockIndex":3,"delta":{"text":"b"}}"#,
        r#"contentBlockStop {"contentBlockIndex":3}"#,
        &call,
        r#"contentBlockDelta {"contentBlockIndex":4,"delta":{"toolUse":{"input":"{}"}}}"#,
        r#"contentBlockStop {"contentBlockIndex":4}"#,
        r#"messageStop {"stopReason":"end_turn"}"#,
        r#"metadata {"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cacheReadInputTokens":0,"cacheWriteInputTokens":0},"metrics":{"latencyMs":0}}"#,
    ]);
    assert_eq!(found, whole);
}

#[test]
fn a_failure_is_an_exception() {
    let failed = |kind| Event::Failed(Failure { kind, message: "no".into(), code: Some("x".into()) });
    for (kind, class) in [
        (FailureKind::Rate, "throttlingException"),
        (FailureKind::Server, "internalServerException"),
        (FailureKind::Overloaded, "serviceUnavailableException"),
        (FailureKind::TooLarge, "validationException"),
        (FailureKind::BadRequest, "validationException"),
        (FailureKind::Billing, "validationException"),
        (FailureKind::NotFound, "validationException"),
        (FailureKind::Timeout, "modelStreamErrorException"),
        (FailureKind::Auth, "internalServerException"),
        (FailureKind::Permission, "internalServerException"),
    ] {
        let found = write(vec![start(), Event::Text("a".into()), failed(kind), Event::End]);
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], (class.to_owned(), json!({ "message": "no" })));
        assert_eq!(write(vec![failed(kind)]).len(), 1);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let answer = Answer {
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
            Part::RedactedThinking("cmVk".into()),
            Part::text("a"),
            Part::text("b"),
            call("t", r#"{"a":1}"#),
        ],
        stop: Stop::ToolUse,
        tokens: Tokens { input: 1, cache_read: 2, cache_write: 3, cache_write_1h: 1, output: 4, reasoning: 0 },
        ..Answer::default()
    };
    let (mut writer, mut out) = (Writer::new(Asked::default()), Vec::new());
    answer.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut out));
    let mut collector = Collector::default();
    read(&out, 5).into_iter().for_each(|event| collector.push(event));
    assert_eq!(collector.finish(), Some(Ok(answer)));
}

proptest! {
    #[test]
    fn cuts_change_nothing(cuts in proptest::collection::vec(1_usize..200, 1..60)) {
        let body = frames(&THOUGHTS_TEXT_AND_CALL);
        let (mut reader, mut out, mut rest) = (Reader::default(), Vec::new(), body.as_slice());
        for cut in cuts {
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            reader.push(&Bytes::copy_from_slice(piece), &mut out);
            rest = later;
        }
        reader.push(&Bytes::copy_from_slice(rest), &mut out);
        reader.end(&mut out);
        prop_assert_eq!(out, expected());
    }

    #[test]
    fn no_bytes_are_too_odd(body in proptest::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
        read(&body, size);
    }

    /// Whole frames whose payloads and order are anything.
    #[test]
    fn no_order_is_too_odd(order in proptest::collection::vec((0_usize..11, 0_usize..40), 0..30)) {
        let mut lines: Vec<String> = Vec::new();
        for (at, cut) in order {
            let mut line = THOUGHTS_TEXT_AND_CALL[at].to_owned();
            // Some are cut short behind their kind.
            if cut > 30 {
                line.truncate(line.len() - cut % 9);
            }
            lines.push(line);
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = events(&lines);
        let last = |event: &Event| matches!(event, Event::End | Event::Failed(_));
        let ends = found.iter().filter(|event| last(event)).count();
        prop_assert!(ends <= 1);
        prop_assert!(ends == 0 || found.last().is_some_and(last));
        // And whatever comes of it can be written.
        write(found);
    }
}
