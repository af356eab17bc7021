//! The management API from outside, over a real store: requests into the router, answers out.

mod access;
mod groups;
mod keys;
mod models;
mod people;

use super::fake::FakeClock;
use super::support::{Answer, Dependencies, NOW};
use crate::admin::{Access, AdminState, Refresh, first_models, router};
use crate::auth::origins::Origins;
use crate::auth::shared::SharedSecrets;
use crate::counters::MemoryCounters;
use crate::domain::time::Clock;
use crate::domain::*;
use crate::metering::Pricing;
use crate::providers::backend;
use crate::snapshot::Snapshot;
use crate::store::SharedStore;
use crate::store::loader::Loader;
use crate::store::seal::{MasterKey, Sealer};
use crate::store::sqlite::SqliteStore;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use base64::Engine;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tower::ServiceExt;

const BOOT: &str = "br_boot-key-of-these-tests";

struct Fresh(Arc<Loader>);

#[async_trait]
impl Refresh for Fresh {
    async fn refresh(&self) {
        self.0.refresh().await.unwrap();
    }
}

struct Console {
    state: AdminState,
    store: SharedStore,
    loader: Arc<Loader>,
    clock: Arc<FakeClock>,
    router: Router,
    _folder: TempDir,
}

impl Console {
    /// An empty database.
    fn open() -> Self {
        Self::with(&[BOOT], Origins::Any)
    }
    fn with(secrets: &[&str], cors: Origins) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::parse_base64(&base64::engine::general_purpose::STANDARD.encode([7; 32])).unwrap();
        let sealer = Sealer::new(vec![key]).unwrap();
        let store: SharedStore = Arc::new(SqliteStore::open(folder.path().join("store.db"), sealer).unwrap());
        let loader = Arc::new(Loader::new(store.clone()));
        let clock = Arc::new(FakeClock(AtomicI64::new(NOW)));
        let state = AdminState {
            store: store.clone(),
            snapshot: loader.cell(),
            refresh: Arc::new(Fresh(loader.clone())),
            counters: Arc::new(MemoryCounters::new()),
            clock: clock.clone(),
            zone: BillingZone::UTC,
            schemas: AdminState::built_in_schemas,
            access: Arc::new(Access::new(SharedSecrets::new(secrets.iter().map(|s| Secret::new(*s))))),
            cors: Arc::new(cors),
            model_providers: backend::names,
            check_model: backend::check,
            pricing: Arc::new(Pricing::shipped()),
            events_limit: 10,
            metrics: Arc::new(String::new),
            readiness: Arc::new(Dependencies::default()),
        };
        let router = router(state.clone());
        Self { state, store, loader, clock, router, _folder: folder }
    }
    /// A database with the first models.
    async fn seeded() -> Self {
        let console = Self::open();
        assert!(console.store.seed_models(&first_models(console.clock.now())).await.unwrap());
        console.loader.refresh().await.unwrap();
        console
    }

    fn at(&self, seconds: i64) {
        self.clock.0.store(seconds, Ordering::Relaxed);
    }
    fn picture(&self) -> Arc<Snapshot> {
        self.loader.current()
    }
    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        assert!(!text.contains(BOOT), "an answer contains the boot key: {text}");
        assert!(head.headers.contains_key("x-request-id"));
        Answer { status: head.status, headers: head.headers, text }
    }
    /// With a key; empty = without.
    async fn call(&self, method: Method, path: &str, key: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.send(request.body(body.into()).unwrap()).await
    }
    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, BOOT, Body::empty()).await
    }
    async fn get_as(&self, key: &str, path: &str) -> Answer {
        self.call(Method::GET, path, key, Body::empty()).await
    }
    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, BOOT, body.to_string()).await
    }
    async fn post_as(&self, key: &str, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, key, body.to_string()).await
    }

    /// A new key; id and secret.
    async fn key(&self, fields: Value) -> (i64, String) {
        let mut body = json!({"name": "somebody"});
        super::support::merge(&mut body, fields);
        let made = self.post("/admin/api-key/apply", body).await.data();
        (made["id"].as_i64().unwrap(), made["api_key"].as_str().unwrap().to_owned())
    }
    /// A new model of some kind; its id.
    async fn model(&self, name: &str) -> i64 {
        let body = json!({"name": name, "provider": "ollama", "config": {"host": "http://127.0.0.1:1", "model": "m"}});
        self.post("/admin/model/save", body).await.data()["id"].as_i64().unwrap()
    }
    async fn group(&self, name: &str) -> i64 {
        self.post("/admin/group/save", json!({"name": name})).await.data()["id"].as_i64().unwrap()
    }
    /// Names of the models that a key may use, as its client lists them.
    async fn models_of(&self, secret: &str) -> Vec<String> {
        let list = self.get_as(secret, "/user/model/list-for-brclient").await.data();
        list.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    }
    /// `total` and one member of each item.
    async fn list(&self, path: &str, member: &str) -> (String, Vec<Value>) {
        let data = self.get(path).await.data();
        let items = data["items"].as_array().unwrap().iter().map(|item| item[member].clone()).collect();
        (data["total"].as_str().unwrap().to_owned(), items)
    }
}

impl Answer {
    /// What a success holds.
    #[track_caller]
    fn data(self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json; charset=utf-8");
        let mut body = self.good();
        assert_eq!(body["success"], json!(true));
        body["data"].take()
    }
    /// Checks the whole error body; gives its text.
    #[track_caller]
    fn refused(self, status: u16, kind: &str, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json; charset=utf-8");
        assert_eq!(self.headers["access-control-allow-origin"], "*");
        let body = self.json();
        let text = body["data"].as_str().unwrap().to_owned();
        let error = json!({"message": text, "type": kind, "code": code, "param": null});
        assert_eq!(body, json!({"success": false, "data": text, "error": error}));
        text
    }
    #[track_caller]
    fn invalid(self) -> String {
        self.refused(400, "invalid_request_error", "invalid_request")
    }
    #[track_caller]
    fn not_found(self) -> String {
        self.refused(404, "not_found_error", "not_found")
    }
    /// The key that was presented is nobody's.
    #[track_caller]
    fn unknown_key(self) {
        assert_eq!(self.refused(401, "authentication_error", "invalid_api_key"), "Unauthorized: api key error.");
    }
}
