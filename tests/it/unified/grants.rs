//! Which models a key may use: those of its group and its own.

use super::{BOOT, House, question, used};
use serde_json::{Value, json};

async fn names(house: &House, key: &str) -> Vec<String> {
    let list = house.get(key, "/v1/models").await.json();
    assert_eq!(list["object"], "list");
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn switch(user: &super::User, model: i64) -> Value {
    json!({"key_id": user.id, "model_id": model})
}

const KEY_SWITCH: &str = "/admin/api-key/bind-or-unbind-model";

#[tokio::test]
async fn c58_c59_c60_c61_c63_by_the_group_or_by_the_key_itself() {
    let house = House::open().await;
    let of_group = house.user(json!({})).await;
    let alone = house.user(json!({"group_id": 0})).await;
    let admin = house.user(json!({"group_id": 0, "role": "admin"})).await;
    let ask = question("claude-3-sonnet");
    assert_eq!(house.chat(&of_group, &ask).await.status, 200);
    let before = house.upstream.stats().requests;
    for user in [&alone, &admin] {
        let text = house.chat(user, &ask).await.refused(403, "model_not_permitted");
        let expect = "You do not have permission to access the [claude-3-sonnet] model, \
                      please contact the administrator.";
        assert_eq!(text, expect);
    }
    assert_eq!(house.upstream.stats().requests, before);
    let sonnet = house.model_id("claude-3-sonnet").await;
    assert_eq!(house.manage(KEY_SWITCH, switch(&alone, sonnet)).await, "created");
    assert_eq!(house.chat(&alone, &ask).await.status, 200);
    assert_eq!(house.manage(KEY_SWITCH, switch(&alone, sonnet)).await, "deleted");
    assert_eq!(house.chat(&alone, &ask).await.status, 403, "on the next request");
    // The whole group loses it, then the key leaves the group.
    let grant = json!({"group_id": 1, "model_id": sonnet});
    assert_eq!(house.manage("/admin/group/bind-or-unbind-model", grant.clone()).await, "deleted");
    assert_eq!(house.chat(&of_group, &ask).await.status, 403);
    house.manage("/admin/group/bind-or-unbind-model", grant).await;
    assert_eq!(house.chat(&of_group, &ask).await.status, 200);
    house.manage("/admin/api-key/update", json!({"id": of_group.id, "group_id": 0})).await;
    assert_eq!(house.chat(&of_group, &ask).await.status, 403);
}

#[tokio::test]
async fn c62_the_list_is_the_union_each_once() {
    let house = House::open().await;
    let id = house.manage("/admin/group/save", json!({"name": "g"})).await["id"].clone();
    let user = house.user(json!({"group_id": id})).await;
    assert!(names(&house, &user.key).await.is_empty());
    let (sonnet, haiku, small) = (
        house.model_id("claude-3-sonnet").await,
        house.model_id("claude-3-haiku").await,
        house.model_id("mistral-7b").await,
    );
    for model in [sonnet, haiku] {
        house.manage("/admin/group/bind-or-unbind-model", json!({"group_id": id, "model_id": model})).await;
    }
    for model in [haiku, small] {
        house.manage(KEY_SWITCH, switch(&user, model)).await;
    }
    let mut found = names(&house, &user.key).await;
    assert_eq!(found.last().map(String::as_str), Some("mistral-7b"), "the group's own first: {found:?}");
    found.sort();
    assert_eq!(found, ["claude-3-haiku", "claude-3-sonnet", "mistral-7b"]);
    let one = house.get(&user.key, "/v1/models/mistral-7b").await.json();
    assert_eq!((&one["multiple"], &one["owned_by"]), (&json!(false), &json!("bedrock-converse")));
    house.get(&user.key, "/v1/models/claude-3-opus").await.refused(404, "model_not_found");
    assert!(names(&house, BOOT).await.len() > 10, "who sees everything");
}

#[tokio::test]
async fn c35_c36_another_key_or_none_from_the_next_request_on() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let ask = question("claude-3-sonnet");
    house.upstream.script(used(1000, 100));
    assert_eq!(house.chat(&user, &ask).await.status, 200);
    house.spent(&user, "0.0045000000").await;
    let reset = house.manage("/admin/api-key/reset-key", json!({"id": user.id})).await;
    let next = super::User { id: user.id, key: reset["api_key"].as_str().unwrap().to_owned() };
    assert_eq!(house.chat(&user, &ask).await.refused(401, "invalid_api_key"), "Unauthorized: api key error.");
    assert_eq!(house.mine(&next).await["total_fee"], "0.0045000000");
    assert_eq!(house.chat(&next, &ask).await.status, 200);
    assert_eq!(house.manage("/admin/api-key/delete", json!({"id": user.id})).await, true);
    house.chat(&next, &ask).await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn c64_secrets_of_a_row_are_masked_and_the_mask_keeps_them() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let id = house.compatible("open", "gpt-4o").await;
    let ask = question("open");
    assert_eq!(house.chat(&user, &ask).await.status, 200);
    let detail = house.get(BOOT, &format!("/admin/model/detail/{id}")).await;
    assert!(!detail.text.contains("sk-upstream"), "{}", detail.text);
    let mut row = detail.json()["data"].clone();
    assert_eq!(row["config"]["apiKey"], "******");
    row["price_in"] = json!(6);
    row.as_object_mut().unwrap().remove("price_out");
    let saved = house.post(BOOT, "/admin/model/save", &row).await;
    assert!(saved.status == 200 && !saved.text.contains("sk-upstream"), "{}", saved.text);
    assert_eq!(house.chat(&user, &ask).await.status, 200, "with the stored secret");
    for path in ["/admin/model/list?limit=1000", "/admin/group/list-model?group_id=1&limit=1000"] {
        assert!(!house.get(BOOT, path).await.text.contains("sk-upstream"), "{path}");
    }
    assert!(!house.get(&user.key, "/user/model/list").await.text.contains("sk-upstream"));
    assert!(!house.gateway.log().contains("sk-upstream"));
}
