//! The unified API of the running program, with nothing but HTTP: keys, groups and models are made through the
//! management API on the same listener.

mod access;
mod chat;
mod crowd;
mod endings;
mod grants;
mod kill;
mod limits;
mod money;
mod months;
mod names;
mod pictures;
mod raw;
mod readme;
mod retries;
mod streams;
mod tools;

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Act, Options, Tokens, Upstream};
use serde_json::{Value, json};

/// Only ever used to make keys, groups and models.
pub const BOOT: &str = "br_boot-key-of-these-tests";
pub const AWS_ID: &str = "AKIDUPSTREAM";
pub const AWS_SECRET: &str = "upstream/secret+key";
/// Of the row that a new house has.
pub const SONNET: &str = "anthropic.claude-3-sonnet-20240229-v1:0";

/// A gateway with one listener for everything, the local upstream behind it.
pub struct House {
    pub upstream: Upstream,
    pub gateway: Gateway,
    /// `http://host:port` of the listener.
    pub base: String,
}

/// An issued key.
#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub key: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

/// The environment of a host that may call Bedrock.
pub fn setup() -> Setup {
    Setup::default()
        .env("ADMIN_API_KEY", BOOT)
        .env("AWS_ACCESS_KEY_ID", AWS_ID)
        .env("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

/// Refuses whatever a gateway should keep to itself.
pub async fn upstream() -> Upstream {
    let options = Options { strict: true, forbidden: vec![BOOT.to_owned()], ..Options::default() };
    Upstream::start(options).await.unwrap()
}

impl House {
    pub async fn open() -> Self {
        Self::with(setup()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let upstream = upstream().await;
        let gateway = setup.start(&upstream).await;
        Self::of(upstream, gateway).await
    }

    pub async fn of(upstream: Upstream, gateway: Gateway) -> Self {
        let base = format!("http://{}", gateway.listener("single").await);
        Self { upstream, gateway, base }
    }

    /// In the same directory, after whatever ended it.
    pub async fn restart(&mut self) {
        self.gateway.restart().await;
        self.base = format!("http://{}", self.gateway.listener("single").await);
    }

    pub fn request(&self, key: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.gateway.http.post(format!("{}{path}", self.base)).bearer_auth(key).json(body)
    }

    pub async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(key, path, body)).await
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        Answer::of(self.gateway.http.get(format!("{}{path}", self.base)).bearer_auth(key)).await
    }

    pub async fn chat(&self, user: &User, body: &Value) -> Answer {
        self.post(&user.key, "/v1/chat/completions", body).await
    }

    /// The data of a management call that has to succeed.
    pub async fn manage(&self, path: &str, body: Value) -> Value {
        let answer = self.post(BOOT, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()["data"].clone()
    }

    /// A key of the first group, with quota enough unless `extra` says otherwise.
    pub async fn user(&self, extra: Value) -> User {
        let mut body = json!({"name": "user", "group_id": 1, "month_quota": 20});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let made = self.manage("/admin/api-key/apply", body).await;
        User { id: made["id"].as_i64().unwrap(), key: made["api_key"].as_str().unwrap().to_owned() }
    }

    /// A model row at 3 and 15 USD per million, granted to the first group; returns its id.
    pub async fn model(&self, name: &str, provider: &str, config: Value) -> i64 {
        self.model_at(name, provider, config, json!({})).await
    }

    pub async fn model_at(&self, name: &str, provider: &str, config: Value, extra: Value) -> i64 {
        let mut body = json!({"name": name, "provider": provider, "config": config, "price_in": 3, "price_out": 15});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let id = self.manage("/admin/model/save", body).await["id"].as_i64().unwrap();
        let grant = json!({"group_id": 1, "model_id": id});
        assert_eq!(self.manage("/admin/group/bind-or-unbind-model", grant).await, "created");
        id
    }

    /// A model row behind whoever copied OpenAI's API.
    pub async fn compatible(&self, name: &str, model: &str) -> i64 {
        let config = json!({"baseURL": format!("{}/v1", self.upstream.url()), "apiKey": "sk-upstream", "model": model});
        self.model(name, "openai-compatible", config).await
    }

    /// The id of a row by its name.
    pub async fn model_id(&self, name: &str) -> i64 {
        let list = self.get(BOOT, &format!("/admin/model/list?limit=1000&q={name}")).await.json();
        let rows = list["data"]["items"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()["id"].as_i64().unwrap()
    }

    pub async fn mine(&self, user: &User) -> Value {
        self.get(&user.key, "/user/api-key/mine").await.json()["data"].clone()
    }

    /// The caller's books, once everything it did is in them.
    pub async fn spent(&self, user: &User, total: &str) -> Value {
        eventually(&format!("{total} is spent"), || async { self.mine(user).await["total_fee"] == total }).await;
        self.mine(user).await
    }

    /// The event of one request, by the id that the answer named.
    pub async fn event(&self, answer: &Answer) -> Value {
        let id = answer.header("x-tollgate-event-id");
        let search = json!({"start": 1, "end": 99_999_999_999_i64});
        let find = || async {
            let (status, found) = self.gateway.admin("POST", "/api/v2/events", Some(search.clone())).await;
            assert_eq!(status, 200, "{found}");
            found["events"].as_array().unwrap().iter().find(|event| event["id"] == id).cloned()
        };
        eventually("the event is in the store", || async { find().await.is_some() }).await;
        find().await.unwrap()
    }

    /// Every event there is.
    pub async fn events(&self) -> Vec<Value> {
        let search = json!({"start": 1, "end": 99_999_999_999_i64});
        let (status, found) = self.gateway.admin("POST", "/api/v2/events", Some(search)).await;
        assert_eq!(status, 200, "{found}");
        found["events"].as_array().unwrap().clone()
    }

    /// The body of the latest request that the upstream got.
    pub fn sent(&self) -> Value {
        let seen = self.upstream.seen();
        serde_json::from_slice(&seen.last().expect("a request").body).unwrap()
    }
}

impl Answer {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers, text: answer.text().await.expect("its body") }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The chunks of a stream that ended as it should.
    pub fn chunks(&self) -> Vec<Value> {
        let mut lines = data(&self.text);
        assert_eq!(lines.pop(), Some("[DONE]"), "{}", self.text);
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An error that both kinds of client can read, with its code.
    pub fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!((&body["success"], &body["error"]["code"]), (&json!(false), &json!(code)), "{body}");
        assert!(body["data"].is_string() && body["data"] == body["error"]["message"], "{body}");
        assert!(body["error"]["type"].is_string(), "{body}");
        body["data"].as_str().unwrap().to_owned()
    }
}

/// The data of each server-sent event.
pub fn data(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

/// What all chunks say together.
pub fn said(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

pub fn question(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100})
}

pub fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// A question that tells the local upstream how to answer, also where its API has no member for that.
pub fn told(model: &str, act: &Value) -> Value {
    let mut body = question(model);
    body["messages"][0]["content"] = json!(format!("upstream:{act}"));
    body["user"] = json!(act.to_string());
    body
}

pub fn used(input: u64, output: u64) -> Act {
    Act { tokens: Tokens { input: Some(input), output: Some(output), ..Tokens::default() }, ..Act::default() }
}

/// What so many tokens cost at 3 and 15 USD per million.
pub fn fee(input: u64, output: u64) -> String {
    let units = input * 30_000 + output * 150_000;
    format!("{}.{:010}", units / 10_000_000_000, units % 10_000_000_000)
}
