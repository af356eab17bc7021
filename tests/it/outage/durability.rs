//! `ledger.durability = "disk"`: answers wait for the disk, for nothing else, and every event is there afterwards.

use crate::support::{Setup, chat_body, stream_body};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};

const CALLS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_disk_before_the_answer_every_event_is_booked_once() {
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    // Nobody waits for the hour: whoever needs the disk wakes it, else no answer would arrive in the test's patience.
    let setup = Setup::default().env("TOLLGATE_LEDGER_DURABILITY", "disk").env("TOLLGATE_LEDGER_SYNC_INTERVAL", "1h");
    let mut gateway = setup.start(&upstream).await;
    let id = gateway.key("k", json!({"costLimitInUsd": 1000})).await;
    let calls = (0..CALLS).map(|n| {
        let streamed = n % 2 == 1;
        let body = if streamed { stream_body("gpt-4o", &json!({})) } else { chat_body("gpt-4o", &json!({})) };
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k");
        let request = request.header("x-custom-event-id", format!("call-{n}")).json(&body);
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let text = answer.text().await.unwrap();
            let whole = if streamed { text.contains("[DONE]") } else { serde_json::from_str::<Value>(&text).is_ok() };
            assert!(whole, "{text}");
        }
    });
    futures_util::future::join_all(calls).await;
    gateway.kill();
    gateway.restart().await;
    let events = gateway.events_settled(&id, CALLS).await;
    let mut ids: Vec<_> = events.iter().map(|e| e["custom_id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CALLS);
    for event in &events {
        assert_eq!((&event["status"], &event["cost_in_usd"]), (&json!(200), &json!(0.000_147_5)), "{event}");
    }
}
