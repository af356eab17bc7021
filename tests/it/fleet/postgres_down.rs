//! Postgres is away: requests go on from what is known, events wait in the journals and arrive once.

use super::load::{Load, books_agree, counters_equal_ledger, counters_equal_ledger_after_kills};
use super::redis_down::all_ready;
use crate::support::Fleet;
use serde_json::json;
use std::time::Duration;

const AWAY: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_while_under_load_no_request_fails_and_no_event_is_lost_or_twice() {
    let mut fleet = Fleet::start(3).await;
    let load = Load::start(&fleet, 6).await;
    let before = fleet.first().key("k", json!({})).await;
    fleet.postgres.kill();
    tokio::time::sleep(AWAY / 2).await;
    // A change cannot be kept now, and says so.
    let path = format!("/api/key-management/keys/{before}");
    let (status, answer) = fleet.first().admin("PATCH", &path, Some(json!({"name": "late"}))).await;
    assert!((500..600).contains(&status), "{status} {answer}");
    tokio::time::sleep(AWAY / 2).await;
    load.more(100).await;
    for node in &fleet.nodes {
        assert!(node.metric("tollgate_journal_pending_events").await > 0.0, "events wait");
    }
    assert_eq!(load.failed(), [], "requests go on");
    assert!(load.slowest() < Duration::from_secs(3), "and none waits for the store");
    fleet.postgres.restart();
    load.more(50).await;
    let id = load.id.clone();
    let record = load.stop().await;
    all_ready(&fleet).await;
    books_agree(fleet.first(), &id, &record).await;
    counters_equal_ledger(&fleet, &id).await;
    // Changes are taken again.
    fleet.first().patch_key(&before, json!({"revoked": true})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_away_requests_go_on_and_everything_is_counted_afterwards() {
    let mut fleet = Fleet::start(2).await;
    let load = Load::start(&fleet, 6).await;
    fleet.postgres.kill();
    fleet.redis.kill();
    load.more(300).await;
    // Redis is back first: what it lost is in a ledger that nobody can ask yet.
    fleet.redis.restart();
    load.more(100).await;
    fleet.postgres.restart();
    load.more(100).await;
    assert_eq!(load.failed(), []);
    let id = load.id.clone();
    let record = load.stop().await;
    all_ready(&fleet).await;
    books_agree(fleet.first(), &id, &record).await;
    counters_equal_ledger(&fleet, &id).await;
}

/// What a gateway has not told the store yet survives its own death as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_while_postgres_is_away_books_after_both_are_back() {
    let mut fleet = Fleet::start(2).await;
    let load = Load::start(&fleet, 6).await;
    fleet.postgres.kill();
    load.more(100).await;
    fleet.nodes[0].kill();
    load.move_to(0, "");
    load.more(50).await;
    fleet.postgres.restart();
    fleet.nodes[0].restart().await;
    let id = load.id.clone();
    let record = load.stop().await;
    all_ready(&fleet).await;
    books_agree(fleet.first(), &id, &record).await;
    counters_equal_ledger_after_kills(&fleet, &id, 12).await;
}
