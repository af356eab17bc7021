//! Bodies from hell: always a clear 400 or 413, never a panic, never an echo of what was sent.

use super::support::*;
use crate::admin::input::BODY_LIMIT;
use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use serde_json::json;

const JSON: &str = "/errors/json-unmarshal";

/// Every endpoint that reads a body.
fn writers() -> Vec<(Method, String, &'static str)> {
    let id = uuid::Uuid::new_v4();
    vec![
        (Method::PUT, "/api/key-management/keys".into(), "/api/key-management/keys"),
        (Method::PATCH, format!("/api/key-management/keys/{id}"), "/api/key-management/keys/{keyId}"),
        (Method::POST, "/api/v2/key-management/keys".into(), "/api/v2/key-management/keys"),
        (Method::PUT, "/api/provider-settings".into(), "/api/provider-settings"),
        (Method::POST, "/api/provider-settings".into(), "/api/provider-settings"),
        (Method::PATCH, format!("/api/provider-settings/{id}"), "/api/provider-settings/{id}"),
        (Method::POST, "/api/routes".into(), "/api/routes"),
        (Method::PATCH, format!("/api/routes/{id}"), "/api/routes/{id}"),
        (Method::PUT, format!("/api/routes/{id}"), "/api/routes/{id}"),
        (Method::POST, "/api/reporting/events".into(), "/api/reporting/events"),
        (Method::POST, "/api/reporting/events-by-day".into(), "/api/reporting/events-by-day"),
        (Method::POST, "/api/reporting/top-keys".into(), "/api/reporting/top-keys"),
        (Method::POST, "/api/v2/events".into(), "/api/v2/events"),
    ]
}

