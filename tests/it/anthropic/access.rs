//! Who gets through, with which headers, and how the others are told.

use super::{BASE_URL, house, key, key_with, message, post, url};
use crate::support::Setup;
use crate::upstream::{Act, Api, Options, Upstream};
use serde_json::{Value, json};

const OPUS: &str = "claude-opus-5-5";

/// The upstream refuses any request that carries the client's key, a second credential or a header of the gateway's.
#[tokio::test]
async fn the_providers_credential_takes_the_place_of_the_clients_wherever_that_was() {
    let (upstream, gateway) = house().await;
    key(&gateway).await;
    for (name, value) in [("x-api-key", "gw-key"), ("authorization", "Bearer gw-key"), ("api-key", "gw-key")] {
        let request = gateway.http.post(url(&gateway, "/v1/messages?beta=true")).header(name, value);
        let request = request.header("cookie", "session=gw-key").header("anthropic-workspace-id", "wrkspc_theirs");
        let request = request.header("anthropic-beta", "files-api-2025-04-14").header("anthropic-beta", "b");
        let answer = request.json(&message(OPUS, &json!({}))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text().await.unwrap());
    }
    for seen in upstream.seen() {
        assert_eq!(seen.header("x-api-key"), Some("sk-upstream"));
        for gone in ["authorization", "api-key", "cookie", "anthropic-workspace-id"] {
            assert_eq!(seen.header(gone), None, "{gone}");
        }
        assert_eq!(seen.target, "/v1/messages?beta=true");
        assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"), "none was sent, one is needed");
        let betas: Vec<_> =
            seen.headers.iter().filter(|(n, _)| n == "anthropic-beta").map(|(_, v)| v.as_str()).collect();
        assert_eq!(betas, ["files-api-2025-04-14", "b"]);
    }
    assert!(!gateway.log().contains("gw-key") && !gateway.log().contains("sk-upstream"));
}

#[tokio::test]
async fn the_body_arrives_as_it_was_written() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let body = "{ \"model\" : \"claude-opus-5-5\", \"max_tokens\":1e1, \"x\":1e400, \"messages\":[{\"role\":\"user\",\
        \"content\":[{\"type\":\"text\",\"text\":\"\\ud83d\"}]}], \"metadata\":{\"user_id\":\"someone\"} }";
    let request = gateway.http.post(url(&gateway, "/v1/messages")).header("x-api-key", "gw-key");
    let request =
        request.header("anthropic-version", "2023-06-01").header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(upstream.seen()[0].body, body.as_bytes());
    assert_eq!(upstream.seen()[0].header("anthropic-version"), Some("2023-06-01"));
    let event = &gateway.events_settled(&id, 1).await[0];
    assert_eq!((event["userId"].as_str(), event["model"].as_str()), (Some("someone"), Some(OPUS)), "{event}");
}

#[tokio::test]
async fn the_ids_of_both_sides_are_told() {
    let (_upstream, gateway) = house().await;
    key(&gateway).await;
    let answer = post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await;
    let theirs = answer.headers()["request-id"].to_str().unwrap().to_owned();
    assert!(theirs.starts_with("req_"), "clients of this API look for it here");
    assert_eq!(answer.headers()["x-upstream-request-id"], *theirs);
    assert_ne!(answer.headers()["x-request-id"], *theirs);
}

fn is_error(body: &Value, kind: &str) {
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().starts_with("[Tollgate] "), "{body}");
    assert!(body["error"]["details"]["error_code"].is_string() && body["request_id"].is_string(), "{body}");
}

