//! Requests without a pause while something happens, and whether the books say afterwards what the clients got.

use super::COST;
use crate::support::{Fleet, Gateway, chat_body, eventually, stream_body, units};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub const KEY: &str = "load";
/// Requests a day, more than any test sends.
const RATE: u64 = 1_000_000;

/// Clients that ask all gateways in turn.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    /// Of [`KEY`].
    pub id: String,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Where the gateways are; an empty one is asked nothing.
    bases: Mutex<Vec<String>>,
    record: Mutex<Record>,
}

/// What the clients saw.
#[derive(Clone, Default, Debug)]
pub struct Record {
    /// Own ids of answers that arrived whole.
    pub received: Vec<String>,
    /// All others: which gateway, and what came.
    pub failed: Vec<(usize, String)>,
    pub slowest: Duration,
}

impl Shared {
    fn note(&self, id: String, gateway: usize, got: Result<(), String>, took: Duration) {
        let mut record = self.record.lock();
        match got {
            Ok(()) => {
                record.received.push(id);
                record.slowest = record.slowest.max(took);
            }
            Err(what) => record.failed.push((gateway, what)),
        }
    }
}

impl Load {
    /// Begins; returns once every gateway has answered.
    pub async fn start(fleet: &Fleet, clients: usize) -> Self {
        let rules = json!({"costLimitInUsd": 1000, "rateLimitOverTime": RATE, "rateLimitUnit": "d"});
        let id = fleet.first().key(KEY, rules).await;
        let shared = Arc::new(Shared { bases: Mutex::new(fleet.bases()), ..Shared::default() });
        let clients = (0..clients).map(|n| tokio::spawn(client(shared.clone(), n))).collect();
        let load = Self { shared, clients, id };
        load.more(30).await;
        load
    }

    /// Waits until this many more answers have arrived.
    pub async fn more(&self, answers: usize) {
        let wanted = self.received() + answers;
        eventually("requests are answered", || async { self.received() >= wanted }).await;
    }

    /// One more request to a gateway, which takes long and whose answer nobody waits for.
    pub fn slow(&self, gateway: usize, id: &str) {
        let url = format!("{}/api/providers/openai/v1/chat/completions", self.shared.bases.lock()[gateway]);
        let body = chat_body("gpt-4o", &json!({"delay_ms": 5_000}));
        let request = reqwest::Client::new().post(url).bearer_auth(KEY).header("x-custom-event-id", id).json(&body);
        tokio::spawn(async move { drop(request.send().await) });
    }

    pub fn received(&self) -> usize {
        self.shared.record.lock().received.len()
    }

    pub fn failed(&self) -> Vec<(usize, String)> {
        self.shared.record.lock().failed.clone()
    }

    /// The slowest answer since this was asked last.
    pub fn slowest(&self) -> Duration {
        std::mem::take(&mut self.shared.record.lock().slowest)
    }

    /// From now on this gateway is asked there; nowhere = not at all.
    pub fn move_to(&self, gateway: usize, base: &str) {
        base.clone_into(&mut self.shared.bases.lock()[gateway]);
    }

    pub async fn stop(self) -> Record {
        self.shared.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut *self.shared.record.lock())
    }
}

async fn client(shared: Arc<Shared>, number: usize) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let mut sent = 0;
    while !shared.stop.load(Ordering::Acquire) {
        sent += 1;
        let (gateway, base) = {
            let bases = shared.bases.lock();
            let gateway = (number + sent) % bases.len();
            (gateway, bases[gateway].clone())
        };
        if base.is_empty() {
            // The others have no more to do for it.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let id = format!("{number}-{sent}");
        let began = Instant::now();
        let got = ask(&http, &base, &id, sent % 2 == 0).await;
        shared.note(id, gateway, got, began.elapsed());
        // Not all that the machine can do: it has a test to run as well.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `Err`: what came in place of a whole answer.
async fn ask(http: &reqwest::Client, base: &str, id: &str, streamed: bool) -> Result<(), String> {
    let body = if streamed { stream_body("gpt-4o", &json!({"chunks": 5})) } else { chat_body("gpt-4o", &json!({})) };
    let url = format!("{base}/api/providers/openai/v1/chat/completions");
    let request = http.post(url).bearer_auth(KEY).header("x-custom-event-id", id).json(&body);
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
    let whole = if streamed { text.contains("data: [DONE]") } else { serde_json::from_str::<Value>(&text).is_ok() };
    if status == 200 && whole { Ok(()) } else { Err(format!("{status} {text}")) }
}

/// Every whole answer is in the books once, at its price; nothing is there twice. Returns all events.
pub async fn books_agree(gateway: &Gateway, id: &str, record: &Record) -> Vec<Value> {
    let missing = || async {
        let events = gateway.admitted(id).await;
        let known: HashMap<&str, usize> = by_custom(&events).into_iter().map(|(id, of_it)| (id, of_it.len())).collect();
        record.received.iter().filter(|id| !known.contains_key(id.as_str())).count()
    };
    eventually("every whole answer is in the books", || async { missing().await == 0 }).await;
    let events = gateway.admitted(id).await;
    let known = by_custom(&events);
    for received in &record.received {
        let of_it = &known[received.as_str()];
        assert_eq!(of_it.len(), 1, "{received} was received once");
        assert_eq!(units(&[of_it[0].clone()]), COST, "{}", of_it[0]);
    }
    let twice: Vec<_> = known.iter().filter(|(_, of_it)| of_it.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    events
}

fn by_custom(events: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut known: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["custom_id"].as_str().is_some_and(|id| !id.is_empty())) {
        known.entry(event["custom_id"].as_str().unwrap()).or_default().push(event);
    }
    known
}

/// Everything quiet, the counters know to the last request and the last unit what the ledger says, and hold nothing:
/// the rate has as much left, and a budget for ten more admits ten more, wherever they are asked for.
pub async fn counters_equal_ledger(fleet: &Fleet, id: &str) {
    counters_equal_ledger_after_kills(fleet, id, 0).await;
}

/// As [`counters_equal_ledger`], to the last unit of money. A gateway that is killed between its admission and its journal
/// has taken of the rate and answers nobody, so that there is nothing to book: `unanswered` at most.
pub async fn counters_equal_ledger_after_kills(fleet: &Fleet, id: &str, unanswered: u64) {
    let gateway = fleet.first();
    let events = settled(gateway, id).await;
    let limit = units(&events) + 10 * COST;
    gateway.patch_key(id, json!({"costLimitInUsd": limit as f64 / 1e10})).await;
    for n in 0..10 {
        let answer = fleet.nodes[n % fleet.nodes.len()].told_unheld(KEY, &chat_body("gpt-4o", &json!({}))).await;
        assert_eq!(answer.status, 200, "{n} of 10: {answer:?}");
        let left = answer.header("x-ratelimit-remaining-requests").parse::<u64>().unwrap();
        let expected = RATE - (events.len() + n + 1) as u64;
        assert!(left <= expected && left + unanswered >= expected, "{n} of 10: {left} left, not {expected}");
    }
    for node in &fleet.nodes {
        let answer = node.told_unheld(KEY, &chat_body("gpt-4o", &json!({}))).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

/// The admitted events, once no journal has more to tell.
async fn settled(gateway: &Gateway, id: &str) -> Vec<Value> {
    let mut before = usize::MAX;
    loop {
        let events = gateway.admitted(id).await;
        if events.len() == before {
            return events;
        }
        before = events.len();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
