//! Streams: the halves of the transcripts that are of this form, and what upstreams do beside them.

use crate::wire::chat::transcripts::{T1, T2, T3, T4, T5, T6, T7, T8, T9_COMPLETIONS, assert_written, events_of};
use crate::wire::chat::*;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

fn start(id: &str, model: &str) -> Event {
    Event::Start { id: id.into(), model: model.into(), tokens: Tokens::default() }
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn thinking(text: &str) -> Event {
    Event::Thinking(text.into())
}

fn call(id: &str, name: &str) -> Event {
    Event::ToolCall { id: id.into(), name: name.into() }
}

fn arguments(piece: &str) -> Event {
    Event::Arguments(piece.into())
}

fn stop(stop: Stop) -> Event {
    Event::Stop { stop, sequence: None }
}

fn read_in_pieces(body: &[u8], size: usize) -> Vec<Event> {
    let mut reader = stream_reader(Format::OpenAiChat);
    let mut events = Vec::new();
    body.chunks(size.max(1)).for_each(|piece| reader.push(&Bytes::copy_from_slice(piece), &mut events));
    reader.end(&mut events);
    events
}

fn sse(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect()
}

/// Chunks with these deltas; the last one also says `stop`, and `[DONE]` follows.
fn deltas(deltas: &[Value]) -> Vec<Event> {
    let mut body =
        sse(&deltas.iter().map(|d| json!({ "id": "x", "choices": [{ "index": 0, "delta": d }] })).collect::<Vec<_>>());
    body += &sse(&[json!({ "id": "x", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] })]);
    let mut events = read_in_pieces((body + "data: [DONE]\n\n").as_bytes(), usize::MAX);
    assert_eq!(events.remove(0), start("x", ""));
    events
}

#[test]
fn transcripts_are_read() {
    let tokens = Tokens { input: 200, cache_read: 800, output: 50, ..Tokens::default() };
    assert_eq!(
        events_of(T4),
        [
            start("chatcmpl-T4", "gpt-4o-2024-11-20"),
            text("Hello"),
            text(" world"),
            Event::BlockEnd,
            Event::Tokens(tokens),
            stop(Stop::Length),
            Event::End,
        ]
    );
    let tokens = Tokens { input: 310, output: 58, reasoning: 20, ..Tokens::default() };
    let calls = [
        call("call_a1", "get_weather"),
        arguments("{\"ci"),
        arguments("ty\":\"Paris\"}"),
        Event::BlockEnd,
        call("call_b2", "get_time"),
        arguments("{}"),
        Event::BlockEnd,
        Event::Tokens(tokens),
        stop(Stop::ToolUse),
        Event::End,
    ];
    let begin = [start("chatcmpl-T5", "gpt-5.4")];
    assert_eq!(events_of(T5), [&begin[..], &calls].concat());
    assert_eq!(events_of(T8), [&begin[..], &[text("Sure."), Event::BlockEnd], &calls].concat());
    let tokens = |output| Event::Tokens(Tokens { input: 30, output, ..Tokens::default() });
    assert_eq!(
        events_of(T6),
        [
            start("chatcmpl-T6", "qwen3-32b"),
            tokens(0),
            thinking("Let me see"),
            tokens(3),
            thinking("."),
            tokens(4),
            Event::BlockEnd,
            text("Yes"),
            tokens(5),
            text("."),
            Event::BlockEnd,
            tokens(6),
            tokens(6),
            stop(Stop::End),
            Event::End,
        ]
    );
}

