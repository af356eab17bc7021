//! Rates and budgets on the unified API: the same rules as everywhere, said in this API's form.

use super::{House, User, fee, question, streamed, told, used};
use serde_json::{Value, json};

/// A key of the configuration API that may use the rows of the first group's models by grants of its own.
async fn key(house: &House, rules: Value) -> User {
    let mut rules = rules;
    rules["settingIds"] = json!([house.gateway.setting(json!({})).await]);
    house.gateway.key("k-limited", rules).await;
    let list = house.get(super::BOOT, "/admin/api-key/list?name=k-limited").await.json();
    let id = list["data"]["items"][0]["id"].as_i64().unwrap();
    let model = house.model_id("claude-3-sonnet").await;
    let grant = json!({"key_id": id, "model_id": model});
    assert_eq!(house.manage("/admin/api-key/bind-or-unbind-model", grant).await, "created");
    User { id, key: "k-limited".into() }
}

#[tokio::test]
async fn a_rate_is_refused_in_the_callers_form() {
    let house = House::open().await;
    let user = key(&house, json!({"rateLimitOverTime": 2, "rateLimitUnit": "d"})).await;
    let ask = question("claude-3-sonnet");
    for left in ["1", "0"] {
        let answer = house.chat(&user, &ask).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining-requests")), (200, left), "{}", answer.text);
    }
    let answer = house.chat(&user, &ask).await;
    answer.refused(429, "rate_limit_exceeded");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
    let answer = house.post(&user.key, "/v1/messages", &ask).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &json!("rate_limit_error")), "{}", answer.text);
    assert_eq!(house.upstream.stats().requests, 2);
    // Lists of models are not requests for a model.
    assert_eq!(house.get(&user.key, "/v1/models").await.status, 200);
}

#[tokio::test]
async fn budgets_are_refused_in_the_callers_form() {
    let house = House::open().await;
    let ask = question("claude-3-sonnet");
    let window = json!({"costLimitInUsdOverTime": 0.004, "costLimitInUsdUnit": "d"});
    let user = key(&house, window).await;
    house.upstream.script(used(1000, 100));
    assert_eq!(house.chat(&user, &ask).await.status, 200);
    house.spent(&user, &fee(1000, 100)).await;
    let answer = house.chat(&user, &ask).await;
    answer.refused(429, "rate_limit_exceeded");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);

    let house = House::open().await;
    let user = key(&house, json!({"costLimitInUsd": 0.004})).await;
    house.upstream.script(used(1000, 100));
    assert_eq!(house.chat(&user, &ask).await.status, 200);
    house.spent(&user, &fee(1000, 100)).await;
    house.chat(&user, &ask).await.refused(401, "invalid_api_key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_budget_is_never_exceeded_by_translated_requests() {
    let house = House::open().await;
    // A call may cost 100 × 15 and its prompt, in millionths: three at most fit.
    let user = key(&house, json!({"costLimitInUsd": 0.006, "budgetMode": "strict"})).await;
    let calls = (0..60).map(|n| {
        let ask = told("claude-3-sonnet", &json!({"tokens": {"input": 20, "output": 100}, "delay_ms": 20}));
        let ask = if n % 2 == 0 { streamed(ask) } else { ask };
        let (house, user) = (&house, &user);
        async move { house.chat(user, &ask).await.status }
    });
    let statuses = futures_util::future::join_all(calls).await;
    let served = statuses.iter().filter(|status| **status == 200).count() as u64;
    assert!((1..=3).contains(&served), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    house.spent(&user, &fee(20 * served, 100 * served)).await;
    assert_eq!(house.upstream.stats().requests, served);

    let mut endless = question("claude-3-sonnet");
    endless["max_tokens"] = json!(100_000);
    assert_eq!(house.chat(&user, &endless).await.status, 429, "it may cost more than is left");
    // What the gateway puts there for want of a bound counts, too.
    endless.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(house.chat(&user, &endless).await.status, 429);
    assert_eq!(house.upstream.stats().requests, served);
}

#[tokio::test]
async fn what_a_key_must_not_call_is_refused_before_its_body_is_read() {
    let house = House::open().await;
    let user = key(&house, json!({"allowedPaths": [{"path": "/v1/chat/completions", "method": "POST"}]})).await;
    assert_eq!(house.chat(&user, &question("claude-3-sonnet")).await.status, 200);
    let answer = house.post(&user.key, "/v1/messages", &question("claude-3-sonnet")).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (403, &json!("permission_error")), "{}", answer.text);
    let id = house.event(&house.chat(&user, &question("claude-3-sonnet")).await).await["key_id"].clone();
    house.gateway.patch_key(id.as_str().unwrap(), json!({"revoked": true, "revokedReason": "x"})).await;
    house.chat(&user, &question("claude-3-sonnet")).await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn an_event_of_the_unified_api_tells_all() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    for body in [question("claude-3-sonnet"), streamed(question("claude-3-sonnet"))] {
        house.upstream.script(used(1000, 100));
        let request = house.request(&user.key, "/v1/chat/completions", &body).header("x-custom-event-id", "mine");
        let answer = super::Answer::of(request.header("x-request-id", "my-request-1")).await;
        assert_eq!(answer.header("x-request-id"), "my-request-1");
        let whole = body["stream"] != true;
        assert_eq!(answer.header("x-tollgate-cost-usd"), if whole { "0.0045000000" } else { "" });
        let event = house.event(&answer).await;
        let expect = json!({"provider": "bedrock", "model": super::SONNET, "cost_in_usd": 0.0045, "status": 200,
            "prompt_token_count": 1000, "completion_token_count": 100, "path": "/v1/chat/completions",
            "method": "POST", "custom_id": "mine", "correlationId": "my-request-1", "flags": []});
        for (name, value) in expect.as_object().unwrap() {
            assert_eq!(&event[name], value, "{name}: {event}");
        }
    }
}
