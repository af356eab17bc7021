use super::*;
use crate::wire::chat::converse::{read_answer, write_answer};

const STOPS: [(Stop, &str); 6] = [
    (Stop::End, "end_turn"),
    (Stop::Sequence, "stop_sequence"),
    (Stop::Length, "max_tokens"),
    (Stop::Context, "model_context_window_exceeded"),
    (Stop::ToolUse, "tool_use"),
    (Stop::Filtered, "content_filtered"),
];

fn full() -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": [
            { "reasoningContent": { "reasoningText": { "text": "hm", "signature": "s" } } },
            { "reasoningContent": { "redactedContent": "cmVk" } },
            { "text": "so" },
            { "citationsContent": {
                "content": [{ "text": "cited" }],
                "citations": [{ "title": "t", "sourceContent": [{ "text": "q" }], "location": { "web": { "url": "u" } } }],
            } },
            { "toolUse": { "toolUseId": "t1", "name": "f", "input": { "z": 1, "a": 2 } } },
        ] } },
        "stopReason": "tool_use",
        "usage": {
            "inputTokens": 500, "outputTokens": 80, "totalTokens": 2880, "cacheReadInputTokens": 2000,
            "cacheWriteInputTokens": 300,
            "cacheDetails": [{ "ttl": "1h", "inputTokens": 100 }, { "ttl": "5m", "inputTokens": 200 }],
        },
        "metrics": { "latencyMs": 0 },
    })
}

fn answer() -> Answer {
    let citation = Citation { url: "u".into(), title: "t".into(), quote: "q".into() };
    Answer {
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
            Part::RedactedThinking("cmVk".into()),
            Part::text("so"),
            Part::Text { text: "cited".into(), cache: None, citations: vec![citation] },
            call("t1", r#"{"a":2,"z":1}"#),
        ],
        stop: Stop::ToolUse,
        tokens: Tokens {
            input: 500,
            cache_read: 2000,
            cache_write: 300,
            cache_write_1h: 100,
            output: 80,
            reasoning: 0,
        },
        ..Answer::default()
    }
}

fn written(answer: &Answer) -> Value {
    serde_json::from_slice(&write_answer(answer, &Asked::default())).expect("JSON")
}

#[test]
fn answers_are_read_and_written() {
    assert_eq!(read_answer(full().to_string().as_bytes()), Ok(answer()));
    assert_eq!(written(&answer()), full());
}

#[test]
fn an_answer_without_much_is_an_answer() {
    let nothing =
        json!({ "output": { "message": { "role": "assistant", "content": [{ "video": {} }, { "text": null }] } } });
    assert_eq!(read_answer(nothing.to_string().as_bytes()), Ok(Answer::default()));
    let expected = json!({
        "output": { "message": { "role": "assistant", "content": [] } },
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": 0, "outputTokens": 0, "totalTokens": 0, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0,
        },
        "metrics": { "latencyMs": 0 },
    });
    assert_eq!(written(&Answer { parts: vec![Part::text("")], ..Answer::default() }), expected);
    for body in ["", "{}", "[]", "null", r#"{"output":{}}"#, r#"{"message":"no"}"#] {
        assert!(read_answer(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn the_sequence_that_ended_an_answer_is_told() {
    let mut body = json!({ "output": { "message": {} }, "stopReason": "stop_sequence" });
    body["additionalModelResponseFields"] = json!({ "stop_sequence": "END" });
    let answer = read_answer(body.to_string().as_bytes()).expect("an answer");
    assert_eq!((answer.stop, answer.stop_sequence.as_deref()), (Stop::Sequence, Some("END")));
}

#[test]
fn stops_have_their_words() {
    let read = |word: &str| {
        let body = json!({ "output": { "message": {} }, "stopReason": word });
        read_answer(body.to_string().as_bytes()).expect("an answer").stop
    };
    for (stop, word) in STOPS {
        assert_eq!(read(word), stop);
        assert_eq!(written(&Answer { stop, ..Answer::default() })["stopReason"], word);
    }
    for (word, stop) in [
        ("guardrail_intervened", Stop::Filtered),
        ("malformed_model_output", Stop::Malformed),
        ("malformed_tool_use", Stop::Malformed),
        ("new", Stop::End),
    ] {
        assert_eq!(read(word), stop);
    }
    for (stop, word) in [(Stop::Paused, "max_tokens"), (Stop::Malformed, "malformed_model_output")] {
        assert_eq!(written(&Answer { stop, ..Answer::default() })["stopReason"], word);
    }
}

#[test]
fn calls_are_written_as_objects() {
    for (arguments, input) in [
        ("", json!({})),
        (r#"{"a":1}"#, json!({ "a": 1 })),
        ("{\"a\":", json!({ "_raw": "{\"a\":" })),
        ("[1]", json!({ "_raw": "[1]" })),
    ] {
        let answer = Answer { parts: vec![call("odd id", arguments)], ..Answer::default() };
        let found = written(&answer)["output"]["message"]["content"][0]["toolUse"].clone();
        assert_eq!(found["input"], input);
        assert_eq!(found["toolUseId"], "odd id");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_odd(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _read = read_answer(&body);
    }
}
