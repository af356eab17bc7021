//! Postgres is away for a minute under load: no client notices, and afterwards the ledger is what the clients received.
//!
//! The longest test there is. Tests start in the order of their names, and this one's is the first of its folder.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::redis_down::all_ready;
use crate::support::Fleet;
use serde_json::json;
use std::time::{Duration, Instant};

const AWAY: Duration = Duration::from_secs(60);
/// Far below any timeout of the store, far above what a busy machine needs for an answer.
const BOUND: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_no_request_fails_and_no_event_is_lost_or_twice() {
    let mut fleet = Fleet::start(3).await;
    // Few, so that all that is booked afterwards can be read again and again.
    let load = Load::start(&fleet, 3).await;
    let other = fleet.first().key("k", json!({})).await;
    load.slowest();
    fleet.postgres.kill();
    let began = Instant::now();
    tokio::time::sleep(AWAY / 2).await;
    // A change cannot be kept now, and says so.
    let path = format!("/api/key-management/keys/{other}");
    let (status, answer) = fleet.first().admin("PATCH", &path, Some(json!({"name": "late"}))).await;
    assert!((500..600).contains(&status), "{status} {answer}");
    tokio::time::sleep(AWAY.saturating_sub(began.elapsed())).await;
    load.more(100).await;
    for node in &fleet.nodes {
        assert!(node.metric("tollgate_journal_pending_events").await > 0.0, "events wait");
    }
    assert!(load.received() > 1_000, "{} requests in a minute are no load", load.received());
    fleet.postgres.restart();
    load.more(100).await;
    assert!(load.slowest() < BOUND, "no request waits for the store");
    let id = load.id.clone();
    let record = load.stop().await;
    assert_eq!(record.failed, [], "no request fails");
    all_ready(&fleet).await;
    for node in &fleet.nodes {
        let booked = || async { node.metric("tollgate_journal_pending_events").await == 0.0 };
        crate::support::eventually("everything is booked", booked).await;
    }
    let events = books_agree(fleet.first(), &id, &record).await;
    assert_eq!(events.len(), record.received.len(), "the ledger has what the clients received and nothing else");
    counters_equal_ledger(&fleet, &id).await;
    // Changes are taken again.
    fleet.first().patch_key(&other, json!({"revoked": true})).await;
}
