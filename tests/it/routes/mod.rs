//! Routes of the running program, seen from outside: made through the configuration API, called over HTTP, judged by
//! what the client got, what the upstreams got and what is in the books.

mod balance;
mod cache;
mod clients;
mod edges;
mod endings;
mod failover;
mod flights;
mod forms;
mod leaks;
mod limits;
mod manage;
mod pace;
mod rows;
mod turmoil;

use crate::support::{Gateway, Setup, eventually};
use crate::unified::Answer;
use crate::upstream::{Act, Api, Options, Tokens, Upstream};
use serde_json::{Value, json};

/// The client's own key, which no upstream may ever see.
pub const KEY: &str = "gw-route-key";
/// Of the route that most tests make.
pub const PATH: &str = "/chat/prod";
/// The model of a first step and of a second one; each call costs [`CHEAP`] and [`DEAR`].
pub const FIRST: &str = "gpt-4o-mini";
pub const SECOND: &str = "gpt-4o";
/// 1000 and 100 tokens, US dollars.
pub const CHEAP: f64 = 0.000_21;
pub const DEAR: f64 = 0.003_5;
/// At Anthropic, at 3 and 15 US dollars a million.
pub const CLAUDE: &str = "claude-sonnet-4-5";
pub const CLAUDE_DEAR: f64 = 0.004_5;
/// What every upstream says unless it is told otherwise.
pub const HELLO: &str = "Hello! How can I help you today?";

/// A gateway before two upstreams, and a key that has a setting for each.
pub struct House {
    /// Plays OpenAI and Bedrock.
    pub upstream: Upstream,
    /// Plays Anthropic.
    pub claude: Upstream,
    pub gateway: Gateway,
    /// Of [`KEY`].
    pub key: String,
}

/// No upstream is set aside, so that each test decides by itself who is asked.
pub fn setup() -> Setup {
    Setup::default().env("TOLLGATE_ROUTES_BREAKER_FAILURES", "0")
}

pub async fn upstream(api: Api) -> Upstream {
    upstream_with(Options { api, ..Options::default() }).await
}

/// Refuses whatever a gateway should keep to itself.
async fn upstream_with(options: Options) -> Upstream {
    Upstream::start(Options { strict: true, forbidden: vec![KEY.to_owned()], ..options }).await.unwrap()
}

impl House {
    pub async fn open() -> Self {
        Self::with(setup(), Options::default()).await
    }

    /// `options`: of the first upstream.
    pub async fn with(setup: Setup, options: Options) -> Self {
        let (upstream, claude) = (upstream_with(options).await, upstream(Api::Anthropic).await);
        for model in [FIRST, SECOND] {
            upstream.teach(model, used(1000, 100));
        }
        claude.teach(CLAUDE, used(1000, 100));
        let setup = setup.env("TOLLGATE_PROVIDERS_ANTHROPIC_BASE_URL", &claude.url());
        let gateway = setup.start(&upstream).await;
        let key = gateway.key(KEY, json!({"settingIds": settings(&gateway).await})).await;
        Self { upstream, claude, gateway, key }
    }

    /// Another key with settings of its own; returns its id.
    pub async fn another_key(&self, raw: &str, extra: Value) -> String {
        let settings = json!({"settingIds": settings(&self.gateway).await});
        self.gateway.key(raw, and(settings, extra)).await
    }

    /// A setting of OpenAI whose upstream is elsewhere; returns its id.
    pub async fn elsewhere(&self, url: &str) -> String {
        self.gateway.setting(json!({"setting": {"apikey": "sk-upstream", "baseUrl": url}})).await
    }

    /// A setting of OpenAI where nobody listens.
    pub async fn nowhere(&self) -> String {
        self.elsewhere("http://127.0.0.1:9").await
    }

    /// A route of [`KEY`] at [`PATH`] with these steps.
    pub async fn route(&self, steps: Value) -> Value {
        self.route_with(json!({"steps": steps})).await
    }

    /// A route of [`KEY`] at [`PATH`] with these members, unless they say otherwise.
    pub async fn route_with(&self, members: Value) -> Value {
        let (status, made) = self.make(members).await;
        assert_eq!(status, 200, "{made}");
        made
    }

