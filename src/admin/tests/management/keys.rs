//! Making, changing, resetting and deleting keys.

use super::*;
use crate::auth::digest::{digest, hint};

fn readme() -> Value {
    json!({"name": "adminuser", "group_id": 1, "role": "admin", "email": "", "month_quota": 20.00})
}

#[tokio::test]
async fn c24_c25_the_apply_call_of_the_readme() {
    let console = Console::seeded().await;
    let answer = console.post("/admin/api-key/apply", readme()).await;
    let secret = answer.json()["data"]["api_key"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("br-") && secret.len() == 32, "{secret}");
    let expect = format!(
        r#"{{"success":true,"data":{{"id":1,"name":"adminuser","email":"","api_key":"{secret}","role":"admin","month_quota":"20.0000000000","balance":"0.0000000000"}}}}"#
    );
    assert_eq!(answer.text, expect);
    let mine = console.get_as(&secret, "/user/api-key/mine").await.data();
    assert_eq!((&mine["id"], &mine["group_id"]), (&json!(1), &json!(1)));
    assert!(console.models_of(&secret).await.contains(&"claude-3-sonnet".to_owned()));
}

#[tokio::test]
async fn c25_the_secret_is_shown_once() {
    let console = Console::open();
    let (id, secret) = console.key(json!({"role": "admin"})).await;
    let hint = hint(&secret);
    assert!(hint.len() == 11 && hint.starts_with("br-") && secret.ends_with(hint.split_at(8).1), "{hint}");
    for path in [&*format!("/admin/api-key/detail/{id}"), "/admin/api-key/list", "/user/api-key/mine"] {
        let answer = console.get_as(&secret, path).await;
        assert!(answer.text.contains(&hint) && !answer.text.contains(&secret), "{path}: {}", answer.text);
        assert!(!answer.text.contains(&hex::encode(digest(secret.as_bytes()).as_bytes())));
    }
    let updated = console.post("/admin/api-key/update", json!({"id": id, "name": "n"})).await;
    assert_eq!(updated.data()["api_key"], json!(hint));
}

#[tokio::test]
async fn c26_a_key_has_a_name() {
    let console = Console::open();
    for body in [json!({}), json!({"name": ""}), json!({"name": "  "}), json!({"name": null})] {
        assert_eq!(console.post("/admin/api-key/apply", body).await.invalid(), "name is required");
    }
    for (body, expect) in [
        (json!({"name": 1}), "name must be text"),
        (json!({"name": "a\0b"}), "name must not contain U+0000"),
        (json!({"name": "x".repeat(256)}), "name is longer than 255 characters"),
        (json!({"name": "n", "email": ["a"]}), "email must be text"),
    ] {
        assert_eq!(console.post("/admin/api-key/apply", body).await.invalid(), expect);
    }
    assert_eq!(console.list("/admin/api-key/list", "id").await.0, "0");
}

