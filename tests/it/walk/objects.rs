//! Files, batches and stored responses: each serves the key that made it, and deferred work is billed once.

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Act, Options, Upstream};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Two keys, `a` and `b`, that share one credential.
async fn house(setup: Setup) -> (Upstream, Gateway, [String; 2]) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = setup.start(&upstream).await;
    let setting = gateway.setting(json!({})).await;
    let a = gateway.key("a", json!({"settingIds": [setting]})).await;
    let b = gateway.key("b", json!({"settingIds": [setting]})).await;
    (upstream, gateway, [a, b])
}

fn answers(upstream: &Upstream, path: &str, body: &Value) {
    upstream.script(Act {
        path: Some(path.into()),
        status: Some(200),
        body: Some(body.to_string()),
        content_type: Some("application/json".into()),
        ..Act::default()
    });
}

async fn call(gateway: &Gateway, key: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = gateway.http.request(method.parse().unwrap(), gateway.url(path)).bearer_auth(key);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn an_object_serves_its_key_only() {
    let (upstream, mut gateway, _) = house(Setup::default()).await;
    let thread = json!({"id": "thread_1", "object": "thread"});
    answers(&upstream, "/v1/threads", &thread);
    assert_eq!(call(&gateway, "a", "POST", "/v1/threads", Some(json!({}))).await.0, 200);

    upstream.forget();
    for path in ["/v1/threads/thread_1", "/v1/threads/thread%5F1/messages", "/v1/threads/thread_unknown"] {
        let (status, body) = call(&gateway, "b", "GET", path, None).await;
        assert_eq!((status, body["error"]["type"].as_str()), (404, Some("gateway_not_found")), "{path}: {body}");
    }
    let stolen = json!({"model": "gpt-4o", "input": "x", "previous_response_id": "resp_of_a"});
    assert_eq!(call(&gateway, "b", "POST", "/v1/responses", Some(stolen)).await.0, 404);
    assert!(upstream.seen().is_empty(), "nothing of it reached the provider");

    answers(&upstream, "/v1/threads/thread_1", &thread);
    assert_eq!(call(&gateway, "a", "GET", "/v1/threads/thread_1", None).await, (200, thread.clone()));
    gateway.kill();
    gateway.restart().await;
    answers(&upstream, "/v1/threads/thread_1", &thread);
    assert_eq!(call(&gateway, "a", "GET", "/v1/threads/thread_1", None).await, (200, thread), "known after a kill");
    assert_eq!(call(&gateway, "b", "GET", "/v1/threads/thread_1", None).await.0, 404);
}

#[tokio::test]
async fn a_credential_of_one_key_reaches_what_is_older_than_the_gateway() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("alone", json!({})).await;
    let file = json!({"id": "file-old", "object": "file"});
    answers(&upstream, "/v1/files/file-old", &file);
    assert_eq!(call(&gateway, "alone", "GET", "/v1/files/file-old", None).await, (200, file.clone()));
    let list = json!({"object": "list", "data": [file], "has_more": false});
    answers(&upstream, "/v1/files", &list);
    assert_eq!(call(&gateway, "alone", "GET", "/v1/files", None).await, (200, list));
}

#[tokio::test]
async fn a_list_shows_the_keys_own() {
    let (upstream, gateway, _) = house(Setup::default()).await;
    for (key, id) in [("a", "vs_1"), ("b", "vs_2"), ("a", "vs_3")] {
        answers(&upstream, "/v1/vector_stores", &json!({"id": id, "object": "vector_store"}));
        assert_eq!(call(&gateway, key, "POST", "/v1/vector_stores", Some(json!({"name": id}))).await.0, 200);
    }
    let store = |id: &str| json!({"id": id, "object": "vector_store", "name": "\u{fc}"});
    let all = ["vs_3", "vs_2", "vs_1", "vs_0"].map(store);
    let list = json!({"object": "list", "data": all, "first_id": "vs_3", "last_id": "vs_0", "has_more": false});
    answers(&upstream, "/v1/vector_stores", &list);
    let (_, own) = call(&gateway, "a", "GET", "/v1/vector_stores", None).await;
    let expected = json!({"object": "list", "data": [store("vs_3"), store("vs_1")], "first_id": "vs_3", "last_id": "vs_1", "has_more": false});
    assert_eq!(own, expected);
    answers(&upstream, "/v1/vector_stores", &json!({"surprise": true}));
    assert_eq!(
        call(&gateway, "a", "GET", "/v1/vector_stores", None).await.0,
        502,
        "what cannot be filtered is not shown"
    );
}

