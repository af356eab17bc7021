//! Checklist 18.4: who may call what.

use crate::support::{Gateway, Setup, chat, chat_body, eventually};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { strict: true, ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

fn error_of(body: &Value) -> (String, String) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&body["error"]["type"]), text(&body["error"]["code"]))
}

#[tokio::test]
async fn c49_c50_no_key_and_unknown_key_are_401_in_openai_shape() {
    let (upstream, gateway) = house().await;
    let url = gateway.url("/v1/chat/completions");
    let body = chat_body("gpt-4o", &json!({}));
    let nobody = gateway.http.post(&url).json(&body).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert!(nobody.headers().contains_key("x-request-id"));
    assert_eq!(error_of(&nobody.json().await.unwrap()), ("gateway_auth".into(), "401".into()));
    let unknown = gateway.http.post(&url).bearer_auth("not-a-key").json(&body).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    let text = unknown.text().await.unwrap();
    assert!(!text.contains("not-a-key"), "the key is not repeated: {text}");
    assert_eq!(upstream.stats().requests, 0);
}

#[tokio::test]
async fn c51_the_digest_of_a_key_is_no_key() {
    let (_upstream, gateway) = house().await;
    gateway.key("gw-secret-1", json!({})).await;
    assert_eq!(chat(&gateway, "gw-secret-1").await.status(), 200);
    let digest = ring::digest::digest(&ring::digest::SHA256, b"gw-secret-1");
    assert_eq!(chat(&gateway, &hex::encode(digest)).await.status(), 401);
}

#[tokio::test]
async fn c52_c53_c58_every_place_of_a_key_works_and_none_reaches_the_upstream() {
    let (upstream, gateway) = house().await;
    gateway.key("gw-secret-1", json!({})).await;
    let body = chat_body("gpt-4o", &json!({}));
    for (name, value) in
        [("authorization", "Bearer gw-secret-1"), ("x-api-key", "gw-secret-1"), ("api-key", "gw-secret-1")]
    {
        let sent = gateway
            .http
            .post(gateway.url("/v1/chat/completions"))
            .header(name, value)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 200, "{name}");
    }
    let all = gateway
        .http
        .post(gateway.url("/v1/chat/completions"))
        .header("x-api-key", "gw-secret-1")
        .header("api-key", "wrong")
        .header("authorization", "Bearer wrong")
        .header("cookie", "session=gw-secret-1")
        .header("openai-organization", "org-of-the-client")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(all.status(), 200);
    for seen in upstream.seen() {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
        let leaked =
            seen.headers.iter().find(|(_, value)| value.contains("gw-secret-1") || value.contains("org-of-the-client"));
        assert_eq!(leaked, None);
    }
}

#[tokio::test]
async fn c54_c55_keys_begin_and_end_at_once() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("gw-secret-1", json!({})).await;
    assert_eq!(chat(&gateway, "gw-secret-1").await.status(), 200, "usable for its very next request");
    gateway.patch_key(&id, json!({"revoked": true, "revokedReason": "left the team"})).await;
    assert_eq!(chat(&gateway, "gw-secret-1").await.status(), 401);
    gateway.patch_key(&id, json!({"revoked": false})).await;
    assert_eq!(chat(&gateway, "gw-secret-1").await.status(), 200);
    let (status, _) = gateway.admin("DELETE", &format!("/api/key-management/keys/{id}"), None).await;
    assert_eq!(status, 200);
    assert_eq!(chat(&gateway, "gw-secret-1").await.status(), 401);
}

