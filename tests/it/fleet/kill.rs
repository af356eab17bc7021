//! `kill -9` of one gateway after the other, under load.

use super::load::{Load, books_agree, counters_equal_ledger_after_kills};
use crate::support::{Fleet, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_and_the_books_are_what_clients_received() {
    let mut fleet = Fleet::start(3).await;
    let load = Load::start(&fleet, 12).await;
    for victim in 0..3 {
        // Some that certainly run when it dies.
        for number in 0..3 {
            load.slow(victim, &format!("slow-{victim}-{number}"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        fleet.nodes[victim].kill();
        load.move_to(victim, "");
        load.more(60).await;
        fleet.nodes[victim].restart().await;
        let base = fleet.nodes[victim].proxy.clone();
        load.move_to(victim, &base);
        load.more(60).await;
        let elsewhere: Vec<_> = load.failed().into_iter().filter(|(gateway, _)| *gateway > victim).collect();
        assert!(elsewhere.is_empty(), "a gateway that lived failed: {elsewhere:?}");
    }
    let id = load.id.clone();
    let record = load.stop().await;
    let events = books_agree(fleet.first(), &id, &record).await;
    let recovered = events.iter().filter(|event| event["flags"].as_array().unwrap().contains(&json!("recovered")));
    assert!(recovered.count() >= 9, "requests were in flight when a gateway died");
    for node in &fleet.nodes {
        eventually("nothing is held", || async { node.metric("tollgate_holds").await == 0.0 }).await;
    }
    // Three deaths, each with as many requests on their way as there are clients.
    counters_equal_ledger_after_kills(&fleet, &id, 3 * 12).await;
}
