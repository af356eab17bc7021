//! Who gets in, and what the process says about itself.

use super::support::*;
use crate::admin::Dependency;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

fn with_key(path: &str, header: &str, value: &str) -> Request<Body> {
    Request::builder().uri(path).header(header, value).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn c2_health_is_200_and_empty_without_the_secret() {
    let desk = Desk::with(&["pass"], 10);
    for path in ["/api/health", "/healthz"] {
        let answer = desk.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "{path}");
    }
}

#[tokio::test]
async fn c3_without_secret_open_and_with_it_the_header_opens() {
    assert_eq!(Desk::open().get("/api/provider-settings").await.good(), json!([]));
    let desk = Desk::with(&["pass", "api"], 10);
    for secret in ["pass", "api"] {
        let answer = desk.send(with_key("/api/provider-settings", "X-API-KEY", secret)).await;
        assert_eq!(answer.good(), json!([]));
    }
}

#[tokio::test]
async fn c4_missing_or_wrong_secret_is_401_and_changes_nothing() {
    let desk = Desk::with(&["pass"], 10);
    let body = json!({"provider": "openai", "setting": {"apikey": CREDENTIAL}});
    desk.put("/api/provider-settings", body.clone()).await.problem(
        401,
        "/errors/unauthorized",
        "/api/provider-settings",
    );
    let wrong = Request::put("/api/provider-settings").header("x-api-key", "Pass").body(body.to_string().into());
    assert_eq!(desk.send(wrong.unwrap()).await.status, StatusCode::UNAUTHORIZED);
    assert!(desk.store.settings.lock().is_empty());
    assert_eq!(desk.refreshed(), 0);
}