#[tokio::test]
async fn c22_a_new_credential_is_used_for_the_next_call() {
    let upstream =
        Upstream::start(Options { keys: vec!["sk-old".into(), "sk-new".into()], ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    let setting = gateway.setting(json!({"setting": {"apikey": "sk-old"}})).await;
    gateway.key("k", json!({"settingIds": [setting]})).await;
    chat(&gateway, "k").await;
    let patch = json!({"setting": {"apikey": "sk-new"}});
    let (status, answer) = gateway.admin("PATCH", &format!("/api/provider-settings/{setting}"), Some(patch)).await;
    assert_eq!(status, 200, "{answer}");
    chat(&gateway, "k").await;
    let used: Vec<_> = upstream.seen().iter().map(|s| s.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(used, ["Bearer sk-old", "Bearer sk-new"]);
}

#[tokio::test]
async fn c59_c60_allowed_paths_hold_literally_and_as_templates() {
    let (upstream, gateway) = house().await;
    let paths = json!([
        {"method": "POST", "path": "/api/providers/openai/v1/chat/completions"},
        {"method": "GET", "path": "/api/providers/openai/v1/models/:model"},
    ]);
    gateway.key("k", json!({"allowedPaths": paths})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    let get =
        async |path: &str| gateway.http.get(gateway.url(path)).bearer_auth("k").send().await.unwrap().status().as_u16();
    assert_eq!(get("/v1/models/gpt-4o").await, 200);
    assert_eq!(get("/v1/models").await, 403, "another path");
    assert_eq!(get("/v1/chat/completions").await, 403, "another method");
    let embeddings = gateway.http.post(gateway.url("/v1/embeddings")).bearer_auth("k");
    let refused = embeddings.json(&json!({"model": "text-embedding-3-small", "input": "a"})).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(error_of(&refused.json().await.unwrap()).0, "gateway_path_not_allowed");
    assert_eq!(upstream.stats().requests, 2);
}

#[tokio::test]
async fn c61_c62_allowed_models_hold_for_every_odd_but_legal_body() {
    let (upstream, gateway) = house().await;
    let setting = gateway.setting(json!({"allowedModels": ["gpt-4o"]})).await;
    gateway.key("k", json!({"settingIds": [setting]})).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    let before = upstream.stats().requests;
    let odd = [
        json!({"stop": "END"}),
        json!({"top_p": 0.9}),
        json!({"user": 7}),
        json!({"max_tokens": 100.0}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
        json!({"something_new": {"deep": [1, 2, {"x": null}]}}),
    ];
    for extra in odd {
        let mut body = json!({"model": "gpt-4", "messages": []});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let sent =
            gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&body).send().await.unwrap();
        assert_eq!(sent.status(), 403, "{body}");
        assert_eq!(error_of(&sent.json().await.unwrap()).0, "gateway_model_not_allowed");
    }
    assert_eq!(upstream.stats().requests, before, "nothing reached the upstream");
}

#[tokio::test]
async fn a_model_that_is_named_twice_or_in_escapes_is_the_one_that_is_checked() {
    let (upstream, gateway) = house().await;
    let setting = gateway.setting(json!({"allowedModels": ["gpt-4o"]})).await;
    gateway.key("k", json!({"settingIds": [setting]})).await;
    let before = upstream.stats().requests;
    for body in [
        r#"{"model":"gpt-4o","model":"gpt-4","messages":[]}"#,
        r#"{"model":"gpt-4","model":"gpt-4o","messages":[]}"#,
        r#"{"mod\u0065l":"gpt-4","messages":[]}"#,
    ] {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k");
        let sent = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert!(matches!(sent.status().as_u16(), 400 | 403), "{body}: {}", sent.status());
    }
    assert_eq!(upstream.stats().requests, before, "nothing reached the upstream");
}

#[tokio::test]
async fn c63_invalid_json_is_400_and_stays_here() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    for body in ["{", "", "[]", "null", "\"text\"", "{\"model\":\"gpt-4o\"} trailing", "{\"model\":\"gpt-4o\",}"] {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k");
        let sent = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(sent.status(), 400, "{body:?}");
        assert_eq!(error_of(&sent.json().await.unwrap()).0, "gateway_bad_request");
    }
    assert_eq!(upstream.stats().requests, 0);
}

#[tokio::test]
async fn c64_rotation_uses_all_settings_alike() {
    let upstream =
        Upstream::start(Options { keys: vec!["sk-a".into(), "sk-b".into()], ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    let a = gateway.setting(json!({"setting": {"apikey": "sk-a"}})).await;
    let b = gateway.setting(json!({"setting": {"apikey": "sk-b"}})).await;
    gateway.key("turning", json!({"settingIds": [a, b], "rotationEnabled": true})).await;
    gateway.key("still", json!({"settingIds": [a, b]})).await;
    for _ in 0..200 {
        assert_eq!(chat(&gateway, "turning").await.status(), 200);
    }
    let with_a = upstream.seen().iter().filter(|s| s.header("authorization") == Some("Bearer sk-a")).count();
    assert!((60..=140).contains(&with_a), "{with_a} of 200");
    upstream.forget();
    for _ in 0..10 {
        chat(&gateway, "still").await;
    }
    assert!(
        upstream.seen().iter().all(|s| s.header("authorization") == Some("Bearer sk-a")),
        "without rotation the first is used"
    );
}

#[tokio::test]
async fn c66_unknown_paths_are_404() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    for path in [
        "/",
        "/api",
        "/api/providers/",
        "/api/providers/nobody/v1/models",
        "/api/providers/openai/v1/../v1/models",
        "/api/providers/openai/v1/%2e%2e/x",
    ] {
        // Sent raw, because an HTTP client would tidy the path up.
        let answer = crate::walk::bodies::raw(
            &gateway,
            &format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert_eq!(upstream.stats().requests, 0);
}

#[tokio::test]
async fn c67_preflight_is_answered() {
    let (upstream, gateway) = house().await;
    let preflight = gateway
        .http
        .request(reqwest::Method::OPTIONS, gateway.url("/v1/chat/completions"))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    let header = |name: &str| preflight.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("access-control-allow-origin").as_deref(), Some("https://app.example"));
    assert_eq!(header("access-control-allow-methods").as_deref(), Some("POST"));
    assert_eq!(header("access-control-max-age").as_deref(), Some("3600"));
    gateway.key("k", json!({})).await;
    let request =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("origin", "https://app.example");
    let answer = request.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(upstream.stats().requests, 1);
}

#[tokio::test]
async fn c68_neither_errors_nor_logs_hold_keys_or_prompts() {
    let (upstream, gateway) = house().await;
    gateway.key("gw-very-secret", json!({"name": "a key", "rateLimitOverTime": 2, "rateLimitUnit": "h"})).await;
    upstream.script(crate::upstream::Act { status: Some(500), ..Default::default() });
    let mut answers = String::new();
    for key in ["gw-very-secret", "gw-very-secret", "gw-very-secret", "wrong-secret"] {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "the prompt nobody may see"}]});
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(&body);
        answers += &request.send().await.unwrap().text().await.unwrap();
    }
    eventually("the requests are logged", || async { gateway.log().matches("chat/completions").count() >= 2 }).await;
    let everything = answers + &gateway.log();
    for secret in ["gw-very-secret", "wrong-secret", "sk-upstream", "the prompt nobody may see"] {
        assert!(!everything.contains(secret), "{secret} appears");
    }
    let on_disk = std::process::Command::new("grep")
        .args(["-rlaE", "sk-upstream|gw-very-secret", "."])
        .current_dir(gateway.dir())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&on_disk.stdout), "", "credentials are sealed at rest");
}

