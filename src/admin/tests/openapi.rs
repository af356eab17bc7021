//! The document says what the router does.

use super::support::*;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::Value;
use std::collections::BTreeSet;

const ENDPOINTS: [(&str, &str); 31] = [
    ("get", "/api/health"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/api/openapi.json"),
    ("get", "/api/key-management/keys"),
    ("put", "/api/key-management/keys"),
    ("patch", "/api/key-management/keys/{keyId}"),
    ("delete", "/api/key-management/keys/{keyId}"),
    ("post", "/api/v2/key-management/keys"),
    ("get", "/api/provider-settings"),
    ("put", "/api/provider-settings"),
    ("post", "/api/provider-settings"),
    ("patch", "/api/provider-settings/{id}"),
    ("get", "/api/custom/providers"),
    ("post", "/api/custom/providers"),
    ("patch", "/api/custom/providers/{id}"),
    ("get", "/api/routes"),
    ("post", "/api/routes"),
    ("get", "/api/routes/{id}"),
    ("patch", "/api/routes/{id}"),
    ("put", "/api/routes/{id}"),
    ("delete", "/api/routes/{id}"),
    ("post", "/api/reporting/events"),
    ("post", "/api/reporting/events-by-day"),
    ("post", "/api/reporting/top-keys"),
    ("get", "/api/reporting/keys/{keyId}"),
    ("get", "/api/reporting/custom-ids"),
    ("get", "/api/reporting/user-ids"),
    ("get", "/api/events"),
    ("post", "/api/v2/events"),
];

async fn document() -> Value {
    Desk::open().get("/api/openapi.json").await.good()
}

#[tokio::test]
async fn the_document_holds_exactly_the_endpoints() {
    let document = document().await;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|k| ["get", "put", "post", "patch", "delete"].contains(&k.as_str()));
        described.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    let wanted: BTreeSet<_> = ENDPOINTS.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(described, wanted);
}

/// Sends each method to each path: what the router has is in the document, and the other way round.
#[tokio::test]
async fn the_router_has_what_the_document_says_and_no_more() {
    let desk = Desk::open();
    let document = document().await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{keyId}", "x").replace("{id}", "x");
        for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let described = item.get(method.as_str().to_lowercase()).is_some();
            let answer = desk.raw(method.clone(), &concrete, Body::empty()).await;
            let exists = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(exists, described, "{method} {path}");
            assert!(!answer.text.contains("there is no such endpoint"), "{method} {path}");
        }
    }
}

/// `routes!` makes route and description from one handler; anything else would escape the document.
#[test]
fn routes_are_made_in_one_way_only() {
    for source in [
        include_str!("../mod.rs"),
        include_str!("../health.rs"),
        include_str!("../openapi.rs"),
        include_str!("../keys/mod.rs"),
        include_str!("../settings/mod.rs"),
        include_str!("../custom/mod.rs"),
        include_str!("../routes/mod.rs"),
        include_str!("../reporting/mod.rs"),
        include_str!("../events/mod.rs"),
    ] {
        for other in [".route(", ".nest(", ".nest_service(", ".route_service("] {
            assert!(!source.contains(other), "{other}");
        }
    }
}

#[tokio::test]
async fn references_resolve_and_operations_are_unique() {
    let document = document().await;
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
    let mut seen = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values().filter_map(|o| o.get("operationId")) {
            assert!(seen.insert(operation.as_str().unwrap().to_owned()), "{operation}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["adminKey"]["name"], "X-API-KEY");
    assert_eq!(document["security"][0]["adminKey"], serde_json::json!([]));
}

#[tokio::test]
async fn required_members_are_marked() {
    let document = document().await;
    let new_key = &document["components"]["schemas"]["NewKey"];
    assert_eq!(new_key["required"], serde_json::json!(["name", "key"]));
    assert!(new_key["properties"].get("settingIds").is_some());
}
