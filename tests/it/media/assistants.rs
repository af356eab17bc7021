//! Assistants: the header they need, runs that are billed where they report, and what stays closed.

use super::{events, post};
use crate::support::Gateway;
use crate::upstream::{Act, Options, Upstream};
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

#[tokio::test]
async fn the_beta_is_named_for_clients_that_do_not() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    for path in ["/v1/assistants", "/v1/threads", "/v1/vector_stores", "/v1/threads/thread_1/messages"] {
        assert_eq!(post(&gateway, path, &json!({})).await.status(), 200, "{path}");
        assert_eq!(upstream.seen().pop().unwrap().header("openai-beta"), Some("assistants=v2"), "{path}");
    }
    let own =
        gateway.http.post(gateway.url("/v1/assistants")).bearer_auth("k").header("openai-beta", "assistants=v2,x=y");
    assert_eq!(own.json(&json!({})).send().await.unwrap().status(), 200);
    assert_eq!(upstream.seen().pop().unwrap().header("openai-beta"), Some("assistants=v2,x=y"));
    post(&gateway, "/v1/moderations", &json!({"model": "m", "input": "a"})).await;
    assert_eq!(upstream.seen().pop().unwrap().header("openai-beta"), None);
}

#[tokio::test]
async fn a_streamed_run_is_billed_by_its_own_model_and_an_ordered_one_when_it_is_told() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let order = json!({"assistant_id": "asst_1", "stream": true});
    for path in ["/v1/threads/thread_1/runs", "/v1/threads/runs", "/v1/threads/thread_1/runs/run_1/submit_tool_outputs"]
    {
        let text = post(&gateway, path, &order).await.text().await.unwrap();
        assert!(text.contains("thread.run.completed") && text.ends_with("event: done\ndata: [DONE]\n\n"), "{text}");
    }
    let ordered = post(&gateway, "/v1/threads/runs", &json!({"assistant_id": "asst_1"})).await;
    let run: Value = ordered.json().await.unwrap();
    let path = format!("/v1/threads/thread_1/runs/{}", run["id"].as_str().unwrap());
    for _ in 0..2 {
        let mut over = run.clone();
        over["status"] = json!("completed");
        over["usage"] = json!({"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500});
        let content_type = Some("application/json".into());
        upstream.script(Act { path: Some(path.clone()), body: Some(over.to_string()), content_type, ..Act::default() });
        let poll = gateway.http.get(gateway.url(&path)).bearer_auth("k").send().await.unwrap();
        assert_eq!(poll.status(), 200);
    }
    let found = events(&gateway, &id, 6).await;
    // 19 x 2.5/M + 10 x 10/M for each stream; the ordered one when it is told, once.
    let expected = [0.000_147_5, 0.000_147_5, 0.000_147_5, 0.0, 0.007_5, 0.0];
    for (event, cost) in found.iter().zip(expected) {
        assert_eq!((event["cost_in_usd"].as_f64().unwrap(), &event["flags"]), (cost, &json!([])), "{event}");
    }
}

#[tokio::test]
async fn a_budget_refuses_a_run_whose_model_nobody_names() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({"costLimitInUsd": 1})).await;
    for order in [json!({"assistant_id": "a", "stream": true}), json!({"assistant_id": "a", "model": "gpt-4o"})] {
        assert_eq!(post(&gateway, "/v1/threads/runs", &order).await.status(), 403, "{order}");
    }
    assert_eq!(upstream.stats().requests, 0);
    let named = json!({"assistant_id": "a", "model": "gpt-4o", "stream": true, "max_completion_tokens": 100});
    assert_eq!(post(&gateway, "/v1/threads/runs", &named).await.status(), 200);
}

#[tokio::test]
async fn ways_past_the_meter_are_closed() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    for path in [
        "/v1/realtime/client_secrets",
        "/v1/realtime/sessions",
        "/v1/realtime/transcription_sessions",
        "/v1/realtime/calls",
    ] {
        assert_eq!(post(&gateway, path, &json!({})).await.status(), 404, "{path}");
    }
    assert_eq!(upstream.stats().requests, 0);
}
