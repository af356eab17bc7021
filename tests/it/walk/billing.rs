//! Checklist 18.7 on cost: what the provider reports is what is booked, to the last digit.

use crate::support::{Gateway, chat_body, stream_body};
use crate::upstream::{Act, Fault, Options, Upstream};
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    gateway.http.post(gateway.url(path)).bearer_auth("k").json(body).send().await.unwrap()
}

/// The vectors of the price contract that concern chat, responses and embeddings: usage in, USD out.
#[tokio::test]
async fn c102_c103_c104_cost_vectors_hold_end_to_end_unary_and_streamed() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let chat: &[(&str, &str, Value, f64)] = &[
        ("C102", "gpt-4", json!({"tokens": {"input": 1000, "output": 1000}}), 0.09),
        ("C01", "gpt-4o", json!({"tokens": {"input": 1000, "output": 500}}), 0.0075),
        ("C02", "gpt-4o", json!({"tokens": {"input": 1000, "cached": 800, "output": 50}}), 0.002),
        ("C03", "gpt-5", json!({"tokens": {"input": 300, "output": 1200, "reasoning": 1000}}), 0.012_375),
        ("C04", "gpt-5", json!({"tokens": {"input": 300, "output": 1200}, "service_tier": "flex"}), 0.006_187_5),
        ("C05", "gpt-5", json!({"tokens": {"input": 300, "output": 1200}, "service_tier": "priority"}), 0.024_75),
        ("C07", "gpt-5.4", json!({"tokens": {"input": 300_000, "cached": 100_000, "output": 1000}}), 1.0725),
        ("C08", "gpt-5.4", json!({"tokens": {"input": 272_000, "output": 1000}}), 0.695),
        (
            "C10",
            "gpt-audio",
            json!({"tokens": {"input": 1000, "audio_in": 800, "output": 600, "audio_out": 500}}),
            0.0591,
        ),
    ];
    let mut expected = Vec::new();
    for (name, model, act, usd) in chat {
        for body in [chat_body(model, act), stream_body(model, act)] {
            let answer = post(&gateway, "/v1/chat/completions", &body).await;
            assert_eq!(answer.status(), 200, "{name}");
            let streamed = body["stream"] == true;
            if !streamed {
                let told: f64 = answer.headers()["x-tollgate-cost-usd"].to_str().unwrap().parse().unwrap();
                assert_eq!(told, *usd, "{name}: the head tells the cost");
            }
            answer.text().await.unwrap();
            expected.push((format!("{name} streamed={streamed}"), *usd));
        }
    }
    let act = json!({"tokens": {"input": 10_000, "cached": 6000, "cache_write": 3000, "output": 400}}).to_string();
    for stream in [false, true] {
        let body = json!({"model": "gpt-6.1-sol", "input": "hi", "user": act, "stream": stream});
        let answer = post(&gateway, "/v1/responses", &body).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
        expected.push((format!("C06 stream={stream}"), 0.0141));
    }
    for (name, model, tokens, usd) in
        [("C103", "text-embedding-ada-002", 10_000, 0.001), ("C11", "text-embedding-3-small", 8191, 0.000_163_82)]
    {
        let act = json!({"tokens": {"input": tokens}}).to_string();
        let answer = post(&gateway, "/v1/embeddings", &json!({"model": model, "input": "a", "user": act})).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
        expected.push((name.to_owned(), usd));
    }
    let events = gateway.events_settled(&id, expected.len()).await;
    let mut by_time = events;
    by_time.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    for ((name, usd), event) in expected.iter().zip(&by_time) {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), *usd, "{name}: {event}");
        assert_eq!((event["status"].as_u64(), event["provider"].as_str()), (Some(200), Some("openai")), "{name}");
        assert_eq!(event["flags"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn c84_c105_errors_of_the_provider_pass_unchanged_and_cost_nothing() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let body = r#"{"error":{"message":"no","type":"x","param":null,"code":"y"},"usage":{"prompt_tokens":5,"completion_tokens":5}}"#;
    let statuses = [400, 404, 409, 422, 429, 500, 503];
    for status in statuses {
        upstream.script(Act { status: Some(status), body: Some(body.into()), ..Act::default() });
        let answer = post(&gateway, "/v1/chat/completions", &chat_body("gpt-4o", &json!({}))).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.text().await.unwrap(), body);
    }
    for event in gateway.events_settled(&id, statuses.len()).await {
        assert_eq!(event["cost_in_usd"], 0.0, "{event}");
        assert!(statuses.contains(&(event["status"].as_u64().unwrap() as u16)));
    }
}

#[tokio::test]
async fn c99_an_upstream_that_compresses_unasked_is_still_billed_exactly() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    for body in [chat_body("gpt-4o", &json!({})), stream_body("gpt-4o", &json!({}))] {
        upstream.script(Act { gzip: true, ..Act::default() });
        let answer = post(&gateway, "/v1/chat/completions", &body).await;
        assert!(!answer.headers().contains_key("content-encoding"));
        let text = answer.text().await.unwrap();
        assert!(text.contains("chatcmpl"), "{text}");
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(event["cost_in_usd"], 0.000_147_5, "{event}");
    }
    assert!(upstream.seen().iter().all(|s| s.header("accept-encoding") == Some("identity")));
}

