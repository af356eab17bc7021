//! The Postgres server dies for good and its standby takes over.

use super::load::{Load, books_agree, counters_equal_ledger};
use super::question;
use super::redis_down::all_ready;
use crate::servers::{Postgres, Proxy};
use crate::support::{Fleet, Node, Setup, eventually, servers};
use crate::upstream::{Options, Upstream};
use serde_json::json;

/// Two gateways that know both servers.
async fn fleet() -> (Fleet, Postgres) {
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
    (Fleet { nodes, postgres, redis, upstream }, standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_find_the_new_server_and_lose_nothing() {
    let (mut fleet, standby) = fleet().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_new_server_that_was_behind_all_gateways_show_what_it_has() {
    let (mut fleet, standby) = fleet().await;
    let known = fleet.first().key("known", json!({})).await;
    tokio::task::block_in_place(|| fleet.postgres.leave_behind(&standby));
    // More than a server skips of its numbers when it takes over.
    for n in 0..40 {
        fleet.nodes[n % 2].key(&format!("lost-{n}"), json!({})).await;
    }
    fleet.first().patch_key(&known, json!({"revoked": true})).await;
    let answers = async |key: &str| fleet.each(key, &question()).await.into_iter().map(|answer| answer.status);
    assert!(answers("lost-39").await.all(|status| status == 200));
    assert!(answers("known").await.all(|status| status == 401));
    fleet.postgres.kill();
    tokio::task::block_in_place(|| standby.promote());
    let answers = async |key: &str| fleet.each(key, &question()).await.into_iter().map(|answer| answer.status);
    eventually("they show what the new server has", || async {
        answers("lost-39").await.all(|status| status == 401) && answers("known").await.all(|status| status == 200)
    })
    .await;
    all_ready(&fleet).await;
    // As before: a change is everywhere when it is answered.
    for n in 0..20 {
        let key = format!("new-{n}");
        let id = fleet.nodes[n % 2].key(&key, json!({})).await;
        assert!(answers(&key).await.all(|status| status == 200), "{key}");
        fleet.nodes[(n + 1) % 2].patch_key(&id, json!({"revoked": true})).await;
        assert!(answers(&key).await.all(|status| status == 401), "{key}");
    }
}