#[tokio::test]
async fn refusals_have_the_shape_and_the_headers_that_clients_choose_their_exception_by() {
    let (upstream, gateway) = house().await;
    let allowed = json!({"allowedModels": [OPUS]});
    let limits = json!({"allowedPaths": [{"method": "POST", "path": "/api/providers/anthropic/v1/*"}]});
    key_with(&gateway, limits, allowed).await;
    let good = message(OPUS, &json!({}));
    let messages = url(&gateway, "/v1/messages");
    let with_key = |path: &str| gateway.http.post(url(&gateway, path)).header("x-api-key", "gw-key");
    let mut odd = good.clone();
    odd["model"] = json!(7);
    let cases = [
        (gateway.http.post(&messages).json(&good), 401, "authentication_error"),
        (gateway.http.post(&messages).bearer_auth("nobody").json(&good), 401, "authentication_error"),
        (with_key("/v1/messages").json(&message("claude-haiku-5-5", &json!({}))), 403, "permission_error"),
        (with_key("/v1/messages").json(&odd), 400, "invalid_request_error"),
        (with_key("/v1/messages").body("{\"model\":"), 400, "invalid_request_error"),
        (with_key("/v1/organizations/users").json(&good), 404, "not_found_error"),
        (with_key("/v1/sessions").json(&good), 404, "not_found_error"),
        (gateway.http.get(url(&gateway, "/v1/models")).header("x-api-key", "gw-key"), 403, "permission_error"),
    ];
    for (request, status, kind) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{kind}");
        assert_eq!(answer.headers()["request-id"], answer.headers()["x-request-id"]);
        assert_eq!(answer.headers()["content-type"], "application/json");
        if matches!(status, 400..=403) {
            assert_eq!(answer.headers()["x-should-retry"], "false");
        }
        is_error(&answer.json().await.unwrap(), kind);
    }
    assert_eq!(upstream.stats().requests, 0, "nothing was sent on");
}

#[tokio::test]
async fn a_refused_credential_of_ours_is_not_the_clients_fault() {
    let (_upstream, gateway) = house().await;
    let id = key_with(&gateway, json!({}), json!({"setting": {"apikey": "sk-revoked"}})).await;
    let answer = post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await;
    assert_eq!(answer.status(), 502);
    is_error(&answer.json().await.unwrap(), "api_error");
    assert_eq!(gateway.events_settled(&id, 1).await[0]["cost_in_usd"], 0.0);
}

#[tokio::test]
async fn a_rate_limit_is_told_in_the_clients_words() {
    let (_upstream, gateway) = house().await;
    key_with(&gateway, json!({"rateLimitOverTime": 1, "rateLimitUnit": "d"}), json!({})).await;
    assert_eq!(post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await.status(), 200);
    let answer = post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await;
    assert_eq!(answer.status(), 429);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    is_error(&answer.json().await.unwrap(), "rate_limit_error");
}

#[tokio::test]
async fn the_base_url_of_a_setting_wins_and_may_end_in_the_version() {
    let own = Upstream::start(Options { api: Api::Anthropic, ..Options::default() }).await.unwrap();
    let other = Upstream::start(Options { api: Api::Anthropic, ..Options::default() }).await.unwrap();
    let gateway = Setup::default().env(BASE_URL, &format!("{}/v1", other.url())).start(&other).await;
    let setting = json!({"setting": {"apikey": "sk-upstream", "baseUrl": format!("{}/v1/", own.url())}});
    key_with(&gateway, json!({}), setting).await;
    assert_eq!(post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await.status(), 200);
    let (_, shown) = gateway.admin("GET", "/api/provider-settings", None).await;
    assert_eq!(shown[0]["setting"], json!({"baseUrl": format!("{}/v1", own.url())}), "no credential is shown");
    gateway.key("gw-other", json!({"settingIds": [gateway.setting(json!({"provider": "anthropic"})).await]})).await;
    let request = gateway.http.post(url(&gateway, "/v1/messages")).header("x-api-key", "gw-other");
    assert_eq!(request.json(&message(OPUS, &json!({}))).send().await.unwrap().status(), 200);
    assert_eq!((own.stats().requests, other.stats().requests), (1, 1));
    assert!(own.seen().iter().chain(&other.seen()).all(|s| s.target == "/v1/messages"));
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_told_in_the_clients_words() {
    let (upstream, gateway) = house().await;
    key(&gateway).await;
    upstream.script(Act { raw: Some("not http".into()), ..Act::default() });
    let answer = post(&gateway, "/v1/messages", &message(OPUS, &json!({}))).await;
    assert_eq!(answer.status(), 502);
    is_error(&answer.json().await.unwrap(), "api_error");
}
