//! What a request costs on the way to Redis, counted there: one round trip before the upstream is called, none that an
//! answer waits for, and nothing at all for a key without limits. A kept answer is found, or missed, in one more.

use super::question;
use crate::servers::{Frame, Said};
use crate::support::{Fleet, Plan, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// Those that requests run; the connection's own probes are about other keys.
fn scripts(frames: &[Frame]) -> usize {
    let script = |frame: &&Frame| matches!(&frame.said, Said::Request(name) if name.starts_with("EVALSHA") && name.contains(":counts"));
    frames.iter().filter(script).count()
}

/// What a new key's first requests leave to do in the background is done: what they cost is told, and the ledger is asked
/// once more.
async fn quiet() {
    tokio::time::sleep(Duration::from_millis(4_500)).await;
}

/// What waits for a Redis that is silent waits for so long.
const TIMEOUT: Duration = Duration::from_secs(10);

async fn patient() -> Fleet {
    Plan::of(1).env("TOLLGATE_COUNTERS_TIMEOUT", "10s").start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_round_trip_before_the_upstream_and_none_that_the_answer_waits_for() {
    let fleet = patient().await;
    let node = fleet.first();
    let rules = json!({"rateLimitOverTime": 1000, "rateLimitUnit": "d", "costLimitInUsd": 10,
                       "costLimitInUsdOverTime": 5, "costLimitInUsdUnit": "d"});
    node.key("k", rules).await;
    // The first ones of a key load what the counters know of it, and the script.
    for _ in 0..3 {
        assert_eq!(node.told("k", &question()).await.status, 200);
    }
    quiet().await;
    node.counters.record();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(scripts(&node.counters.recorded()), 0, "nothing runs a script while nobody asks");
    for round in 1..=5_u64 {
        node.counters.record();
        let asked = fleet.upstream.stats().requests;
        let mut body = question();
        body["user"] = json!(json!({"delay_ms": 400}).to_string());
        let answer = node.told("k", &body);
        let watch = async {
            while fleet.upstream.stats().requests == asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let before = node.counters.recorded();
            // Whatever an answer waited for now could not come.
            node.counters.stall();
            (before, Instant::now())
        };
        let (answer, (before, called)) = tokio::join!(answer, watch);
        let took = called.elapsed();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(scripts(&before), 1, "{round}: {before:?}");
        assert!(took < TIMEOUT / 2, "the answer waited for Redis: {took:?}");
        node.counters.flow();
        eventually("the settlement follows", || async { scripts(&node.counters.recorded()) >= 2 }).await;
        super::redis_down::all_ready(&fleet).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_limits_asks_nothing_and_does_without_redis() {
    let fleet = patient().await;
    let node = fleet.first();
    node.key("free", json!({})).await;
    node.counters.record();
    for _ in 0..20 {
        assert_eq!(node.told("free", &question()).await.status, 200);
    }
    // What it has spent is told now and then, should it ever get a limit; nobody waits for that.
    let told = scripts(&node.counters.recorded());
    assert!(told <= 2, "{told}: {:?}", node.counters.recorded());
    node.counters.stall();
    let answer = node.told("free", &question()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.took < TIMEOUT / 2, "{:?}", answer.took);
    node.counters.flow();
}

/// A refused request is one round trip as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_asks_once() {
    let fleet = Fleet::start(1).await;
    let node = fleet.first();
    node.key("k", json!({"rateLimitOverTime": 1, "rateLimitUnit": "d"})).await;
    assert_eq!(node.told("k", &question()).await.status, 200);
    quiet().await;
    node.counters.record();
    for _ in 0..5 {
        assert_eq!(node.told("k", &question()).await.status, 429);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scripts(&node.counters.recorded()), 5, "{:?}", node.counters.recorded());
}

/// Both forms of a kept answer are asked for in one piece, whether one of them is there or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_answer_is_one_round_trip_whether_it_is_there_or_not() {
    let fleet = Fleet::start(1).await;
    let node = fleet.first();
    let id = node.key("k", json!({})).await;
    let route = json!({"name": "kept", "path": "/chat/kept", "keyIds": [id],
                       "steps": [{"provider": "openai", "model": "gpt-4o"}], "cacheConfig": {"enabled": true}});
    assert_eq!(node.admin("POST", "/api/routes", Some(route)).await.0, 200);
    for expected in ["miss", "hit"] {
        node.counters.record();
        let body = json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20});
        let answer = node.told_at(&format!("{}/api/routes/chat/kept", node.proxy), "k", &body).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, expected), "{answer:?}");
        let asked = |name: &str| -> Vec<Frame> {
            let frames = node.counters.recorded().into_iter();
            frames.filter(|frame| frame.said == Said::Request(name.to_owned())).collect()
        };
        let looks = asked("GETRANGE");
        assert_eq!(looks.len(), 2, "{expected}: {looks:?}");
        // What comes in one piece is noted at one moment; what waits for an answer comes later.
        assert_eq!((looks[0].at, looks[0].connection), (looks[1].at, looks[1].connection), "{expected}");
        if expected == "miss" {
            // The next look follows it on the same connection.
            eventually("it is kept", || async { !asked("SET").is_empty() }).await;
        }
    }
}
