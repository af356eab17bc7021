//! One of the gateways is replaced by its next version while it serves: each process books under the number of its own
//! journal, and the numbers are given back.

use super::{COST, question};
use crate::support::{Fleet, Gateway, Plan, eventually, units};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Every number, with who has it: `1 taken`.
fn numbers(fleet: &Fleet) -> Vec<String> {
    let sql = "SELECT id || CASE WHEN token IS NULL THEN ' free' ELSE ' taken' END FROM instances ORDER BY id";
    fleet.postgres.sql(sql).lines().map(str::to_owned).collect()
}

async fn numbered(fleet: &Fleet, expected: &[&str]) {
    eventually(&format!("the numbers are {expected:?}"), || async { numbers(fleet) == expected }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgraded_twice_under_load_everything_is_booked_once_and_numbers_come_back() {
    let mut fleet = Plan::of(1).fixed_ports().start().await;
    let key = fleet.first().key("k", json!({"costLimitInUsd": 100, "budgetMode": "strict"})).await;
    let (stop, whole) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, whole) = (stop.clone(), whole.clone());
            let (http, url) = (fleet.first().http.clone(), fleet.first().url("/v1/chat/completions"));
            tokio::spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let answer = http.post(&url).bearer_auth("k").json(&question()).send().await.expect("an answer");
                    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
                    answer.bytes().await.expect("all of it");
                    whole.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let more = || {
        let before = whole.load(Ordering::Acquire);
        let whole = whole.clone();
        async move { eventually("requests are served", || async { whole.load(Ordering::Acquire) > before + 50 }).await }
    };
    more().await;
    numbered(&fleet, &["1 taken"]).await;
    for expected in [["1 free", "2 taken"], ["1 taken", "2 free"]] {
        let mut old: Gateway = fleet.nodes[0].upgrade().await;
        more().await;
        assert_eq!(old.ended().await, Some(0), "{}", old.log());
        numbered(&fleet, &expected).await;
    }
    more().await;
    stop.store(true, Ordering::Release);
    for client in clients {
        client.await.expect("served throughout");
    }
    let served = whole.load(Ordering::Acquire);
    let events = fleet.first().booked(&key, served).await;
    let cost = COST * i64::try_from(served).unwrap();
    assert_eq!(units(&events), cost);
    // Each of them has booked its own part.
    let parts = fleet.postgres.sql("SELECT count(*), sum(total) FROM key_spend");
    assert_eq!(parts, format!("2|{cost}"));
    let counted = fleet.postgres.sql("SELECT sum(credited) IS NULL FROM accounts");
    assert_eq!(counted, "t", "nothing but requests moved money");
    assert_eq!(fleet.nodes[0].stop().await, Some(0));
    assert_eq!(numbers(&fleet), ["1 free", "2 free"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_keeps_its_number_until_its_journal_is_booked() {
    let mut fleet = Plan::of(2).start().await;
    let key = fleet.first().key("k", json!({"costLimitInUsd": 100})).await;
    for answer in fleet.each("k", &question()).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    fleet.nodes[1].kill();
    assert_eq!(numbers(&fleet), ["1 taken", "2 taken"]);
    fleet.nodes[1].restart().await;
    assert_eq!(numbers(&fleet), ["1 taken", "2 taken"], "the same as before");
    fleet.first().booked(&key, 2).await;
    assert_eq!(fleet.nodes[1].stop().await, Some(0));
    // Which of them has which is as they came.
    let free = numbers(&fleet).iter().filter(|number| number.ends_with("free")).count();
    assert_eq!((numbers(&fleet).len(), free), (2, 1));
}
