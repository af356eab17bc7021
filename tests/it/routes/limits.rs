//! What a key may spend and how often it may ask, when any of several steps may answer.

use super::{CHEAP, DEAR, FIRST, HELLO, House, PATH, SECOND, and, openai, question, status, step, text};
use crate::support::eventually;
use crate::upstream::Act;
use serde_json::{Value, json};

fn cost(events: &[Value]) -> f64 {
    events.iter().map(|event| event["cost_in_usd"].as_f64().unwrap()).sum()
}

/// What was admitted, of so many at once.
async fn at_once(house: &House, count: usize, body: &Value) -> usize {
    let asks = (0..count).map(|_| async {
        let answer = house.ask(body).await;
        assert!(matches!(answer.status, 200 | 401 | 429), "{} {}", answer.status, answer.text);
        usize::from(answer.status == 200)
    });
    futures_util::future::join_all(asks).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_budget_is_not_exceeded_when_a_dearer_step_answers() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    // 19 and 10 tokens: 0.0001475 a call, sixteen times of what the first step would cost.
    house.upstream.teach(SECOND, Act::default());
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    house.gateway.patch_key(&house.key, json!({"costLimitInUsd": 0.01, "budgetMode": "strict"})).await;
    let body = and(question(), json!({"max_tokens": 10}));
    let mut admitted = 0;
    for _ in 0..3 {
        admitted += at_once(&house, 100, &body).await;
    }
    assert!(admitted > 0 && admitted < 300, "{admitted}");
    let spent = cost(&house.booked(admitted).await);
    assert!(spent <= 0.01 && spent >= 0.000_147_5 * admitted as f64 - 1e-9, "{spent}");
    eventually("nothing is held any more", || async { house.gateway.metric("tollgate_held_usd").await == 0.0 }).await;
}

#[tokio::test]
async fn a_budget_needs_a_price_of_every_step() {
    let house = House::open().await;
    house.route(json!([openai(SECOND), openai("a-model-without-a-price")])).await;
    assert_eq!(house.ask(&question()).await.status, 200, "no budget, no need");
    house.gateway.patch_key(&house.key, json!({"costLimitInUsd": 10})).await;
    house.upstream.teach(SECOND, status(500));
    let answer = house.ask(&question()).await;
    assert_ne!(answer.status, 200, "what has no price is not asked for a key with a budget: {}", answer.text);
    assert_eq!(house.upstream.asked("a-model-without-a-price"), 0);
}

#[tokio::test]
async fn what_fails_is_free_and_what_is_held_is_given_back() {
    let house = House::open().await;
    house.gateway.patch_key(&house.key, json!({"costLimitInUsd": 0.02})).await;
    for model in [FIRST, SECOND] {
        house.upstream.teach(model, status(500));
    }
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    for _ in 0..30 {
        assert_eq!(house.ask(&question()).await.status, 500);
    }
    assert_eq!(cost(&house.booked(30).await), 0.0);
    eventually("nothing is held any more", || async { house.gateway.metric("tollgate_held_usd").await == 0.0 }).await;
    house.upstream.teach(SECOND, None);
    assert_eq!(text(&house.ask(&question()).await), HELLO);
}

#[tokio::test]
async fn a_request_is_one_however_often_it_is_tried_and_a_hit_is_one_too() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    let first = and(openai(FIRST), json!({"retries": 4, "retryInterval": "1ms"}));
    house.route_with(json!({"steps": [first, openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    house.gateway.patch_key(&house.key, json!({"rateLimitOverTime": 3, "rateLimitUnit": "d"})).await;
    let caches: Vec<_> = [house.ask(&question()).await, house.ask(&question()).await, house.ask(&question()).await]
        .map(|answer| answer.header("x-cache").to_owned())
        .into();
    assert_eq!(caches, ["miss", "hit", "hit"]);
    let answer = house.ask(&question()).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (429, &json!("gateway_rate_limit")),
        "{}",
        answer.text
    );
    assert_eq!((house.upstream.asked(FIRST), house.upstream.asked(SECOND)), (5, 1));
}

#[tokio::test]
async fn who_has_nothing_left_gets_no_kept_answer_either() {
    let house = House::open().await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    house.gateway.patch_key(&house.key, json!({"costLimitInUsd": DEAR})).await;
    assert_eq!(house.ask(&question()).await.status, 200);
    house.booked(1).await;
    let answer = house.ask(&question()).await;
    assert_eq!(answer.status, 401, "{} {}", answer.header("x-cache"), answer.text);
}

#[tokio::test]
async fn a_step_that_a_setting_does_not_allow_is_left_out() {
    let house = House::open().await;
    let only = json!({"setting": {"apikey": "sk-upstream"}, "allowedModels": [SECOND]});
    let limited = house.gateway.setting(only).await;
    house.route(json!([super::openai_at(FIRST, &limited), super::openai_at(SECOND, &limited)])).await;
    let answer = house.ask(&question()).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
    assert_eq!(house.upstream.asked(FIRST), 0);
}

#[tokio::test]
async fn each_step_costs_what_it_costs() {
    let house = House::open().await;
    house.route(json!([openai(FIRST), openai(SECOND), step("anthropic", super::CLAUDE)])).await;
    let mut costs = Vec::new();
    for broken in [None, Some(FIRST), Some(SECOND)] {
        if let Some(model) = broken {
            house.upstream.teach(model, status(503));
        }
        let answer = house.ask_at(PATH, &question()).await;
        let event = house.event(&answer).await;
        let told: f64 = answer.header("x-tollgate-cost-usd").parse().unwrap();
        assert_eq!(told, event["cost_in_usd"].as_f64().unwrap());
        costs.push(told);
    }
    assert_eq!(costs, [CHEAP, DEAR, super::CLAUDE_DEAR]);
}
