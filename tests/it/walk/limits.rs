//! Checklist 18.5: rates and budgets, exact under concurrency.

use crate::support::{Gateway, Setup, chat, chat_body, eventually};
use crate::upstream::{Act, Options, Upstream};
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

/// Sends `count` requests at once and returns their statuses with their `Retry-After`.
async fn at_once(gateway: &Gateway, key: &str, count: usize, body: &Value) -> Vec<(u16, Option<u64>)> {
    let calls = (0..count).map(|_| {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(body);
        async move {
            let answer = request.send().await.unwrap();
            let wait = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().parse().unwrap());
            let status = answer.status().as_u16();
            answer.bytes().await.unwrap();
            (status, wait)
        }
    });
    futures_util::future::join_all(calls).await
}

fn count(answers: &[(u16, Option<u64>)], status: u16) -> usize {
    answers.iter().filter(|(s, _)| *s == status).count()
}

/// Waits until the current minute has enough time left, so that a test cannot straddle two windows.
async fn early_in_the_minute() {
    eventually_slow(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        now % 60 < 45
    })
    .await;
}

async fn eventually_slow(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c71_c72_200_at_once_on_50_a_minute_admit_exactly_50() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({"rateLimitOverTime": 50, "rateLimitUnit": "m"})).await;
    early_in_the_minute().await;
    let answers = at_once(&gateway, "k", 200, &chat_body("gpt-4o", &json!({}))).await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (50, 150));
    assert!(answers.iter().all(|(status, wait)| *status == 200 || wait.is_some_and(|w| (1..=60).contains(&w))));
    assert_eq!(upstream.stats().requests, 50);
}

#[tokio::test]
async fn c69_rate_headers_tell_what_is_left() {
    let (_upstream, gateway) = house().await;
    gateway.key("k", json!({"rateLimitOverTime": 2, "rateLimitUnit": "m"})).await;
    early_in_the_minute().await;
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = chat(&gateway, "k").await;
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "2");
        assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], remaining);
        let body: Value = answer.json().await.unwrap();
        if status == 429 {
            assert_eq!(body["error"]["type"], "gateway_rate_limit");
        }
    }
}

#[tokio::test]
async fn c69_c70_a_new_window_admits_again() {
    let (_upstream, gateway) = house().await;
    gateway.key("k", json!({"rateLimitOverTime": 1, "rateLimitUnit": "s"})).await;
    let (mut admitted, mut refused) = (0, 0);
    let start = std::time::Instant::now();
    while admitted < 4 {
        match chat(&gateway, "k").await.status().as_u16() {
            200 => admitted += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
        assert!(start.elapsed().as_secs() < 20);
    }
    assert!(
        start.elapsed().as_millis() > 2000,
        "four admissions at one a second take at least two whole seconds between them"
    );
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c76_a_strict_budget_is_never_exceeded() {
    let (_upstream, gateway) = house().await;
    // Each call really costs 0.0001475; its worst case is bounded by max_tokens and the body's bytes.
    let id = gateway.key("k", json!({"costLimitInUsd": 0.01, "budgetMode": "strict"})).await;
    let mut body = chat_body("gpt-4o", &json!({}));
    body["max_tokens"] = json!(10);
    let answers = at_once(&gateway, "k", 200, &body).await;
    let admitted = count(&answers, 200);
    assert!(admitted > 0 && admitted < 200, "{admitted}");
    assert_eq!(admitted + count(&answers, 429), 200);
    let spent = total_cost(&gateway.events_admitted(&id, admitted).await);
    assert!(spent <= 0.01, "spent {spent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c76_a_reserved_budget_is_exceeded_by_one_request_at_most() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 0.002})).await;
    let mut body = chat_body("gpt-4o", &json!({}));
    body["max_tokens"] = json!(10);
    let cost = 0.000_147_5;
    let mut admitted = 0;
    // Waves, until the budget is used up.
    for _ in 0..20 {
        admitted += count(&at_once(&gateway, "k", 200, &body).await, 200);
    }
    let spent = total_cost(&gateway.events_admitted(&id, admitted).await);
    assert!(spent >= 0.002 - cost, "the budget is usable: {spent}");
    assert!(spent <= 0.002 + cost + 1e-12, "spent {spent}");
}

#[tokio::test]
async fn strict_without_a_bound_is_refused() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({"costLimitInUsd": 1000.0, "budgetMode": "strict"})).await;
    let mut body = chat_body("gpt-4o", &json!({}));
    body["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    body["max_tokens"] = json!(10);
    let answers = at_once(&gateway, "k", 1, &body).await;
    // Bounded by the model's context at worst: 128000 tokens fit into this budget.
    assert_eq!(answers[0].0, 200);
    assert_eq!(upstream.stats().requests, 1);
}

#[tokio::test]
async fn c74_c79_a_spent_budget_ends_the_key_until_it_is_raised() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 0.0004})).await;
    // 0.0001475 each: the third call reaches the limit.
    for _ in 0..3 {
        assert_eq!(chat(&gateway, "k").await.status(), 200);
    }
    let over = chat(&gateway, "k").await;
    assert_eq!(over.status(), 401);
    assert_eq!(over.headers()["x-should-retry"], "false");
    eventually("the key is marked", || async { gateway.show_key(&id).await["revokedReason"] == "expired" }).await;
    gateway.patch_key(&id, json!({"revoked": false})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 401, "un-revoking alone does not help");
    eventually("the key is marked again", || async { gateway.show_key(&id).await["revoked"] == true }).await;
    gateway.patch_key(&id, json!({"revoked": false, "costLimitInUsd": 0.1})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
}