#[tokio::test]
async fn c6_what_is_not_a_json_object_is_400_everywhere() {
    let desk = Desk::open();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_member = format!("{{\"tags\":{}", "[".repeat(500_000));
    for (method, path, instance) in writers() {
        for body in [
            &b""[..],
            b"not json",
            b"{",
            b"[]",
            b"null",
            b"\"text\"",
            b"{\"name\":NaN}",
            b"{\"a\":1e999}",
            b"{} {}",
            b"{\"name\":\"\\ud800\"}",
            b"{\"name\":\"\xff\"}",
            deep.as_bytes(),
            deep_member.as_bytes(),
        ] {
            let answer = desk.raw(method.clone(), &path, Bytes::copy_from_slice(body)).await;
            answer.problem(400, JSON, instance);
        }
    }
    assert!(desk.store.keys.lock().is_empty() && desk.store.settings.lock().is_empty());
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_everywhere() {
    let desk = Desk::open();
    for (method, path, instance) in writers() {
        let large = format!("{{\"x\":\"{}\"}}", "a".repeat(BODY_LIMIT));
        desk.raw(method, &path, large).await.problem(413, "/errors/request-body-read", instance);
    }
    let stream = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])));
    let endless = desk.raw(Method::PUT, "/api/key-management/keys", Body::from_stream(stream)).await;
    endless.problem(413, "/errors/request-body-read", "/api/key-management/keys");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let pieces = [Ok(Bytes::from_static(b"{\"name\":")), Err(std::io::Error::other("reset by 10.1.2.3"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let answer = Desk::open().raw(Method::PUT, "/api/key-management/keys", body).await;
    let detail = answer.problem(400, "/errors/request-body-read", "/api/key-management/keys");
    assert!(!detail.contains("10.1.2.3"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = Desk::open().raw(Method::PUT, "/api/key-management/keys", body).await;
    answer.problem(408, "/errors/request-body-read", "/api/key-management/keys");
}

#[tokio::test]
async fn every_field_of_a_wrong_type_is_named_without_its_value() {
    let desk = Desk::open();
    let path = "/api/key-management/keys";
    let body = json!({
        "name": 5, "key": [RAW_KEY], "tags": "hush, expected hush", "costLimitInUsd": "hush", "rateLimitOverTime": 1.5,
        "shouldLogRequest": "true", "allowedPaths": [["/a", "GET"]], "settingIds": [1], "ttl": "5m",
    });
    let detail = desk.put(path, body).await.problem(400, JSON, path);
    for told in [
        "name has a value of the wrong type, expected a string",
        "key has",
        "tags has a value of the wrong type, expected an array",
        "costLimitInUsd has a value of the wrong type, expected a number",
        "rateLimitOverTime has a value of the wrong type, expected an integer of 64 bits",
        "shouldLogRequest has a value of the wrong type, expected a boolean",
        "allowedPaths has a value of the wrong type, expected an object",
        "settingIds has",
    ] {
        assert!(detail.contains(told), "{told}: {detail}");
    }
    assert!(!detail.contains("hush") && !detail.contains("ttl"), "{detail}");
    for setting in [json!(CREDENTIAL), json!({"apikey": [CREDENTIAL]}), json!({"apikey": null}), json!([CREDENTIAL])] {
        let body = json!({"provider": "openai", "setting": setting});
        let detail = desk.put("/api/provider-settings", body).await.problem(400, JSON, "/api/provider-settings");
        assert!(detail.starts_with("setting has a value of the wrong type"), "{detail}");
    }
}

#[tokio::test]
async fn numbers_beyond_64_bits_are_400() {
    let desk = Desk::open();
    for number in ["9223372036854775808", "-9223372036854775809", "1e19", "1.0", "\"5\"", "99999999999999999999999"] {
        let body = format!("{{\"start\":{number},\"end\":2,\"increment\":1}}");
        let detail =
            desk.raw(Method::POST, "/api/reporting/events", body).await.problem(400, JSON, "/api/reporting/events");
        assert!(detail.starts_with("start "), "{detail}");
    }
}

#[tokio::test]
async fn huge_arrays_are_answered_shortly() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    for fields in [
        json!({"tags": vec![""; 300_000]}),
        json!({"settingIds": vec!["x"; 200_000]}),
        json!({"allowedPaths": vec![json!({}); 300_000]}),
    ] {
        let answer = desk.patch(&key_path(&key), fields).await;
        let detail = answer.problem(400, "/errors/validation", "/api/key-management/keys/{keyId}");
        assert!(detail.len() < 10_000 && detail.contains(" more"), "{}", detail.len());
    }
    let many: serde_json::Map<_, _> = (0..50_000).map(|n| (format!("f{n}"), json!(n))).collect();
    desk.patch(&key_path(&key), many.into()).await.good();
}

#[tokio::test]
async fn u_0000_is_refused_by_name() {
    let desk = Desk::open();
    let setting = desk.setting("openai").await;
    let body = json!({
        "name": "a\u{0}b", "key": "gw", "settingIds": [setting], "tags": ["\u{0}"],
        "allowedPaths": [{"path": "/\u{0}", "method": "GET"}],
    });
    let path = "/api/key-management/keys";
    let detail = desk.put(path, body).await.problem(400, "/errors/validation", path);
    for field in ["name", "tags[0]", "allowedPaths.0.path"] {
        assert!(detail.contains(field), "{detail}");
    }
}

#[tokio::test]
async fn of_repeated_members_the_last_counts() {
    let desk = Desk::open();
    let key = desk.key(json!({})).await;
    let body = r#"{"name":"first","name":"last"}"#;
    assert_eq!(desk.raw(Method::PATCH, &key_path(&key), body).await.good()["name"], "last");
}

#[tokio::test]
async fn odd_queries_do_no_harm() {
    let desk = Desk::open();
    for query in ["tag=%FF%FE", "tag=%", "tag=%zz&&&=&tag", "tag=a%00b", "keyIds=,,,&tag=a"] {
        desk.get(&format!("/api/key-management/keys?{query}")).await.good();
    }
}
