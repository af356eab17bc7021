//! From an empty directory to an answer, step by step as operators do it the first time, on the port they expect.

use super::{AWS_ID, AWS_SECRET, Answer, BOOT, House, data, said, setup, upstream};
use crate::upstream::Act;
use serde_json::{Value, json};

const PORT: u16 = 8866;

/// On the default port, which no other test uses.
async fn house() -> House {
    let taken = std::net::TcpListener::bind(("0.0.0.0", PORT)).err();
    assert!(taken.is_none(), "port {PORT} is taken by somebody else: this test needs it ({taken:?})");
    let upstream = upstream().await;
    // Set, but empty: the default stands.
    let setup = setup().env("TOLLGATE_SINGLE_LISTEN", "").env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &upstream.url());
    let gateway = setup.start_as_it_is().await;
    assert_eq!(gateway.listener("single").await, format!("0.0.0.0:{PORT}"), "on all interfaces");
    let house = House::of(upstream, gateway).await;
    House { base: format!("http://127.0.0.1:{PORT}"), ..house }
}

#[tokio::test]
async fn c01_c02_c05_c16_c24_c25_the_first_ten_minutes() {
    let house = house().await;
    let list = house.get(BOOT, "/admin/api-key/list").await;
    assert_eq!(list.text, r#"{"success":true,"data":{"items":[],"total":"0","limit":20,"offset":0}}"#);
    assert_eq!((list.status, list.header("content-type")), (200, "application/json; charset=utf-8"));

    let wanted = json!({"name": "adminuser", "group_id": 1, "role": "admin", "email": "", "month_quota": 20.00});
    let made = house.post(BOOT, "/admin/api-key/apply", &wanted).await;
    let made: Value = made.json()["data"].clone();
    let key = made["api_key"].as_str().unwrap().to_owned();
    let expect = json!({"id": made["id"], "name": "adminuser", "email": "", "api_key": key, "role": "admin",
        "month_quota": "20.0000000000", "balance": "0.0000000000"});
    assert_eq!(made, expect);
    let secret = key.strip_prefix("br-").expect("its prefix");
    assert!(secret.len() == 29 && secret.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");

    let models = house.get(&key, "/v1/models").await.json();
    let sonnet = models["data"].as_array().unwrap().iter().find(|model| model["id"] == "claude-3-sonnet").unwrap();
    let expect = json!({"id": "claude-3-sonnet", "object": "model", "multiple": true, "created": sonnet["created"],
        "owned_by": "bedrock-converse"});
    assert_eq!(sonnet, &expect);
    assert!(sonnet["created"].as_i64().unwrap() > 1_700_000_000);

    let mut ask = json!({"model": "claude-3-sonnet", "messages": [{"role": "user", "content": "ping"}],
        "stream": true, "temperature": 1, "max_tokens": 4096});
    house.upstream.script(Act { content: Some("pong".into()), ..Act::default() });
    let stream = house.post(&key, "/v1/chat/completions", &ask).await;
    assert_eq!((stream.status, stream.header("cache-control")), (200, "no-cache"), "{}", stream.text);
    assert!(stream.header("content-type").starts_with("text/event-stream"), "{:?}", stream.headers);
    assert_eq!(said(&stream.chunks()), "pong");
    check_sent(&house);

    ask["stream"] = json!(false);
    house.upstream.script(Act { content: Some("pong".into()), ..Act::default() });
    let whole = house.post(&key, "/v1/chat/completions", &ask).await;
    assert_eq!(whole.json()["choices"][0]["message"]["content"], "pong", "{}", whole.text);
    let sent = house.sent()["inferenceConfig"].clone();
    assert_eq!((&sent["maxTokens"], sent["temperature"].as_f64()), (&json!(4096), Some(1.0)));

    // The key is an admin, too, and its secret was shown once.
    let list = house.get(&key, "/admin/api-key/list").await.json();
    assert_eq!((&list["data"]["total"], &list["data"]["items"][0]["group_name"]), (&json!("1"), &json!("group 1")));
    assert_ne!(list["data"]["items"][0]["api_key"], key);
    let mine = house.get(&key, "/user/api-key/mine").await.json();
    assert_eq!((&mine["data"]["name"], &mine["data"]["group_id"]), (&json!("adminuser"), &json!(1)));
    for secret in [BOOT, AWS_SECRET, &key] {
        assert!(!house.gateway.log().contains(secret), "a secret is in the log");
    }
    assert_eq!(data(&stream.text).len(), stream.chunks().len() + 1);
}

/// Signed with the host's own credentials, which the upstream has verified.
fn check_sent(house: &House) {
    let seen = house.upstream.seen();
    let last = seen.last().unwrap();
    assert!(last.violations.is_empty(), "{:?}", last.violations);
    assert_eq!(last.target, "/model/anthropic.claude-3-sonnet-20240229-v1%3A0/converse-stream");
    let signed = last.header("authorization").unwrap();
    assert!(signed.contains(AWS_ID) && signed.contains("/us-east-1/bedrock/aws4_request"), "{signed}");
}

#[tokio::test]
async fn c03_started_again_everything_is_as_it_was() {
    let mut house = House::open().await;
    let user = house.user(json!({})).await;
    house.upstream.script(super::used(1000, 100));
    assert_eq!(house.chat(&user, &super::question("claude-3-sonnet")).await.status, 200);
    let before = house.spent(&user, "0.0045000000").await;
    let rows: Answer = house.get(BOOT, "/admin/model/list?limit=1000").await;
    assert_eq!(house.gateway.stop().await, Some(0));
    house.restart().await;
    assert_eq!(house.mine(&user).await, before);
    assert_eq!(house.get(BOOT, "/admin/model/list?limit=1000").await.json(), rows.json());
    assert_eq!(house.chat(&user, &super::question("claude-3-sonnet")).await.status, 200);
}