#[test]
fn transcripts_are_written() {
    let begin = |id: &str, input| Event::Start {
        id: id.into(),
        model: "what it is really called".into(),
        tokens: Tokens { input, output: 1, ..Tokens::default() },
    };
    let tokens = Tokens { input: 20, cache_read: 100, cache_write: 40, output: 7, ..Tokens::default() };
    let last = |reason, tokens| [stop(reason), Event::Tokens(tokens), Event::End];
    let said = [begin("msg_01T1", 20), text("Bonjour"), text(" été 👋"), Event::BlockEnd];
    assert_written([&said[..], &last(Stop::End, tokens)].concat(), T1);
    let called = [
        begin("msg_01T2", 310),
        text("Checking."),
        Event::BlockEnd,
        call("toolu_01A", "get_weather"),
        arguments(""),
        arguments("{\"city\":"),
        arguments("\"Paris\"}"),
        Event::BlockEnd,
        call("toolu_01B", "get_time"),
        Event::BlockEnd,
    ];
    let tokens = Tokens { input: 310, output: 58, ..Tokens::default() };
    assert_written([&called[..], &last(Stop::ToolUse, tokens)].concat(), T2);
    // Blocks need not be ended one by one.
    let called: Vec<_> = called.into_iter().filter(|event| *event != Event::BlockEnd).collect();
    assert_written([&called[..], &last(Stop::ToolUse, tokens)].concat(), T2);
    let thought = [
        begin("msg_01T3", 44),
        thinking("6 x 7"),
        thinking(" = 42"),
        Event::Signature("EqQBCgIYAhIM".into()),
        Event::BlockEnd,
        Event::RedactedThinking("x".into()),
        Event::BlockEnd,
        text("42"),
        Event::BlockEnd,
    ];
    let tokens = Tokens { input: 44, output: 21, reasoning: 14, ..Tokens::default() };
    assert_written([&thought[..], &last(Stop::End, tokens)].concat(), T3);
    let all = [
        begin("", 0),
        thinking("Need weather."),
        Event::Signature("EqQBCg".into()),
        Event::BlockEnd,
        text("One moment."),
        Event::BlockEnd,
        call("tooluse_X1", "get_weather"),
        arguments("{\"city\":\"Paris\"}"),
        Event::BlockEnd,
    ];
    let tokens = Tokens { input: 500, cache_read: 2000, cache_write: 300, output: 80, ..Tokens::default() };
    assert_written([&all[..], &last(Stop::ToolUse, tokens)].concat(), T7);
    let failure = Failure { kind: FailureKind::Overloaded, message: "Overloaded".into(), code: None };
    let failed = vec![begin("msg_01T9", 20), text("Hel"), Event::Failed(failure), text("never"), Event::End];
    assert_written(failed, T9_COMPLETIONS);
}

#[test]
fn what_else_upstreams_send() {
    let id = |events: &[Event]| match &events[0] {
        Event::ToolCall { id, .. } => id.clone(),
        other => panic!("{other:?}"),
    };
    let piece =
        |index: u64, text: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] });
    let begun = |index: u64, id: &str, name: &str| json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": "" } }] });
    let end = [Event::BlockEnd, stop(Stop::ToolUse), Event::End];

    // Id, name and arguments in any order; `stop` where `tool_calls` is meant.
    let held = deltas(&[
        json!({ "tool_calls": [{ "index": 0, "id": "c" }] }),
        piece(0, "{\"a\":"),
        json!({ "tool_calls": [{ "index": 0, "function": { "name": "f" } }] }),
        piece(0, "1}"),
    ]);
    assert_eq!(held, [&[call("c", "f"), arguments("{\"a\":"), arguments("1}")], &end[..]].concat());

    // No id at all, and the older kind of call: always the same one.
    let unnamed = deltas(&[json!({ "tool_calls": [{ "index": 0, "function": { "name": "f", "arguments": "{}" } }] })]);
    let old = deltas(&[json!({ "function_call": { "name": "f" } }), json!({ "function_call": { "arguments": "{}" } })]);
    assert!(id(&unnamed).starts_with("call_"), "{unnamed:?}");
    assert_eq!(old, unnamed);

    // Calls that all have one number, and calls that have none.
    let twice = [call("a", "f"), Event::BlockEnd, call("b", "g"), Event::BlockEnd];
    let wanted = [&twice[..], &end[1..]].concat();
    assert_eq!(deltas(&[begun(0, "a", "f"), begun(0, "b", "g")]), wanted);
    let unnumbered = |id: &str, name: &str| json!({ "tool_calls": [{ "id": id, "function": { "name": name } }] });
    assert_eq!(deltas(&[unnumbered("a", "f"), unnumbered("b", "g")]), wanted);
    // The name repeated on each piece is no new call.
    let repeated = deltas(&[begun(0, "a", "f"), begun(0, "a", "f"), piece(0, "{}")]);
    assert_eq!(repeated, [&[call("a", "f"), arguments("{}")], &end[..]].concat());
    // Both ways to spell reasoning, parts for content, refusals, no delta, and a choice too many.
    assert_eq!(
        deltas(&[json!({ "reasoning": "a", "content": "" }), json!({ "reasoning_content": "b" }), Value::Null]),
        [thinking("a"), thinking("b"), Event::BlockEnd, stop(Stop::End), Event::End]
    );
    assert_eq!(
        deltas(&[json!({ "content": [{ "type": "text", "text": "a" }] }), json!({ "refusal": "no" })]),
        [text("a"), text("no"), Event::BlockEnd, stop(Stop::Filtered), Event::End]
    );
    let other = sse(&[json!({ "choices": [{ "index": 1, "delta": { "content": "b" } }] })]);
    assert_eq!(read_in_pieces(other.as_bytes(), 9), []);
    // Half a character.
    let half = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\\ud83d\"}}]}\n\n";
    assert_eq!(read_in_pieces(half, 1), [start("", ""), text("a\u{fffd}")]);
    // What is no JSON is left out.
    assert_eq!(read_in_pieces(b": hello\n\ndata: {\"choices\":[\n\nevent: x\n\n", 1), []);
}

