use super::super::super::{
    Answer, Asked, Citation, Collector, Event, Failure, FailureKind, Part, Stop, StreamReader as _, StreamWriter as _,
    Tokens, ToolCall,
};
use super::super::{Reader, Writer};
use bytes::Bytes;
use serde_json::{Value, json};

/// Events as an upstream sends them.
fn stream(events: &[Value]) -> Vec<u8> {
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("?"));
    events.iter().map(frame).collect::<String>().into_bytes()
}

/// What is read of a body that comes in pieces of this length.
fn read_cut(body: &[u8], length: usize) -> Vec<Event> {
    let (mut reader, mut out) = (Reader::default(), Vec::new());
    for piece in body.chunks(length) {
        reader.push(&Bytes::copy_from_slice(piece), &mut out);
    }
    reader.end(&mut out);
    out
}

fn read(events: &[Value]) -> Vec<Event> {
    read_cut(&stream(events), usize::MAX)
}

fn start(id: &str, usage: Value) -> Value {
    json!({"type": "message_start", "message": {"id": id, "type": "message", "role": "assistant", "model": "claude-x",
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}})
}

fn block(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn text(index: u64, text: &str) -> Value {
    delta(index, json!({"type": "text_delta", "text": text}))
}

fn arguments(index: u64, json: &str) -> Value {
    delta(index, json!({"type": "input_json_delta", "partial_json": json}))
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn ending(reason: &str, usage: Value) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage})
}

fn over() -> Value {
    json!({"type": "message_stop"})
}

fn started(id: &str, tokens: Tokens) -> Event {
    Event::Start { id: id.into(), model: "claude-x".into(), tokens }
}

fn called(id: &str, name: &str) -> Event {
    Event::ToolCall { id: id.into(), name: name.into() }
}

fn stopped(stop: Stop) -> Event {
    Event::Stop { stop, sequence: None }
}

/// Transcript T1: a text with numbers of the cache.
fn t1() -> Vec<Value> {
    vec![
        start(
            "msg_01T1",
            json!({"input_tokens": 20, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 0}, "output_tokens": 1}),
        ),
        block(0, json!({"type": "text", "text": ""})),
        json!({"type": "ping"}),
        text(0, "Bonjour"),
        text(0, " été 👋"),
        stop(0),
        ending("end_turn", json!({"output_tokens": 7})),
        over(),
    ]
}

/// Transcript T2: two calls after a text.
fn t2() -> Vec<Value> {
    vec![
        start("msg_01T2", json!({"input_tokens": 310, "output_tokens": 2})),
        block(0, json!({"type": "text", "text": ""})),
        text(0, "Checking."),
        stop(0),
        block(1, json!({"type": "tool_use", "id": "toolu_01A", "name": "get_weather", "input": {}})),
        arguments(1, ""),
        arguments(1, "{\"city\":"),
        arguments(1, "\"Paris\"}"),
        stop(1),
        block(2, json!({"type": "tool_use", "id": "toolu_01B", "name": "get_time", "input": {}})),
        stop(2),
        ending("tool_use", json!({"output_tokens": 58})),
        over(),
    ]
}

/// Transcript T3: thinking before a text.
fn t3() -> Vec<Value> {
    vec![
        start("msg_01T3", json!({"input_tokens": 44, "output_tokens": 3})),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "6 x 7"})),
        delta(0, json!({"type": "thinking_delta", "thinking": " = 42"})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQBCgIYAhIM"})),
        stop(0),
        block(1, json!({"type": "text", "text": ""})),
        text(1, "42"),
        stop(1),
        ending(
            "end_turn",
            json!({"input_tokens": 44, "output_tokens": 21, "output_tokens_details": {"thinking_tokens": 14}}),
        ),
        over(),
    ]
}

#[test]
fn a_text_is_read_with_the_numbers_of_its_cache() {
    let first = Tokens { input: 20, cache_read: 100, cache_write: 40, output: 1, ..Tokens::default() };
    let expected = [
        started("msg_01T1", first),
        Event::Text("Bonjour".into()),
        Event::Text(" été 👋".into()),
        Event::BlockEnd,
        stopped(Stop::End),
        Event::Tokens(Tokens { output: 7, ..first }),
        Event::End,
    ];
    assert_eq!(read(&t1()), expected);
}

