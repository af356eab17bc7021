//! Five times away and back, before anybody has recovered from the last time.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::redis_down::all_ready;
use crate::support::Fleet;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_and_postgres_come_and_go_and_the_counts_are_the_ledgers() {
    let mut fleet = Fleet::start(2).await;
    let load = Load::start(&fleet, 6).await;
    for round in 0..5_u64 {
        fleet.redis.kill();
        fleet.nodes[0].store.cut();
        // Another moment in each round.
        tokio::time::sleep(Duration::from_millis(250 + 130 * round)).await;
        fleet.redis.restart();
        fleet.nodes[0].store.mend();
        fleet.nodes[1].store.hang_up();
        tokio::time::sleep(Duration::from_millis(900 - 170 * round)).await;
    }
    load.more(100).await;
    assert_eq!(load.failed(), []);
    let id = load.id.clone();
    let record = load.stop().await;
    all_ready(&fleet).await;
    books_agree(fleet.first(), &id, &record).await;
    counters_equal_ledger(&fleet, &id).await;
}
