//! Ollama: lines of JSON, counts in the last one, and what of the operator's own server stays closed.

use super::{KEY, admitted, booked, gateway, key, key_with, post, sent, upstream, url};
use crate::support::Gateway;
use crate::upstream::{Act, Api, Fault, Options, Upstream};
use serde_json::{Value, json};

const CHAT: &str = "/api/chat";

async fn house() -> (Upstream, Gateway) {
    let upstream = upstream(Api::Ollama).await;
    let gateway = gateway(&upstream, None).await;
    (upstream, gateway)
}

/// A setting whose cost map prices one model: 1 USD per thousand prompt tokens, 2 per thousand of output.
fn priced(upstream: &Upstream) -> Value {
    let costs = json!({"promptCostPerModel": {"qwen3": 1.0}, "completionCostPerModel": {"qwen3": 2.0}});
    json!({"provider": "ollama", "setting": {"url": format!("{}/", upstream.url()), "apikey": "sk-upstream"}, "costMap": costs})
}

fn body(model: &str, stream: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream,
        "options": {"num_predict": 100}})
}

fn act(act: Value) -> Act {
    serde_json::from_value(act).expect("a behaviour")
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    post(&url(gateway, "ollama", path), gateway, body).await
}

#[tokio::test]
async fn text_is_billed_by_the_counts_and_the_cost_map() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({"costLimitInUsd": 10})).await;
    for (model, stream) in [("qwen3", false), ("qwen3", true), ("qwen3:latest", true)] {
        upstream.script(act(json!({"tokens": {"input": 30, "output": 6}, "content": "Hello you there"})));
        let asked = body(model, stream);
        let answer = ask(&gateway, CHAT, &asked).await;
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert_eq!(text.lines().count(), if stream { 4 } else { 1 }, "{text}");
        assert!(text.contains(r#""eval_count":6"#), "nothing is hidden: {text}");
        assert_eq!(sent(&upstream), asked);
    }
    for event in gateway.events_settled(&id, 3).await {
        assert_eq!(booked(&event), (30, 6, 0.042, json!([])), "{event}");
    }
    assert_eq!(ask(&gateway, CHAT, &body("llama3", true)).await.status(), 403, "no price, no budget to hold");
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((&*seen.target, seen.header("authorization")), (CHAT, Some("Bearer sk-upstream")));
}

#[tokio::test]
async fn calls_of_tools_pass_and_other_operations_are_billed() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({})).await;
    let calls = json!({"calls": [{"name": "f", "arguments": "{\"a\":1}"}]});
    for stream in [true, false] {
        upstream.script(act(calls.clone()));
        let text = ask(&gateway, CHAT, &body("qwen3", stream)).await.text().await.unwrap();
        assert!(text.contains(r#""tool_calls":[{"function":{"arguments":{"a":1},"name":"f"}}]"#), "{text}");
    }
    let prompt = json!({"model": "qwen3", "prompt": "hello"});
    let text = ask(&gateway, "/api/generate", &prompt).await.text().await.unwrap();
    assert!(text.contains(r#""response":"Hello! ""#), "{text}");
    upstream.script(act(json!({"tokens": {"input": 1000}})));
    assert_eq!(ask(&gateway, "/api/embed", &json!({"model": "qwen3", "input": ["a", "b"]})).await.status(), 200);
    let mut bills: Vec<_> = gateway.events_settled(&id, 4).await.iter().map(booked).collect();
    bills.sort_by_key(|bill| bill.0);
    assert_eq!(bills[..3], vec![(19, 10, 0.039, json!([])); 3]);
    assert_eq!(bills[3], (1000, 0, 1.0, json!([])));
}

#[tokio::test]
async fn a_broken_stream_is_told_counted_and_flagged() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({})).await;
    upstream.script(Act { fault: Some(Fault::Close { after: Some(3) }), chunks: Some(9), ..Act::default() });
    let text = ask(&gateway, CHAT, &body("qwen3", true)).await.text().await.unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["error"].is_string() && !text.contains(r#""done":true"#), "{text}");
    let event = &gateway.events_settled(&id, 1).await[0];
    let (input, output, cost, flags) = booked(event);
    assert!(input > 0 && output > 0 && cost > 0.0, "{event}");
    assert_eq!(flags, json!(["estimated", "aborted"]), "{event}");
}

#[tokio::test]
async fn errors_have_one_word_and_pass_unchanged() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({})).await;
    let answer = ask(&gateway, CHAT, &body("no-such", true)).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"error": "model 'no-such' not found"}));
    upstream.script(Act { fault: Some(Fault::ErrorFrame { after: 0 }), ..Act::default() });
    let text = ask(&gateway, CHAT, &body("qwen3", true)).await.text().await.unwrap();
    assert_eq!(text, "{\"error\":\"model runner has unexpectedly stopped\"}\n");
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event).2, 0.0, "{event}");
    }
    let twice = r#"{"model":"qwen3","Model":"llama3","messages":[]}"#;
    let request = gateway.http.post(url(&gateway, "ollama", CHAT)).bearer_auth(KEY).body(twice);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let error = answer.json::<Value>().await.unwrap();
    assert!(
        error["error"].as_str().is_some_and(|text| text.contains("model")),
        "the gateway speaks the same form: {error}"
    );
}

#[tokio::test]
async fn a_server_without_a_key_gets_no_credential_and_the_operators_own_is_closed() {
    let options =
        Options { api: Api::Ollama, keys: Vec::new(), forbidden: vec![KEY.into()], strict: true, ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = gateway(&upstream, None).await;
    let id = key(&gateway, "ollama", json!({"url": format!("{}/api", upstream.url())}), json!({})).await;
    // Read to its end: a client that leaves is another story.
    assert!(ask(&gateway, CHAT, &body("qwen3", true)).await.text().await.unwrap().contains("\"done\":true"));
    assert_eq!(ask(&gateway, "/api/show", &json!({"model": "qwen3"})).await.status(), 200);
    let tags =
        gateway.http.get(url(&gateway, "ollama", "/api/tags")).header("x-goog-api-key", KEY).send().await.unwrap();
    assert_eq!(tags.json::<Value>().await.unwrap()["models"][0]["name"], "qwen3:8b");
    for seen in upstream.seen() {
        for name in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
    for path in ["/api/pull", "/api/create", "/api/delete", "/api/ps", "/v1/chat/completions"] {
        let answer = ask(&gateway, path, &json!({"model": "m"})).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string(), "{path}");
    }
    assert_eq!(upstream.stats().requests, 3);
    let unpriced = admitted(&gateway, &id, 3).await;
    assert_eq!(unpriced.iter().filter(|e| e["flags"] == json!(["unpriced"])).count(), 1, "{unpriced:?}");
}
