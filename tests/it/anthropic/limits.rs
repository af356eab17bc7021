//! Budgets: a bound that holds, and a refusal where there is none.

use super::{house, key_with, message, post};
use serde_json::{Value, json};

const OPUS: &str = "claude-opus-5-5";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_budget_is_never_exceeded() {
    let (_upstream, gateway) = house().await;
    let id = key_with(&gateway, json!({"costLimitInUsd": 0.05, "budgetMode": "strict"}), json!({})).await;
    // As dear as the request allows: all of its bound read as written for an hour, and all of its output.
    let act = json!({"usage": {"input_tokens": 0, "cache_creation_input_tokens": 300, "output_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 300}, "inference_geo": "us"}});
    let mut body = message(OPUS, &act);
    body["max_tokens"] = json!(50);
    assert!(body.to_string().len() > 300, "the bound covers what is told to be consumed");
    let answers = futures_util::future::join_all((0..60).map(|_| post(&gateway, "/v1/messages", &body))).await;
    let admitted = answers.iter().filter(|a| a.status() == 200).count();
    let refused = answers.iter().filter(|a| a.status() == 429).count();
    assert!(admitted > 0 && refused > 0 && admitted + refused == 60, "{admitted} admitted, {refused} refused");
    for answer in answers {
        answer.bytes().await.unwrap();
    }
    let events = gateway.events(&id).await;
    let spent: f64 = events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).sum();
    assert!(spent <= 0.05, "spent {spent}");
}

#[tokio::test]
async fn a_strict_budget_refuses_what_nothing_bounds() {
    let (upstream, gateway) = house().await;
    key_with(&gateway, json!({"costLimitInUsd": 100, "budgetMode": "strict"}), json!({})).await;
    let with = |name: &str, value: Value| {
        let mut body = message(OPUS, &json!({}));
        body[name] = value;
        body
    };
    for body in [
        with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])),
        with("mcp_servers", json!([{"type": "url", "url": "https://x", "name": "x"}])),
        with("context_management", json!({"edits": [{"type": "compact_20260112"}]})),
    ] {
        let answer = post(&gateway, "/v1/messages", &body).await;
        assert_eq!(answer.status(), 403, "{body}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["error"]["details"]["error_code"], "gateway_cost_limit", "{told}");
    }
    assert_eq!(upstream.stats().requests, 0);
    let image =
        json!([{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]);
    assert_eq!(
        post(&gateway, "/v1/messages", &with("messages", image)).await.status(),
        200,
        "the model's limit bounds it"
    );
    assert_eq!(post(&gateway, "/v1/messages", &with("max_tokens", json!(10))).await.status(), 200);
}

#[tokio::test]
async fn budgets_refuse_what_has_no_price() {
    let (upstream, gateway) = house().await;
    key_with(&gateway, json!({"costLimitInUsd": 100}), json!({})).await;
    let batch = json!({"requests": [{"custom_id": "a", "params": message(OPUS, &json!({}))}]});
    let mut advised = message(OPUS, &json!({}));
    advised["tools"] = json!([{"type": "advisor_20260301", "name": "advisor", "model": "claude-unheard-of"}]);
    for (path, body) in [
        ("/v1/messages", message("claude-unheard-of", &json!({}))),
        ("/v1/messages", advised),
        ("/v1/messages/batches", batch),
        ("/v1/brand/new", json!({})),
    ] {
        let answer = post(&gateway, path, &body).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["details"]["error_code"], "model_not_priced");
    }
    assert_eq!(upstream.stats().requests, 0);
    assert_eq!(post(&gateway, "/v1/messages/count_tokens", &message(OPUS, &json!({}))).await.status(), 200);
}
