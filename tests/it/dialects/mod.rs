//! Providers that speak a dialect of OpenAI's API, or a form of their own: what is theirs alone. The walk itself is
//! tested once, with OpenAI.

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Api, Options, Upstream};
use serde_json::{Value, json};

mod azure;
mod clients;
mod deepinfra;
mod gemini;
mod ollama;
mod vllm;

/// The client's own key, which no upstream may ever see.
const KEY: &str = "gw-dialect-key";

async fn upstream(api: Api) -> Upstream {
    Upstream::start(Options { api, strict: true, forbidden: vec![KEY.into()], ..Options::default() }).await.unwrap()
}

/// A gateway whose base URL for the provider is the upstream, or is left alone.
async fn gateway(upstream: &Upstream, base_url: Option<(&str, String)>) -> Gateway {
    let setup = match base_url {
        Some((name, url)) => Setup::default().env(name, &url),
        None => Setup::default(),
    };
    setup.start(upstream).await
}

fn url(gateway: &Gateway, provider: &str, path: &str) -> String {
    format!("{}/api/providers/{provider}{path}", gateway.proxy)
}

/// A setting of a provider, and [`KEY`] with it; returns the key's id.
async fn key(gateway: &Gateway, provider: &str, entries: Value, extra: Value) -> String {
    key_with(gateway, json!({"provider": provider, "setting": entries}), extra).await
}

async fn key_with(gateway: &Gateway, setting: Value, extra: Value) -> String {
    let setting = gateway.setting(setting).await;
    let mut body = json!({"settingIds": [setting]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    gateway.key(KEY, body).await
}

async fn post(url: &str, gateway: &Gateway, body: &Value) -> reqwest::Response {
    gateway.http.post(url).bearer_auth(KEY).json(body).send().await.unwrap()
}

fn sent(upstream: &Upstream) -> Value {
    serde_json::from_slice(&upstream.seen().last().expect("a request").body).expect("json")
}

/// Prompt, completion, cost and flags of an event.
fn booked(event: &Value) -> (u64, u64, f64, Value) {
    let number = |name: &str| event[name].as_u64().unwrap();
    let (prompt, completion) = (number("prompt_token_count"), number("completion_token_count"));
    (prompt, completion, event["cost_in_usd"].as_f64().unwrap(), event["flags"].clone())
}

/// The events of requests that were not refused, once there are so many.
async fn admitted(gateway: &Gateway, id: &str, count: usize) -> Vec<Value> {
    let served = async || {
        let mut events = gateway.events(id).await;
        events.retain(|event| !event["flags"].as_array().unwrap().contains(&json!("refused")));
        events
    };
    eventually("the admitted requests are booked", || async { served().await.len() >= count }).await;
    served().await
}
