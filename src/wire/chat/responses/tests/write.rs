//! Answers as clients read them. The shapes were checked once with the official SDK for Python.

use super::super::{Writer, echo, read_request, write_answer};
use crate::wire::chat::{
    Answer, Asked, Citation, Event, Failure, FailureKind, Message, Part, Role, Stop, StreamWriter, Tokens, ToolCall,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn asked() -> Asked {
    Asked {
        model: "alias".into(),
        created: 1_795_262_400,
        fresh_id: "FRESH".into(),
        failed_choice: false,
        wants_usage: true,
        free_text_tools: vec!["shell".into()],
        echo: None,
    }
}

/// The events with their names checked and their numbers taken out.
fn stream(events: Vec<Event>) -> Vec<Value> {
    let mut writer = Writer::new(asked());
    let mut out = Vec::new();
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let mut found = Vec::new();
    for (nth, block) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = block.split_once("\ndata: ").unwrap();
        let mut event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
        assert_eq!(event.as_object_mut().unwrap().remove("sequence_number"), Some(json!(nth)));
        found.push(event);
    }
    found
}

fn whole(answer: &Answer) -> Value {
    serde_json::from_slice(&write_answer(answer, &asked())).unwrap()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn start() -> Event {
    Event::Start { id: "msg_01T".into(), model: "upstream".into(), tokens: Tokens::default() }
}

fn stop(stop: Stop) -> Event {
    Event::Stop { stop, sequence: None }
}

fn call(name: &str) -> Event {
    Event::ToolCall { id: format!("call_{name}"), name: name.into() }
}

fn failure(kind: FailureKind, code: Option<&str>) -> Event {
    Event::Failed(Failure { kind, message: "Overloaded".into(), code: code.map(Into::into) })
}

const TOKENS: Tokens =
    Tokens { input: 20, cache_read: 100, cache_write: 40, cache_write_1h: 0, output: 7, reasoning: 3 };

#[test]
fn a_text_is_streamed_in_the_full_sequence() {
    let events = stream(vec![
        start(),
        Event::Text("Bon".into()),
        Event::Text("jour".into()),
        stop(Stop::End),
        Event::Tokens(TOKENS),
        Event::End,
    ]);
    let mut running = object("in_progress", &json!([]), &Value::Null);
    running["usage"] = json!(null);
    let part = |text: &str| json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text});
    let item = json!({"id": "msg_01T_0", "type": "message", "status": "completed", "role": "assistant",
        "content": [part("Bonjour")]});
    let mut begun = item.clone();
    begun["content"] = json!([]);
    begun["status"] = json!("in_progress");
    let id = "msg_01T_0";
    let expected = [
        json!({"type": "response.created", "response": running}),
        json!({"type": "response.in_progress", "response": running}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": begun}),
        json!({"type": "response.content_part.added", "item_id": id, "output_index": 0, "content_index": 0,
            "part": part("")}),
        json!({"type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
            "delta": "Bon", "logprobs": []}),
        json!({"type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
            "delta": "jour", "logprobs": []}),
        json!({"type": "response.output_text.done", "item_id": id, "output_index": 0, "content_index": 0,
            "text": "Bonjour", "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": id, "output_index": 0, "content_index": 0,
            "part": part("Bonjour")}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": object("completed", &json!([item]), &Value::Null)}),
    ];
    assert_eq!(events, expected);
}

fn object(status: &str, output: &Value, incomplete: &Value) -> Value {
    json!({
        "id": "resp_01T", "object": "response", "created_at": 1_795_262_400, "status": status, "background": false,
        "error": null, "incomplete_details": incomplete, "instructions": null, "max_output_tokens": null,
        "max_tool_calls": null, "metadata": {}, "model": "alias", "output": output, "parallel_tool_calls": true,
        "previous_response_id": null, "prompt_cache_key": null, "reasoning": {"effort": null, "summary": null},
        "safety_identifier": null, "service_tier": "default", "store": false, "temperature": null,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": null,
        "truncation": "disabled", "user": null,
        "usage": {"input_tokens": 160, "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 40},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 167}
    })
}

#[test]
fn thinking_and_calls_are_items_of_their_own() {
    let events = stream(vec![
        start(),
        Event::Thinking("6 x".into()),
        Event::Thinking(" 7".into()),
        Event::Signature("Eq".into()),
        Event::BlockEnd,
        Event::RedactedThinking("eA==".into()),
        Event::BlockEnd,
        call("f"),
        Event::Arguments("{\"a\"".into()),
        Event::Arguments(":1}".into()),
        Event::BlockEnd,
        call("g"),
        Event::BlockEnd,
        call("shell"),
        Event::Arguments("{\"input\":\"ls".into()),
        Event::Arguments(" -l\"}".into()),
        stop(Stop::ToolUse),
        Event::Tokens(TOKENS),
        Event::End,
    ]);
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[2]["item"], json!({"id": "rs_01T_0", "type": "reasoning", "summary": []}));
    let part = json!({"type": "summary_text", "text": "6 x 7"});
    let at = |kind: &str| json!({"type": kind, "item_id": "rs_01T_0", "output_index": 0, "summary_index": 0});
    let mut done = at("response.reasoning_summary_text.done");
    done["text"] = json!("6 x 7");
    assert_eq!(events[6], done);
    let mut done = at("response.reasoning_summary_part.done");
    done["part"] = part.clone();
    assert_eq!(events[7], done);
    assert_eq!(events[8]["item"]["summary"], json!([part]));
    assert!(events[8]["item"]["encrypted_content"].as_str().unwrap().starts_with("tollgate1."));
    assert_eq!(
        events[11]["item"],
        json!({"id": "fc_01T_2", "type": "function_call", "status": "in_progress", "arguments": "",
            "call_id": "call_f", "name": "f"})
    );
    assert_eq!(
        events[14],
        json!({"type": "response.function_call_arguments.done", "item_id": "fc_01T_2", "output_index": 2,
            "name": "f", "arguments": "{\"a\":1}"})
    );
    assert_eq!(events[17]["delta"], "{}");
    assert_eq!(
        events[22],
        json!({"type": "response.custom_tool_call_input.done", "item_id": "ctc_01T_4", "output_index": 4,
            "input": "ls -l"})
    );
    let output = events[24]["response"]["output"].as_array().unwrap();
    let done = events.iter().filter(|e| e["type"] == "response.output_item.done").map(|e| &e["item"]);
    assert!(output.iter().eq(done), "the last event repeats what was done");
}

#[test]
fn citations_stand_for_the_characters_of_their_block() {
    let citation = |url: &str| Event::Citation(Citation { url: url.into(), title: "t".into(), quote: "q".into() });
    let events = stream(vec![
        start(),
        Event::Text("été ".into()),
        Event::BlockEnd,
        Event::Text("👋".into()),
        citation("a"),
        Event::BlockEnd,
        citation("b"),
        Event::Text("x".into()),
        Event::BlockEnd,
        Event::End,
    ]);
    let annotation = |url: &str, from: u8, to: u8| json!({"type": "url_citation", "url": url, "title": "t", "start_index": from, "end_index": to});
    let added: Vec<&Value> = events.iter().filter(|e| e["type"] == "response.output_text.annotation.added").collect();
    assert_eq!(
        *added[0],
        json!({"type": "response.output_text.annotation.added", "item_id": "msg_01T_0", "output_index": 0,
            "content_index": 0, "annotation_index": 0, "annotation": annotation("a", 4, 5)})
    );
    let content = &events.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!(content["annotations"], json!([annotation("a", 4, 5), annotation("b", 5, 6)]));
    assert_eq!(content["text"], "été 👋x");
}

#[test]
fn a_first_citation_may_come_before_its_words() {
    let found = Citation { url: "a".into(), ..Citation::default() };
    let events = stream(vec![start(), Event::Citation(found), Event::Text("xy".into()), Event::End]);
    let annotation = &events.last().unwrap()["response"]["output"][0]["content"][0]["annotations"][0];
    assert_eq!((&annotation["start_index"], &annotation["end_index"]), (&json!(0), &json!(2)));
}

#[test]
fn the_end_says_why() {
    let cases = [
        (Stop::End, "completed", json!(null)),
        (Stop::Sequence, "completed", json!(null)),
        (Stop::ToolUse, "completed", json!(null)),
        (Stop::Malformed, "completed", json!(null)),
        (Stop::Length, "incomplete", json!({"reason": "max_output_tokens"})),
        (Stop::Context, "incomplete", json!({"reason": "max_output_tokens"})),
        (Stop::Paused, "incomplete", json!({"reason": "max_output_tokens"})),
        (Stop::Filtered, "incomplete", json!({"reason": "content_filter"})),
    ];
    for (why, status, details) in cases {
        for block in [vec![Event::Text("a".into())], vec![call("f"), Event::Arguments("{".into()), Event::BlockEnd]] {
            let rest = [stop(why.clone()), Event::Tokens(TOKENS), Event::End];
            let events = stream([start()].into_iter().chain(block).chain(rest).collect());
            let [.., done, last] = events.as_slice() else { panic!("two events") };
            assert_eq!(last["type"], format!("response.{status}"));
            assert_eq!(last["response"], object(status, &json!([done["item"]]), &details));
            assert_eq!(done["item"]["status"], status, "{why:?}");
        }
    }
}

#[test]
fn a_failure_is_told_in_both_ways() {
    let kinds = [
        (FailureKind::Rate, "rate_limit_exceeded"),
        (FailureKind::Billing, "insufficient_quota"),
        (FailureKind::BadRequest, "invalid_prompt"),
        (FailureKind::TooLarge, "invalid_prompt"),
        (FailureKind::Auth, "server_error"),
        (FailureKind::Permission, "server_error"),
        (FailureKind::NotFound, "server_error"),
        (FailureKind::Timeout, "server_error"),
        (FailureKind::Overloaded, "server_error"),
        (FailureKind::Server, "server_error"),
    ];
    for (kind, code) in kinds {
        let events = stream(vec![start(), Event::Text("Hel".into()), failure(kind, None), Event::Text("no".into())]);
        let [.., error, failed] = events.as_slice() else { panic!("two events") };
        assert_eq!(*error, json!({"type": "error", "code": code, "message": "Overloaded", "param": null}));
        assert_eq!(failed["type"], "response.failed");
        assert_eq!(failed["response"]["status"], "failed");
        assert_eq!(failed["response"]["error"], json!({"code": code, "message": "Overloaded"}));
        assert_eq!(failed["response"]["output"][0]["status"], "incomplete");
        assert_eq!(failed["response"]["output"][0]["content"][0]["text"], "Hel");
    }
    let events = stream(vec![failure(FailureKind::Overloaded, Some("overloaded_error"))]);
    assert_eq!(names(&events), ["response.created", "response.in_progress", "error", "response.failed"]);
    assert_eq!(events[2]["code"], "overloaded_error");
    assert_eq!(events[3]["response"]["id"], "resp_FRESH");
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut writer = Writer::new(asked());
    let mut out = Vec::new();
    for _ in 0..17 {
        writer.write(Event::Thinking("x".repeat(1024 * 1024)), &mut out);
    }
    assert_eq!(String::from_utf8(out.clone()).unwrap().matches("event: response.failed\n").count(), 1);
    out.clear();
    writer.write(Event::End, &mut out);
    assert!(out.is_empty(), "nothing follows a failure");
}

#[test]
fn a_whole_answer_repeats_the_request() {
    let body = br#"{"model":"alias","input":"x","tools":[{"type":"function","name":"f","parameters":{"b":1,"a":2}}],
        "tool_choice":"required","temperature":0.5,"metadata":{"k":"v"},"instructions":"i","user":null}"#;
    let asked = Asked { echo: echo(body), ..asked() };
    let answer = Answer { id: "chatcmpl-9".into(), tokens: TOKENS, ..Answer::default() };
    let written: Value = serde_json::from_slice(&write_answer(&answer, &asked)).unwrap();
    let mut expected = object("completed", &json!([]), &Value::Null);
    expected["id"] = json!("resp_9");
    expected["tools"] = json!([{"type": "function", "name": "f", "parameters": {"b": 1, "a": 2}}]);
    expected["tool_choice"] = json!("required");
    expected["temperature"] = json!(0.5);
    expected["metadata"] = json!({"k": "v"});
    expected["instructions"] = json!("i");
    assert_eq!(written, expected);
}