#[test]
fn a_piece_of_a_closed_call_is_a_failure() {
    let begun = |index: u64| json!({ "tool_calls": [{ "index": index, "id": format!("c{index}"), "function": { "name": "f" } }] });
    let late = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{}" } }] });
    let events = deltas(&[begun(0), begun(1), late, json!({ "content": "more" })]);
    assert!(matches!(events.as_slice(), [.., Event::Failed(_)]), "{events:?}");
}

#[test]
fn how_streams_end() {
    let chunk = |choice: Value| sse(&[json!({ "id": "x", "choices": [choice] })]);
    let said = chunk(json!({ "delta": { "content": "a" } }));
    let over = chunk(json!({ "delta": {}, "finish_reason": "content_filter" }));
    let begin = [start("x", ""), text("a")];
    let read = |body: &str| {
        let events = read_in_pieces(body.as_bytes(), 5);
        assert_eq!(events[..2], begin);
        events[2..].to_vec()
    };
    let filtered = [Event::BlockEnd, stop(Stop::Filtered), Event::End];
    assert_eq!(read(&said), [], "broken off");
    assert_eq!(read(&(said.clone() + &over)), filtered, "no [DONE]");
    assert_eq!(read(&(said.clone() + over.trim_end())), filtered, "not even a blank line");
    assert_eq!(read(&(said.clone() + &over + "data: [DONE] \n\n" + &said)), filtered, "nothing counts after it");
    assert_eq!(read(&(said.clone() + "data: [DONE]\n\n")), [Event::BlockEnd, stop(Stop::End), Event::End]);
    assert_eq!(read_in_pieces(b"data: [DONE]\n\n", 3), [], "nothing was answered");

    for (error, kind, message, code) in [
        (
            json!({ "message": "slow", "type": "rate_limit_error", "code": "rate_limit_exceeded" }),
            FailureKind::Rate,
            "slow",
            Some("rate_limit_exceeded"),
        ),
        (json!({ "message": "bad", "type": "BadRequestError", "code": 400 }), FailureKind::BadRequest, "bad", None),
        (json!({ "message": "m", "type": "invalid_request_error" }), FailureKind::BadRequest, "m", None),
        (json!("boom"), FailureKind::Server, "boom", None),
        (json!({ "code": 503 }), FailureKind::Overloaded, "The upstream failed.", None),
    ] {
        let failure = Failure { kind, message: message.into(), code: code.map(Into::into) };
        let body = said.clone() + &sse(&[json!({ "error": error })]) + "data: [DONE]\n\n";
        assert_eq!(read(&body), [Event::Failed(failure)]);
        // Hubs put it into a chunk that looks like any other.
        let body =
            sse(&[json!({ "error": error, "choices": [{ "delta": { "content": "" }, "finish_reason": "error" }] })]);
        assert!(matches!(read(&(said.clone() + &body)).as_slice(), [Event::Failed(_)]));
    }
}

#[test]
fn an_event_beyond_the_limit_is_not_passed_over() {
    let body = format!("data: {}\n\n", "x".repeat(2 * 1024 * 1024));
    let events = read_in_pieces(body.as_bytes(), 100_000);
    assert!(matches!(events.as_slice(), [Event::Failed(_)]), "{events:?}");
    // Arguments that nobody claims do not pile up either.
    let piece = sse(&[
        json!({ "choices": [{ "delta": { "tool_calls": [{ "index": 0, "function": { "arguments": "x".repeat(40_000) } }] } }] }),
    ]);
    let events = read_in_pieces(piece.repeat(2).as_bytes(), 100_000);
    assert!(matches!(events.as_slice(), [Event::Start { .. }, Event::Failed(_)]), "{events:?}");
}

fn written(asked: Asked, events: Vec<Event>) -> Vec<Value> {
    let mut writer = stream_writer(Format::OpenAiChat, asked);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    let out = String::from_utf8(out).expect("UTF-8");
    let data = out.strip_suffix("data: [DONE]\n\n").expect("the last word");
    data.split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.trim_start_matches("data: ")).expect("JSON"))
        .collect()
}

#[test]
fn usage_is_written_only_when_asked_for() {
    let events = || vec![start("msg_a", ""), text("a"), stop(Stop::Paused), Event::End];
    let chunks = written(Asked::default(), events());
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none() && chunk["id"] == "chatcmpl-a"));
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "length");
    let chunks = written(Asked { wants_usage: true, ..Asked::default() }, events());
    assert_eq!(chunks.len(), 4);
    assert!(chunks[..3].iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert_eq!(chunks[3]["choices"], json!([]));
}

