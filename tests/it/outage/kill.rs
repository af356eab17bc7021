//! `kill -9` under load, ten times in a row: every answer that was received in full has exactly one event.

use crate::support::{Gateway, Setup, chat_body, stream_body};
use crate::upstream::{Options, Upstream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KILLS: usize = 10;
const CLIENTS: usize = 16;

/// Custom ids of answers that arrived whole.
type Received = Arc<Mutex<Vec<String>>>;

/// Sends unary and streamed requests until told to stop, each with an id of its own.
async fn client(
    http: reqwest::Client,
    url: String,
    number: usize,
    round: usize,
    stop: Arc<AtomicBool>,
    received: Received,
) {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        let id = format!("{round}-{number}-{sent}");
        sent += 1;
        let streamed = sent % 2 == 0;
        let body =
            if streamed { stream_body("gpt-4o", &json!({"chunks": 5})) } else { chat_body("gpt-4o", &json!({})) };
        let request = http.post(&url).bearer_auth("k").header("x-custom-event-id", &id).json(&body);
        let Ok(answer) = request.send().await else { continue };
        if answer.status() != 200 {
            continue;
        }
        let Ok(text) = answer.text().await else { continue };
        let whole = if streamed { text.contains("data: [DONE]") } else { serde_json::from_str::<Value>(&text).is_ok() };
        if whole {
            received.lock().push(id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_under_load_nothing_is_lost_and_nothing_is_twice() {
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    let mut gateway = Setup::default().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "10000000").start(&upstream).await;
    let id =
        gateway.key("k", json!({"costLimitInUsd": 1000, "rateLimitOverTime": 100_000_000, "rateLimitUnit": "d"})).await;
    let received: Received = Arc::default();
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let url = gateway.url("/v1/chat/completions");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| tokio::spawn(client(gateway.http.clone(), url.clone(), n, round, stop.clone(), received.clone())))
            .collect();
        let before = received.lock().len();
        crate::support::eventually("requests are served", || async { received.lock().len() > before + 50 }).await;
        // A different moment in each round.
        tokio::time::sleep(Duration::from_millis(7 * round as u64)).await;
        gateway.kill();
        stop.store(true, Ordering::Release);
        for client in clients {
            client.await.unwrap();
        }
        gateway.restart().await;
    }
    check(&gateway, &id, &received).await;
}

async fn check(gateway: &Gateway, id: &str, received: &Received) {
    let received: Vec<String> = std::mem::take(&mut *received.lock());
    let events = gateway.events(id).await;
    let mut by_custom: HashMap<&str, Vec<&Value>> = HashMap::new();
    for event in &events {
        by_custom.entry(event["custom_id"].as_str().unwrap()).or_default().push(event);
    }
    for custom in &received {
        let of_it = by_custom.get(custom.as_str()).map_or(0, Vec::len);
        assert_eq!(of_it, 1, "{custom} was received in full and has {of_it} events");
        let event = by_custom[custom.as_str()][0];
        assert_eq!(event["cost_in_usd"], 0.000_147_5, "{event}");
    }
    let twice: Vec<_> = by_custom.iter().filter(|(custom, events)| !custom.is_empty() && events.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let recovered = events.iter().filter(|e| e["flags"].as_array().unwrap().contains(&json!("recovered"))).count();
    assert!(received.len() > 500, "the load was real: {}", received.len());
    assert!(recovered > 0, "some requests were in flight when the process died");
    // The counters were rebuilt from the ledger: both sums agree to the last unit.
    let ledger: i64 = events.iter().map(|e| (e["cost_in_usd"].as_f64().unwrap() * 1e10).round() as i64).sum();
    let (_, spend) = gateway.admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    assert_eq!(spend["costInMicroDollars"].as_i64(), Some(ledger / 10_000));
    let left = 1000.0 - ledger as f64 / 1e10;
    assert!(left > 0.0);
}
