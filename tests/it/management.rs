//! The management API of the running program: from an empty directory to a key with models, as its documentation says.

use crate::support::{Gateway, Setup};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};

const BOOT: &str = "br_boot-key-of-this-test";

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    // With that secret the one port for everything opens too: on one of its own.
    let setup = Setup::default().env("ADMIN_API_KEY", BOOT).env("TOLLGATE_SINGLE_LISTEN", "127.0.0.1:0");
    let gateway = setup.start(&upstream).await;
    (upstream, gateway)
}

async fn call(gateway: &Gateway, key: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("{}{path}", gateway.admin);
    let request = match body {
        Some(body) => gateway.http.post(url).json(&body),
        None => gateway.http.get(url),
    };
    let answer = request.bearer_auth(key).send().await.unwrap();
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn c05_c24_c25_from_the_boot_key_to_a_user_with_models() {
    let (_upstream, gateway) = house().await;
    let (status, list) = call(&gateway, BOOT, "/admin/api-key/list", None).await;
    assert_eq!((status, list["data"]["total"].as_str()), (200, Some("0")));
    let admin = json!({"name": "adminuser", "group_id": 1, "role": "admin", "email": "", "month_quota": 20.00});
    let (_, made) = call(&gateway, BOOT, "/admin/api-key/apply", Some(admin)).await;
    let admin = made["data"]["api_key"].as_str().unwrap().to_owned();
    let (_, made) = call(&gateway, &admin, "/admin/api-key/apply", Some(json!({"name": "u", "group_id": 1}))).await;
    let user = made["data"]["api_key"].as_str().unwrap().to_owned();
    let (_, models) = call(&gateway, &user, "/user/model/list-for-brclient", None).await;
    assert!(models["data"].as_array().unwrap().iter().any(|model| model["name"] == "claude-3-sonnet"), "{models}");
    assert_eq!(call(&gateway, &user, "/admin/api-key/list", None).await.0, 403);
    assert_eq!(call(&gateway, "nobody", "//ADMIN/api-key/list", None).await.0, 401);
}

#[tokio::test]
async fn c03_a_restart_keeps_what_was_made_and_what_was_deleted() {
    let (_upstream, mut gateway) = house().await;
    let (_, made) = call(&gateway, BOOT, "/admin/api-key/apply", Some(json!({"name": "a", "role": "admin"}))).await;
    let admin = made["data"]["api_key"].as_str().unwrap().to_owned();
    let (_, models) = call(&gateway, &admin, "/admin/model/list?q=llama3-8b", None).await;
    let id = models["data"]["items"][0]["id"].clone();
    let (_, deleted) = call(&gateway, &admin, "/admin/model/delete", Some(json!({"id": id}))).await;
    assert_eq!(deleted, json!({"success": true, "data": true}));
    let (_, before) = call(&gateway, &admin, "/admin/model/list?limit=1000", None).await;
    gateway.kill();
    gateway.restart().await;
    let (_, after) = call(&gateway, &admin, "/admin/model/list?limit=1000", None).await;
    assert_eq!(before, after);
    assert!(gateway.log().contains("admin.api_key is still set"), "the boot key is warned of");
    assert!(!gateway.log().contains(BOOT) && !gateway.log().contains(&admin));
}