#[test]
fn reasons_to_stop() {
    for (reason, word) in [
        (Stop::End, "stop"),
        (Stop::Sequence, "stop"),
        (Stop::Malformed, "stop"),
        (Stop::Length, "length"),
        (Stop::Context, "length"),
        (Stop::Paused, "length"),
        (Stop::ToolUse, "tool_calls"),
        (Stop::Filtered, "content_filter"),
    ] {
        let chunks = written(Asked::default(), vec![stop(reason), Event::End]);
        assert_eq!(chunks[1]["choices"][0]["finish_reason"], word);
    }
}

#[test]
fn free_text_is_taken_out_of_the_arguments() {
    let asked = || Asked { free_text_tools: vec!["sh".into()], ..Asked::default() };
    let called = |pieces: &[&str]| {
        let mut events = vec![call("a", "f"), arguments("{}"), call("b", "sh")];
        events.extend(pieces.iter().map(|piece| arguments(piece)));
        events.push(Event::End);
        let chunks = written(asked(), events);
        let calls = chunks.iter().filter_map(|c| c.pointer("/choices/0/delta/tool_calls/0")).cloned();
        calls.skip(2).collect::<Vec<_>>()
    };
    let begun = json!({ "index": 1, "id": "b", "type": "custom", "custom": { "name": "sh", "input": "" } });
    let piece = |input: &str| json!({ "index": 1, "custom": { "input": input } });
    assert_eq!(called(&["{\"inp", "ut\":\"ls \\\"x\\\"\"}"]), [begun.clone(), piece("ls \"x\"")]);
    assert_eq!(called(&["no JSON"]), [begun.clone(), piece("no JSON")]);
    assert_eq!(called(&[]), [begun]);
}

#[test]
fn citations_are_annotations_of_the_last_chunk() {
    let citation = || Citation { url: "https://a".into(), title: "A".into(), quote: String::new() };
    let events = vec![text("ab"), Event::BlockEnd, text("é"), Event::Citation(citation()), text("👋"), Event::End];
    let chunks = written(Asked::default(), events);
    let last = &chunks[chunks.len() - 1]["choices"][0]["delta"];
    let place = json!({ "url": "https://a", "title": "A", "start_index": 2, "end_index": 4 });
    assert_eq!(*last, json!({ "annotations": [{ "type": "url_citation", "url_citation": place }] }));
}

#[test]
fn ids_of_calls_stay_and_none_is_empty() {
    let of = |id: &str| {
        written(Asked::default(), vec![call(id, "f"), Event::End])[1]["choices"][0]["delta"]["tool_calls"][0]["id"]
            .clone()
    };
    for id in ["a-b.c:d_1", "a b", &"x".repeat(65)] {
        assert_eq!(of(id), id);
    }
    assert_eq!(of("").as_str().map(str::len), Some(29));
}

fn deltas_of_any_kind() -> impl Strategy<Value = Value> {
    let word = "[a-zé👋\"\\\\ ]{0,5}";
    prop_oneof![
        word.prop_map(|text| json!({ "content": text })),
        word.prop_map(|text| json!({ "reasoning": text })),
        word.prop_map(|text| json!({ "function_call": { "arguments": text } })),
        (0..3_u8, "[ab]{0,1}", "[fg]{0,1}", word).prop_map(|(index, id, name, arguments)| json!({ "tool_calls": [
                { "index": index, "id": id, "function": { "name": name, "arguments": arguments } }] })),
        Just(json!({ "tool_calls": [{}] })),
        Just(json!(["no delta"])),
    ]
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        deltas in prop::collection::vec(deltas_of_any_kind(), 0..8), size in 1..40_usize, crlf in any::<bool>(),
    ) {
        let chunks: Vec<_> = deltas.into_iter().map(|d| json!({ "id": "x", "choices": [{ "delta": d }] })).collect();
        let mut body = sse(&chunks) + "data: [DONE]\n\n";
        if crlf {
            body = body.replace('\n', "\r\n");
        }
        let whole = read_in_pieces(body.as_bytes(), usize::MAX);
        prop_assert_eq!(&read_in_pieces(body.as_bytes(), size), &whole);
        // Blocks follow each other, and there is one last word.
        let last = whole.iter().filter(|event| matches!(event, Event::End | Event::Failed(_))).count();
        prop_assert!(last <= 1 && (last == 0 || matches!(whole.last(), Some(Event::End | Event::Failed(_)))));
        let mut in_call = false;
        for event in &whole {
            match event {
                Event::ToolCall { id, name } => {
                    prop_assert!(!in_call && !id.is_empty() && !name.is_empty());
                    in_call = true;
                }
                Event::Arguments(_) => prop_assert!(in_call),
                Event::Text(_) | Event::Thinking(_) => prop_assert!(!in_call),
                Event::BlockEnd => in_call = false,
                _ => {}
            }
        }
    }

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _events = read_in_pieces(&body, 7);
        let _events = read_in_pieces(&[b"data: ", &body[..], b"\n\n"].concat(), 7);
    }
}
