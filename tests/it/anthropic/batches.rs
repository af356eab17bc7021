//! Batches: every model in one must be allowed, and their results come through the gateway.

use super::{get, house, key, key_with, message, post, url};
use crate::upstream::Act;
use serde_json::{Value, json};

const OPUS: &str = "claude-opus-5-5";
const HAIKU: &str = "claude-haiku-5-5";

fn batch(models: &[&str]) -> Value {
    let one = |model: &&str| json!({"custom_id": model, "params": message(model, &json!({}))});
    json!({"requests": models.iter().map(one).collect::<Vec<_>>()})
}

#[tokio::test]
async fn results_are_fetched_through_the_gateway() {
    let (_upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let made: Value = post(&gateway, "/v1/messages/batches", &batch(&[OPUS, HAIKU])).await.json().await.unwrap();
    let batch = made["id"].as_str().unwrap();
    assert_eq!(made["results_url"], Value::Null);
    let answer = get(&gateway, &format!("/v1/messages/batches/{batch}")).await;
    let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let text = answer.text().await.unwrap();
    assert_eq!(text.len(), length);
    let ended: Value = serde_json::from_str(&text).unwrap();
    let results = ended["results_url"].as_str().unwrap();
    assert_eq!(results, format!("/v1/messages/batches/{batch}/results"), "no way past the gateway");
    let lines = get(&gateway, results).await;
    assert_eq!(lines.headers()["content-type"], "application/x-jsonl");
    let line: Value = serde_json::from_str(lines.text().await.unwrap().trim()).unwrap();
    assert_eq!(line["result"]["message"]["usage"]["output_tokens"], 10);
    let created = &gateway.events_settled(&id, 3).await[0];
    assert_eq!((&created["cost_in_usd"], &created["flags"]), (&json!(0.0), &json!([])), "{created}");
    let list: Value = get(&gateway, "/v1/messages/batches?limit=2").await.json().await.unwrap();
    assert_eq!(list["data"][0]["results_url"], "/v1/messages/batches/msgbatch_b/results");
    let cancelled = post(&gateway, &format!("/v1/messages/batches/{batch}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json::<Value>().await.unwrap()["processing_status"], "canceling");
    let gone =
        gateway.http.delete(url(&gateway, &format!("/v1/messages/batches/{batch}"))).header("x-api-key", "gw-key");
    assert_eq!(gone.send().await.unwrap().json::<Value>().await.unwrap()["type"], "message_batch_deleted");
    let events = gateway.events_settled(&id, 6).await;
    let paid: Vec<_> = events.iter().filter(|e| e["cost_in_usd"] != 0.0).collect();
    // (19 x 4 + 10 x 20) / 2, in millionths.
    assert_eq!((paid.len(), &paid[0]["cost_in_usd"]), (1, &json!(0.000_138)), "{events:#?}");
}

/// What two requests of a batch answered, and one that failed.
fn results() -> Act {
    let succeeded = |model: &str, input: u64, output: u64| {
        let usage = json!({"input_tokens": input, "output_tokens": output, "service_tier": "batch"});
        json!({"custom_id": "a", "result": {"type": "succeeded", "message": {"model": model, "content": [], "usage": usage}}})
    };
    let lines = [
        succeeded("claude-sonnet-4-5-20250929", 1000, 500),
        json!({"custom_id": "b", "result": {"type": "errored", "error": {"type": "error"}}}),
        succeeded(OPUS, 1000, 100),
    ];
    Act {
        path: Some("/results".into()),
        body: Some(lines.map(|line| format!("{line}\n")).concat()),
        content_type: Some("application/x-jsonl".into()),
        ..Act::default()
    }
}

#[tokio::test]
async fn c24_results_are_charged_once_at_the_price_of_a_batch() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let made: Value = post(&gateway, "/v1/messages/batches", &batch(&[OPUS])).await.json().await.unwrap();
    let path = format!("/v1/messages/batches/{}/results", made["id"].as_str().unwrap());
    for _ in 0..3 {
        upstream.script(results());
        get(&gateway, &path).await.text().await.unwrap();
    }
    let events = gateway.events_settled(&id, 4).await;
    let costs: Vec<f64> = events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).collect();
    // The sonnet of the vector, and (1000 x 4 + 100 x 20) / 2 in millionths.
    assert_eq!(costs, [0.0, 0.005_25 + 0.003, 0.0, 0.0]);
    assert_eq!(events[1]["flags"], json!([]), "{}", events[1]);
    assert_eq!((&events[1]["prompt_token_count"], &events[1]["completion_token_count"]), (&json!(2000), &json!(600)));
}

#[tokio::test]
async fn objects_belong_to_the_key_that_made_them() {
    let (upstream, gateway) = house().await;
    let setting = gateway.setting(json!({"provider": "anthropic"})).await;
    gateway.key("gw-key", json!({"settingIds": [setting]})).await;
    let other = gateway.key("gw-other", json!({"settingIds": [setting]})).await;
    let made: Value = post(&gateway, "/v1/messages/batches", &batch(&[OPUS])).await.json().await.unwrap();
    let batch = made["id"].as_str().unwrap();
    upstream.script(Act {
        path: Some("/files".into()),
        body: Some(r#"{"id":"file_mine","type":"file"}"#.into()),
        ..Act::default()
    });
    let upload = gateway.http.post(url(&gateway, "/v1/files")).header("x-api-key", "gw-key");
    let upload = upload.header("content-type", "multipart/form-data; boundary=b").body("--b--").send().await.unwrap();
    assert_eq!(upload.status(), 200);
    let before = upstream.stats().requests;
    let mut naming = message(OPUS, &json!({}));
    naming["messages"] = json!([{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_mine"}}]}]);
    let get_as = |key: &str, path: &str| gateway.http.get(url(&gateway, path)).header("x-api-key", key);
    let theirs = [
        get_as("gw-other", &format!("/v1/messages/batches/{batch}")),
        get_as("gw-other", &format!("/v1/messages/batches/{batch}/results")),
        get_as("gw-other", "/v1/files/file_mine/content"),
        gateway.http.post(url(&gateway, "/v1/messages")).header("x-api-key", "gw-other").json(&naming),
    ];
    for request in theirs {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "not_found_error");
    }
    assert_eq!(upstream.stats().requests, before, "nothing was sent on");
    for (key, count) in [("gw-key", 1), ("gw-other", 0)] {
        upstream.script(Act {
            path: Some("/batches".into()),
            body: Some(format!(r#"{{"data":[{{"id":"{batch}"}},{{"id":"msgbatch_of_nobody"}}],"has_more":false,"first_id":"{batch}","last_id":"x"}}"#)),
            ..Act::default()
        });
        let list: Value = get_as(key, "/v1/messages/batches").send().await.unwrap().json().await.unwrap();
        assert_eq!(list["data"].as_array().unwrap().len(), count, "{list}");
    }
    assert_eq!(post(&gateway, "/v1/messages", &naming).await.status(), 200, "its maker may");
    assert!(gateway.events(&other).await.iter().all(|e| e["cost_in_usd"] == 0.0));
}

#[tokio::test]
async fn every_model_of_a_body_must_be_allowed() {
    let (upstream, gateway) = house().await;
    key_with(&gateway, json!({}), json!({"allowedModels": [OPUS]})).await;
    let mut advised = message(OPUS, &json!({}));
    advised["tools"] = json!([{"type": "advisor_20260301", "name": "advisor", "model": HAIKU}]);
    let mut falling_back = message(OPUS, &json!({}));
    falling_back["fallbacks"] = json!([{"model": HAIKU}]);
    for (path, body) in
        [("/v1/messages/batches", batch(&[OPUS, HAIKU])), ("/v1/messages", advised), ("/v1/messages", falling_back)]
    {
        let answer = post(&gateway, path, &body).await;
        assert_eq!(answer.status(), 403, "{body}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["error"]["details"]["error_code"], "gateway_model_not_allowed", "{told}");
    }
    assert_eq!(upstream.stats().requests, 0);
    assert_eq!(post(&gateway, "/v1/messages/batches", &batch(&[OPUS, OPUS])).await.status(), 200);
}
