//! The Postgres server dies for good and its standby takes over.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::redis_down::all_ready;
use crate::servers::Proxy;
use crate::support::{Fleet, Node, Setup, servers};
use crate::upstream::{Options, Upstream};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_find_the_new_server_and_lose_nothing() {
    let (postgres, redis) = servers().await;
    let standby = tokio::task::block_in_place(|| postgres.standby());
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let (store, counters) = (Proxy::start(postgres.port), Proxy::start(redis.port));
        let url = postgres.url_at(store.port, "postgres");
        let both = url.replace(
            &format!("127.0.0.1:{}", store.port),
            &format!("127.0.0.1:{},127.0.0.1:{}", store.port, standby.port),
        );
        let setup = Setup::default().shared(&postgres, store.port, counters.port);
        let setup = setup.env("TOLLGATE_STORE_URL", &format!("{both}?target_session_attrs=read-write"));
        nodes.push(Node { gateway: setup.start(&upstream).await, store, counters });
    }
    let mut fleet = Fleet { nodes, postgres, redis, upstream };
    let load = Load::start(&fleet, 6).await;
    load.more(50).await;
    fleet.postgres.kill();
    load.more(50).await;
    tokio::task::block_in_place(|| standby.promote());
    load.more(100).await;
    assert_eq!(load.failed(), []);
    let id = load.id.clone();
    let record = load.stop().await;
    all_ready(&fleet).await;
    books_agree(fleet.first(), &id, &record).await;
    counters_equal_ledger(&fleet, &id).await;
    let key = fleet.nodes[1].key("new", json!({})).await;
    fleet.nodes[0].patch_key(&key, json!({"name": "renamed"})).await;
    drop(fleet);
}
