//! Several gateways over one Postgres and one Redis, each behind proxies of its own that can fail it alone.

use super::{Gateway, Setup};
use crate::servers::{Postgres, Proxy, Redis};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};

/// Opens what the gateways store sealed.
pub const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Manages all of them.
pub const BOOT: &str = "br_boot-key-of-the-fleet";

/// How to make a fleet.
#[derive(Default)]
pub struct Plan {
    gateways: usize,
    setup: Setup,
}

/// Gateways end before what they depend on.
pub struct Fleet {
    pub nodes: Vec<Node>,
    pub postgres: Postgres,
    pub redis: Redis,
    pub upstream: Upstream,
}

/// One gateway and its ways to what all share.
pub struct Node {
    pub gateway: Gateway,
    pub store: Proxy,
    pub counters: Proxy,
}

impl Deref for Node {
    type Target = Gateway;
    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Gateway {
        &mut self.gateway
    }
}

impl Plan {
    pub fn of(gateways: usize) -> Self {
        Self { gateways, ..Self::default() }
    }

    /// For each of them.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.setup = self.setup.env(name, value);
        self
    }

    /// On ports that stay theirs, as an upgrade needs them. Of one gateway only.
    pub fn fixed_ports(mut self) -> Self {
        let single = format!("127.0.0.1:{}", crate::servers::free_port());
        self.setup = self.setup.fixed_ports().env("TOLLGATE_SINGLE_LISTEN", &single);
        self
    }

    pub async fn start(self) -> Fleet {
        let (postgres, redis) = servers().await;
        let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
        let mut starts = Vec::new();
        for number in 0..self.gateways {
            let (store, counters) = (Proxy::start(postgres.port), Proxy::start(redis.port));
            let setup = self.setup.clone().shared(&postgres, store.port, counters.port);
            let upstream = &upstream;
            starts.push(async move {
                // Migrations race in tests of the store. Here one is first, as in most installations.
                tokio::time::sleep(std::time::Duration::from_millis(50 * number as u64)).await;
                Node { gateway: setup.start(upstream).await, store, counters }
            });
        }
        let nodes = futures_util::future::join_all(starts).await;
        Fleet { nodes, postgres, redis, upstream }
    }
}

/// Both at once; each takes a moment.
pub async fn servers() -> (Postgres, Redis) {
    let postgres = tokio::task::spawn_blocking(Postgres::start);
    let redis = tokio::task::spawn_blocking(Redis::start);
    (postgres.await.expect("Postgres starts"), redis.await.expect("Redis starts"))
}

impl Setup {
    /// A gateway of a fleet, by way of these ports.
    pub fn shared(self, postgres: &Postgres, store: u16, counters: u16) -> Self {
        self.env("TOLLGATE_STORE_URL", &postgres.url_at(store, "postgres"))
            .env("TOLLGATE_COUNTERS_URL", &format!("redis://127.0.0.1:{counters}/0"))
            .env("TOLLGATE_MASTER_KEY", MASTER_KEY)
            .env("ADMIN_API_KEY", BOOT)
            .env("TOLLGATE_ADMIN_EVENTS_LIMIT", "1000000")
    }
}

impl Fleet {
    pub async fn start(gateways: usize) -> Self {
        Plan::of(gateways).start().await
    }

    pub fn first(&self) -> &Node {
        &self.nodes[0]
    }

    /// The proxies' addresses, as they are now.
    pub fn bases(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.proxy.clone()).collect()
    }

    /// Sends `count` requests at once, spread evenly; in the order of the gateways, over and over.
    pub async fn at_once(&self, count: usize, key: &str, body: &Value) -> Vec<Told> {
        let calls = (0..count).map(|n| self.nodes[n % self.nodes.len()].told(key, body));
        futures_util::future::join_all(calls).await
    }

    /// The same request once to each, one after the other.
    pub async fn each(&self, key: &str, body: &Value) -> Vec<Told> {
        let mut answers = Vec::new();
        for node in &self.nodes {
            answers.push(node.told(key, body).await);
        }
        answers
    }
}

/// What a client saw of one answer.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub took: std::time::Duration,
}

impl Told {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Gateway {
    /// `POST .../v1/chat/completions`.
    pub async fn told(&self, key: &str, body: &Value) -> Told {
        self.told_at(&self.url("/v1/chat/completions"), key, body).await
    }

    pub async fn told_at(&self, url: &str, key: &str, body: &Value) -> Told {
        let began = std::time::Instant::now();
        let answer = self.http.post(url).bearer_auth(key).json(body).send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Told { status, headers, text: answer.text().await.expect("its body"), took: began.elapsed() }
    }

    /// As [`Self::told`], by a client that asks again while other requests hold what is left of its budget: the shared
    /// counts hear that a request is over a moment after its client has the answer.
    pub async fn told_unheld(&self, key: &str, body: &Value) -> Told {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let told = self.told(key, body).await;
            if told.status != 429 || !told.text.contains("held by requests in flight") {
                return told;
            }
            assert!(tokio::time::Instant::now() < deadline, "held for ever: {told:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The data of a management call that has to succeed.
    pub async fn manage(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.admin("POST", path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer["data"].clone()
    }

    /// What `/readyz` of the proxy says.
    pub async fn ready(&self, query: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}/readyz{query}", self.proxy)).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(json!(null)))
    }

    /// Events of requests that were admitted, oldest first, once there are so many; never more.
    pub async fn booked(&self, key_id: &str, count: usize) -> Vec<Value> {
        super::eventually("the requests are booked", || async { self.admitted(key_id).await.len() >= count }).await;
        let events = self.admitted(key_id).await;
        assert_eq!(events.len(), count, "no more than there were requests");
        events
    }

    pub async fn admitted(&self, key_id: &str) -> Vec<Value> {
        let mut events = self.events(key_id).await;
        events.retain(|event| !event["flags"].as_array().expect("flags").contains(&json!("refused")));
        events
    }
}

/// What these events cost, in 1e-10 USD: sums of floats are no sums.
pub fn units(events: &[Value]) -> i64 {
    events.iter().map(|event| (event["cost_in_usd"].as_f64().expect("a cost") * 1e10).round() as i64).sum()
}
