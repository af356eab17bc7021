//! A gateway that is frozen (its process stopped, its machine paused) holds nobody up, and knows everything once it wakes.

use super::notification::seen;
use super::question;
use crate::support::{Fleet, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a change waits for a gateway that still counts as alive, and what a busy machine adds to it; below the three
/// seconds after which it counts as gone.
const WAIT: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_a_second_at_most_for_a_frozen_gateway_which_sees_it_once_it_wakes() {
    let fleet = Fleet::start(3).await;
    let id = fleet.first().key("k", json!({})).await;
    for answer in fleet.each("k", &question()).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    fleet.nodes[2].freeze();
    let change = async |by: usize, revoked: bool| {
        let began = Instant::now();
        fleet.nodes[by].patch_key(&id, json!({"revoked": revoked})).await;
        let took = began.elapsed();
        for node in &fleet.nodes[..2] {
            let status = if revoked { 401 } else { 200 };
            assert_eq!(node.told("k", &question()).await.status, status, "it holds as soon as it is answered");
        }
        took
    };
    for (by, revoked) in [(0, true), (1, false)] {
        let took = change(by, revoked).await;
        assert!(took < WAIT, "{took:?}");
    }
    // Not seen for three seconds it counts as gone, and nobody waits for it any more.
    let mut revoked = false;
    eventually("a change is answered at once", || {
        revoked = !revoked;
        let took = change(0, revoked);
        async { took.await < Duration::from_millis(700) }
    })
    .await;
    change(1, true).await;
    fleet.nodes[2].thaw();
    seen(&fleet.nodes[2], "k", 401, Instant::now()).await;
    // It is waited for again.
    eventually("all show a change as soon as it is answered", || async {
        change(0, false).await;
        let awake = fleet.nodes[2].told("k", &question()).await.status == 200;
        change(1, true).await;
        awake && fleet.nodes[2].told("k", &question()).await.status == 401
    })
    .await;
}