#[tokio::test]
async fn c75_c78_a_windowed_budget_refuses_with_429_and_keeps_the_key() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    assert_eq!(chat(&gateway, "k").await.status(), 200, "nothing in flight and spent below the limit");
    let over = chat(&gateway, "k").await;
    assert_eq!(over.status(), 429);
    let wait: u64 = over.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait <= 3600);
    assert_eq!(over.json::<Value>().await.unwrap()["error"]["type"], "gateway_cost_limit");
    assert_eq!(gateway.show_key(&id).await["revoked"], false);
    gateway.patch_key(&id, json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 429, "saving the same limit again resets nothing");
    gateway.patch_key(&id, json!({"costLimitInUsdOverTime": 0.01, "costLimitInUsdUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
}

#[tokio::test]
async fn a_budget_refusal_tells_the_rate_and_takes_nothing_of_it() {
    let (_upstream, gateway) = house().await;
    let limits = json!({"rateLimitOverTime": 10, "rateLimitUnit": "h"});
    let windowed = json!({"costLimitInUsdOverTime": 0.0001, "costLimitInUsdUnit": "d"});
    let mut key = limits.clone();
    key.as_object_mut().unwrap().extend(windowed.as_object().unwrap().clone());
    gateway.key("k", key).await;
    for (status, remaining) in [(200, "9"), (429, "9"), (429, "9")] {
        let answer = chat(&gateway, "k").await;
        assert_eq!(answer.status().as_u16(), status);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-ratelimit-limit-requests"), "10");
        assert_eq!(header("x-ratelimit-remaining-requests"), remaining);
        assert!(!header("x-ratelimit-reset-requests").is_empty());
        if status == 429 {
            let wait: u64 = header("retry-after").parse().unwrap();
            assert!((1..=86_400).contains(&wait), "of the budget's window: {wait}");
            assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "gateway_cost_limit");
        }
    }
}

#[tokio::test]
async fn c73_ttl_ends_a_key_without_a_call_in_between() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"ttl": "2s"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    eventually("the key is over", || async { chat(&gateway, "k").await.status() == 401 }).await;
    eventually("the key is marked", || async { gateway.show_key(&id).await["revokedReason"] == "expired" }).await;
}

#[tokio::test]
async fn c77_zero_means_unlimited() {
    let (_upstream, gateway) = house().await;
    let limits = json!({"rateLimitOverTime": 0, "rateLimitUnit": "", "costLimitInUsd": 0, "costLimitInUsdOverTime": 0, "costLimitInUsdUnit": ""});
    gateway.key("k", limits).await;
    for _ in 0..20 {
        assert_eq!(chat(&gateway, "k").await.status(), 200);
    }
}