#[tokio::test]
async fn c_b9_a_batch_is_billed_once_whoever_asks_however_often() {
    let (upstream, mut gateway, [a, _]) = house(Setup::default()).await;
    let batch = |status: &str, usage: Value| {
        json!({"id": "batch_1", "object": "batch", "status": status, "model": "gpt-4o-mini", "input_file_id": "file-in",
            "output_file_id": if status == "completed" { json!("file-out") } else { Value::Null }, "usage": usage})
    };
    answers(&upstream, "/v1/files", &json!({"id": "file-in", "object": "file"}));
    call(&gateway, "a", "POST", "/v1/files", Some(json!({}))).await;
    answers(&upstream, "/v1/batches", &batch("validating", Value::Null));
    let asked = json!({"input_file_id": "file-in", "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    assert_eq!(call(&gateway, "a", "POST", "/v1/batches", Some(asked)).await.0, 200);

    let usage = json!({"input_tokens": 1_000_000, "output_tokens": 1_000_000, "total_tokens": 2_000_000});
    for _ in 0..20 {
        answers(&upstream, "/v1/batches/batch_1", &batch("completed", usage.clone()));
    }
    let polls = (0..20).map(|_| call(&gateway, "a", "GET", "/v1/batches/batch_1", None));
    assert!(join_all(polls).await.iter().all(|(status, _)| *status == 200));
    let line = |n: u64| json!({"custom_id": n.to_string(), "response": {"body": {"model": "gpt-4o-mini", "usage": {"prompt_tokens": n, "completion_tokens": n}}}});
    let output = || {
        upstream.script(Act {
            path: Some("/v1/files/file-out/content".into()),
            body: Some(format!("{}\n{}\n", line(600_000), line(400_000))),
            content_type: Some("application/octet-stream".into()),
            ..Act::default()
        });
    };
    output();
    assert_eq!(call(&gateway, "a", "GET", "/v1/files/file-out/content", None).await.0, 200);
    assert_eq!(call(&gateway, "b", "GET", "/v1/files/file-out/content", None).await.0, 404, "its output is a's, too");
    let events = gateway.events_settled(&a, 23).await;
    let costs: Vec<f64> =
        events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).filter(|cost| *cost > 0.0).collect();
    // Half of 0.15 and 0.60 per million.
    assert_eq!(costs, [0.375], "once, at the price of batches");
    assert!(events.iter().all(|e| !e["flags"].as_array().unwrap().contains(&json!("unpriced"))), "{events:#?}");

    gateway.kill();
    gateway.restart().await;
    answers(&upstream, "/v1/batches/batch_1", &batch("completed", usage));
    output();
    for path in ["/v1/batches/batch_1", "/v1/files/file-out/content"] {
        assert_eq!(call(&gateway, "a", "GET", path, None).await.0, 200);
    }
    let sum: f64 = gateway.events_settled(&a, 25).await.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).sum();
    assert!((sum - 0.375).abs() < 1e-12, "{sum}");
}

#[tokio::test]
async fn output_that_nobody_polled_for_is_billed_when_it_is_fetched() {
    let (upstream, gateway, [a, _]) = house(Setup::default()).await;
    // As older batches are: no usage and no model of their own.
    let batch = json!({"id": "batch_2", "object": "batch", "status": "completed", "output_file_id": "file-out2"});
    answers(&upstream, "/v1/batches", &batch);
    call(&gateway, "a", "POST", "/v1/batches", Some(json!({"endpoint": "/v1/embeddings"}))).await;
    let line = json!({"custom_id": "1", "response": {"body": {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 2_000_000, "completion_tokens": 0}}}});
    for _ in 0..2 {
        upstream.script(Act {
            path: Some("/content".into()),
            body: Some(format!("{line}\n")),
            content_type: Some("application/jsonl".into()),
            ..Act::default()
        });
        assert_eq!(call(&gateway, "a", "GET", "/v1/files/file-out2/content", None).await.0, 200);
    }
    let events = gateway.events_settled(&a, 3).await;
    let billed: Vec<_> = events.iter().filter(|e| e["cost_in_usd"] != 0.0).collect();
    assert_eq!(
        (billed.len(), billed[0]["cost_in_usd"].as_f64(), billed[0]["model"].as_str()),
        (1, Some(0.15), Some("gpt-4o-mini"))
    );
}

#[tokio::test]
async fn a_budget_that_looks_ahead_lets_no_unbounded_work_in() {
    let (upstream, gateway, _) = house(Setup::default()).await;
    for (mode, status) in [("reserve", 403), ("strict", 403), ("observe", 200)] {
        let name = format!("k-{mode}");
        gateway.key(&name, json!({"costLimitInUsd": 5, "budgetMode": mode})).await;
        if status == 200 {
            answers(&upstream, "/v1/batches", &json!({"id": "batch_3", "object": "batch", "status": "validating"}));
        }
        let (got, body) = call(&gateway, &name, "POST", "/v1/batches", Some(json!({"endpoint": "/v1/x"}))).await;
        assert_eq!(got, status, "{mode}: {body}");
    }
    eventually("the batch is known", || async {
        answers(
            &upstream,
            "/v1/batches/batch_3",
            &json!({"id": "batch_3", "object": "batch", "status": "in_progress"}),
        );
        call(&gateway, "k-observe", "GET", "/v1/batches/batch_3", None).await.0 == 200
    })
    .await;
}
