//! Redis is away: each gateway counts by itself, or refuses, as it was told; afterwards the counts are the ledger's.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::question;
use crate::support::{Fleet, Plan, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_back_empty_under_load_no_request_fails_and_no_count_is_lost() {
    let mut fleet = Fleet::start(3).await;
    let load = Load::start(&fleet, 9).await;
    fleet.redis.kill();
    load.more(200).await;
    fleet.redis.restart();
    load.more(200).await;
    assert_eq!(load.failed(), [], "requests go on");
    let id = load.id.clone();
    let record = load.stop().await;
    books_agree(fleet.first(), &id, &record).await;
    all_ready(&fleet).await;
    counters_equal_ledger(&fleet, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_alone_without_redis_is_added_when_it_is_back() {
    let fleet = Fleet::start(3).await;
    let load = Load::start(&fleet, 9).await;
    fleet.nodes[1].counters.cut();
    load.more(200).await;
    fleet.nodes[1].counters.mend();
    load.more(50).await;
    assert_eq!(load.failed(), []);
    let id = load.id.clone();
    let record = load.stop().await;
    books_agree(fleet.first(), &id, &record).await;
    all_ready(&fleet).await;
    counters_equal_ledger(&fleet, &id).await;
}

/// A budget that was spent before the outage is spent in it and after it, whatever the servers forgot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_forgives_nothing() {
    let mut fleet = Fleet::start(2).await;
    let window = json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "mo"});
    fleet.first().key("money", window).await;
    let rate = json!({"rateLimitOverTime": 4, "rateLimitUnit": "d"});
    fleet.first().key("rate", rate).await;
    for key in ["money", "rate"] {
        for node in &fleet.nodes {
            assert_eq!(node.told_unheld(key, &question()).await.status, 200, "{key}");
        }
    }
    fleet.redis.kill();
    eventually("both know", || async {
        fleet.nodes[0].ready("").await.0 == 503 && fleet.nodes[1].ready("").await.0 == 503
    })
    .await;
    // What the other one has spent is known from the ledger.
    eventually("the budget is spent for both", || async {
        fleet.each("money", &question()).await.iter().all(|answer| answer.status == 429)
    })
    .await;
    // Each counts from the last values that it knew: no gateway admits more than the limit by itself.
    for node in &fleet.nodes {
        let mut admitted = 0;
        for _ in 0..6 {
            admitted += usize::from(node.told("rate", &question()).await.status == 200);
        }
        assert!(admitted <= 4, "{admitted}");
    }
    fleet.redis.restart();
    all_ready(&fleet).await;
    for key in ["money", "rate"] {
        for answer in fleet.each(key, &question()).await {
            assert_eq!(answer.status, 429, "{key}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_deny_it_refuses_what_has_limits_until_redis_is_back() {
    let mut fleet = Plan::of(2).env("TOLLGATE_COUNTERS_ON_OUTAGE", "deny").start().await;
    fleet.first().key("limited", json!({"rateLimitOverTime": 1000, "rateLimitUnit": "d"})).await;
    fleet.first().key("free", json!({})).await;
    fleet.redis.kill();
    for node in &fleet.nodes {
        let answer = node.told("limited", &question()).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        assert_eq!(node.told("free", &question()).await.status, 200, "nothing is counted for it");
    }
    fleet.redis.restart();
    for node in &fleet.nodes {
        eventually("it counts again", || async { node.told("limited", &question()).await.status == 200 }).await;
    }
}

pub async fn all_ready(fleet: &Fleet) {
    for node in &fleet.nodes {
        eventually("it is ready", || async { node.ready("").await.0 == 200 }).await;
    }
}
