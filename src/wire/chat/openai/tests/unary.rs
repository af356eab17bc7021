//! Whole answers.

use crate::wire::chat::*;
use serde_json::{Value, json};

fn read(body: &Value) -> Answer {
    read_answer(Format::OpenAiChat, body.to_string().as_bytes()).expect("an answer")
}

fn message(message: &Value, reason: &str) -> Answer {
    read(&json!({ "choices": [{ "index": 0, "message": message, "finish_reason": reason }] }))
}

fn written(answer: &Answer, asked: &Asked) -> Value {
    serde_json::from_slice(&write_answer(Format::OpenAiChat, answer, asked)).expect("JSON")
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        free_text: false,
        cache: None,
    })
}

#[test]
fn an_answer_is_read() {
    let answer = read(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-11-20", "system_fingerprint": "x",
        "choices": [{ "index": 0, "finish_reason": "length", "logprobs": null, "message":
            { "role": "assistant", "content": "hi", "refusal": null, "reasoning": "hm", "annotations": [
                { "type": "url_citation", "url_citation": { "url": "https://a", "title": "A", "start_index": 0 } }] } }],
        "usage": { "prompt_tokens": 1000, "completion_tokens": 600, "total_tokens": 1600,
            "prompt_tokens_details": { "cached_tokens": 200, "cache_write_tokens": 50 },
            "completion_tokens_details": { "reasoning_tokens": 100 } }
    }));
    let citations = vec![Citation { url: "https://a".into(), title: "A".into(), quote: String::new() }];
    let tokens =
        Tokens { input: 750, cache_read: 200, cache_write: 50, output: 600, reasoning: 100, ..Tokens::default() };
    assert_eq!(
        answer,
        Answer {
            id: "chatcmpl-1".into(),
            model: "gpt-4o-2024-11-20".into(),
            parts: vec![
                Part::Thinking { text: "hm".into(), signature: None },
                Part::Text { text: "hi".into(), cache: None, citations },
            ],
            stop: Stop::Length,
            stop_sequence: None,
            tokens,
        }
    );
}

#[test]
fn tool_calls_are_read() {
    let function = json!({ "name": "f", "arguments": "{\"a\":1}" });
    let answer = message(&json!({ "content": null, "tool_calls": [{ "id": "c", "function": function }] }), "stop");
    assert_eq!(answer.parts, [call("c", "f", "{\"a\":1}")]);
    assert_eq!(answer.stop, Stop::ToolUse, "whatever else it says");
    let as_object = json!({ "tool_calls": [{ "id": "c", "function": { "name": "f", "arguments": { "a": 1 } } }] });
    assert_eq!(message(&as_object, "tool_calls").parts, answer.parts);
    let old = message(&json!({ "function_call": function }), "function_call");
    assert_eq!(old.stop, Stop::ToolUse);
    assert!(matches!(&old.parts[..], [Part::ToolCall(call)] if call.id.starts_with("call_") && call.name == "f"));
}

#[test]
fn other_answers_are_read() {
    let parts = json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] });
    assert_eq!(message(&parts, "weird").parts, [Part::text("ab")]);
    let refused = message(&json!({ "content": null, "refusal": "no" }), "stop");
    assert_eq!((refused.parts, refused.stop), (vec![Part::text("no")], Stop::Filtered));
    let broken =
        read(&json!({ "choices": [{ "message": {} }], "usage": { "prompt_tokens": -5, "completion_tokens": 1.5,
        "prompt_tokens_details": { "cached_tokens": 9 } } }));
    assert_eq!(broken, Answer::default());
    for body in ["", "{", "{}", "{\"choices\":[]}", "{\"choices\":[{}]}", "[]", "<html>"] {
        assert_eq!(read_answer(Format::OpenAiChat, body.as_bytes()), Err(Unreadable), "{body}");
    }
}

#[test]
fn an_answer_is_written() {
    let asked = Asked {
        model: "alias".into(),
        created: 7,
        fresh_id: "F".into(),
        free_text_tools: vec!["sh".into()],
        ..Asked::default()
    };
    let cited = Citation { url: "https://a".into(), title: "A".into(), quote: "q".into() };
    let answer = Answer {
        id: "msg_1".into(),
        model: "real".into(),
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
            Part::RedactedThinking("x".into()),
            Part::text("é"),
            Part::Text { text: "bc".into(), cache: None, citations: vec![cited] },
            call("a", "f", ""),
            call("b", "sh", "{\"input\":\"ls\"}"),
        ],
        stop: Stop::ToolUse,
        stop_sequence: None,
        tokens: Tokens { input: 3, cache_read: 2, cache_write: 1, output: 4, reasoning: 1, cache_write_1h: 1 },
    };
    assert_eq!(
        written(&answer, &asked),
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "alias",
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": "ébc", "refusal": null, "reasoning_content": "hm",
                "thinking_blocks": [
                    { "type": "thinking", "thinking": "hm", "signature": "s" },
                    { "type": "redacted_thinking", "data": "x" }],
                "tool_calls": [
                    { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } },
                    { "id": "b", "type": "custom", "custom": { "name": "sh", "input": "ls" } }],
                "annotations": [{ "type": "url_citation", "url_citation":
                    { "url": "https://a", "title": "A", "start_index": 1, "end_index": 3 } }],
            } }],
            "usage": { "prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10,
                "prompt_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 1 },
                "completion_tokens_details": { "reasoning_tokens": 1 } },
        })
    );
}

#[test]
fn content_is_null_only_beside_calls() {
    let content = |parts| {
        let body = written(&Answer { parts, ..Answer::default() }, &Asked { fresh_id: "F".into(), ..Asked::default() });
        assert_eq!(body["id"], "chatcmpl-F");
        body["choices"][0]["message"]["content"].clone()
    };
    assert_eq!(content(vec![]), "");
    assert_eq!(content(vec![Part::Thinking { text: "hm".into(), signature: None }]), "");
    assert_eq!(content(vec![call("a", "f", "{}")]), Value::Null);
    assert_eq!(content(vec![Part::text("a"), call("a", "f", "{}")]), "a");
}

#[test]
fn what_was_written_is_read_again() {
    let answer = Answer {
        id: "chatcmpl-9".into(),
        model: "m".into(),
        parts: vec![
            Part::Thinking { text: "hm".into(), signature: Some("s".into()) },
            Part::text("so"),
            call("a", "f", "{\"x\":1}"),
        ],
        stop: Stop::ToolUse,
        stop_sequence: None,
        tokens: Tokens { input: 1, cache_read: 2, cache_write: 3, output: 4, reasoning: 2, cache_write_1h: 0 },
    };
    let body = written(&answer, &Asked { model: "m".into(), ..Asked::default() });
    assert_eq!(read(&body), answer);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_not(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _answer = read_answer(Format::OpenAiChat, &body);
        let _failure = read_failure(Format::OpenAiChat, 500, None, &body);
    }
}
