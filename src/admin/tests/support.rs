//! An admin listener without a socket: call it, look into what it left behind.

use super::fake::{FakeClock, FakeCounters, FakeStore};
use crate::admin::{Access, AdminState, Dependency, Readiness, Refresh, router};
use crate::auth::shared::SharedSecrets;
use crate::domain::*;
use crate::metering::Pricing;
use crate::providers::SettingSchema;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tower::ServiceExt;
use uuid::Uuid;

pub(super) const NOW: i64 = 1_700_000_000;
pub(super) const RAW_KEY: &str = "gw-secret-0123456789";
pub(super) const CREDENTIAL: &str = "sk-upstream-credential";

pub(super) fn schemas(provider: &str) -> Option<SettingSchema> {
    let (required, optional, public): (_, &[_], _) = match provider {
        "openai" | "anthropic" => (&["apikey"] as &[_], &["baseUrl"], &["baseUrl"] as &[_]),
        "azure" => (&["resourceName", "apikey"], &["baseUrl"], &["resourceName", "baseUrl"]),
        "vllm" => (&["url"], &["apikey"], &["url"]),
        "bedrock" => (
            &["awsAccessKeyId", "awsSecretAccessKey", "awsRegion"],
            &["awsSessionToken"],
            &["awsAccessKeyId", "awsRegion"],
        ),
        _ => return None,
    };
    Some(SettingSchema { required, optional, public })
}

#[derive(Default)]
pub(super) struct Refreshes(AtomicU64);

#[async_trait]
impl Refresh for Refreshes {
    async fn refresh(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(super) struct Dependencies(pub(super) Mutex<Vec<Dependency>>);

#[async_trait]
impl Readiness for Dependencies {
    async fn report(&self) -> Vec<Dependency> {
        self.0.lock().clone()
    }
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
    /// The object of a success.
    #[track_caller]
    pub(super) fn good(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }
    /// Checks the whole error body; gives `detail`.
    #[track_caller]
    pub(super) fn problem(self, status: u16, kind: &str, instance: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let body = self.json();
        let names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["detail", "instance", "status", "title", "type"]);
        assert_eq!(
            (&body["status"], &body["type"], &body["instance"]),
            (&json!(status), &json!(kind), &json!(instance)),
            "{}",
            self.text
        );
        assert!(!body["title"].as_str().unwrap().is_empty());
        body["detail"].as_str().unwrap().to_owned()
    }
}

pub(super) struct Desk {
    pub(super) store: Arc<FakeStore>,
    pub(super) counters: Arc<FakeCounters>,
    pub(super) clock: Arc<FakeClock>,
    pub(super) dependencies: Arc<Dependencies>,
    refreshes: Arc<Refreshes>,
    router: Router,
}

impl Desk {
    pub(super) fn open() -> Self {
        Self::with(&[], 10_000)
    }
    pub(super) fn with(secrets: &[&str], events_limit: u64) -> Self {
        let (store, counters) = (Arc::new(FakeStore::default()), Arc::new(FakeCounters::default()));
        let clock = Arc::new(FakeClock(AtomicI64::new(NOW)));
        let (refreshes, dependencies) = (Arc::new(Refreshes::default()), Arc::new(Dependencies::default()));
        let state = AdminState {
            store: store.clone(),
            snapshot: Arc::default(),
            refresh: refreshes.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
            zone: BillingZone::UTC,
            schemas,
            access: Arc::new(Access::new(SharedSecrets::new(secrets.iter().map(|s| Secret::new(*s))))),
            cors: Arc::default(),
            model_providers: Vec::new,
            check_model: |_, _| Ok(()),
            pricing: Arc::new(Pricing::shipped()),
            events_limit,
            metrics: Arc::new(|| "tollgate_up 1\n".to_owned()),
            readiness: dependencies.clone(),
        };
        Self { store, counters, clock, dependencies, refreshes, router: router(state) }
    }
    /// How many times requests were told to look again.
    pub(super) fn refreshed(&self) -> u64 {
        self.refreshes.0.load(Ordering::Relaxed)
    }
    pub(super) fn at(&self, seconds: i64) {
        self.clock.0.store(seconds, Ordering::Relaxed);
    }
    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        for secret in [RAW_KEY, CREDENTIAL, &hex::encode(crate::auth::digest::digest(RAW_KEY.as_bytes()).as_bytes())] {
            assert!(!text.contains(secret), "an answer contains a secret: {text}");
        }
        assert!(head.headers.contains_key("x-request-id"));
        Answer { status: head.status, headers: head.headers, text }
    }
    pub(super) async fn raw(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(body.into()).unwrap()).await
    }
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.raw(Method::GET, path, Body::empty()).await
    }
    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::PUT, path, body.to_string()).await
    }
    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::POST, path, body.to_string()).await
    }
    pub(super) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.raw(Method::PATCH, path, body.to_string()).await
    }

    /// Id of a new setting of `provider`.
    pub(super) async fn setting(&self, provider: &str) -> String {
        let body = json!({"provider": provider, "setting": {"apikey": CREDENTIAL}});
        let made = self.put("/api/provider-settings", body).await.good();
        made["id"].as_str().unwrap().to_owned()
    }
    /// A new key with these fields over the required ones.
    pub(super) async fn key(&self, fields: Value) -> Value {
        let setting = self.setting("openai").await;
        let mut body = json!({"name": "a key", "key": RAW_KEY, "settingIds": [setting]});
        merge(&mut body, fields);
        self.put("/api/key-management/keys", body).await.good()
    }
    pub(super) fn book(&self, event: Event) {
        self.store.events.lock().push(event);
    }
}

pub(super) fn merge(into: &mut Value, fields: Value) {
    let Value::Object(fields) = fields else { panic!("not an object") };
    into.as_object_mut().unwrap().extend(fields);
}

pub(super) fn id_of(key: &Value) -> KeyId {
    KeyId::parse(key["keyId"].as_str().unwrap()).unwrap()
}

pub(super) fn key_path(key: &Value) -> String {
    format!("/api/key-management/keys/{}", key["keyId"].as_str().unwrap())
}

/// A successful event of `key` at a second.
pub(super) fn event(key: KeyId, at: i64) -> Event {
    Event {
        id: EventId::from_uuid(Uuid::new_v4()),
        created_at: UnixMillis(at * 1000 + 500),
        key_id: Some(key),
        setting_id: None,
        tags: Vec::new(),
        provider: "openai".into(),
        model: "gpt-4".into(),
        status: 200,
        method: "POST".into(),
        path: "/api/providers/openai/v1/chat/completions".into(),
        latency_ms: 100,
        cost: Money::parse_usd("0.00093").unwrap(),
        usage: Usage { in_text: 9, out_text: 11, ..Usage::default() },
        flags: Vec::new(),
        custom_id: "".into(),
        user_id: "".into(),
        request_id: "req-1".into(),
        upstream_request_id: "up-1".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}