#[tokio::test]
async fn usage_that_is_not_reported_is_counted_and_flagged() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let act = json!({"no_usage": true, "content": "The quick brown fox jumps over the lazy dog."});
    for body in [chat_body("gpt-4o", &act), stream_body("gpt-4o", &act)] {
        post(&gateway, "/v1/chat/completions", &body).await.text().await.unwrap();
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(event["flags"], json!(["estimated"]), "{event}");
        // Ten tokens with o200k; `hello` with its chat overhead is 8.
        assert_eq!(
            (event["prompt_token_count"].as_u64(), event["completion_token_count"].as_u64()),
            (Some(8), Some(10)),
            "{event}"
        );
    }
}

#[tokio::test]
async fn c120_a_cost_map_overrides_the_table_even_with_zero() {
    let (_upstream, gateway) = house().await;
    let map = json!({"promptCostPerModel": {"gpt-4o": 1.0, "house-model": 0.0}, "completionCostPerModel": {"gpt-4o": 2.0, "house-model": 0.0}});
    let setting = gateway.setting(json!({"costMap": map})).await;
    let id = gateway.key("k", json!({"settingIds": [setting], "costLimitInUsd": 100})).await;
    for model in ["gpt-4o", "house-model"] {
        assert_eq!(post(&gateway, "/v1/chat/completions", &chat_body(model, &json!({}))).await.status(), 200);
    }
    let events = gateway.events_settled(&id, 2).await;
    assert_eq!(events[0]["cost_in_usd"], 0.039, "19 x 0.001 + 10 x 0.002");
    assert_eq!(events[1]["cost_in_usd"], 0.0);
    assert_eq!(events[1]["flags"], json!([]), "a price of zero is a price");
}

#[tokio::test]
async fn c119_reporting_equals_the_sum_of_events() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    for model in ["gpt-4o", "gpt-4", "gpt-5"] {
        post(&gateway, "/v1/chat/completions", &chat_body(model, &json!({}))).await.text().await.unwrap();
    }
    let events = gateway.events_settled(&id, 3).await;
    let sum: f64 = events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).sum();
    let (_, answer) = gateway.admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    assert_eq!(answer["costInMicroDollars"].as_i64(), Some((sum * 1e6) as i64));
    let at = events[0]["created_at"].as_i64().unwrap();
    let ask = json!({"keyIds": [id], "filters": ["model"], "start": at - 5, "end": at + 60, "increment": 3600});
    let (status, report) = gateway.admin("POST", "/api/reporting/events", Some(ask)).await;
    assert_eq!(status, 200, "{report}");
    let points = report["dataPoints"].as_array().unwrap();
    assert_eq!(points.len(), 3, "{report}");
    let reported: f64 = points.iter().map(|p| p["costInUsd"].as_f64().unwrap()).sum();
    assert!((reported - sum).abs() < 1e-12);
}

#[tokio::test]
async fn metrics_tell_cost_tokens_and_refusals() {
    let (_upstream, gateway) = house().await;
    gateway.key("k", json!({"rateLimitOverTime": 2, "rateLimitUnit": "d"})).await;
    for _ in 0..3 {
        post(&gateway, "/v1/chat/completions", &chat_body("gpt-4o", &json!({}))).await.text().await.unwrap();
    }
    gateway.idle().await;
    assert!((gateway.metric("tollgate_cost_usd_total").await - 0.000_295).abs() < 1e-9);
    assert_eq!(gateway.metric("tollgate_refusals_total").await, 1.0);
    assert_eq!(gateway.metric("tollgate_requests_total").await, 3.0);
    assert_eq!(gateway.metric("tollgate_upstream_connections_total").await, 2.0);
    let (_, text) = gateway.admin("GET", "/metrics", None).await;
    let text = text.as_str().unwrap();
    for name in [
        "request_duration_seconds",
        "time_to_first_byte_seconds",
        "overhead_seconds",
        "tokens_total",
        "journal_pending_events",
        "holds",
    ] {
        assert!(text.contains(&format!("tollgate_{name}")), "{name} in\n{text}");
    }
    assert!(!text.contains("\"k\""), "no key is a label");
}

#[tokio::test]
async fn c33_a_stream_that_breaks_without_a_usage_is_counted_to_the_token() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    // Each " a" is a token; what the message itself takes beside it is asked of a first request.
    let send = async |words: usize| {
        upstream.script(Act {
            content: Some(" a".repeat(40)),
            chunks: Some(40),
            no_usage: true,
            fault: Some(Fault::NoTerminator),
            ..Act::default()
        });
        let content = " a".repeat(words);
        let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": content}]});
        post(&gateway, "/v1/chat/completions", &body).await.text().await.unwrap()
    };
    send(10).await;
    let first = gateway.events_settled(&id, 1).await.remove(0);
    let beside = first["prompt_token_count"].as_u64().unwrap() - 10;
    let told = send(usize::try_from(1000 - beside).unwrap()).await;
    assert!(told.contains("upstream_disconnected") && !told.contains("[DONE]"), "the client is told: {told}");
    let event = gateway.events_settled(&id, 2).await.remove(1);
    let counts = (event["prompt_token_count"].as_u64(), event["completion_token_count"].as_u64());
    assert_eq!((counts, event["cost_in_usd"].as_f64()), ((Some(1000), Some(40)), Some(0.0029)), "{event}");
    assert_eq!(event["flags"], json!(["estimated", "aborted"]));
}