#[test]
fn calls_are_read_and_those_without_arguments_get_an_empty_object() {
    let first = Tokens { input: 310, output: 2, ..Tokens::default() };
    let expected = [
        started("msg_01T2", first),
        Event::Text("Checking.".into()),
        Event::BlockEnd,
        called("toolu_01A", "get_weather"),
        Event::Arguments("{\"city\":".into()),
        Event::Arguments("\"Paris\"}".into()),
        Event::BlockEnd,
        called("toolu_01B", "get_time"),
        Event::Arguments("{}".into()),
        Event::BlockEnd,
        stopped(Stop::ToolUse),
        Event::Tokens(Tokens { output: 58, ..first }),
        Event::End,
    ];
    assert_eq!(read(&t2()), expected);
}

#[test]
fn thinking_is_read_with_its_proof() {
    let expected = [
        started("msg_01T3", Tokens { input: 44, output: 3, ..Tokens::default() }),
        Event::Thinking("6 x 7".into()),
        Event::Thinking(" = 42".into()),
        Event::Signature("EqQBCgIYAhIM".into()),
        Event::BlockEnd,
        Event::Text("42".into()),
        Event::BlockEnd,
        stopped(Stop::End),
        Event::Tokens(Tokens { input: 44, output: 21, reasoning: 14, ..Tokens::default() }),
        Event::End,
    ];
    assert_eq!(read(&t3()), expected);
}

#[test]
fn arguments_in_the_start_of_a_call_count_when_no_piece_follows() {
    let call = |input: Value| block(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": input}));
    let read = |events: &[Value]| -> String {
        let pieces = read(events).into_iter().filter_map(|event| match event {
            Event::Arguments(piece) => Some(piece),
            _ => None,
        });
        pieces.collect()
    };
    assert_eq!(read(&[call(json!({"a": [1, 2]})), stop(0)]), r#"{"a":[1,2]}"#);
    assert_eq!(read(&[call(json!({"a": 1})), arguments(0, "{\"b\":2}"), stop(0)]), r#"{"b":2}"#);
    assert_eq!(read(&[call(Value::Null), arguments(0, ""), stop(0)]), "{}");
    assert_eq!(read(&[call(json!({"a": 1})), over()]), r#"{"a":1}"#, "its end may be missing");
    assert_eq!(read(&[call(json!({"a": 1}))]), "", "what broke off is not completed");
}

#[test]
fn blocks_of_the_providers_tools_are_left_out_with_all_their_pieces() {
    let events = read(&[
        start("m", json!({})),
        block(0, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        arguments(0, "{\"query\":1}"),
        stop(0),
        block(1, json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"text": "x"}]})),
        stop(1),
        block(2, json!({"type": "of_the_future", "text": "x"})),
        text(2, "y"),
        stop(2),
        block(3, json!({"type": "text", "text": "a"})),
        text(9, "elsewhere"),
        delta(3, json!({"type": "of_the_future", "text": "z"})),
        delta(
            3,
            json!({"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "https://x",
            "title": "X", "cited_text": "q"}}),
        ),
        delta(3, json!({"type": "citations_delta", "citation": {"type": "page_location", "document_title": "d"}})),
        stop(9),
        stop(3),
        block(4, json!({"type": "text", "text": ""})),
        stop(4),
    ]);
    let citation = Citation { url: "https://x".into(), title: "X".into(), quote: "q".into() };
    let expected =
        [started("m", Tokens::default()), Event::Text("a".into()), Event::Citation(citation), Event::BlockEnd];
    assert_eq!(events, expected);
}

