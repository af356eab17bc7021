//! Budgets: what concurrent requests at several gateways spend together keeps to the limit of the key's mode.

use super::count;
use crate::support::{Fleet, Told, chat_body, units};
use serde_json::{Value, json};

/// 0.01 USD.
const LIMIT: i64 = 100_000_000;
/// 5 and 10 tokens of gpt-4o, in 1e-10 USD.
const COST: i64 = 1_125_000;

/// A question that costs [`COST`], which is no more than its text and its bound let expect.
fn question() -> Value {
    let mut body = chat_body("gpt-4o", &json!({"tokens": {"input": 5, "output": 10}}));
    body["max_tokens"] = json!(10);
    body
}

/// Sends until nothing more is admitted; returns how many were.
async fn exhaust(fleet: &Fleet, key: &str, wave: usize) -> usize {
    let mut admitted = 0;
    // Holds of requests in flight refuse some that fit afterwards: only a wave that admits nothing has the last word.
    for _ in 0..100 {
        let answers = fleet.at_once(wave, key, &question()).await;
        assert!(answers.iter().all(|answer: &Told| matches!(answer.status, 200 | 401 | 429)), "{answers:?}");
        let now = count(&answers, 200);
        admitted += now;
        if now == 0 {
            return admitted;
        }
    }
    panic!("the budget never ends: {admitted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_budget_is_never_exceeded_and_nearly_used() {
    let fleet = Fleet::start(3).await;
    let total = fleet.first().key("total", json!({"costLimitInUsd": 0.01, "budgetMode": "strict"})).await;
    let windowed = json!({"costLimitInUsdOverTime": 0.01, "costLimitInUsdUnit": "mo", "budgetMode": "strict"});
    let window = fleet.first().key("window", windowed).await;
    for (key, id) in [("total", &total), ("window", &window)] {
        let admitted = exhaust(&fleet, key, 120).await;
        let spent = units(&fleet.first().booked(id, admitted).await);
        assert!(spent <= LIMIT, "{key}: {spent}");
        // What is left is less than the worst case of one request: about 100 bytes of prompt and 10 tokens.
        assert!(spent > LIMIT - 10_000_000, "{key}: {spent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_budget_is_exceeded_by_one_request_at_most() {
    let fleet = Fleet::start(3).await;
    let id = fleet.first().key("k", json!({"costLimitInUsd": 0.01})).await;
    let admitted = exhaust(&fleet, "k", 120).await;
    let spent = units(&fleet.first().booked(&id, admitted).await);
    assert!(spent >= LIMIT, "all of it can be spent: {spent}");
    assert!(spent < LIMIT + COST, "{spent}");
    // What all gateways booked together is what the reports say.
    let (_, told) = fleet.nodes[2].admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    assert_eq!(told["costInMicroDollars"].as_i64(), Some(spent / 10_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_spent_the_others_know() {
    let fleet = Fleet::start(2).await;
    fleet.first().key("k", json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "mo"})).await;
    // 0.0001125 each: the third finds nothing left, wherever it comes.
    for node in &fleet.nodes {
        assert_eq!(node.told_unheld("k", &question()).await.status, 200);
    }
    for answer in fleet.each("k", &question()).await {
        assert_eq!(answer.status, 429, "{answer:?}");
    }
}
