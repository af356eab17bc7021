//! The upstream is a judge of others, so it is tested itself.

use super::super::super::{Act, Api, Fault, Options, Upstream};
use serde_json::{Value, json};

async fn upstream() -> Upstream {
    Upstream::start(Options { api: Api::Anthropic, ..Options::default() }).await.expect("loopback")
}

fn post(upstream: &Upstream, tail: &str, body: &Value) -> reqwest::RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}/v1/{tail}", upstream.url()));
    request.header("x-api-key", "sk-upstream").header("anthropic-version", "2026-10-21").json(body)
}

fn message(extra: &Value) -> Value {
    let mut body = json!({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []});
    body.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
    body
}

async fn refused(request: reqwest::RequestBuilder, status: u16) -> Value {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), status);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["type"], "error");
    body["error"].clone()
}

#[tokio::test]
async fn what_the_api_refuses_is_refused() {
    let upstream = upstream().await;
    let url = format!("{}/v1/messages", upstream.url());
    let client = reqwest::Client::new();
    let good = message(&json!({}));
    let keyed = || client.post(&url).header("x-api-key", "sk-upstream");
    let error = refused(keyed().json(&good), 400).await;
    assert!(error["message"].as_str().unwrap().contains("anthropic-version"), "{error}");
    let other = client.post(&url).header("x-api-key", "sk-other").header("anthropic-version", "2023-06-01");
    assert_eq!(refused(other.json(&good), 401).await["type"], "authentication_error");
    let error = refused(post(&upstream, "messages", &json!({"model": "m", "messages": []})), 400).await;
    assert_eq!(error["message"], "max_tokens: Field required");
    refused(post(&upstream, "messages", &message(&json!({"temperature": 1}))), 400).await;
    refused(post(&upstream, "messages", &message(&json!({"model": "no-such"}))), 404).await;
    assert_eq!(upstream.stats().violations, 0, "a client may do all this");
    refused(keyed().bearer_auth("x").header("anthropic-version", "2023-06-01").json(&good), 400).await;
    assert_eq!(upstream.stats().violations, 1, "a second credential is a gateway's fault");
}

#[tokio::test]
async fn a_stream_tells_in_two_parts_what_an_answer_tells_in_one() {
    let upstream = upstream().await;
    let usage = json!({"input_tokens": 20, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 40}, "output_tokens": 7, "server_tool_use": {"web_search_requests": 1},
        "speed": "fast"});
    let orders = json!({"metadata": {"user_id": json!({"usage": usage, "chunks": 3}).to_string()}});
    let answer: Value = post(&upstream, "messages", &message(&orders)).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["usage"], usage);
    let mut asking = message(&orders);
    asking["stream"] = json!(true);
    let text = post(&upstream, "messages", &asking).send().await.unwrap().text().await.unwrap();
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").expect("a name and data");
            let data: Value = serde_json::from_str(data).expect("json");
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect();
    let kinds: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"message_start"));
    assert_eq!(kinds[kinds.len() - 2..], ["message_delta", "message_stop"]);
    let mut told = events[0]["message"]["usage"].as_object().unwrap().clone();
    assert_eq!((&told["output_tokens"], told.get("server_tool_use")), (&json!(1), None), "not known at the beginning");
    told.extend(events[events.len() - 2]["usage"].as_object().unwrap().clone());
    assert_eq!(Value::Object(told), usage);
}

#[tokio::test]
async fn faults_are_in_the_words_of_the_api() {
    let upstream = upstream().await;
    let asking = message(&json!({"stream": true}));
    upstream.script(Act { fault: Some(Fault::ErrorFrame { after: 2 }), ..Act::default() });
    let text = post(&upstream, "messages", &asking).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("event: error\ndata: {\"type\":\"error\"") && !text.contains("message_stop"), "{text}");
    upstream.script(Act { status: Some(529), ..Act::default() });
    assert_eq!(refused(post(&upstream, "messages", &asking), 529).await["type"], "overloaded_error");
    upstream.script(Act { fault: Some(Fault::NoTerminator), ..Act::default() });
    let text = post(&upstream, "messages", &asking).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("today") && !text.contains("message_stop") && !text.contains("message_delta"), "{text}");
}