#[tokio::test]
async fn without_a_secret_web_pages_get_nothing_and_change_nothing() {
    let desk = Desk::open();
    let body = json!({"provider": "openai", "setting": {"apikey": CREDENTIAL}}).to_string();
    let put = |header: &str, value: &str| {
        let request = Request::put("/api/provider-settings").header("host", "localhost:8001").header(header, value);
        request.body(Body::from(body.clone())).unwrap()
    };
    for (header, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example"), ("host", "evil.example:8001")]
    {
        desk.send(put(header, value)).await.problem(403, "/errors/forbidden", "/api/provider-settings");
    }
    assert!(desk.store.settings.lock().is_empty());
    for path in ["/metrics", "/api/openapi.json", "/api/nothing"] {
        desk.send(with_key(path, "host", "evil.example")).await.problem(403, "/errors/forbidden", path);
    }
    assert_eq!(desk.send(with_key("/healthz", "host", "evil.example")).await.status, StatusCode::OK);
    assert_eq!(desk.send(put("origin", "http://localhost:8001")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn with_a_secret_it_alone_decides() {
    let desk = Desk::with(&["pass"], 10);
    let request = Request::get("/api/provider-settings").header("x-api-key", "pass");
    let request = request.header("host", "gateway.example").header("origin", "https://console.example");
    assert_eq!(desk.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_unknown_also_needs_the_secret() {
    let desk = Desk::with(&["pass"], 10);
    for path in ["/api/nothing", "/", "/api/openapi.json", "/metrics"] {
        desk.get(path).await.problem(401, "/errors/unauthorized", path);
    }
}

#[tokio::test]
async fn metrics_take_the_secret_as_header_or_bearer() {
    let desk = Desk::with(&["pass"], 10);
    for (header, value) in [("x-api-key", "pass"), ("authorization", "Bearer pass")] {
        let answer = desk.send(with_key("/metrics", header, value)).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "tollgate_up 1\n"));
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    }
    let elsewhere = desk.send(with_key("/api/provider-settings", "authorization", "Bearer pass")).await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn readiness_names_each_dependency() {
    let desk = Desk::with(&["pass"], 10);
    let fine = Dependency { name: "store".into(), ok: true, vital: false, detail: "version 1".into() };
    *desk.dependencies.0.lock() = vec![fine.clone()];
    let answer = desk.get("/readyz").await.good();
    let told = json!([{"name": "store", "ok": true, "detail": "version 1"}]);
    assert_eq!(answer, json!({"ready": true, "serving": true, "dependencies": told}));

    let down = Dependency { name: "counters".into(), ok: false, vital: false, detail: "no answer".into() };
    for (vital, degraded) in [(false, StatusCode::OK), (true, StatusCode::SERVICE_UNAVAILABLE)] {
        *desk.dependencies.0.lock() = vec![fine.clone(), Dependency { vital, ..down.clone() }];
        let answer = desk.get("/readyz").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let told = answer.json();
        assert_eq!(told["dependencies"][1], json!({"name": "counters", "ok": false, "detail": "no answer"}));
        assert_eq!((&told["ready"], &told["serving"]), (&json!(false), &json!(!vital)));
        assert_eq!(desk.get("/readyz?degraded=ok").await.status, degraded);
        for other in ["?degraded", "?degraded=", "?degraded=no", "?x=ok", "?degraded=okay"] {
            assert_eq!(desk.get(&format!("/readyz{other}")).await.status, StatusCode::SERVICE_UNAVAILABLE, "{other}");
        }
    }
}

#[tokio::test]
async fn c5_unknown_paths_and_methods_are_problems_too() {
    let desk = Desk::open();
    desk.get("/api/nothing?x=1").await.problem(404, "/errors/not-found", "/api/nothing");
    let wrong = desk.raw(axum::http::Method::DELETE, "/api/provider-settings", Body::empty()).await;
    assert!(wrong.headers["allow"].to_str().unwrap().contains("PUT"));
    wrong.problem(405, "/errors/method-not-allowed", "/api/provider-settings");
    let open = desk.post("/healthz", json!({})).await;
    open.problem(405, "/errors/method-not-allowed", "/healthz");
}

#[tokio::test]
async fn c5_empty_ids_in_paths_are_named() {
    let desk = Desk::open();
    desk.patch("/api/key-management/keys/", json!({})).await.problem(
        400,
        "/errors/missing-param-id",
        "/api/key-management/keys/",
    );
    desk.get("/api/reporting/keys/%20").await.problem(400, "/errors/missing-param-id", "/api/reporting/keys/{keyId}");
}

#[tokio::test]
async fn c5_a_broken_store_is_500_without_its_words() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    desk.store.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    let keys = "/api/key-management/keys";
    let new = json!({"name": "n", "key": "k", "settingIds": [uuid::Uuid::new_v4()]});
    let range = json!({"start": 1, "end": 2, "increment": 1});
    let details = [
        desk.get(&format!("{keys}?tag=a")).await.problem(500, "/errors/getting-keys", keys),
        desk.put(keys, new).await.problem(500, "/errors/key-manager", keys),
        desk.patch(&key_path(&key), json!({})).await.problem(
            500,
            "/errors/key-manager",
            "/api/key-management/keys/{keyId}",
        ),
        desk.get("/api/provider-settings").await.problem(
            500,
            "/errors/provider-settings-manager",
            "/api/provider-settings",
        ),
        desk.get("/api/events?customId=a").await.problem(500, "/errors/event-manager", "/api/events"),
        desk.post("/api/reporting/events", range).await.problem(
            500,
            "/errors/event-reporting-manager",
            "/api/reporting/events",
        ),
        desk.get(&format!("/api/reporting/keys/{}", id_of(&key))).await.problem(
            500,
            "/errors/key-reporting-manager",
            "/api/reporting/keys/{keyId}",
        ),
    ];
    for detail in details {
        assert!(!detail.contains("SELECT") && !detail.contains("disk"), "{detail}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_echoed_and_others_are_replaced() {
    let desk = Desk::open();
    let answer = desk.send(with_key("/healthz", "x-request-id", "abc-1")).await;
    assert_eq!(answer.headers["x-request-id"], "abc-1");
    let answer = desk.send(with_key("/healthz", "x-request-id", "a b\"c")).await;
    assert!(uuid::Uuid::try_parse(answer.headers["x-request-id"].to_str().unwrap()).is_ok());
}
