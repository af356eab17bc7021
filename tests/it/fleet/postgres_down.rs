//! Postgres is away, and something else is as well: requests go on from what is known, events wait in the journals and
//! arrive once.

use super::load::{Load, books_agree, counters_equal_ledger, counters_equal_ledger_after_kills};
use super::redis_down::all_ready;
use crate::support::Fleet;

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
