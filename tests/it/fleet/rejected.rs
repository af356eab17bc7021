//! An event that the database refuses is in nobody's way, not even of a start, and is booked once it is taken.

use super::question;
use super::redis_down::all_ready;
use crate::support::{Fleet, Node, eventually};
use serde_json::json;

const METRIC: &str = "tollgate_journal_rejected_events";

async fn ask(node: &Node, custom_id: &str) {
    let request = node.http.post(node.url("/v1/chat/completions")).bearer_auth("k").json(&question());
    assert_eq!(request.header("x-custom-event-id", custom_id).send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_refused_is_set_aside_until_a_start_at_which_it_is_taken() {
    let mut fleet = Fleet::start(1).await;
    // Three requests, the last of which goes beyond it.
    let key = fleet.first().key("k", json!({"costLimitInUsd": 0.0004})).await;
    fleet.postgres.sql("ALTER TABLE events ADD CONSTRAINT picky CHECK (custom_id <> 'bad')");
    ask(fleet.first(), "bad").await;
    let rejected = async |node: &Node| node.metric(METRIC).await;
    eventually("it is set aside, alone as it is", || async { rejected(fleet.first()).await == 1.0 }).await;
    ask(fleet.first(), "good").await;
    fleet.first().booked(&key, 1).await;
    let log = fleet.first().log();
    assert!(log.contains("the store refuses an event") && log.contains("picky"), "the reason is told: {log}");

    // It is all that the journal has.
    fleet.nodes[0].kill();
    fleet.nodes[0].restart().await;
    assert_eq!(rejected(fleet.first()).await, 1.0, "tried again before it served");
    fleet.first().booked(&key, 1).await;

    fleet.postgres.sql("ALTER TABLE events DROP CONSTRAINT picky");
    fleet.nodes[0].kill();
    fleet.nodes[0].restart().await;
    all_ready(&fleet).await;
    assert_eq!(rejected(fleet.first()).await, 0.0);
    fleet.first().booked(&key, 2).await;
    // It counts like any other.
    assert_eq!(fleet.first().told_unheld("k", &question()).await.status, 200);
    assert_eq!(fleet.first().told_unheld("k", &question()).await.status, 401);
}
