//! What the provider reports is what is booked, to the last digit.

use super::{get, house, key, key_with, message, post, streamed, url};
use crate::upstream::Act;
use serde_json::{Value, json};

const OPUS: &str = "claude-opus-5-5";
const SONNET: &str = "claude-sonnet-4-5";

#[tokio::test]
async fn cost_vectors_hold_end_to_end_unary_and_streamed() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    // Prompt tokens as shown include those read from and written to caches.
    let vectors = [
        ("C20", SONNET, json!({"input": 20, "cached": 100, "cache_write": 40, "output": 7}), 0.000_345, (160, 7)),
        (
            "C21",
            OPUS,
            json!({"input_tokens": 1000, "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 30_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500}, "output_tokens": 900}),
            0.0395,
            (33_000, 900),
        ),
        ("C22", OPUS, json!({"input_tokens": 1000, "output_tokens": 200, "speed": "fast"}), 0.016, (1000, 200)),
        ("C23", OPUS, json!({"input_tokens": 1000, "output_tokens": 200, "inference_geo": "us"}), 0.0088, (1000, 200)),
        (
            "C25",
            SONNET,
            json!({"input_tokens": 8000, "output_tokens": 600, "server_tool_use": {"web_search_requests": 2}}),
            0.053,
            (8000, 600),
        ),
        (
            "C26",
            "claude-haiku-5-5",
            json!({"input": 50_000, "cached": 60_000, "output": 100}),
            0.028_25,
            (110_000, 100),
        ),
        (
            "a summary and an advisor",
            OPUS,
            json!({"input_tokens": 1000, "output_tokens": 200, "iterations": [
                {"type": "message", "input_tokens": 1000, "output_tokens": 200},
                {"type": "compaction", "input_tokens": 10_000, "output_tokens": 500},
                {"type": "advisor_message", "model": SONNET, "input_tokens": 100, "output_tokens": 10}]}),
            // (1000 + 10000) x 4 + (200 + 500) x 20 + 100 x 3 + 10 x 15, in millionths
            0.058_45,
            (11_100, 710),
        ),
    ];
    let mut expected = Vec::new();
    for (name, model, usage, usd, tokens) in &vectors {
        let act = if usage.get("input").is_some() { json!({"tokens": usage}) } else { json!({"usage": usage}) };
        for body in [message(model, &act), streamed(model, &act)] {
            let answer = post(&gateway, "/v1/messages", &body).await;
            assert_eq!(answer.status(), 200, "{name}");
            let is_stream = body["stream"] == true;
            if !is_stream {
                let told: f64 = answer.headers()["x-tollgate-cost-usd"].to_str().unwrap().parse().unwrap();
                assert_eq!(told, *usd, "{name}: the head tells the cost");
            }
            answer.text().await.unwrap();
            expected.push((format!("{name} streamed={is_stream}"), *usd, *tokens));
        }
    }
    let mut events = gateway.events_settled(&id, expected.len()).await;
    events.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    for ((name, usd, tokens), event) in expected.iter().zip(&events) {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), *usd, "{name}: {event}");
        assert_eq!((event["status"].as_u64(), event["provider"].as_str()), (Some(200), Some("anthropic")), "{name}");
        let shown = (event["prompt_token_count"].as_u64().unwrap(), event["completion_token_count"].as_u64().unwrap());
        assert_eq!(shown, *tokens, "{name}: {event}");
        assert_eq!(event["flags"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn errors_of_the_provider_pass_unchanged_and_cost_nothing() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let body = r#"{"type":"error","error":{"type":"x","message":"no"},"usage":{"input_tokens":5,"output_tokens":5}}"#;
    let statuses = [400, 402, 404, 409, 413, 429, 500, 503, 529];
    for status in statuses {
        let headers = [("retry-after".to_owned(), "7".to_owned())].into();
        upstream.script(Act { status: Some(status), body: Some(body.into()), headers, ..Act::default() });
        let answer = post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.text().await.unwrap(), body);
    }
    for event in gateway.events_settled(&id, statuses.len()).await {
        assert_eq!(event["cost_in_usd"], 0.0, "{event}");
        assert!(statuses.contains(&(event["status"].as_u64().unwrap() as u16)));
    }
}

#[tokio::test]
async fn completions_are_counted_and_flagged() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let act = json!({"content": "The quick brown fox jumps over the lazy dog."}).to_string();
    for stream in [false, true] {
        let body = json!({
            "model": "claude-2", "prompt": "The quick brown fox jumps over the lazy dog.", "max_tokens_to_sample": 50,
            "stream": stream, "metadata": {"user_id": act},
        });
        let answer = post(&gateway, "/v1/complete", &body).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("lazy"));
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(event["flags"], json!(["estimated"]), "{event}");
        // Ten tokens of the encoding at hand are 12 here: 12 x 8 + 12 x 24, in millionths.
        assert_eq!(event["cost_in_usd"], 0.000_384, "{event}");
    }
}