#[tokio::test]
async fn c78_a_changed_rate_counts_anew() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"rateLimitOverTime": 1, "rateLimitUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    assert_eq!(chat(&gateway, "k").await.status(), 429);
    gateway.patch_key(&id, json!({"rateLimitOverTime": 1, "rateLimitUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 429);
    gateway.patch_key(&id, json!({"rateLimitOverTime": 2, "rateLimitUnit": "h"})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
}

#[tokio::test]
async fn c82_what_was_refused_consumes_nothing() {
    let (upstream, gateway) = house().await;
    let setting = gateway.setting(json!({"allowedModels": ["gpt-4o"]})).await;
    gateway.key("k", json!({"settingIds": [setting], "rateLimitOverTime": 3, "rateLimitUnit": "h"})).await;
    for _ in 0..5 {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k");
        assert_eq!(request.json(&chat_body("gpt-4", &json!({}))).send().await.unwrap().status(), 403);
    }
    for _ in 0..3 {
        assert_eq!(chat(&gateway, "k").await.status(), 200);
    }
    assert_eq!(chat(&gateway, "k").await.status(), 429);
    assert_eq!(upstream.stats().requests, 3);
}

#[tokio::test]
async fn c81_tiny_costs_add_up_exactly() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    // 20 tokens of text-embedding-3-small: 0.0000004 USD.
    for _ in 0..100 {
        let body = json!({"model": "text-embedding-3-small", "input": "a", "user": json!({"tokens": {"input": 20}}).to_string()});
        let request = gateway.http.post(gateway.url("/v1/embeddings")).bearer_auth("k");
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
    }
    gateway.events_settled(&id, 100).await;
    let (status, answer) = gateway.admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    assert_eq!((status, answer["costInMicroDollars"].as_i64()), (200, Some(40)));
}

#[tokio::test]
async fn an_unpriced_model_is_served_to_keys_without_a_budget_only() {
    let (upstream, gateway) = house().await;
    let free = gateway.key("free", json!({})).await;
    gateway.key("tight", json!({"costLimitInUsd": 1})).await;
    let send = async |key: &str| {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key);
        request.json(&chat_body("some-new-model", &json!({}))).send().await.unwrap()
    };
    assert_eq!(send("free").await.status(), 200);
    let refused = send("tight").await;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "model_not_priced");
    let events = gateway.events_settled(&free, 1).await;
    assert_eq!((&events[0]["flags"], events[0]["cost_in_usd"].as_f64()), (&json!(["unpriced"]), Some(0.0)));
    assert_eq!(upstream.stats().requests, 1);
    let lenient = Setup::default().env("TOLLGATE_PRICING_UNPRICED", "allow").start(&upstream).await;
    lenient.key("tight", json!({"costLimitInUsd": 1})).await;
    let request = lenient.http.post(lenient.url("/v1/chat/completions")).bearer_auth("tight");
    assert_eq!(request.json(&chat_body("some-new-model", &json!({}))).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn work_in_the_background_is_refused_to_keys_with_a_budget() {
    let (upstream, gateway) = house().await;
    let free = gateway.key("free", json!({})).await;
    gateway.key("tight", json!({"costLimitInUsd": 1})).await;
    let send = async |key: &str| {
        let body = json!({"model": "gpt-4o", "input": "hello", "background": true});
        gateway.http.post(gateway.url("/v1/responses")).bearer_auth(key).json(&body).send().await.unwrap()
    };
    assert_eq!(send("tight").await.status(), 403, "its usage is told when it is too late to refuse");
    let told = |status: &str, usage: Value| json!({"id": "resp_bg", "object": "response", "background": true, "status": status, "model": "gpt-4o", "usage": usage});
    let script = |body: Value| {
        let (path, content_type) = (Some("/v1/responses".into()), Some("application/json".into()));
        upstream.script(Act { path, content_type, body: Some(body.to_string()), ..Act::default() });
    };
    script(told("queued", Value::Null));
    assert_eq!(send("free").await.status(), 200);
    for _ in 0..2 {
        script(told("completed", json!({"input_tokens": 1000, "output_tokens": 500})));
        let poll = gateway.http.get(gateway.url("/v1/responses/resp_bg")).bearer_auth("free").send().await.unwrap();
        assert_eq!(poll.status(), 200);
    }
    let events = gateway.events_settled(&free, 3).await;
    let costs: Vec<f64> = events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).collect();
    assert_eq!(costs, [0.0, 0.0075, 0.0], "told twice, billed once");
    assert!(events.iter().all(|e| e["flags"] == json!([])), "{events:#?}");
    assert_eq!(upstream.stats().requests, 3);
}

#[tokio::test]
async fn limits_survive_a_restart() {
    let (_upstream, mut gateway) = house().await;
    gateway.key("rate", json!({"rateLimitOverTime": 2, "rateLimitUnit": "d"})).await;
    gateway.key("money", json!({"costLimitInUsd": 0.0002})).await;
    gateway.key("window", json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "mo"})).await;
    for key in ["rate", "rate", "money", "money", "window", "window"] {
        assert_eq!(chat(&gateway, key).await.status(), 200);
    }
    gateway.kill();
    gateway.restart().await;
    for (key, status) in [("rate", 429), ("money", 401), ("window", 429)] {
        assert_eq!(chat(&gateway, key).await.status().as_u16(), status, "{key}");
    }
}

fn total_cost(events: &[Value]) -> f64 {
    events.iter().map(|e| e["cost_in_usd"].as_f64().unwrap()).sum()
}

impl Gateway {
    /// Waits for the events of `count` admitted requests; refusals do not count.
    async fn events_admitted(&self, id: &str, count: usize) -> Vec<Value> {
        let admitted = async || {
            let events = self.events(id).await;
            events
                .into_iter()
                .filter(|e| !e["flags"].as_array().unwrap().contains(&json!("refused")))
                .collect::<Vec<_>>()
        };
        eventually("all events are in the store", || async { admitted().await.len() >= count }).await;
        let events = admitted().await;
        assert_eq!(events.len(), count);
        events
    }
}
