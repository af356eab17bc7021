use super::super::super::{Answer, Asked, Citation, Part, Stop, Tokens, ToolCall};
use super::super::{read_answer, write_answer};
use serde_json::{Value, json};

fn call(arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: "t1".into(),
        name: "f".into(),
        arguments: arguments.into(),
        free_text: false,
        cache: None,
    })
}

fn asked() -> Asked {
    Asked { model: "alias".into(), fresh_id: "fresh1".into(), ..Asked::default() }
}

fn written(answer: &Answer) -> Value {
    serde_json::from_slice(&write_answer(answer, &asked())).unwrap()
}

fn read(body: &Value) -> Answer {
    read_answer(body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_whole_answer_is_read() {
    let body = br#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[
        {"type":"thinking","thinking":"hm","signature":"sig"},
        {"type":"redacted_thinking","data":"AA"},
        {"type":"server_tool_use","id":"s1","name":"web_search","input":{}},
        {"type":"web_search_tool_result","tool_use_id":"s1","content":[]},
        {"type":"text","text":"half \ud83d","citations":[
            {"type":"web_search_result_location","url":"https://x","title":"X","cited_text":"q","encrypted_index":"e"},
            {"type":"char_location","document_title":"d"}]},
        {"type":"text","text":"","citations":null},
        {"type":"tool_use","id":"t1","name":"f","input":{ "z": 1.0, "a": [] }},
        {"type":"of_the_future","text":"?"}],
        "stop_reason":"tool_use","stop_sequence":null,
        "usage":{"input_tokens":20,"cache_creation_input_tokens":40,"cache_read_input_tokens":100,
            "cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},
            "output_tokens":50,"output_tokens_details":{"thinking_tokens":14},"service_tier":"standard"}}"#;
    let expected = Answer {
        id: "msg_1".into(),
        model: "claude-x".into(),
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: Some("sig".into()) },
            Part::RedactedThinking("AA".into()),
            Part::Text {
                text: "half \u{fffd}".into(),
                cache: None,
                citations: vec![Citation { url: "https://x".into(), title: "X".into(), quote: "q".into() }],
            },
            call(r#"{"z":1.0,"a":[]}"#),
        ],
        stop: Stop::ToolUse,
        stop_sequence: None,
        tokens: Tokens { input: 20, cache_read: 100, cache_write: 40, cache_write_1h: 10, output: 50, reasoning: 14 },
    };
    assert_eq!(read_answer(body).unwrap(), expected);
}

