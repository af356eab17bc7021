//! Load while steps fail, and meanwhile the process is killed, replaced, or its routes change: every answer that arrived
//! is in the books once, at its price.

use super::{
    DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, openai_at, question, setup, status, streamed, text, used,
};
use crate::support::{PATIENCE, Setup, eventually};
use crate::unified::Answer;
use crate::upstream::{Act, Options};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

const CLIENTS: usize = 8;

#[derive(Default)]
struct Tally {
    /// Custom ids of answers that arrived whole, and whether they were kept ones.
    whole: Mutex<Vec<(String, bool)>>,
    /// Whatever else came.
    other: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Asks until told to stop: whole and streamed, some questions twice.
async fn client(http: reqwest::Client, url: String, name: String, tally: Arc<Tally>) {
    let mut sent = 0;
    while !tally.stop.load(Ordering::Acquire) {
        let id = format!("{name}-{sent}");
        let body = and(question(), json!({"messages": [{"role": "user", "content": format!("{name} {}", sent / 2)}]}));
        let stream = sent % 3 == 0;
        let body = if stream { streamed(body) } else { body };
        sent += 1;
        let request = http.post(&url).bearer_auth(KEY).header("x-custom-event-id", &id).json(&body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                tally.other.lock().push(format!("{id}: {error}"));
                continue;
            }
        };
        let status = answer.status().as_u16();
        let kept = answer.headers().get("x-cache").is_some_and(|value| value == "hit");
        let text = answer.text().await.unwrap_or_default();
        let whole = if stream { text.contains("data: [DONE]") } else { serde_json::from_str::<Value>(&text).is_ok() };
        if status == 200 && whole {
            tally.whole.lock().push((id, kept));
        } else {
            tally.other.lock().push(format!("{id}: {status} {text}"));
        }
    }
}

fn clients(house: &House, round: usize, tally: &Arc<Tally>) -> Vec<JoinHandle<()>> {
    let start = |n: usize| {
        let (http, url) = (house.gateway.http.clone(), house.url(PATH));
        tokio::spawn(client(http, url, format!("{round}-{n}"), tally.clone()))
    };
    (0..CLIENTS).map(start).collect()
}

async fn served(tally: &Tally, count: usize) {
    let before = tally.whole.lock().len();
    eventually("requests are served", || async { tally.whole.lock().len() > before + count }).await;
}

async fn house(setup: Setup) -> House {
    let setup = setup.env("TOLLGATE_ADMIN_EVENTS_LIMIT", "1000000");
    let house = House::with(setup, Options { record: 0, ..Options::default() }).await;
    house.upstream.teach(FIRST, status(503));
    let refused = openai_at(SECOND, &house.nowhere().await);
    let retried = and(openai(FIRST), json!({"retries": 1, "retryInterval": "1ms"}));
    let steps = json!([retried, refused, openai(SECOND)]);
    house.route_with(json!({"steps": steps, "cacheConfig": {"enabled": true}})).await;
    house
}

/// Each once, kept ones for nothing, all others at the price of the step that answered.
async fn all_booked(house: &House, tally: &Tally) {
    let received = std::mem::take(&mut *tally.whole.lock());
    assert!(received.len() > 100, "the load was real: {}", received.len());
    let find = || async {
        let mut booked: HashMap<String, Vec<Value>> = HashMap::new();
        for event in house.gateway.events(&house.key).await {
            booked.entry(event["custom_id"].as_str().unwrap().to_owned()).or_default().push(event);
        }
        booked
    };
    eventually("all is booked", || async {
        let booked = find().await;
        received.iter().all(|(id, _)| booked.contains_key(id))
    })
    .await;
    let booked = find().await;
    for (id, kept) in &received {
        let events = &booked[id];
        assert_eq!(events.len(), 1, "{id}: {events:#?}");
        assert_eq!(events[0]["cost_in_usd"], if *kept { 0.0 } else { DEAR }, "{}", events[0]);
    }
    assert!(booked.values().all(|events| events.len() == 1), "an event is there twice");
    assert!(received.iter().any(|(_, kept)| *kept) && received.iter().any(|(_, kept)| !*kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_nothing_is_lost_and_nothing_is_twice() {
    let mut house = house(setup()).await;
    let tally: Arc<Tally> = Arc::default();
    for round in 0..3 {
        tally.stop.store(false, Ordering::Release);
        let clients = clients(&house, round, &tally);
        served(&tally, 60).await;
        house.gateway.kill();
        tally.stop.store(true, Ordering::Release);
        for client in clients {
            client.await.unwrap();
        }
        house.gateway.restart().await;
    }
    all_booked(&house, &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_under_load_nobody_notices() {
    let mut house = house(setup().fixed_ports()).await;
    let tally: Arc<Tally> = Arc::default();
    let clients = clients(&house, 0, &tally);
    served(&tally, 60).await;
    // One that is between two steps meanwhile.
    house.upstream.teach(SECOND, Act { delay_ms: 300, ..used(1000, 100) });
    let mut old = house.gateway.upgrade().await;
    served(&tally, 60).await;
    tally.stop.store(true, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(old.ended().await, Some(0));
    let other = tally.other.lock().clone();
    assert!(other.is_empty(), "{other:#?}");
    all_booked(&house, &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_under_load_every_answer_is_of_one_route_or_the_other() {
    let house = House::open().await;
    let nowhere = house.nowhere().await;
    let made = house.route(json!([openai(FIRST)])).await;
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    let stop = AtomicBool::new(false);
    let ask = async |n: usize| {
        let mut count = 0;
        while !stop.load(Ordering::Acquire) {
            let body = if usize::is_multiple_of(n + count, 2) { question() } else { streamed(question()) };
            let answer = Answer::of(house.request(PATH, &body)).await;
            assert_eq!(text(&answer), HELLO);
            assert!([FIRST, SECOND].contains(&answer.header("x-tollgate-model")), "{answer:?}");
            count += 1;
        }
        count
    };
    let change = async {
        for n in 0..60 {
            let steps = match n % 3 {
                0 => json!([openai_at(FIRST, &nowhere), openai(SECOND)]),
                1 => json!([openai(SECOND), openai(FIRST)]),
                _ => json!([openai(FIRST)]),
            };
            let (status, answer) = house.gateway.admin("PATCH", &at, Some(json!({"steps": steps}))).await;
            assert_eq!(status, 200, "{answer}");
        }
        stop.store(true, Ordering::Release);
    };
    let asks = futures_util::future::join_all((0..CLIENTS).map(ask));
    let both = async { tokio::join!(change, asks) };
    let ((), counts) = tokio::time::timeout(PATIENCE * 3, both).await.expect("it ends");
    house.booked(counts.iter().sum()).await;
}