#[test]
fn the_end_overwrites_what_the_beginning_told_member_by_member() {
    let events = read(&[
        start(
            "m",
            json!({"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_1h_input_tokens": 10}, "output_tokens": 1}),
        ),
        ending("end_turn", json!({"output_tokens": 3, "input_tokens": null})),
        json!({"type": "message_delta", "delta": {}, "usage": {"input_tokens": 4, "cache_creation_input_tokens": 12, "output_tokens": 6}}),
    ]);
    let first = Tokens { input: 5, cache_read: 2, cache_write: 10, cache_write_1h: 10, output: 1, ..Tokens::default() };
    let expected = [
        started("m", first),
        stopped(Stop::End),
        Event::Tokens(Tokens { output: 3, ..first }),
        Event::Tokens(Tokens { input: 4, cache_write: 12, output: 6, ..first }),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_error_is_the_last_word() {
    let events = read(&[
        start("m", json!({"input_tokens": 20})),
        block(0, json!({"type": "text", "text": ""})),
        text(0, "Hel"),
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        text(0, "lo"),
        over(),
    ]);
    let failure =
        Failure { kind: FailureKind::Overloaded, message: "Overloaded".into(), code: Some("overloaded_error".into()) };
    let expected =
        [started("m", Tokens { input: 20, ..Tokens::default() }), Event::Text("Hel".into()), Event::Failed(failure)];
    assert_eq!(events, expected);
}

#[test]
fn what_broke_off_has_no_end() {
    let mut events = t1();
    events.pop();
    assert_eq!(
        read(&events).last(),
        Some(&Event::Tokens(Tokens { input: 20, cache_read: 100, cache_write: 40, output: 7, ..Tokens::default() }))
    );
    // Half an event at the end says nothing, a whole one without its blank line does.
    let whole = stream(&t1());
    assert_eq!(read_cut(&whole[..whole.len() - 2], 7).last(), Some(&Event::End));
    assert_ne!(read_cut(&whole[..whole.len() - 4], 7).last(), Some(&Event::End));
}

#[test]
fn a_character_cut_between_its_two_escapes_is_put_together() {
    let piece = |text: &str| {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let read = |pieces: &[&str]| -> String {
        let mut body = stream(&[start("m", json!({})), block(0, json!({"type": "text", "text": ""}))]);
        pieces.iter().for_each(|text| body.extend(piece(text).bytes()));
        body.extend(stream(&[stop(0)]));
        let texts = read_cut(&body, usize::MAX).into_iter().filter_map(|event| match event {
            Event::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    };
    assert_eq!(read(&["a\\ud83d", "\\udc4b b"]), "a👋 b");
    assert_eq!(read(&["a\\ud83d", "", "\\udc4b"]), "a👋");
    assert_eq!(read(&["a\\uD83D", "b"]), "a\u{fffd}b");
    assert_eq!(read(&["a\\ud83d"]), "a\u{fffd}");
    assert_eq!(read(&["a\\\\ud83d", "b"]), "a\\ud83db", "an escaped backslash begins no escape");
}

#[test]
fn a_piece_that_is_too_large_fails_the_answer() {
    let events = read(&[start("m", json!({})), text(0, &"x".repeat(2 << 20)), over()]);
    assert!(
        matches!(events.as_slice(), [Event::Start { .. }, Event::Failed(failure)] if failure.kind == FailureKind::Server)
    );
}

#[test]
fn streams_are_read_alike_however_they_are_cut() {
    for events in [t1(), t2(), t3()] {
        let body = stream(&events);
        let whole = read(&events);
        for length in 1..40 {
            assert_eq!(read_cut(&body, length), whole, "pieces of {length}");
        }
        let crlf = String::from_utf8(body).unwrap().replace('\n', "\r\n");
        assert_eq!(read_cut(crlf.as_bytes(), 5), whole);
    }
}

fn asked(model: &str) -> Asked {
    Asked { model: model.into(), fresh_id: "fresh1".into(), ..Asked::default() }
}

fn write(model: &str, events: &[Event]) -> String {
    let (mut writer, mut out) = (Writer::new(asked(model)), Vec::new());
    events.iter().for_each(|event| writer.write(event.clone(), &mut out));
    String::from_utf8(out).unwrap()
}

/// A stream of the API: each event's name and its data as parsed JSON.
fn parsed(body: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    };
    body.split_terminator("\n\n").map(event).collect()
}

#[track_caller]
fn check(model: &str, events: &[Event], expected: &[Value]) {
    let named: Vec<_> = expected.iter().map(|e| (e["type"].as_str().unwrap().to_owned(), e.clone())).collect();
    let body = write(model, events);
    assert!(body.ends_with("\n\n"));
    assert_eq!(parsed(&body), named);
}

fn begun(id: &str, model: &str) -> Value {
    let mut event = start(id, json!({"input_tokens": 0, "output_tokens": 0}));
    event["message"]["model"] = json!(model);
    event
}

fn first(id: &str) -> Event {
    Event::Start { id: id.into(), model: "upstream-name".into(), tokens: Tokens::default() }
}

fn sums(input: u64, cache_read: u64, output: u64) -> Value {
    json!({"input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cache_read, "output_tokens": output})
}

#[test]
fn a_text_is_written_and_its_cost_at_the_end() {
    // Transcript T4: an OpenAI stream, stopped by its length.
    let events = [
        first("chatcmpl-T4"),
        Event::Text("Hello".into()),
        Event::Text(" world".into()),
        stopped(Stop::Length),
        Event::Tokens(Tokens { input: 200, cache_read: 800, output: 50, ..Tokens::default() }),
        Event::End,
    ];
    let expected = [
        begun("msg_T4", "gpt-4o"),
        block(0, json!({"type": "text", "text": ""})),
        text(0, "Hello"),
        text(0, " world"),
        stop(0),
        ending("max_tokens", sums(200, 800, 50)),
        over(),
    ];
    check("gpt-4o", &events, &expected);
}

#[test]
fn calls_are_written_one_after_the_other() {
    // Transcript T5, with the block ends that some readers tell.
    let call = |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let events = [
        first("chatcmpl-T5"),
        called("call_a1", "get_weather"),
        Event::Arguments("{\"ci".into()),
        Event::Arguments(String::new()),
        Event::Arguments("ty\":\"Paris\"}".into()),
        Event::BlockEnd,
        called("call_b2", "get_time"),
        Event::Arguments("{}".into()),
        stopped(Stop::ToolUse),
        Event::Tokens(Tokens { input: 310, output: 58, reasoning: 20, ..Tokens::default() }),
        Event::End,
    ];
    let expected = [
        begun("msg_T5", "gpt-5.4"),
        block(0, call("call_a1", "get_weather")),
        arguments(0, "{\"ci"),
        arguments(0, "ty\":\"Paris\"}"),
        stop(0),
        block(1, call("call_b2", "get_time")),
        arguments(1, "{}"),
        stop(1),
        ending("tool_use", sums(310, 0, 58)),
        over(),
    ];
    check("gpt-5.4", &events, &expected);
}

#[test]
fn thinking_is_a_block_before_the_text() {
    // Transcript T6: the upstream tells its sums with every piece.
    let told = |output| Event::Tokens(Tokens { input: 30, output, ..Tokens::default() });
    let events = [
        first("chatcmpl-T6"),
        told(0),
        Event::Thinking("Let me see".into()),
        told(3),
        Event::Thinking(".".into()),
        told(4),
        Event::Text("Yes".into()),
        told(5),
        Event::Text(".".into()),
        stopped(Stop::End),
        told(6),
        Event::End,
    ];
    let thinking = |text: &str| delta(0, json!({"type": "thinking_delta", "thinking": text}));
    let expected = [
        begun("msg_T6", "qwen3-32b"),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        thinking("Let me see"),
        thinking("."),
        stop(0),
        block(1, json!({"type": "text", "text": ""})),
        text(1, "Yes"),
        text(1, "."),
        stop(1),
        ending("end_turn", sums(30, 0, 6)),
        over(),
    ];
    check("qwen3-32b", &events, &expected);
}

#[test]
fn a_failure_is_the_last_event() {
    // Transcript T9.
    let failure = Failure {
        kind: FailureKind::Rate,
        message: "Too many tokens, please wait before trying again.".into(),
        code: Some("throttlingException".into()),
    };
    let events =
        [first(""), Event::Text("One moment.".into()), Event::Failed(failure), Event::Text("x".into()), Event::End];
    let expected = [
        begun("msg_fresh1", "claude-haiku"),
        block(0, json!({"type": "text", "text": ""})),
        text(0, "One moment."),
        json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Too many tokens, please wait before trying again."}}),
    ];
    check("claude-haiku", &events, &expected);
}

#[test]
fn what_is_known_at_the_beginning_is_told_there() {
    let tokens = Tokens { input: 20, cache_read: 1, cache_write: 2, output: 3, ..Tokens::default() };
    let events = [Event::Start { id: "msg_1".into(), model: "m".into(), tokens }, Event::End];
    let usage =
        json!({"input_tokens": 20, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 1, "output_tokens": 3});
    let mut begun = begun("msg_1", "m");
    begun["message"]["usage"] = usage.clone();
    check("", &events, &[begun, ending("end_turn", usage), over()]);
}

#[test]
fn every_other_event_is_written_in_its_place() {
    let citation = Citation { url: "https://x".into(), title: "X".into(), quote: "q".into() };
    let events = [
        Event::Signature("early".into()),
        Event::BlockEnd,
        Event::RedactedThinking("AA".into()),
        Event::BlockEnd,
        Event::Citation(citation.clone()),
        Event::Text(String::new()),
        Event::Text("a".into()),
        Event::Citation(citation),
        Event::BlockEnd,
        Event::Arguments("astray".into()),
        Event::Text("b".into()),
        Event::Stop { stop: Stop::Sequence, sequence: Some("END".into()) },
        Event::End,
    ];
    let cited = json!({"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "https://x",
        "title": "X", "cited_text": "q", "encrypted_index": ""}});
    let mut end = ending("stop_sequence", sums(0, 0, 0));
    end["delta"]["stop_sequence"] = json!("END");
    let expected = [
        begun("msg_fresh1", "m"),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "signature_delta", "signature": "early"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": "AA"})),
        stop(1),
        block(2, json!({"type": "text", "text": ""})),
        text(2, "a"),
        delta(2, cited),
        stop(2),
        block(3, json!({"type": "text", "text": ""})),
        text(3, "b"),
        stop(3),
        end,
        over(),
    ];
    check("m", &events, &expected);
}

fn any_part() -> impl proptest::strategy::Strategy<Value = Part> {
    use proptest::prelude::*;
    prop_oneof![
        "\\PC{1,20}".prop_map(Part::text),
        ("\\PC{1,20}", proptest::option::of("[a-z]{1,9}"))
            .prop_map(|(text, signature)| Part::Thinking { text, signature }),
        "[A-Z]{1,9}".prop_map(Part::RedactedThinking),
        "[a-z]{1,9}".prop_map(|id| Part::ToolCall(ToolCall {
            id,
            name: "f".into(),
            arguments: "{\"é\":1}".into(),
            free_text: false,
            cache: None,
        })),
    ]
}

proptest::proptest! {
    #[test]
    fn what_was_written_is_read_again_in_any_pieces(
        parts in proptest::collection::vec(any_part(), 0..6),
        cuts in proptest::collection::vec(1usize..60, 1..40),
        sums in proptest::array::uniform4(0u64..1000),
    ) {
        let [input, cache_read, cache_write, output] = sums;
        let tokens = Tokens { input, cache_read, cache_write, output, ..Tokens::default() };
        let answer = Answer { id: "msg_1".into(), model: "m".into(), parts, stop: Stop::Length, stop_sequence: None, tokens };
        let (mut writer, mut body) = (Writer::new(asked("m")), Vec::new());
        answer.clone().into_events().into_iter().for_each(|event| writer.write(event, &mut body));
        let (mut reader, mut out, mut rest) = (Reader::default(), Vec::new(), body.as_slice());
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            reader.push(&Bytes::copy_from_slice(piece), &mut out);
            rest = after;
        }
        reader.end(&mut out);
        let mut collector = Collector::default();
        out.into_iter().for_each(|event| collector.push(event));
        proptest::prop_assert_eq!(collector.finish(), Some(Ok(answer)));
    }

    #[test]
    fn no_bytes_make_the_reader_fall(
        before in 0usize..2000, noise in proptest::collection::vec(proptest::num::u8::ANY, 0..60), length in 1usize..50,
    ) {
        let mut body = stream(&t2());
        let at = before % body.len();
        body.splice(at..(at + noise.len()).min(body.len()), noise);
        let events = read_cut(&body, length);
        let starts = events.iter().filter(|event| matches!(event, Event::Start { .. })).count();
        let ends = events.iter().filter(|event| matches!(event, Event::End | Event::Failed(_))).count();
        proptest::prop_assert!(starts <= 1 && ends <= 1, "{} starts, {} ends", starts, ends);
    }
}
