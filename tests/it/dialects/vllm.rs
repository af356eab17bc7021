//! vLLM: the operator's own server, its continuous usage, and what of it stays closed.

use super::{KEY, admitted, booked, gateway, key, key_with, post, sent, upstream, url};
use crate::support::{Gateway, chat_body, stream_body};
use crate::upstream::{Act, Api, Fault, Options, Upstream};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

async fn house() -> (Upstream, Gateway) {
    let upstream = upstream(Api::Vllm).await;
    let gateway = gateway(&upstream, None).await;
    (upstream, gateway)
}

/// A setting whose cost map prices one model: 1 USD per thousand prompt tokens, 2 per thousand of output.
fn priced(upstream: &Upstream) -> Value {
    let costs = json!({"promptCostPerModel": {"qwen3-32b": 1.0}, "completionCostPerModel": {"qwen3-32b": 2.0}});
    json!({"provider": "vllm", "setting": {"url": upstream.url(), "apikey": "sk-upstream"}, "costMap": costs})
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    post(&url(gateway, "vllm", path), gateway, body).await
}

#[tokio::test]
async fn a_cost_map_prices_what_nobody_lists() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({"costLimitInUsd": 10})).await;
    let act = json!({"tokens": {"input": 30, "output": 6}});
    for body in [chat_body("qwen3-32b", &act), stream_body("qwen3-32b", &act)] {
        let answer = ask(&gateway, CHAT, &body).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event), (30, 6, 0.042, json!([])), "{event}");
    }
    assert_eq!(ask(&gateway, CHAT, &chat_body("llama", &act)).await.status(), 403, "no price, no budget to hold");
}

#[tokio::test]
async fn without_a_price_it_is_served_and_flagged() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "vllm", json!({"url": upstream.url(), "apikey": "sk-upstream"}), json!({})).await;
    assert_eq!(ask(&gateway, CHAT, &chat_body("qwen3-32b", &json!({}))).await.status(), 200);
    let event = &gateway.events_settled(&id, 1).await[0];
    assert_eq!(booked(event), (19, 10, 0.0, json!(["unpriced"])), "{event}");
}

#[tokio::test]
async fn usage_comes_with_every_piece_and_is_shown_as_far_as_it_was_asked_for() {
    let (upstream, gateway) = house().await;
    key_with(&gateway, priced(&upstream), json!({})).await;
    let both = json!({"include_usage": true, "continuous_usage_stats": true});
    for (asked, shown) in [(json!(null), 0), (json!({"include_usage": true}), 1), (both.clone(), 7)] {
        let mut body = stream_body("qwen3-32b", &json!({"chunks": 4}));
        body["top_k"] = json!(20);
        if !asked.is_null() {
            body["stream_options"] = asked.clone();
        }
        let text = ask(&gateway, CHAT, &body).await.text().await.unwrap();
        assert_eq!(text.matches("\"usage\":{").count(), shown, "{asked}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(sent(&upstream)["stream_options"], both, "{asked}");
        assert_eq!(sent(&upstream)["top_k"], 20);
    }
}

#[tokio::test]
async fn a_broken_stream_is_billed_by_what_it_had_reported() {
    let (upstream, gateway) = house().await;
    let id = key_with(&gateway, priced(&upstream), json!({})).await;
    // The role, then three words.
    upstream.script(Act { fault: Some(Fault::Close { after: Some(4) }), chunks: Some(9), ..Act::default() });
    let text = ask(&gateway, CHAT, &stream_body("qwen3-32b", &json!({}))).await.text().await.unwrap();
    assert!(text.contains("upstream_disconnected") && !text.contains("[DONE]"), "{text}");
    let event = &gateway.events_settled(&id, 1).await[0];
    assert_eq!(booked(event), (19, 3, 0.025, json!(["estimated", "aborted"])), "{event}");
}

#[tokio::test]
async fn a_server_without_a_key_gets_no_credential_at_all() {
    let options =
        Options { api: Api::Vllm, keys: Vec::new(), forbidden: vec![KEY.into()], strict: true, ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = gateway(&upstream, None).await;
    key(&gateway, "vllm", json!({"url": format!("{}/v1/", upstream.url())}), json!({})).await;
    assert_eq!(ask(&gateway, CHAT, &chat_body("qwen3-32b", &json!({}))).await.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.target, CHAT, "the version in the URL is not doubled");
    for name in ["authorization", "api-key", "x-api-key"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn inference_is_open_and_the_operators_own_is_not() {
    let (upstream, gateway) = house().await;
    let setting = json!({"provider": "vllm", "allowedModels": ["qwen3-32b"],
        "setting": {"url": upstream.url(), "apikey": "sk-upstream"}});
    let id = key_with(&gateway, setting, json!({})).await;
    let good = json!({"model": "qwen3-32b", "query": "q", "documents": ["a"], "messages": [], "max_tokens": 5});
    let open = ["/v1/rerank", "/score", "/v1/messages", "/tokenize"];
    for path in open {
        assert_eq!(ask(&gateway, path, &good).await.status(), 200, "{path}");
        let other = json!({"model": "another", "text_1": "a", "text_2": "b"});
        assert_eq!(ask(&gateway, path, &other).await.status(), 403, "{path}");
    }
    for path in ["/v1/load_lora_adapter", "/metrics", "/sleep", "/v1/files", "/collective_rpc"] {
        assert_eq!(ask(&gateway, path, &good).await.status(), 404, "{path}");
    }
    assert_eq!(upstream.stats().requests, open.len() as u64);
    let events = admitted(&gateway, &id, open.len()).await;
    let flagged = events.iter().filter(|e| e["flags"] == json!(["unpriced"])).count();
    assert_eq!(flagged, 3, "all but tokenizing: {events:?}");
}

#[tokio::test]
async fn errors_of_the_server_pass_unchanged() {
    let (upstream, gateway) = house().await;
    key_with(&gateway, priced(&upstream), json!({})).await;
    let answer = ask(&gateway, CHAT, &chat_body("no-such-model", &json!({}))).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 404, "a number, as it was");
    let detail = r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#;
    upstream.script(Act { status: Some(422), body: Some(detail.into()), ..Act::default() });
    assert_eq!(ask(&gateway, CHAT, &chat_body("qwen3-32b", &json!({}))).await.text().await.unwrap(), detail);
}
