//! A journal that fills up while Postgres is away: no new request, every running one to its end.

use super::count;
use super::redis_down::all_ready;
use crate::support::{Plan, eventually, stream_body};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_requests_are_refused_and_running_ones_finish() {
    let mut fleet = Plan::of(2).env("TOLLGATE_LEDGER_JOURNAL_MAX_BYTES", "1MiB").start().await;
    let id = fleet.first().key("k", json!({"shouldLogRequest": true})).await;
    fleet.first().key("other", json!({})).await;
    // Running: its first piece is out, the others wait.
    let running = {
        let request = fleet.first().http.post(fleet.first().url("/v1/chat/completions")).bearer_auth("k");
        let body = stream_body("gpt-4o", &json!({"hold": true, "chunks": 3}));
        request.json(&body).send().await.unwrap()
    };
    assert_eq!(running.status(), 200);
    fleet.postgres.kill();
    let mut big = super::question();
    big["messages"][0]["content"] = json!("x".repeat(40_000));
    let mut admitted = 1;
    loop {
        let answer = fleet.first().told("k", &big).await;
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            break;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        admitted += 1;
        assert!(admitted < 100, "it never fills up");
    }
    assert!(admitted > 5, "{admitted}");
    let (status, told) = fleet.first().ready("?degraded=ok").await;
    assert_eq!((status, &told["serving"]), (503, &json!(false)), "{told}");
    assert_eq!(told["dependencies"]["journal"]["ok"], false, "{told}");
    assert_eq!(fleet.nodes[1].told("other", &super::question()).await.status, 200, "the other has room");
    fleet.upstream.release(100);
    let text = running.text().await.unwrap();
    assert!(text.contains("data: [DONE]"), "{text}");
    fleet.postgres.restart();
    all_ready(&fleet).await;
    eventually("there is room again", || async { fleet.first().told("k", &super::question()).await.status == 200 })
        .await;
    fleet.first().booked(&id, admitted + 1).await;
    let answers = fleet.at_once(10, "other", &super::question()).await;
    assert_eq!(count(&answers, 200), 10);
}
