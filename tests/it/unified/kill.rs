//! `kill -9` under translated load: every answer that was received in full is in the books, once.

use super::{House, User, streamed, told};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const KILLS: usize = 3;
const CLIENTS: usize = 8;

/// Custom ids of answers that arrived whole.
type Received = Arc<Mutex<Vec<String>>>;

/// Sends until told to stop, each request under an id of its own.
async fn client(http: reqwest::Client, url: String, key: String, name: String, stop: Arc<AtomicBool>, got: Received) {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        let id = format!("{name}-{sent}");
        sent += 1;
        let body = told("claude-3-sonnet", &json!({"tokens": {"input": 1000, "output": 100}, "chunks": 4}));
        let stream = sent % 2 == 0;
        let body = if stream { streamed(body) } else { body };
        let request = http.post(&url).bearer_auth(&key).header("x-custom-event-id", &id).json(&body);
        let Ok(answer) = request.send().await else { continue };
        if answer.status() != 200 {
            continue;
        }
        let Ok(text) = answer.text().await else { continue };
        let whole = if stream { text.contains("data: [DONE]") } else { serde_json::from_str::<Value>(&text).is_ok() };
        if whole {
            got.lock().push(id);
        }
    }
}

async fn round(house: &House, user: &User, number: usize, received: &Received) -> Vec<tokio::task::JoinHandle<()>> {
    let stop: Arc<AtomicBool> = Arc::default();
    let url = format!("{}/v1/chat/completions", house.base);
    let start = |n: usize| {
        let (http, key) = (house.gateway.http.clone(), user.key.clone());
        tokio::spawn(client(http, url.clone(), key, format!("{number}-{n}"), stop.clone(), received.clone()))
    };
    let clients: Vec<_> = (0..CLIENTS).map(start).collect();
    let before = received.lock().len();
    crate::support::eventually("requests are served", || async { received.lock().len() > before + 40 }).await;
    stop.store(true, Ordering::Release);
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_nothing_is_lost_and_nothing_is_twice() {
    let mut house = House::with(super::setup().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "1000000")).await;
    let user = house.user(json!({"month_quota": 9000})).await;
    let received: Received = Arc::default();
    for number in 0..KILLS {
        let clients = round(&house, &user, number, &received).await;
        house.gateway.kill();
        for client in clients {
            client.await.unwrap();
        }
        house.restart().await;
    }
    let received = std::mem::take(&mut *received.lock());
    let events = house.events().await;
    let mut booked: HashMap<&str, Vec<&Value>> = HashMap::new();
    for event in &events {
        booked.entry(event["custom_id"].as_str().unwrap()).or_default().push(event);
    }
    for id in &received {
        let of_it = booked.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        assert_eq!(of_it.len(), 1, "{id} was received in full");
        assert_eq!(of_it[0]["cost_in_usd"], 0.0045, "{}", of_it[0]);
    }
    assert!(booked.values().all(|events| events.len() == 1), "an event is there twice");
    let sum: i64 = events.iter().map(|e| (e["cost_in_usd"].as_f64().unwrap() * 1e10).round() as i64).sum();
    let total = format!("{}.{:010}", sum / 10_000_000_000, sum % 10_000_000_000);
    let mine = house.spent(&user, &total).await;
    assert_eq!(mine["month_fee"], total, "books and events agree");
    assert!(received.len() > 100);
}
