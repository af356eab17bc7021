//! Models that an administrator has made, called on `/v1`: vectors, knowledge bases, pictures from elsewhere.

mod embeddings;
mod knowledge;
mod pictures;

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};

const BOOT: &str = "br_boot-key-of-this-test";

/// A gateway with a local upstream, managed by its boot key.
pub struct House {
    pub upstream: Upstream,
    pub gateway: Gateway,
}

/// A key and how the configuration API names it.
pub struct Caller {
    pub secret: String,
    uuid: String,
}

impl House {
    pub async fn new(options: Options, setup: Setup) -> Self {
        let upstream = Upstream::start(options).await.unwrap();
        let setup = setup.env("ADMIN_API_KEY", BOOT).env("TOLLGATE_SINGLE_LISTEN", "127.0.0.1:0");
        let gateway = setup.start(&upstream).await;
        Self { upstream, gateway }
    }

    async fn admin(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let request = self.gateway.http.request(method, format!("{}{path}", self.gateway.admin));
        let request =
            if path.starts_with("/api/") { request.header("x-api-key", BOOT) } else { request.bearer_auth(BOOT) };
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Makes a model that costs so many dollars a million tokens; returns its id.
    pub async fn model(&self, name: &str, provider: &str, prices: (&str, &str), config: Value) -> Value {
        let body = json!({"name": name, "provider": provider, "price_in": prices.0, "price_out": prices.1,
            "multiple": 1, "config": config});
        self.admin(reqwest::Method::POST, "/admin/model/save", Some(body)).await["data"]["id"].clone()
    }

    /// Makes a key that may use these models. `rules`: of the configuration API.
    pub async fn caller(&self, secret: &str, models: &[&Value], rules: Value) -> Caller {
        let setting = json!({"provider": "openai", "setting": {"apikey": "sk-upstream"}});
        let setting = self.admin(reqwest::Method::PUT, "/api/provider-settings", Some(setting)).await;
        let mut body = json!({"name": secret, "key": secret, "settingIds": [setting["id"]]});
        body.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        let made = self.admin(reqwest::Method::PUT, "/api/key-management/keys", Some(body)).await;
        let list = self.admin(reqwest::Method::GET, &format!("/admin/api-key/list?name={secret}"), None).await;
        let id = list["data"]["items"][0]["id"].clone();
        for model in models {
            let body = json!({"key_id": id, "model_id": model, "action": "bind"});
            self.admin(reqwest::Method::POST, "/admin/api-key/bind-or-unbind-model", Some(body)).await;
        }
        Caller { secret: secret.to_owned(), uuid: made["keyId"].as_str().unwrap().to_owned() }
    }

    pub async fn post(&self, caller: &Caller, path: &str, body: &Value) -> reqwest::Response {
        let request = self.gateway.http.post(format!("{}{path}", self.gateway.proxy));
        request.bearer_auth(&caller.secret).json(body).send().await.unwrap()
    }

    /// The events of a key that were not refusals, once there are so many, oldest first.
    pub async fn events(&self, caller: &Caller, count: usize) -> Vec<Value> {
        let path = format!("/api/events?keyIds={}&start=0&end=99999999999", caller.uuid);
        let booked = async || {
            let mut events = self.admin(reqwest::Method::GET, &path, None).await.as_array().unwrap().clone();
            events.retain(|event| !event["flags"].as_array().unwrap().contains(&json!("refused")));
            events
        };
        eventually("the requests are booked", || async { booked().await.len() >= count }).await;
        let events = booked().await;
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }
}

/// What the upstream was sent, oldest first.
pub fn sent(upstream: &Upstream) -> Vec<Value> {
    upstream.seen().iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
}

/// What a model row on AWS needs of credentials.
pub fn aws(mut config: Value) -> Value {
    config["credentials"] = json!([{"accessKeyId": "AKIDUPSTREAM", "secretAccessKey": "upstream/secret+key"}]);
    config
}
