//! A change whose notification gets lost is seen within two seconds all the same.

use super::question;
use crate::support::{Fleet, Node, eventually};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

/// The gateway answers so within two seconds.
pub async fn seen(node: &Node, key: &str, status: u16, since: Instant) {
    while node.told(key, &question()).await.status != status {
        assert!(since.elapsed() < Duration::from_secs(2), "it still does not know");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_dies_at_the_wrong_moment_is_made_up_for() {
    let fleet = Fleet::start(2).await;
    let id = fleet.first().key("k", json!({})).await;
    for round in 0..4 {
        let (revoked, status) = if round % 2 == 0 { (true, 401) } else { (false, 200) };
        // Every connection that listens ends, just before the change.
        let ended = fleet.postgres.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' \
             AND (query = '' OR query ILIKE 'listen%') AND pid <> pg_backend_pid()",
        );
        assert!(ended.parse::<u32>().unwrap() >= 1, "somebody listens: {ended}");
        fleet.nodes[0].patch_key(&id, json!({"revoked": revoked})).await;
        seen(&fleet.nodes[1], "k", status, Instant::now()).await;
        // They listen again before the next round.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
}

/// Of the server, for the connections that listen.
const LISTENERS: &str =
    "SELECT pid FROM pg_stat_activity WHERE query ILIKE 'listen%' AND pid <> pg_backend_pid() ORDER BY pid";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_that_never_comes_is_made_up_for_by_looking() {
    let fleet = Fleet::start(2).await;
    let id = fleet.first().key("k", json!({})).await;
    // What is asked of a connection last is what it is known by, and one that listens is asked again after a while.
    fleet.postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' \
         AND (query = '' OR query ILIKE 'listen%') AND pid <> pg_backend_pid()",
    );
    let listeners = || fleet.postgres.sql(LISTENERS).lines().map(str::to_owned).collect::<Vec<_>>();
    eventually("both listen", || async { listeners().len() == 2 }).await;
    let signal = |signal: &str, listeners: &[String]| {
        assert!(Command::new("kill").arg(signal).args(listeners).status().unwrap().success());
    };
    // The connections stand, and nothing comes over them any more: nobody reconnects and asks what was missed.
    let frozen = listeners();
    signal("-STOP", &frozen);
    for round in 0..3 {
        let (revoked, status) = if round % 2 == 0 { (true, 401) } else { (false, 200) };
        let by = round % 2;
        fleet.nodes[by].patch_key(&id, json!({"revoked": revoked})).await;
        seen(&fleet.nodes[1 - by], "k", status, Instant::now()).await;
    }
    assert_eq!(listeners(), frozen, "no other way to be told was there");
    signal("-CONT", &frozen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_cut_off_during_a_change_knows_it_once_it_is_back() {
    let fleet = Fleet::start(2).await;
    let id = fleet.first().key("k", json!({})).await;
    fleet.nodes[1].store.cut();
    let began = Instant::now();
    fleet.nodes[0].patch_key(&id, json!({"revoked": true})).await;
    assert!(began.elapsed() < Duration::from_secs(3), "a gateway that is not there holds nobody up for long");
    assert_eq!(fleet.nodes[0].told("k", &question()).await.status, 401);
    assert_eq!(fleet.nodes[1].told("k", &question()).await.status, 200, "it cannot know");
    fleet.nodes[1].store.mend();
    seen(&fleet.nodes[1], "k", 401, Instant::now()).await;
}
