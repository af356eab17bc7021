//! Unsound conversations are found, sound ones are answered.
#![allow(clippy::indexing_slicing, reason = "members of JSON values: one that is missing is null")]

use super::{Form, choose, read, sound};
use serde_json::{Value, json};

fn judged(form: Form, sent: &Value) -> Result<String, String> {
    let talk = read::talk(form, sent)?;
    sound::check(form, sent, &talk)?;
    let words = talk.last_words().unwrap().strip_suffix(" please").unwrap();
    choose(form, &talk, words).map(|act| act.content.unwrap_or_default())
}

fn chat(results: &Value) -> Value {
    let call = |id: &str, city: &str| {
        let arguments = json!({ "city": city }).to_string();
        json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}})
    };
    let mut messages = vec![
        json!({"role": "user", "content": "tools please"}),
        json!({"role": "assistant", "content": null, "tool_calls": [call("a", "São Paulo"), call("b", "Oslo")]}),
    ];
    messages.extend(results.as_array().unwrap().iter().cloned());
    json!({"model": "m", "messages": messages, "tools": [{"type": "function", "function": {"name": "weather"}}]})
}

#[test]
fn a_result_belongs_to_its_call() {
    let result = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    let (a, b) = (result("a", "22"), result("b", "-3"));
    assert_eq!(judged(Form::Chat, &chat(&json!([a, b]))), Ok("Mild there, cold here.".to_owned()));
    for wrong in [json!([a]), json!([a, result("c", "-3")]), json!([b, a]), json!([a, a]), json!([])] {
        assert!(judged(Form::Chat, &chat(&wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    let user = json!({"role": "user", "content": [{"text": "text please"}]});
    let sound = json!({"messages": [user], "inferenceConfig": {"maxTokens": 1}});
    assert!(judged(Form::Converse, &sound).is_ok());
    for (name, value) in [
        ("model", json!("m")),
        ("messages", json!([user, user])),
        ("inferenceConfig", json!({})),
        ("system", Value::Null),
    ] {
        let mut wrong = sound.clone();
        wrong[name] = value;
        assert!(judged(Form::Converse, &wrong).is_err(), "{name}");
    }
}

#[test]
fn thoughts_come_back_signed() {
    let said = |signature: Value| {
        let mut thought = json!({"type": "thinking", "thinking": "A thought."});
        thought["signature"] = signature;
        json!({"model": "m", "max_tokens": 10, "messages": [
            {"role": "user", "content": "thought please"},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "It is 42."}]},
            {"role": "user", "content": "kept thought please"},
        ]})
    };
    assert!(judged(Form::Messages, &said(json!("c2ln"))).is_ok());
    assert!(judged(Form::Messages, &said(json!("other"))).is_err());
    assert!(judged(Form::Messages, &said(Value::Null)).is_err());
}
