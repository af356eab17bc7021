//! Tools: definitions, several calls at once, results; and what they cost.

use super::{House, fee, question, streamed, used};
use crate::upstream::{Act, Call};
use serde_json::{Value, json};

fn two_calls() -> Act {
    let call = |name: &str, arguments: &str| Call { name: name.into(), arguments: arguments.into() };
    Act { calls: vec![call("weather", r#"{"city":"Zürich","days":3}"#), call("time", "{}")], ..used(30, 20) }
}

fn with_tools() -> Value {
    let mut ask = question("claude-3-sonnet");
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    ask["tools"] = json!([
        {"type": "function", "function": {"name": "weather", "description": "Now.", "parameters": parameters}},
        {"type": "function", "function": {"name": "time"}},
    ]);
    ask["tool_choice"] = json!("required");
    ask
}

/// The calls of a stream, put together from their pieces.
fn assembled(chunks: &[Value]) -> Vec<Value> {
    let mut calls: Vec<Value> = Vec::new();
    for piece in chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten() {
        let at = usize::try_from(piece["index"].as_u64().expect("a number")).unwrap();
        if at == calls.len() {
            assert!(piece["id"].is_string() && piece["function"]["name"].is_string(), "{piece}");
            let mut call = piece.clone();
            call.as_object_mut().unwrap().remove("index");
            calls.push(call);
            continue;
        }
        let arguments = &mut calls[at]["function"]["arguments"];
        *arguments =
            json!(format!("{}{}", arguments.as_str().unwrap(), piece["function"]["arguments"].as_str().unwrap()));
    }
    calls
}

#[tokio::test]
async fn c78_calls_and_results_make_the_round_trip() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.upstream.script(two_calls());
    let whole = house.chat(&user, &with_tools()).await.json();
    let sent = house.sent();
    let specs = &sent["toolConfig"]["tools"];
    assert_eq!(specs[0]["toolSpec"]["name"], "weather");
    assert_eq!(specs[0]["toolSpec"]["inputSchema"]["json"], with_tools()["tools"][0]["function"]["parameters"]);
    assert!(specs[1]["toolSpec"]["description"].as_str().is_none_or(|text| !text.is_empty()), "{specs}");
    assert_eq!(sent["toolConfig"]["toolChoice"], json!({"any": {}}));

    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null),
        "{whole}"
    );
    let calls = choice["message"]["tool_calls"].as_array().unwrap().clone();
    assert_eq!((calls.len(), &calls[0]["type"]), (2, &json!("function")));
    house.upstream.script(two_calls());
    let chunks = house.chat(&user, &streamed(with_tools())).await.chunks();
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    let pieced = assembled(&chunks);
    for (whole, pieced) in calls.iter().zip(&pieced) {
        let arguments =
            |call: &Value| -> Value { serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap() };
        assert_eq!(whole["id"], pieced["id"]);
        assert_eq!(whole["function"]["name"], pieced["function"]["name"]);
        assert_eq!(arguments(whole), arguments(pieced));
    }
    assert_eq!(pieced.len(), 2);

    let mut results = with_tools();
    results["tool_choice"] = json!("auto");
    results["messages"] = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": null, "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "rain"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": ""},
        {"role": "user", "content": "so?"},
    ]);
    let answer = house.chat(&user, &results).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let turns = house.sent()["messages"].clone();
    assert_eq!(turns.as_array().unwrap().len(), 3, "{turns}");
    let input = json!({"city": "Zürich", "days": 3});
    assert_eq!(
        turns[1]["content"][0]["toolUse"],
        json!({"toolUseId": calls[0]["id"], "name": "weather", "input": input})
    );
    assert_eq!(turns[1]["content"][1]["toolUse"]["toolUseId"], calls[1]["id"]);
    let told = turns[2]["content"].as_array().unwrap();
    assert_eq!((told.len(), &turns[2]["role"]), (3, &json!("user")), "results and words in one turn");
    assert_eq!(told[0]["toolResult"]["content"][0]["text"], "rain");
    assert!(!told[1]["toolResult"]["content"][0]["text"].as_str().unwrap().is_empty(), "{turns}");
    assert_eq!(told[2], json!({"text": "so?"}));
}

#[tokio::test]
async fn c84_calls_that_end_early_are_billed_like_all_others() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.compatible("open", "gpt-4o").await;
    let (mut input, mut output) = (0, 0);
    for act in [two_calls(), Act { finish_reason: Some("length".into()), ..used(30, 20) }] {
        for ask in [question("open"), streamed(question("open"))] {
            house.upstream.script(act.clone());
            let answer = house.chat(&user, &ask).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(!answer.text.contains(r#""choices":[]"#), "nobody asked for usage: {}", answer.text);
            (input, output) = (input + 30, output + 20);
            house.spent(&user, &fee(input, output)).await;
        }
    }
}
