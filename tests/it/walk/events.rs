//! Checklist 18.7 on events: who called what, found again at once.

use crate::support::{Gateway, Setup, chat, chat_body, eventually, stream_body};
use crate::upstream::{Options, Upstream};
use base64::Engine as _;
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

fn decoded(field: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(field.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn c106_c108_the_appendix_walk_gives_the_documented_event() {
    let (_upstream, gateway) = house().await;
    let setting =
        gateway.setting(json!({"name": "team openai", "allowedModels": ["gpt-4", "text-embedding-ada-002"]})).await;
    let key = json!({"name": "ci key", "tags": ["ci"], "settingIds": [setting], "rateLimitOverTime": 2, "rateLimitUnit": "d", "costLimitInUsd": 0.25});
    let id = gateway.key("gw-secret-1", key).await;
    let act = json!({"tokens": {"input": 9, "output": 11}});
    for status in [200, 200, 429] {
        let request = gateway
            .http
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth("gw-secret-1")
            .header("x-custom-event-id", "run-7");
        let answer = request.json(&chat_body("gpt-4", &act)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    let found = async || {
        let (status, events) = gateway.admin("GET", "/api/events?customId=run-7", None).await;
        assert_eq!(status, 200);
        events.as_array().unwrap().clone()
    };
    eventually("the events are found by their custom id", || async { found().await.len() == 3 }).await;
    let event = &found().await[0];
    let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    for name in [
        "id",
        "created_at",
        "tags",
        "key_id",
        "cost_in_usd",
        "provider",
        "model",
        "status",
        "prompt_token_count",
        "completion_token_count",
        "latency_in_ms",
        "path",
        "method",
        "custom_id",
        "request",
        "response",
        "userId",
        "action",
        "policyId",
        "routeId",
        "correlationId",
        "metadata",
        "flags",
    ] {
        assert!(keys.contains(&name), "{name} in {keys:?}");
    }
    assert_eq!(keys.len(), 23, "{keys:?}");
    assert_eq!(event["cost_in_usd"], 0.000_93);
    assert_eq!((event["key_id"].as_str(), &event["tags"]), (Some(id.as_str()), &json!(["ci"])));
    assert_eq!(
        (event["path"].as_str(), event["method"].as_str()),
        (Some("/api/providers/openai/v1/chat/completions"), Some("POST"))
    );
    assert_eq!(
        (&event["request"], &event["response"], &event["metadata"]),
        (&json!("e30="), &json!("e30="), &json!("e30="))
    );
    let refused = found().await.into_iter().find(|e| e["status"] == 429).expect("the refusal is an event too");
    assert_eq!((&refused["flags"], refused["cost_in_usd"].as_f64()), (&json!(["refused"]), Some(0.0)));
}

#[tokio::test]
async fn c109_c110_bodies_are_kept_when_the_key_asks_for_it() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"shouldLogRequest": true, "shouldLogResponse": true})).await;
    let unary = chat_body("gpt-4o", &json!({}));
    let request =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("x-metadata", r#"{"team":"a"}"#);
    let answered = request.json(&unary).send().await.unwrap().bytes().await.unwrap();
    let streamed = stream_body("gpt-4o", &json!({}));
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k");
    let frames = request.json(&streamed).send().await.unwrap().bytes().await.unwrap();
    let request = gateway.http.post(gateway.url("/v1/audio/speech")).bearer_auth("k");
    let audio = request
        .json(&json!({"model": "tts-1", "input": "hello", "voice": "alloy"}))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let mut events = gateway.events_settled(&id, 3).await;
    events.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    assert_eq!(serde_json::from_slice::<Value>(&decoded(&events[0]["request"])).unwrap(), unary);
    assert_eq!(decoded(&events[0]["response"]), answered);
    assert_eq!(decoded(&events[0]["metadata"]), br#"{"team":"a"}"#);
    let wrapped = |field: &Value| {
        let outer: Value = serde_json::from_slice(&decoded(field)).unwrap();
        decoded(&outer["data"])
    };
    assert_eq!(wrapped(&events[1]["response"]), frames);
    let kept = wrapped(&events[2]["response"]);
    assert_eq!(kept, &audio[..kept.len()]);
    assert!(!kept.is_empty());
}

#[tokio::test]
async fn c111_nobodys_refusals_are_recorded_within_a_cap() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_EVENTS_ANONYMOUS_REFUSALS_PER_MINUTE", "5").start(&upstream).await;
    for _ in 0..30 {
        let request = gateway
            .http
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth("nobody")
            .header("x-custom-event-id", "flood");
        assert_eq!(request.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap().status(), 401);
    }
    let found = async || gateway.admin("GET", "/api/events?customId=flood", None).await.1.as_array().unwrap().clone();
    eventually("some refusals are kept", || async { found().await.len() >= 5 }).await;
    let events = found().await;
    assert!((5..=10).contains(&events.len()), "{}", events.len());
    assert_eq!((&events[0]["key_id"], events[0]["cost_in_usd"].as_f64()), (&json!(""), Some(0.0)));
}

#[tokio::test]
async fn refusals_of_a_key_are_recorded_within_a_cap() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_EVENTS_REFUSALS_PER_KEY_PER_MINUTE", "3").start(&upstream).await;
    let id = gateway.key("k", json!({"rateLimitOverTime": 1, "rateLimitUnit": "d"})).await;
    for _ in 0..20 {
        chat(&gateway, "k").await;
    }
    eventually("events are in", || async { gateway.events(&id).await.len() >= 4 }).await;
    assert!((4..=7).contains(&gateway.events(&id).await.len()));
    gateway.idle().await;
    assert_eq!(gateway.metric("tollgate_refusals_total").await, 19.0, "every one is counted");
}