#[test]
fn usage_is_read_however_much_of_it_is_there() {
    for (usage, expected) in [
        (json!(null), Tokens::default()),
        (json!({"input_tokens": null, "output_tokens": "x", "cache_read_input_tokens": -1}), Tokens::default()),
        (json!({"cache_creation_input_tokens": 7}), Tokens { cache_write: 7, ..Tokens::default() }),
        (
            json!({"cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}}),
            Tokens { cache_write: 7, cache_write_1h: 4, ..Tokens::default() },
        ),
        (
            json!({"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}),
            Tokens { cache_write: 9, cache_write_1h: 4, ..Tokens::default() },
        ),
        (json!({"input_tokens": 3.0, "output_tokens": 2}), Tokens { input: 3, output: 2, ..Tokens::default() }),
    ] {
        assert_eq!(read(&json!({"content": [], "usage": usage})).tokens, expected);
    }
}

#[test]
fn reasons_to_stop_go_both_ways() {
    for (reason, stop) in [
        ("end_turn", Stop::End),
        ("stop_sequence", Stop::Sequence),
        ("max_tokens", Stop::Length),
        ("model_context_window_exceeded", Stop::Context),
        ("tool_use", Stop::ToolUse),
        ("refusal", Stop::Filtered),
        ("pause_turn", Stop::Paused),
    ] {
        assert_eq!(read(&json!({"content": [], "stop_reason": reason})).stop, stop);
        assert_eq!(written(&Answer { stop, ..Answer::default() })["stop_reason"], reason);
    }
    assert_eq!(read(&json!({"content": [], "stop_reason": "compaction"})).stop, Stop::Paused);
    for unknown in [json!("of_the_future"), Value::Null] {
        assert_eq!(read(&json!({"content": [], "stop_reason": unknown})).stop, Stop::End);
    }
    assert_eq!(written(&Answer { stop: Stop::Malformed, ..Answer::default() })["stop_reason"], "end_turn");
    let calls = Answer { parts: vec![call("{}")], ..Answer::default() };
    assert_eq!(written(&calls)["stop_reason"], "tool_use", "an end that is a call is one");
}

#[test]
fn what_is_no_answer_cannot_be_read() {
    for body in
        [&b""[..], b"{", b"[]", b"{}", br#"{"content":"x"}"#, br#"{"type":"error","error":{}}"#, br#"{"content":["#]
    {
        assert!(read_answer(body).is_err(), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn an_answer_is_written_whole() {
    let answer = Answer {
        id: "chatcmpl-A1".into(),
        model: "gpt-x".into(),
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: None },
            Part::RedactedThinking("AA".into()),
            Part::text(""),
            Part::Text {
                text: "yes".into(),
                cache: None,
                citations: vec![Citation { url: "https://x".into(), title: "X".into(), quote: "q".into() }],
            },
            call(r#"{"a":1}"#),
        ],
        stop: Stop::Sequence,
        stop_sequence: Some("END".into()),
        tokens: Tokens { input: 200, cache_read: 800, cache_write: 5, cache_write_1h: 5, output: 50, reasoning: 9 },
    };
    let expected = json!({
        "id": "msg_A1", "type": "message", "role": "assistant", "model": "alias",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "redacted_thinking", "data": "AA"},
            {"type": "text", "text": "yes", "citations": [{"type": "web_search_result_location", "url": "https://x",
                "title": "X", "cited_text": "q", "encrypted_index": ""}]},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "stop_sequence", "stop_sequence": "END",
        "usage": {"input_tokens": 200, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 800, "output_tokens": 50},
    });
    assert_eq!(written(&answer), expected);
}

#[test]
fn an_empty_answer_has_no_content() {
    let empty = written(&Answer::default());
    assert_eq!(
        (&empty["content"], &empty["stop_reason"], &empty["stop_sequence"]),
        (&json!([]), &json!("end_turn"), &Value::Null)
    );
}

#[test]
fn arguments_are_an_object_whatever_the_model_wrote() {
    for (arguments, input) in [
        (r#"{"a":1}"#, json!({"a": 1})),
        ("", json!({})),
        (r#"{"a":"#, json!({"_raw": r#"{"a":"#})),
        ("[1]", json!({"_raw": "[1]"})),
    ] {
        assert_eq!(
            written(&Answer { parts: vec![call(arguments)], ..Answer::default() })["content"][0]["input"],
            input
        );
    }
}

#[test]
fn ids_get_the_prefix_of_this_api() {
    for (id, expected) in
        [("chatcmpl-1", "msg_1"), ("msg_1", "msg_1"), ("1", "msg_1"), ("", "msg_fresh1"), ("msg_", "msg_fresh1")]
    {
        assert_eq!(written(&Answer { id: id.into(), ..Answer::default() })["id"], expected);
    }
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_fall(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = read_answer(&body);
    }

    #[test]
    fn what_was_written_is_read_again(
        text in "\\PC{1,20}", thinking in proptest::option::of("\\PC{1,20}"), sums in proptest::array::uniform4(0u64..1000),
    ) {
        let mut parts: Vec<Part> =
            thinking.into_iter().map(|text| Part::Thinking { text, signature: Some("s".into()) }).collect();
        parts.push(Part::text(text));
        parts.push(call(r#"{"a":"b c"}"#));
        let [input, cache_read, cache_write, output] = sums;
        let tokens = Tokens { input, cache_read, cache_write, output, ..Tokens::default() };
        let answer = Answer {
            id: "msg_1".into(), model: "alias".into(), parts, stop: Stop::ToolUse, stop_sequence: None, tokens,
        };
        proptest::prop_assert_eq!(read_answer(&write_answer(&answer, &asked())), Ok(answer));
    }
}
