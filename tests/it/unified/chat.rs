//! Conversations: names, system texts, turns, parameters.

use super::{House, SONNET, fee, question, used};
use crate::upstream::Act;
use serde_json::{Value, json};

#[tokio::test]
async fn c65_one_whole_answer() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.upstream.script(Act { content: Some("pong".into()), ..used(10, 4) });
    let answer = house.chat(&user, &question("claude-3-sonnet")).await;
    let body = answer.json();
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"), "{body}");
    assert!(body["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("claude-3-sonnet")));
    assert_eq!(body["choices"].as_array().unwrap().len(), 1);
    let choice = &body["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("stop")));
    assert_eq!((&choice["message"]["role"], &choice["message"]["content"]), (&json!("assistant"), &json!("pong")));
    let usage = &body["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(10), &json!(4)));
    assert_eq!(usage["total_tokens"], 14);
    assert_eq!(answer.header("x-tollgate-cost-usd"), fee(10, 4));
    assert_eq!(answer.header("x-tollgate-model"), SONNET);
    assert_eq!(answer.header("x-tollgate-provider"), "bedrock");
}

#[tokio::test]
async fn c69_c70_default_and_alias() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let text = house.chat(&user, &question("nobody-knows")).await.refused(404, "model_not_found");
    assert_eq!(text, "The model [nobody-knows] is not found.");
    assert_eq!(house.upstream.stats().requests, 0);

    let alias = house.model("gpt-3.5-turbo", "bedrock-converse", json!({"modelId": SONNET})).await;
    let answer = house.chat(&user, &question("gpt-3.5-turbo")).await;
    assert_eq!(answer.json()["model"], "gpt-3.5-turbo", "{}", answer.text);
    assert!(alias > 0 && house.upstream.seen()[0].target.contains("claude-3-sonnet"));

    let default = house.model("default", "bedrock-converse", json!({"modelId": "amazon.nova-lite-v1:0"})).await;
    let answer = house.chat(&user, &question("nobody-knows")).await;
    assert_eq!(answer.json()["model"], "nobody-knows", "the name that was asked for");
    assert_eq!(answer.header("x-tollgate-model"), "amazon.nova-lite-v1:0");
    assert!(house.upstream.seen()[1].target.contains("nova-lite"));
    house.manage("/admin/group/bind-or-unbind-model", json!({"group_id": 1, "model_id": default})).await;
    let text = house.chat(&user, &question("nobody-knows")).await.refused(403, "model_not_permitted");
    assert!(text.contains("[default]"), "{text}");
    // Upper and lower case are different names.
    house.chat(&user, &question("Claude-3-sonnet")).await.refused(403, "model_not_permitted");
}

#[tokio::test]
async fn c71_c72_system_texts_and_turns() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let mut ask = question("claude-3-sonnet");
    ask["messages"] = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "half"}]},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": "three"},
    ]);
    assert_eq!(house.chat(&user, &ask).await.status, 200);
    let sent = house.sent();
    assert_eq!(sent["system"], json!([{"text": "Be brief."}, {"text": "Be kind."}]));
    let expect = json!([
        {"role": "user", "content": [{"text": "one"}]},
        {"role": "assistant", "content": [{"text": "first"}]},
        {"role": "user", "content": [{"text": "two"}, {"text": "and"}, {"text": "half"}]},
        {"role": "assistant", "content": [{"text": "second"}]},
        {"role": "user", "content": [{"text": "three"}]},
    ]);
    assert_eq!(sent["messages"], expect);
}

#[tokio::test]
async fn c73_c74_c79_parameters_arrive_as_they_were_sent() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let cases = [
        (json!({"temperature": 0}), json!({"maxTokens": 100, "temperature": 0})),
        (json!({"top_p": 0}), json!({"maxTokens": 100, "topP": 0})),
        (json!({"top_p": 0.5, "stop": "END"}), json!({"maxTokens": 100, "topP": 0.5, "stopSequences": ["END"]})),
        (json!({"stop": ["A", "B"]}), json!({"maxTokens": 100, "stopSequences": ["A", "B"]})),
        (json!({"max_tokens": null, "max_completion_tokens": 7}), json!({"maxTokens": 7})),
        (json!({"max_tokens": null}), json!({"maxTokens": 4096})),
        (json!({"presence_penalty": 0.5, "frequency_penalty": 1, "user": "u"}), json!({"maxTokens": 100})),
    ];
    for (extra, expect) in cases {
        let mut ask = question("claude-3-sonnet");
        ask.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = house.chat(&user, &ask).await;
        assert_eq!(answer.status, 200, "{extra}: {}", answer.text);
        assert!(same_numbers(&house.sent()["inferenceConfig"], &expect), "{extra}: {}", house.sent());
    }
    let mut two = question("claude-3-sonnet");
    two["n"] = json!(2);
    house.chat(&user, &two).await.refused(400, "unsupported_parameter");
}

/// 0 and 0.0 are one number.
fn same_numbers(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len() && left.iter().all(|(k, v)| right.get(k).is_some_and(|r| same_numbers(v, r)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same_numbers(l, r))
        }
        _ => left == right,
    }
}