#[tokio::test]
async fn an_upstream_that_refuses_our_credential_is_502_without_naming_it() {
    let upstream = Upstream::start(Options { keys: vec!["another".into()], ..Options::default() }).await.unwrap();
    let gateway = Setup::default().start(&upstream).await;
    let id = gateway.key("k", json!({})).await;
    let answer = chat(&gateway, "k").await;
    assert_eq!(answer.status(), 502);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(error_of(&body).0, "upstream_auth");
    assert!(!body.to_string().contains("sk-upstream"));
    let events = gateway.events_settled(&id, 1).await;
    assert_eq!((events[0]["status"].as_u64(), events[0]["cost_in_usd"].as_f64()), (Some(502), Some(0.0)));
}

#[tokio::test]
async fn no_connection_goes_to_a_denied_network_by_whatever_name() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let port = upstream.url().rsplit(':').next().unwrap().to_owned();
    let setup = Setup::default().env("TOLLGATE_SECURITY_DENY_TARGETS", "127.0.0.0/8,::1");
    let gateway = setup.start_at(&format!("http://localhost:{port}")).await;
    let key = gateway.key("k", json!({})).await;
    for base_url in ["", &upstream.url(), &format!("http://[::ffff:127.0.0.1]:{port}")] {
        let setting = json!({"setting": {"apikey": "sk-upstream", "baseUrl": base_url}});
        let setting = gateway.setting(setting).await;
        gateway.patch_key(&key, json!({"settingIds": [setting]})).await;
        let answer = chat(&gateway, "k").await;
        assert_eq!(answer.status(), 502, "{base_url}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("127.0.0.1") && !text.contains("localhost"), "{text}");
    }
    assert_eq!(upstream.stats().requests, 0);
    let events = gateway.events_settled(&key, 3).await;
    assert!(events.iter().all(|e| e["cost_in_usd"] == 0.0), "{events:#?}");

    let elsewhere = Setup::default().env("TOLLGATE_SECURITY_DENY_TARGETS", "10.0.0.0/8").start(&upstream).await;
    elsewhere.key("k", json!({})).await;
    assert_eq!(chat(&elsewhere, "k").await.status(), 200);
}
