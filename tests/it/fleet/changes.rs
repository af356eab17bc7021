//! What is changed through one gateway holds at all of them when the change is answered: the very next request shows it.

use super::question;
use crate::support::{BOOT, Fleet, Told, chat_body};
use serde_json::{Value, json};

/// Sends to every gateway; none may answer otherwise.
async fn all(fleet: &Fleet, key: &str, body: &Value, status: u16, why: &str) {
    for (n, answer) in fleet.each(key, body).await.into_iter().enumerate() {
        assert_eq!(answer.status, status, "{why}, gateway {n}: {}", answer.text);
    }
}

async fn good(fleet: &Fleet, by: usize, method: &str, path: &str, body: Option<Value>) -> Value {
    let (status, answer) = fleet.nodes[by].admin(method, path, body).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_changed_revoked_or_deleted() {
    let fleet = Fleet::start(3).await;
    let body = question();
    // Each time through another gateway.
    for round in 0..6 {
        let by = round % 3;
        let key = format!("k{round}");
        let id = fleet.nodes[by].key(&key, json!({})).await;
        all(&fleet, &key, &body, 200, "made").await;
        fleet.nodes[by].patch_key(&id, json!({"revoked": true})).await;
        all(&fleet, &key, &body, 401, "revoked").await;
        fleet.nodes[by].patch_key(&id, json!({"revoked": false})).await;
        all(&fleet, &key, &body, 200, "allowed again").await;
        let paths = json!({"allowedPaths": [{"path": "/api/providers/openai/v1/embeddings", "method": "POST"}]});
        fleet.nodes[by].patch_key(&id, paths).await;
        all(&fleet, &key, &body, 403, "not this path").await;
        good(&fleet, by, "DELETE", &format!("/api/key-management/keys/{id}"), None).await;
        all(&fleet, &key, &body, 401, "deleted").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_are_raised_or_lowered() {
    let fleet = Fleet::start(3).await;
    let body = question();
    let id = fleet.nodes[0].key("k", json!({"rateLimitOverTime": 1, "rateLimitUnit": "h"})).await;
    super::early(3600, 20).await;
    assert_eq!(fleet.nodes[1].told("k", &body).await.status, 200);
    all(&fleet, "k", &body, 429, "the rate is used").await;
    fleet.nodes[2].patch_key(&id, json!({"rateLimitOverTime": 4, "rateLimitUnit": "h"})).await;
    let left: Vec<Told> = fleet.each("k", &body).await;
    assert!(left.iter().all(|answer| answer.status == 200 && answer.header("x-ratelimit-limit-requests") == "4"));
    let money = json!({"rateLimitOverTime": 0, "rateLimitUnit": "", "costLimitInUsd": 0.0001});
    fleet.nodes[1].patch_key(&id, money).await;
    all(&fleet, "k", &body, 401, "more is spent than the new limit").await;
    fleet.nodes[0].patch_key(&id, json!({"revoked": false, "costLimitInUsd": 1})).await;
    all(&fleet, "k", &body, 200, "raised").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_routes() {
    let fleet = Fleet::start(3).await;
    let body = question();
    let setting = fleet.nodes[0].setting(json!({})).await;
    let id = fleet.nodes[1].key("k", json!({"settingIds": [setting]})).await;
    all(&fleet, "k", &body, 200, "made").await;
    let at = format!("/api/provider-settings/{setting}");
    good(&fleet, 2, "PATCH", &at, Some(json!({"allowedModels": ["gpt-4"]}))).await;
    all(&fleet, "k", &body, 403, "not this model").await;
    good(&fleet, 1, "PATCH", &at, Some(json!({"allowedModels": []}))).await;
    all(&fleet, "k", &body, 200, "any model").await;
    let elsewhere = json!({"setting": {"apikey": "sk-wrong"}});
    good(&fleet, 0, "PATCH", &at, Some(elsewhere)).await;
    all(&fleet, "k", &body, 502, "another credential").await;
    good(&fleet, 0, "PATCH", &at, Some(json!({"setting": {"apikey": "sk-upstream"}}))).await;

    let route = json!({"name": "r", "path": "/chat/r", "keyIds": [id], "cacheConfig": {"enabled": false},
                       "steps": [{"provider": "openai", "model": "gpt-4o"}]});
    let made = good(&fleet, 1, "POST", "/api/routes", Some(route)).await;
    let ask = json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20});
    let each = async |status: u16, why: &str| {
        for node in &fleet.nodes {
            let answer = node.told_at(&format!("{}/api/routes/chat/r", node.proxy), "k", &ask).await;
            assert_eq!(answer.status, status, "{why}: {}", answer.text);
        }
    };
    each(200, "made").await;
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    good(&fleet, 2, "DELETE", &at, None).await;
    each(404, "deleted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_groups_and_grants() {
    let fleet = Fleet::start(3).await;
    let config = json!({"baseURL": format!("{}/v1", fleet.upstream.url()), "apiKey": "sk-upstream", "model": "gpt-4o"});
    let row = json!({"name": "m", "provider": "openai-compatible", "config": config, "price_in": 3, "price_out": 15});
    let model = fleet.nodes[0].manage("/admin/model/save", row).await["id"].clone();
    let group = fleet.nodes[1].manage("/admin/group/save", json!({"name": "g", "key": "g"})).await["id"].clone();
    let user = json!({"name": "u", "group_id": group, "month_quota": 20});
    let made = fleet.nodes[2].manage("/admin/api-key/apply", user).await;
    let key = made["api_key"].as_str().unwrap().to_owned();
    let ask = chat_body("m", &json!({}));
    let each = async |status: u16, why: &str| {
        for node in &fleet.nodes {
            let answer = node.told_at(&format!("{}/v1/chat/completions", node.proxy), &key, &ask).await;
            assert_eq!(answer.status, status, "{why}: {}", answer.text);
        }
    };
    each(403, "not granted").await;
    let grant = json!({"group_id": group, "model_id": model});
    fleet.nodes[0].manage("/admin/group/bind-or-unbind-model", grant.clone()).await;
    each(200, "granted to the group").await;
    fleet.nodes[1].manage("/admin/group/bind-or-unbind-model", grant.clone()).await;
    each(403, "taken from the group").await;
    let own = json!({"key_id": made["id"], "model_id": model});
    fleet.nodes[2].manage("/admin/api-key/bind-or-unbind-model", own).await;
    each(200, "granted to the key").await;
    fleet.nodes[0].manage("/admin/model/delete", json!({"id": model})).await;
    each(404, "deleted").await;
    // The new secret works at once, the old one nowhere.
    let reset = fleet.nodes[1].manage("/admin/api-key/reset-key", json!({"id": made["id"]})).await;
    for node in &fleet.nodes {
        let list = |secret: &str| node.http.get(format!("{}/v1/models", node.proxy)).bearer_auth(secret.to_owned());
        assert_eq!(list(&key).send().await.unwrap().status(), 401);
        assert_eq!(list(reset["api_key"].as_str().unwrap()).send().await.unwrap().status(), 200);
        assert_ne!(list(BOOT).send().await.unwrap().status(), 500);
    }
}
