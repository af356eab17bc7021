use super::super::{
    Answer, Asked, Event, Failure, FailureKind, Message, Part, Role, Stop, StreamWriter, Tokens, ToolCall,
};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "prompt": "Once"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    serde_json::to_vec(&body).unwrap()
}

#[test]
fn a_prompt_is_a_message_of_the_user() {
    for prompt in [json!("Once"), json!(["Once"])] {
        let request = read_completion(&body(&json!({ "prompt": prompt }))).unwrap();
        assert_eq!(request.messages, [Message { role: Role::User, parts: vec![Part::text("Once")] }]);
    }
}

#[test]
fn the_members_are_read_and_the_rest_is_named() {
    let request = read_completion(&body(&json!({
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.25, "top_k": 4, "frequency_penalty": 1.0, "seed": -3,
        "presence_penalty": -1.0, "stop": "x", "user": "u", "stream": true, "n": 1, "best_of": 1, "echo": false,
        "suffix": "", "logprobs": null, "stream_options": {"include_usage": true}, "logit_bias": {"1": 2}, "extra": 1,
    })))
    .unwrap();
    assert_eq!((request.max_tokens, request.temperature, request.top_p), (Some(5), Some(0.5), Some(0.25)));
    assert_eq!((request.top_k, request.seed), (Some(4), Some(-3)));
    assert_eq!((request.frequency_penalty, request.presence_penalty), (Some(1.0), Some(-1.0)));
    assert_eq!((request.stop, request.user.as_deref()), (vec!["x".to_owned()], Some("u")));
    assert!(request.stream && request.wants_usage);
    assert_eq!(request.foreign, ["extra", "logit_bias"]);
    assert_eq!(read_completion(&body(&json!({"stop": ["a", "b"]}))).unwrap().stop, ["a", "b"]);
    let plain = read_completion(&body(&json!({}))).unwrap();
    assert!(!plain.stream && !plain.wants_usage && plain.stop.is_empty() && plain.foreign.is_empty());
}

#[test]
fn what_a_conversation_cannot_give_is_refused() {
    let cases = [
        (json!({"n": 2}), "n", true),
        (json!({"best_of": 3}), "best_of", true),
        (json!({"echo": true}), "echo", true),
        (json!({"suffix": "end"}), "suffix", true),
        (json!({"logprobs": 0}), "logprobs", true),
        (json!({"prompt": ["a", "b"]}), "prompt", true),
        (json!({"prompt": [1, 2]}), "prompt", true),
        (json!({"prompt": [[1, 2]]}), "prompt", true),
        (json!({"prompt": []}), "prompt", false),
        (json!({"prompt": ""}), "prompt", false),
        (json!({"prompt": null}), "prompt", false),
        (json!({"prompt": 3}), "prompt", false),
        (json!({"model": null}), "model", false),
        (json!({"stop": 3}), "stop", false),
        (json!({"stream_options": 3}), "stream_options", false),
    ];
    for (more, param, unsupported) in cases {
        let refusal = read_completion(&body(&more)).unwrap_err();
        assert_eq!((refusal.param.as_deref(), refusal.code.is_some()), (Some(param), unsupported), "{more}");
    }
}

fn asked(wants_usage: bool) -> Asked {
    Asked { model: "alias".into(), created: 1_795_262_400, fresh_id: "FRESH".into(), wants_usage, ..Asked::default() }
}

const TOKENS: Tokens =
    Tokens { input: 20, cache_read: 100, cache_write: 40, cache_write_1h: 0, output: 7, reasoning: 3 };

fn usage() -> Value {
    json!({"prompt_tokens": 160, "completion_tokens": 7, "total_tokens": 167,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 3}})
}

fn completion(text: &str, reason: Option<&str>) -> Value {
    json!({"id": "cmpl-01T", "object": "text_completion", "created": 1_795_262_400, "model": "alias",
        "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": reason}]})
}

#[test]
fn a_whole_completion_is_its_text() {
    let reasons = [
        (Stop::End, "stop"),
        (Stop::Sequence, "stop"),
        (Stop::ToolUse, "stop"),
        (Stop::Malformed, "stop"),
        (Stop::Length, "length"),
        (Stop::Context, "length"),
        (Stop::Paused, "length"),
        (Stop::Filtered, "content_filter"),
    ];
    for (stop, reason) in reasons {
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into(), free_text: false, cache: None };
        let thinking = Part::Thinking { text: "hm".into(), signature: None };
        let parts = vec![thinking, Part::text("a "), Part::text("time"), Part::ToolCall(call)];
        let answer = Answer { id: "msg_01T".into(), parts, stop, tokens: TOKENS, ..Answer::default() };
        let mut expected = completion("a time", Some(reason));
        expected["usage"] = usage();
        let written: Value = serde_json::from_slice(&write_completion(&answer, &asked(false))).unwrap();
        assert_eq!(written, expected);
    }
}

/// The data of the events; the last one is `[DONE]`.
fn stream(events: Vec<Event>, wants_usage: bool) -> Vec<Value> {
    let (mut writer, mut out) = (CompletionWriter::new(asked(wants_usage)), Vec::new());
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let mut data: Vec<&str> = text.split_terminator("\n\n").map(|e| e.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn events() -> Vec<Event> {
    vec![
        Event::Start { id: "chatcmpl-01T".into(), model: "x".into(), tokens: Tokens::default() },
        Event::Thinking("hm".into()),
        Event::BlockEnd,
        Event::Text("a".into()),
        Event::Text(String::new()),
        Event::BlockEnd,
        Event::Stop { stop: Stop::Length, sequence: None },
        Event::Tokens(TOKENS),
        Event::End,
        Event::Text("too late".into()),
    ]
}

#[test]
fn usage_is_streamed_when_it_was_asked_for() {
    assert_eq!(stream(events(), false), [completion("a", None), completion("", Some("length"))]);
    let mut expected = [completion("a", None), completion("", Some("length")), completion("", None)];
    expected.iter_mut().for_each(|chunk| chunk["usage"] = Value::Null);
    expected[2]["choices"] = json!([]);
    expected[2]["usage"] = usage();
    assert_eq!(stream(events(), true), expected);
}

#[test]
fn a_failure_ends_the_stream() {
    let cases = [
        (FailureKind::BadRequest, "invalid_request_error", None),
        (FailureKind::TooLarge, "invalid_request_error", None),
        (FailureKind::Auth, "authentication_error", None),
        (FailureKind::Billing, "insufficient_quota", Some("insufficient_quota")),
        (FailureKind::Permission, "permission_error", None),
        (FailureKind::NotFound, "invalid_request_error", Some("model_not_found")),
        (FailureKind::Rate, "rate_limit_error", Some("rate_limit_exceeded")),
        (FailureKind::Timeout, "server_error", Some("timeout")),
        (FailureKind::Overloaded, "server_error", Some("overloaded_error")),
        (FailureKind::Server, "server_error", None),
    ];
    for (kind, word, code) in cases {
        let failed = Event::Failed(Failure { kind, message: "m".into(), code: None });
        assert_eq!(
            stream(vec![failed, Event::End], true),
            [json!({"error": {"message": "m", "type": word, "param": null, "code": code}})]
        );
    }
    let failed = Event::Failed(Failure { kind: FailureKind::Server, message: "m".into(), code: Some("c".into()) });
    assert_eq!(stream(vec![failed], true)[0]["error"]["code"], "c");
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_completion(&bytes);
    }
}