#[test]
fn a_free_text_call_is_one_whatever_its_tool_is_called() {
    let call = ToolCall { id: "c".into(), name: "x".into(), arguments: "a{".into(), free_text: true, cache: None };
    let answer = Answer { parts: vec![Part::ToolCall(call)], ..Answer::default() };
    assert_eq!(
        whole(&answer)["output"],
        json!([{"id": "ctc_FRESH_0", "type": "custom_tool_call", "status": "completed", "call_id": "c",
            "input": "a{", "name": "x"}])
    );
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        "[a-zé👋\"\\\\\n]{0,9}".prop_map(Part::text),
        "[a-z]{0,5}".prop_map(|text| Part::Thinking { text, signature: None }),
        ("[a-z]{0,5}", "[A-Za-z0-9+/=]{1,9}").prop_map(|(text, proof)| Part::Thinking { text, signature: Some(proof) }),
        "[A-Za-z0-9]{1,9}".prop_map(Part::RedactedThinking),
        ("[a-z]{1,3}", "[a-z]{1,3}").prop_map(|(id, name)| Part::ToolCall(ToolCall {
            id,
            name,
            arguments: "{\"a\":1}".into(),
            free_text: false,
            cache: None,
        })),
    ]
}

proptest! {
    /// What is streamed ends in the very object that would have been answered at once, and may be sent back.
    #[test]
    fn the_last_event_is_the_whole_answer(parts in prop::collection::vec(part(), 0..6), cut in any::<bool>()) {
        let stop = if cut { Stop::Length } else { Stop::End };
        let answer = Answer { id: "a".into(), parts, stop, tokens: TOKENS, ..Answer::default() };
        let events = stream(answer.clone().into_events());
        let written = whole(&answer);
        prop_assert_eq!(&events.last().unwrap()["response"], &written);
        let mut input = vec![json!({"role": "user", "content": "?"})];
        input.extend(written["output"].as_array().unwrap().iter().cloned());
        let back = read_request(&serde_json::to_vec(&json!({"model": "m", "input": input})).unwrap()).unwrap();
        let back: Vec<Part> = back.messages.into_iter().skip(1).flat_map(|m: Message| {
            assert_eq!(m.role, Role::Assistant);
            m.parts
        }).collect();
        prop_assert_eq!(back, joined(answer.parts));
    }

    #[test]
    fn any_order_of_events_is_written(kinds in prop::collection::vec(0..12u8, 0..30)) {
        stream(kinds.into_iter().map(|kind| match kind {
            0 => start(),
            1 => Event::Text("t".into()),
            2 => Event::Thinking("t".into()),
            3 => Event::Signature("s".into()),
            4 => Event::RedactedThinking("r".into()),
            5 => Event::Citation(Citation::default()),
            6 => call("f"),
            7 => call("shell"),
            8 => Event::Arguments("{}".into()),
            9 => stop(Stop::Length),
            10 => Event::End,
            _ => Event::BlockEnd,
        }).collect());
    }
}

/// Texts that follow each other are one text; empty ones, and thinking without words or proof, are nothing.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    let mut apart = true;
    for part in parts {
        match (&part, joined.last_mut()) {
            (Part::Text { text, .. }, _) if text.is_empty() => continue,
            (Part::Text { text: more, .. }, Some(Part::Text { text, .. })) if !apart => text.push_str(more),
            // It was an item, between two texts.
            (Part::Thinking { text, signature: None }, _) if text.is_empty() => {
                apart = true;
                continue;
            }
            _ => joined.push(part),
        }
        apart = false;
    }
    joined
}