#[tokio::test]
async fn c117_odd_text_is_stored_and_found_literally() {
    let (_upstream, gateway) = house().await;
    let tags = ["it's", "a,b", "{\"x\":1}", "100%", "'; DROP TABLE events; --", "ünïcode"];
    let id = gateway.key("k", json!({"tags": tags, "name": "name's \"odd\""})).await;
    for custom in ["a'b", "50%_", "'; DELETE FROM events; --"] {
        let request =
            gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("x-custom-event-id", custom);
        assert_eq!(request.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap().status(), 200);
    }
    gateway.events_settled(&id, 3).await;
    for custom in ["a'b", "50%_", "'; DELETE FROM events; --"] {
        let url = format!("{}/api/events", gateway.admin);
        let answer = gateway
            .http
            .get(reqwest::Url::parse_with_params(&url, &[("customId", custom)]).unwrap())
            .send()
            .await
            .unwrap();
        let events: Vec<Value> = answer.json().await.unwrap();
        assert_eq!(events.len(), 1, "{custom}");
        assert_eq!((events[0]["custom_id"].as_str(), &events[0]["tags"]), (Some(custom), &json!(tags)));
    }
}

#[tokio::test]
async fn old_events_go_and_what_they_cost_still_counts() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let setup = Setup::default().env("TOLLGATE_EVENTS_RETENTION", "32").env("TOLLGATE_DEBUG_TEST_HOOKS", "true");
    let mut gateway = setup.start(&upstream).await;
    let id = gateway.key("k", json!({"costLimitInUsd": 0.0004})).await;
    // 0.0001475 each: the third call reaches the limit.
    for _ in 0..3 {
        assert_eq!(chat(&gateway, "k").await.status(), 200);
    }
    gateway.events_settled(&id, 3).await;
    let spent = async |gateway: &Gateway| gateway.admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    let before = spent(&gateway).await;
    assert_eq!(before.0, 200);
    for (days, left) in [(31, 3), (33, 0)] {
        assert_eq!(gateway.stop().await, Some(0));
        gateway.set_env("TOLLGATE_TEST_CLOCK_OFFSET", &(days * 86_400).to_string());
        gateway.restart().await;
        eventually("the events are as old as they may be", || async { gateway.events(&id).await.len() == left }).await;
        assert_eq!(spent(&gateway).await, before, "after {days} days");
    }
    assert_eq!(chat(&gateway, "k").await.status(), 401, "the budget is spent");
}
