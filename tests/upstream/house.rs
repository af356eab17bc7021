//! What all connections of one upstream share: options, queued behaviours, the record of requests, counters.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};

use super::act::Act;

/// The API that the upstream plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Api {
    #[default]
    #[value(name = "openai")]
    OpenAi,
    Anthropic,
    Azure,
    Vllm,
    #[value(name = "deepinfra")]
    DeepInfra,
    Ollama,
    Gemini,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub api: Api,
    /// Accepted credentials; empty = any, but one must be there (where the API has any).
    pub keys: Vec<String>,
    /// Access key ids and secrets that may sign.
    pub aws_keys: Vec<(String, String)>,
    /// Texts that must appear in no header and no body, such as the client's own key.
    pub forbidden: Vec<String>,
    /// Refuse what a gateway should have removed: encodings other than identity and hop-by-hop headers.
    pub strict: bool,
    /// How many requests are remembered; 0 = none, for benches.
    pub record: usize,
    /// How much of each remembered body is kept.
    pub body_kept: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            api: Api::default(),
            keys: vec!["sk-upstream".to_owned()],
            aws_keys: vec![("AKIDUPSTREAM".to_owned(), "upstream/secret+key".to_owned())],
            forbidden: Vec::new(),
            strict: false,
            record: 1_000,
            body_kept: 64 * 1024,
        }
    }
}

/// One request as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    pub number: u64,
    pub connection: u64,
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body_length: u64,
    pub body_sha256: String,
    pub chunked: bool,
    /// At most [`Options::body_kept`] bytes; as text in `GET /_seen`.
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// What was wrong with it; empty for a good request.
    pub violations: Vec<String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

fn as_text<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub connections: u64,
    pub open: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// Answers that are being made or sent.
    pub running: u64,
    pub answered: u64,
    /// The client left before its answer was complete (or before its request was).
    pub aborted: u64,
    /// Pieces of answers that were handed to the socket.
    pub pieces: u64,
    pub violations: u64,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub open: AtomicU64,
    pub requests: AtomicU64,
    pub running: AtomicU64,
    pub answered: AtomicU64,
    pub aborted: AtomicU64,
    pub pieces: AtomicU64,
    pub violations: AtomicU64,
}

#[derive(Debug)]
pub struct House {
    pub options: Options,
    pub count: Counters,
    queue: Mutex<VecDeque<Act>>,
    models: Mutex<HashMap<String, Model>>,
    seen: Mutex<VecDeque<Seen>>,
    gate: Semaphore,
    changed: Notify,
}

/// What is known of one model.
#[derive(Debug, Default)]
struct Model {
    taught: Option<Act>,
    asked: u64,
}

/// A test that queues more than this has lost count.
const MAX_QUEUE: usize = 10_000;

impl House {
    pub fn new(options: Options) -> House {
        House {
            options,
            count: Counters::default(),
            queue: Mutex::default(),
            models: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            changed: Notify::new(),
        }
    }

    pub fn script(&self, act: Act) {
        let mut queue = self.queue.lock();
        if queue.len() < MAX_QUEUE {
            queue.push_back(act);
        }
    }

    /// The oldest queued behaviour that fits this target; `early` decides before the body is read.
    pub fn take(&self, target: &str) -> Option<Act> {
        let mut queue = self.queue.lock();
        let at = queue.iter().position(|act| act.path.as_ref().is_none_or(|path| target.contains(path.as_str())))?;
        let act = queue.get_mut(at)?;
        match act.times {
            Some(times) if times > 1 => {
                act.times = Some(times.saturating_sub(1));
                Some(act.clone())
            }
            _ => queue.remove(at),
        }
    }

    pub fn teach(&self, model: &str, act: Option<Act>) {
        self.models.lock().entry(model.to_owned()).or_default().taught = act;
    }

    /// Counts a request for this model; how it answers, if it was taught anything.
    pub fn ask(&self, model: &str) -> Option<Act> {
        let mut models = self.models.lock();
        // Anything may be asked for; what was taught is always known.
        if !models.contains_key(model) && models.len() >= MAX_QUEUE {
            return None;
        }
        let known = models.entry(model.to_owned()).or_default();
        known.asked = known.asked.saturating_add(1);
        let taught = known.taught.clone();
        drop(models);
        self.changed.notify_waiters();
        taught
    }

    pub fn asked(&self, model: &str) -> u64 {
        self.models.lock().get(model).map_or(0, |known| known.asked)
    }

    pub fn release(&self, n: usize) {
        self.gate.add_permits(n.min(1_000_000));
    }

    /// Waits for one release and uses it up.
    pub async fn released(&self) {
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
    }

    pub fn record(&self, seen: Seen) {
        if self.options.record == 0 {
            return;
        }
        let mut all = self.seen.lock();
        while all.len() >= self.options.record {
            all.pop_front();
        }
        all.push_back(seen);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().iter().cloned().collect()
    }

    pub fn forget(&self) {
        self.seen.lock().clear();
        self.queue.lock().clear();
    }

    pub fn add(&self, counter: &AtomicU64) -> u64 {
        let before = counter.fetch_add(1, Relaxed);
        self.changed.notify_waiters();
        before.saturating_add(1)
    }

    pub fn subtract(&self, counter: &AtomicU64) {
        counter.fetch_sub(1, Relaxed);
        self.changed.notify_waiters();
    }

    pub fn stats(&self) -> Stats {
        let count = &self.count;
        Stats {
            connections: count.connections.load(Relaxed),
            open: count.open.load(Relaxed),
            requests: count.requests.load(Relaxed),
            running: count.running.load(Relaxed),
            answered: count.answered.load(Relaxed),
            aborted: count.aborted.load(Relaxed),
            pieces: count.pieces.load(Relaxed),
            violations: count.violations.load(Relaxed),
        }
    }

    pub async fn until(&self, holds: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            // Registered before the look, so that no change between the two is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let stats = self.stats();
            if holds(&stats) {
                return stats;
            }
            changed.await;
        }
    }
}
