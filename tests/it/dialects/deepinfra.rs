//! DeepInfra: another base, names in any case, usage with the last words.

use super::{KEY, booked, gateway, key, key_with, post, sent, upstream, url};
use crate::support::{Gateway, chat_body, stream_body};
use crate::upstream::{Act, Api, Fault, Upstream};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const LLAMA: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct";

async fn house() -> (Upstream, Gateway) {
    let upstream = upstream(Api::DeepInfra).await;
    let base = format!("{}/v1/openai", upstream.url());
    let gateway = gateway(&upstream, Some(("TOLLGATE_PROVIDERS_DEEPINFRA_BASE_URL", base))).await;
    (upstream, gateway)
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    post(&url(gateway, "deepinfra", path), gateway, body).await
}

fn entries() -> Value {
    json!({"apikey": "sk-upstream"})
}

#[tokio::test]
async fn c31_its_tokens_are_billed_in_any_spelling_of_the_model() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "deepinfra", entries(), json!({"costLimitInUsd": 1})).await;
    let act = json!({"tokens": {"input": 15, "output": 16}});
    for model in [LLAMA.to_owned(), LLAMA.to_lowercase(), format!("{LLAMA}:v2")] {
        for body in [chat_body(&model, &act), stream_body(&model, &act)] {
            let answer = ask(&gateway, CHAT, &body).await;
            assert_eq!(answer.status(), 200, "{model}");
            let text = answer.text().await.unwrap();
            assert_eq!(text.contains("estimated_cost"), body["stream"] != true, "{text}");
        }
    }
    for event in gateway.events_settled(&id, 6).await {
        assert_eq!(booked(&event), (15, 16, 0.000_001_25, json!([])), "{event}");
    }
    for seen in upstream.seen() {
        assert_eq!(seen.target, "/v1/openai/chat/completions");
        assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
    }
    assert_eq!(sent(&upstream)["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn usage_on_the_finish_chunk_is_billed_and_the_chunk_stays() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "deepinfra", entries(), json!({})).await;
    let frames = [
        format!(r#"{{"model":"{LLAMA}","choices":[{{"index":0,"delta":{{"content":"Hi"}},"finish_reason":null}}]}}"#),
        format!(
            r#"{{"model":"{LLAMA}","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":15,"total_tokens":31,"completion_tokens":16,"estimated_cost":1.25e-06}}}}"#
        ),
        "[DONE]".to_owned(),
    ]
    .map(|data| format!("data: {data}\n\n"));
    for split in [None, Some(3)] {
        upstream.script(Act { frames: Some(frames.to_vec()), split, ..Act::default() });
        let text = ask(&gateway, CHAT, &stream_body(LLAMA, &json!({}))).await.text().await.unwrap();
        assert!(text.contains(r#""finish_reason":"stop"}]}"#) && !text.contains("usage"), "{text}");
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event), (15, 16, 0.000_001_25, json!([])), "{event}");
    }
}

#[tokio::test]
async fn embeddings_go_with_a_credential() {
    let (upstream, gateway) = house().await;
    let costs = json!({"embeddingsCostPerModel": {"BAAI/bge-large-en-v1.5": 0.00001}});
    let setting = json!({"provider": "deepinfra", "setting": entries(), "costMap": costs});
    let id = key_with(&gateway, setting, json!({})).await;
    let act = json!({"tokens": {"input": 1000}}).to_string();
    let body = json!({"model": "BAAI/bge-large-en-v1.5", "input": "hello", "user": act});
    assert_eq!(ask(&gateway, "/v1/embeddings", &body).await.status(), 200);
    let event = &gateway.events_settled(&id, 1).await[0];
    assert_eq!(booked(event), (1000, 0, 0.000_01, json!([])), "{event}");
    assert_eq!(upstream.seen()[0].target, "/v1/openai/embeddings");
}

#[tokio::test]
async fn the_clients_key_stays_here_and_other_paths_are_404() {
    let (upstream, gateway) = house().await;
    key(&gateway, "deepinfra", entries(), json!({})).await;
    for (name, value) in [("x-api-key", KEY), ("api-key", KEY)] {
        let request = gateway.http.post(url(&gateway, "deepinfra", CHAT)).header(name, value);
        let answer = request.json(&chat_body(LLAMA, &json!({}))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text().await.unwrap());
    }
    for path in ["/v1/inference/x", "/v1/openai/chat/completions", "/v1/responses", "/v1/anthropic/v1/messages"] {
        assert_eq!(ask(&gateway, path, &chat_body(LLAMA, &json!({}))).await.status(), 404, "{path}");
    }
    assert_eq!(upstream.stats().requests, 2);
}

#[tokio::test]
async fn errors_pass_and_breaks_are_told() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "deepinfra", entries(), json!({})).await;
    let detail = r#"{"detail":{"error":"Model busy"}}"#;
    upstream.script(Act { status: Some(429), body: Some(detail.into()), ..Act::default() });
    let answer = ask(&gateway, CHAT, &chat_body(LLAMA, &json!({}))).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (429, detail));
    upstream.script(Act { fault: Some(Fault::Truncate), chunks: Some(9), ..Act::default() });
    let text = ask(&gateway, CHAT, &stream_body(LLAMA, &json!({}))).await.text().await.unwrap();
    assert!(text.contains("upstream_disconnected") && !text.contains("[DONE]"), "{text}");
    let mut events = gateway.events_settled(&id, 2).await;
    events.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    assert_eq!(booked(&events[0]).2, 0.0);
    assert!(booked(&events[1]).2 > 0.0 && booked(&events[1]).3 == json!(["estimated", "aborted"]), "{}", events[1]);
}
