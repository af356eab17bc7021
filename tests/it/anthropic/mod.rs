//! Anthropic against the running program, with an upstream that plays its API.

mod access;
mod batches;
mod billing;
mod clients;
mod limits;
mod streaming;

use crate::support::{Gateway, Setup};
use crate::upstream::{Api, Options, Upstream};
use serde_json::{Value, json};

const BASE_URL: &str = "TOLLGATE_PROVIDERS_ANTHROPIC_BASE_URL";

/// An upstream that refuses whatever a gateway should have removed, and a gateway before it.
async fn house() -> (Upstream, Gateway) {
    let options = Options { api: Api::Anthropic, strict: true, forbidden: vec!["gw-key".into()], ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = Setup::default().env(BASE_URL, &upstream.url()).start(&upstream).await;
    (upstream, gateway)
}

/// A key with one setting; both may be told more.
async fn key_with(gateway: &Gateway, key: Value, setting: Value) -> String {
    let mut whole = json!({"provider": "anthropic"});
    whole.as_object_mut().unwrap().extend(setting.as_object().unwrap().clone());
    let mut body = json!({"settingIds": [gateway.setting(whole).await]});
    body.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    gateway.key("gw-key", body).await
}

async fn key(gateway: &Gateway) -> String {
    key_with(gateway, json!({}), json!({})).await
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("{}/api/providers/anthropic{path}", gateway.proxy)
}

/// A message body; `act` tells the local upstream how to answer.
fn message(model: &str, act: &Value) -> Value {
    json!({
        "model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": "hello"}],
        "metadata": {"user_id": act.to_string()},
    })
}

fn streamed(model: &str, act: &Value) -> Value {
    let mut body = message(model, act);
    body["stream"] = json!(true);
    body
}

fn request(gateway: &Gateway, path: &str, body: &Value) -> reqwest::RequestBuilder {
    gateway
        .http
        .post(url(gateway, path))
        .header("x-api-key", "gw-key")
        .header("anthropic-version", "2026-10-21")
        .json(body)
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    request(gateway, path, body).send().await.unwrap()
}

async fn get(gateway: &Gateway, path: &str) -> reqwest::Response {
    gateway.http.get(url(gateway, path)).header("x-api-key", "gw-key").send().await.unwrap()
}