#[tokio::test]
async fn usage_that_is_not_reported_is_counted_and_flagged() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let act = json!({"no_usage": true, "content": "The quick brown fox jumps over the lazy dog."});
    for body in [message(OPUS, &act), streamed(OPUS, &act)] {
        post(&gateway, "/v1/messages", &body).await.text().await.unwrap();
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(event["flags"], json!(["estimated"]), "{event}");
        assert_eq!(event["completion_token_count"], 14, "{event}");
        assert!(event["prompt_token_count"].as_u64().unwrap() > 0, "{event}");
    }
}

#[tokio::test]
async fn what_costs_nothing_is_free_and_what_is_unknown_is_flagged() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let count = post(&gateway, "/v1/messages/count_tokens", &message(OPUS, &json!({"tokens": {"input": 77}}))).await;
    assert_eq!(count.json::<Value>().await.unwrap(), json!({"input_tokens": 77}));
    let models: Value = get(&gateway, "/v1/models").await.json().await.unwrap();
    assert_eq!(models["data"][0]["type"], "model");
    let model: Value = get(&gateway, "/v1/models/claude-opus-5-5?beta=true").await.json().await.unwrap();
    assert_eq!(model["id"], OPUS);
    assert_eq!(get(&gateway, "/v1/models/none").await.status(), 404);
    let echo: Value = post(&gateway, "/v1/brand/new?x=1", &json!({"a": 1})).await.json().await.unwrap();
    assert_eq!((&echo["path"], &echo["query"]), (&json!("/v1/brand/new"), &json!("x=1")));
    let events = gateway.events_settled(&id, 5).await;
    for event in &events {
        assert_eq!(event["cost_in_usd"], 0.0, "{event}");
        let expected = if event["path"].as_str().unwrap().contains("brand") { json!(["unpriced"]) } else { json!([]) };
        assert_eq!(event["flags"], expected, "{event}");
    }
}

#[tokio::test]
async fn files_pass_as_they_are() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let content: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\n\r\n";
    let form = [head.as_bytes(), &content, b"\r\n--b--\r\n"].concat();
    let upload = gateway.http.post(url(&gateway, "/v1/files")).header("x-api-key", "gw-key");
    let upload = upload
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form);
    let answer: Value = upload.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["parts"]["file"]["length"], content.len(), "{answer}");
    let back = get(&gateway, "/v1/files/file_1/content").await.bytes().await.unwrap();
    assert_eq!(back, crate::upstream::answer_binary(4096));
    let deleted = gateway.http.delete(url(&gateway, "/v1/files/file_1")).header("x-api-key", "gw-key").send().await;
    assert_eq!(deleted.unwrap().json::<Value>().await.unwrap()["type"], "file_deleted");
    assert!(gateway.events_settled(&id, 3).await.iter().all(|e| e["cost_in_usd"] == 0.0));
}

#[tokio::test]
async fn a_cost_map_overrides_the_table() {
    let (_upstream, gateway) = house().await;
    let map = json!({"promptCostPerModel": {OPUS: 1.0}, "completionCostPerModel": {OPUS: 2.0}});
    let id = key_with(&gateway, json!({}), json!({"costMap": map})).await;
    post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await.text().await.unwrap();
    assert_eq!(gateway.events_settled(&id, 1).await[0]["cost_in_usd"], 0.039, "19 x 0.001 + 10 x 0.002");
}
