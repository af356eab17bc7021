//! Slow is worse than dead, unless every wait is bounded.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::redis_down::all_ready;
use crate::support::Fleet;
use serde_json::json;
use std::time::Duration;

/// `counters.timeout` (a quarter of a second), and what a busy machine adds to it.
const BOUND: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_freezes_delays_no_request_for_longer_than_its_timeout() {
    let fleet = Fleet::start(2).await;
    let load = Load::start(&fleet, 6).await;
    load.slowest();
    fleet.redis.freeze();
    tokio::time::sleep(Duration::from_secs(3)).await;
    fleet.redis.thaw();
    load.more(100).await;
    let slowest = load.slowest();
    assert_eq!(load.failed(), []);
    assert!(slowest < BOUND, "{slowest:?}");
    let id = load.id.clone();
    let record = load.stop().await;
    books_agree(fleet.first(), &id, &record).await;
    all_ready(&fleet).await;
    counters_equal_ledger(&fleet, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_frozen_postgres_delays_no_request() {
    let fleet = Fleet::start(2).await;
    let load = Load::start(&fleet, 6).await;
    for node in &fleet.nodes {
        node.store.delay(Duration::from_millis(150));
    }
    load.slowest();
    load.more(300).await;
    // A change takes its time, and is there at all of them when it is answered.
    let key = fleet.nodes[0].key("changed", json!({})).await;
    fleet.nodes[0].patch_key(&key, json!({"revoked": true, "revokedReason": "test"})).await;
    for node in &fleet.nodes {
        node.store.delay(Duration::ZERO);
    }
    fleet.postgres.freeze();
    tokio::time::sleep(Duration::from_secs(3)).await;
    fleet.postgres.thaw();
    load.more(50).await;
    let slowest = load.slowest();
    assert_eq!(load.failed(), []);
    assert!(slowest < BOUND, "{slowest:?}");
    let id = load.id.clone();
    let record = load.stop().await;
    books_agree(fleet.first(), &id, &record).await;
    all_ready(&fleet).await;
    counters_equal_ledger(&fleet, &id).await;
}