    pub async fn make(&self, members: Value) -> (u16, Value) {
        let usual = json!({"name": "prod", "path": PATH, "keyIds": [self.key], "cacheConfig": {"enabled": false}});
        self.gateway.admin("POST", "/api/routes", Some(and(usual, members))).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/api/routes{path}", self.gateway.proxy)
    }

    pub fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.gateway.http.post(self.url(path)).bearer_auth(KEY).json(body)
    }

    pub async fn ask(&self, body: &Value) -> Answer {
        self.ask_at(PATH, body).await
    }

    pub async fn ask_at(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(path, body)).await
    }

    /// The one event of an answer.
    pub async fn event(&self, answer: &Answer) -> Value {
        let id = answer.header("x-tollgate-event-id");
        assert!(!id.is_empty(), "{answer:?}");
        let find = || async { self.admitted().await.into_iter().filter(|event| event["id"] == id).collect::<Vec<_>>() };
        eventually("the event is in the store", || async { !find().await.is_empty() }).await;
        let mut found = find().await;
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }

    /// The events of [`KEY`] that are no refusals, oldest first.
    pub async fn admitted(&self) -> Vec<Value> {
        let mut events = self.gateway.events(&self.key).await;
        events.retain(|event| !event["flags"].as_array().unwrap().contains(&json!("refused")));
        events
    }

    /// The same, once there are so many; never more.
    pub async fn booked(&self, count: usize) -> Vec<Value> {
        eventually("the requests are booked", || async { self.admitted().await.len() >= count }).await;
        let events = self.admitted().await;
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// The models that the first upstream was asked for, oldest first.
    pub fn asked(&self) -> Vec<String> {
        self.upstream.seen().iter().map(|seen| sent(seen)["model"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The body of the latest request to the first upstream.
    pub fn sent(&self) -> Value {
        sent(self.upstream.seen().last().expect("a request"))
    }
}

/// Ids of one setting for each upstream.
async fn settings(gateway: &Gateway) -> Vec<String> {
    let aws = json!({"awsAccessKeyId": "AKIDUPSTREAM", "awsSecretAccessKey": "upstream/secret+key", "awsRegion": "us-east-1"});
    vec![
        gateway.setting(json!({})).await,
        gateway.setting(json!({"provider": "anthropic", "setting": {"apikey": "sk-upstream"}})).await,
        gateway.setting(json!({"provider": "bedrock", "setting": aws})).await,
    ]
}

fn sent(seen: &crate::upstream::Seen) -> Value {
    serde_json::from_slice(&seen.body).expect("json")
}

/// The members of both; the second's win.
pub fn and(mut first: Value, second: Value) -> Value {
    let Value::Object(second) = second else { panic!("members: {second}") };
    first.as_object_mut().expect("members").extend(second);
    first
}

pub fn step(provider: &str, model: &str) -> Value {
    json!({"provider": provider, "model": model})
}

pub fn openai(model: &str) -> Value {
    step("openai", model)
}

/// A step with a credential of its own.
pub fn openai_at(model: &str, setting: &str) -> Value {
    and(openai(model), json!({"params": {"settingId": setting}}))
}

pub fn question() -> Value {
    json!({"model": "whatever", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 200})
}

pub fn streamed(body: Value) -> Value {
    and(body, json!({"stream": true}))
}

pub fn used(input: u64, output: u64) -> Act {
    Act { tokens: Tokens { input: Some(input), output: Some(output), ..Tokens::default() }, ..Act::default() }
}

pub fn status(status: u16) -> Act {
    Act { status: Some(status), ..Act::default() }
}

/// What an answer in OpenAI's form says, whole or streamed.
pub fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    if answer.header("content-type").starts_with("text/event-stream") {
        return crate::unified::said(&answer.chunks());
    }
    answer.json()["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

/// Step, failure and status of each failed try of an event.
pub fn tries(event: &Value) -> Vec<(u64, &str, u64)> {
    let list = event["tries"].as_array().unwrap_or_else(|| panic!("tries of {event}"));
    let one = |t: &'_ Value| (t["step"].as_u64().expect("a step"), t["status"].as_u64().expect("a status"));
    list.iter().map(|t| (one(t).0, t["failure"].as_str().expect("a failure"), one(t).1)).collect()
}

/// Step, cost, status and flags of an event.
pub fn outcome(event: &Value) -> (u64, f64, u64, Value) {
    let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
    (number("routeStep"), event["cost_in_usd"].as_f64().unwrap(), number("status"), event["flags"].clone())
}
