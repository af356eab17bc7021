//! `/readyz` says what is wrong; with `degraded=ok` it says whether requests are served all the same.

use crate::support::{Fleet, Node, Plan, eventually};
use serde_json::{Value, json};

/// Waits until this dependency is told as it should be, and returns all that is told.
async fn told(node: &Node, name: &str, ok: bool) -> Value {
    eventually(&format!("{name} is {ok}"), || async { node.ready("").await.1["dependencies"][name]["ok"] == ok }).await;
    node.ready("").await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dependency_by_its_name() {
    let mut fleet = Fleet::start(2).await;
    for node in &fleet.nodes {
        let (status, told) = node.ready("").await;
        assert_eq!((status, &told["ready"], &told["serving"]), (200, &json!(true), &json!(true)), "{told}");
        for name in ["store", "journal", "counters"] {
            assert_eq!(told["dependencies"][name]["ok"], true, "{told}");
        }
    }
    for name in ["counters", "store"] {
        if name == "counters" {
            fleet.redis.kill()
        } else {
            fleet.postgres.kill()
        }
        for node in &fleet.nodes {
            let told = told(node, name, false).await;
            assert_eq!((&told["ready"], &told["serving"]), (&json!(false), &json!(true)), "{told}");
            let detail = told["dependencies"][name]["detail"].as_str().unwrap();
            assert!(!detail.is_empty() && !detail.contains("password"), "{told}");
            let other = if name == "counters" { "store" } else { "counters" };
            assert_eq!(told["dependencies"][other]["ok"], true, "{told}");
            assert_eq!((node.ready("").await.0, node.ready("?degraded=ok").await.0), (503, 200));
            // The same on the listener for management.
            let (status, _) = node.admin("GET", "/readyz", None).await;
            let (degraded, _) = node.admin("GET", "/readyz?degraded=ok", None).await;
            assert_eq!((status, degraded), (503, 200));
        }
        if name == "counters" {
            fleet.redis.restart()
        } else {
            fleet.postgres.restart()
        }
        super::redis_down::all_ready(&fleet).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_deny_without_redis_it_does_not_serve() {
    let mut fleet = Plan::of(1).env("TOLLGATE_COUNTERS_ON_OUTAGE", "deny").start().await;
    fleet.redis.kill();
    let told = told(fleet.first(), "counters", false).await;
    assert_eq!(told["serving"], false, "{told}");
    assert_eq!(fleet.first().ready("?degraded=ok").await.0, 503);
}