#[tokio::test]
async fn c27_the_quota_comes_in_any_form_of_a_number() {
    let console = Console::open();
    for (body, quota) in [
        (r#"{"name":"n","month_quota":1.00}"#, "1.0000000000"),
        (r#"{"name":"n","month_quota":"1.00"}"#, "1.0000000000"),
        (r#"{"name":"n"}"#, "0.0000000000"),
        (r#"{"name":"n","month_quota":""}"#, "0.0000000000"),
        (r#"{"name":"n","month_quota":0.1}"#, "0.1000000000"),
        (r#"{"name":"n","month_quota":1e-10}"#, "0.0000000001"),
        (r#"{"name":"n","month_quota":999999.9999999999,"id":0,"balance":0,"x":{"y":[]}}"#, "999999.9999999999"),
    ] {
        let made = console.call(Method::POST, "/admin/api-key/apply", BOOT, body).await.data();
        assert_eq!(made["month_quota"], json!(quota), "{body}");
        let key = console.store.key_numbered(made["id"].as_i64().unwrap()).await.unwrap().unwrap();
        assert_eq!(key.quota(), Money::parse_usd(quota));
    }
    for wrong in ["-1", "1000000", "\"a lot\"", "true", "[1]", "0.00000000001", "1e9"] {
        let body = format!(r#"{{"name":"n","month_quota":{wrong}}}"#);
        let text = console.call(Method::POST, "/admin/api-key/apply", BOOT, body).await.invalid();
        assert!(text.starts_with("month_quota "), "{text}");
    }
}

#[tokio::test]
async fn c28_there_are_two_roles() {
    let console = Console::open();
    for role in ["root", "Admin", "user "] {
        let text = console.post("/admin/api-key/apply", json!({"name": "n", "role": role})).await.invalid();
        assert_eq!(text, "role must be user or admin");
    }
    let made = console.post("/admin/api-key/apply", json!({"name": "n"})).await.data();
    assert_eq!((&made["role"], &made["email"]), (&json!("user"), &json!(null)));
}

#[tokio::test]
async fn a_group_that_does_not_exist_is_refused() {
    let console = Console::seeded().await;
    let text = console.post("/admin/api-key/apply", json!({"name": "n", "group_id": 7})).await.invalid();
    assert_eq!(text, "group not found");
    let (id, _) = console.key(json!({"group_id": "1"})).await;
    let text = console.post("/admin/api-key/update", json!({"id": id, "group_id": "7"})).await.invalid();
    assert_eq!(text, "group not found");
    assert_eq!(console.get(&format!("/admin/api-key/detail/{id}")).await.data()["group_id"], json!(1));
}

#[tokio::test]
async fn an_initial_balance_is_paid_in_and_can_be_spent_at_once() {
    let console = Console::open();
    let (id, _) = console.key(json!({"balance": "0.5"})).await;
    let key = console.store.key_numbered(id).await.unwrap().unwrap();
    let half = Money::parse_usd("0.5").unwrap();
    assert_eq!(console.store.books(&[key.id]).await.unwrap()[0].1.account.balance, half);
    assert_eq!(console.state.counters.account(key.id).await.unwrap().balance, half);
    let shown = console.get(&format!("/admin/api-key/detail/{id}")).await.data();
    assert_eq!(shown["balance"], json!("0.5000000000"));
    let text = console.post("/admin/api-key/apply", json!({"name": "n", "balance": -1})).await.invalid();
    assert_eq!(text, "balance must not be negative");
}

#[tokio::test]
async fn c29_an_update_changes_exactly_what_it_names() {
    let console = Console::seeded().await;
    console.key(json!({})).await;
    let (id, secret) =
        console.key(json!({"email": "a@b.example", "group_id": 1, "month_quota": 3, "balance": 2})).await;
    let before = console.get(&format!("/admin/api-key/detail/{id}")).await.data();
    console.at(NOW + 5);
    let body =
        r#"{"id":2,"name":"张三","month_quota":10.00,"balance":"99","api_key":"br-x","total_fee":7,"month_fee":7}"#;
    let answer = console.call(Method::POST, "/admin/api-key/update", BOOT, body).await;
    let hint = hint(&secret);
    let expect = format!(
        r#"{{"success":true,"data":{{"id":2,"name":"张三","email":"a@b.example","api_key":"{hint}","group_id":1,"role":"user","month_quota":"10.0000000000","balance":"2.0000000000"}}}}"#
    );
    assert_eq!(answer.text, expect);
    let mut expect = before.clone();
    expect["name"] = json!("张三");
    expect["month_quota"] = json!("10.0000000000");
    expect["updated_at"] = json!("2023-11-14T22:13:25.000Z");
    assert_eq!(console.get_as(&secret, "/user/api-key/mine").await.data(), expect);
    assert_eq!(console.picture().key(&digest(secret.as_bytes())).unwrap().quota(), Money::parse_usd("10"));
}

#[tokio::test]
async fn every_member_alone_can_be_updated() {
    let console = Console::seeded().await;
    let (id, secret) = console.key(json!({"email": "a@b.example", "group_id": 1, "month_quota": 3})).await;
    let show = async || console.get_as(&secret, "/user/api-key/mine").await.data();
    for (change, member, value) in [
        (json!({"email": "c@d.example"}), "email", json!("c@d.example")),
        (json!({"email": ""}), "email", json!("")),
        (json!({"email": null}), "email", json!(null)),
        (json!({"role": "admin"}), "role", json!("admin")),
        (json!({"month_quota": 0}), "month_quota", json!("0.0000000000")),
        (json!({"month_quota": "7"}), "month_quota", json!("7.0000000000")),
        (json!({"name": "other"}), "name", json!("other")),
        (json!({"group_id": 0}), "group_id", json!(0)),
        (json!({"group_id": "1"}), "group_id", json!(1)),
    ] {
        let mut expect = show().await;
        expect[member] = value;
        let mut body = change.clone();
        body["id"] = json!(id.to_string());
        console.post("/admin/api-key/update", body).await.data();
        assert_eq!(show().await, expect, "{change}");
    }
    let before = show().await;
    console.post("/admin/api-key/update", json!({"id": id})).await.data();
    assert_eq!(show().await, before);
}

#[tokio::test]
async fn c30_group_0_takes_a_key_out_of_its_group_at_once() {
    let console = Console::seeded().await;
    let (id, secret) = console.key(json!({"group_id": 1})).await;
    assert!(!console.models_of(&secret).await.is_empty());
    let updated = console.post("/admin/api-key/update", json!({"id": id, "group_id": 0})).await.data();
    assert_eq!(updated["group_id"], json!(0));
    assert!(console.models_of(&secret).await.is_empty());
}

#[tokio::test]
async fn c31_an_update_names_a_key_that_exists() {
    let console = Console::open();
    for body in [json!({"name": "n"}), json!({"id": 0}), json!({"id": ""}), json!({"id": null})] {
        assert_eq!(console.post("/admin/api-key/update", body).await.invalid(), "id is required");
    }
    for id in [json!(99), json!("99"), json!(-1), json!(i64::MAX)] {
        let text = console.post("/admin/api-key/update", json!({"id": id, "name": "n"})).await.not_found();
        assert_eq!(text, "api_key or id is invalid");
    }
    let text = console.post("/admin/api-key/update", json!({"id": "1 or 1=1"})).await.invalid();
    assert_eq!(text, "id must be a number");
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let console = Console::open();
    let (first, _) = console.key(json!({"role": "admin"})).await;
    let demote = json!({"id": first, "role": "user"});
    let text =
        console.post("/admin/api-key/update", demote.clone()).await.refused(409, "invalid_request_error", "conflict");
    assert_eq!(text, "This is the last admin: make another one first.");
    let (second, _) = console.key(json!({"role": "admin"})).await;
    console.post("/admin/api-key/delete", json!({"id": second, "keep_history": true})).await.data();
    assert_eq!(console.post("/admin/api-key/update", demote.clone()).await.status, 409, "the other one is revoked");
    console.key(json!({"role": "admin"})).await;
    assert_eq!(console.post("/admin/api-key/update", demote).await.data()["role"], json!("user"));
}

#[tokio::test]
async fn a_key_of_the_configuration_api_is_a_key_here_and_gets_no_quota_by_itself() {
    let console = Console::open();
    let put = async |path: &str, body: Value| {
        let request = Request::put(path).header("x-api-key", BOOT).body(Body::from(body.to_string())).unwrap();
        console.send(request).await.good()
    };
    let setting = put("/api/provider-settings", json!({"provider": "openai", "setting": {"apikey": "k"}})).await;
    let body = json!({"name": "theirs", "key": "raw-key-of-theirs", "settingIds": [setting["id"]]});
    put("/api/key-management/keys", body).await;
    let shown = console.get("/admin/api-key/detail/1").await.data();
    assert_eq!(
        (&shown["name"], &shown["month_quota"], &shown["role"]),
        (&json!("theirs"), &json!(null), &json!("user"))
    );
    assert_eq!(console.list("/admin/api-key/list?role=user&group_id=0&q=THEIR", "id").await.1, [json!(1)]);
    console.post("/admin/api-key/update", json!({"id": 1, "name": "ours"})).await.data();
    assert_eq!(console.store.key_numbered(1).await.unwrap().unwrap().quota(), None);
    console.post("/admin/api-key/update", json!({"id": 1, "month_quota": 5})).await.data();
    let mine = console.get_as("raw-key-of-theirs", "/user/api-key/mine").await.data();
    assert_eq!((&mine["name"], &mine["month_quota"]), (&json!("ours"), &json!("5.0000000000")));
}

#[tokio::test]
async fn c35_a_reset_kills_the_old_secret_at_once_and_nothing_else() {
    let console = Console::seeded().await;
    let (id, first) = console.key(json!({"group_id": 1, "month_quota": 3, "balance": 1})).await;
    let before = console.get(&format!("/admin/api-key/detail/{id}")).await.data();
    let by_id = console.post("/admin/api-key/reset-key", json!({"id": id})).await.data();
    let second = by_id["api_key"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    console.get_as(&first, "/user/api-key/mine").await.unknown_key();
    let by_key = console.post("/admin/api-key/reset", json!({"api_key": second})).await.data();
    let third = by_key["api_key"].as_str().unwrap().to_owned();
    console.get_as(&second, "/user/api-key/mine").await.unknown_key();
    let after = console.get_as(&third, "/user/api-key/mine").await.data();
    let mut expect = before;
    expect["api_key"] = json!(hint(&third));
    assert_eq!(after, expect);
    let members: Vec<_> = by_key.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["api_key", "balance", "email", "id", "month_quota", "name", "role"]);
    assert_eq!(
        console.post("/admin/api-key/reset-key", json!({"api_key": first})).await.not_found(),
        "api_key or id is invalid"
    );
    assert_eq!(console.post("/admin/api-key/reset-key", json!({})).await.invalid(), "api_key or id is required");
}

#[tokio::test]
async fn c36_a_deleted_key_is_dead_at_once() {
    let console = Console::open();
    let model = console.model("m").await;
    let (id, secret) = console.key(json!({})).await;
    console.post("/admin/api-key/bind-or-unbind-model", json!({"key_id": id, "model_id": model})).await.data();
    let answer = console.post("/admin/api-key/delete", json!({"id": id})).await;
    assert_eq!(answer.text, r#"{"success":true,"data":true}"#);
    console.get_as(&secret, "/user/api-key/mine").await.unknown_key();
    console.get(&format!("/admin/api-key/detail/{id}")).await.not_found();
    assert_eq!(console.list("/admin/api-key/list-model", "id").await.0, "0");
    console.post("/admin/api-key/delete", json!({"id": id})).await.not_found();
    let (id, secret) = console.key(json!({})).await;
    assert_ne!(id, 1, "a number is never given twice");
    console.post("/admin/api-key/delete", json!({"api_key": secret})).await.data();
    console.get_as(&secret, "/user/api-key/mine").await.unknown_key();
    assert_eq!(console.post("/admin/api-key/delete", json!({})).await.invalid(), "api_key or id is required");
}

#[tokio::test]
async fn keep_history_only_disables() {
    let console = Console::open();
    let (id, secret) = console.key(json!({})).await;
    console.post("/admin/api-key/delete", json!({"id": id, "keep_history": true})).await.data();
    console.get_as(&secret, "/user/api-key/mine").await.unknown_key();
    assert_eq!(console.get(&format!("/admin/api-key/detail/{id}")).await.data()["id"], json!(id));
    assert!(console.store.key_numbered(id).await.unwrap().unwrap().revoked);
}

#[tokio::test]
async fn nobody_deletes_the_key_that_asks() {
    let console = Console::open();
    let (id, admin) = console.key(json!({"role": "admin"})).await;
    for body in [json!({"id": id}), json!({"api_key": admin}), json!({"id": id, "keep_history": true})] {
        let text = console.post_as(&admin, "/admin/api-key/delete", body).await.refused(
            409,
            "invalid_request_error",
            "conflict",
        );
        assert_eq!(text, "A key cannot delete itself.");
    }
    assert_eq!(console.get_as(&admin, "/user/api-key/mine").await.status, 200);
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_nobody() {
    let console = Console::open();
    let (id, secret) = console.key(json!({})).await;
    let mut key = console.store.key_numbered(id).await.unwrap().unwrap();
    key.ttl = "1h".into();
    console.store.update_key(&key).await.unwrap();
    console.loader.refresh().await.unwrap();
    assert_eq!(console.get_as(&secret, "/user/api-key/mine").await.status, 200);
    console.at(NOW + 3600);
    console.get_as(&secret, "/user/api-key/mine").await.unknown_key();
}
