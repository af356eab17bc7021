//! Groups, grants, and who may use what.

use super::*;
use crate::auth::digest::digest;

impl Console {
    async fn bind(&self, kind: &str, grantee: i64, model: i64) -> Value {
        let body = json!({format!("{kind}_id"): grantee, "model_id": model});
        let path = if kind == "key" { "api-key" } else { "group" };
        self.post(&format!("/admin/{path}/bind-or-unbind-model"), body).await.data()
    }
}

#[tokio::test]
async fn c51_groups_are_saved_listed_shown_and_deleted() {
    let console = Console::open();
    let answer = console.post("/admin/group/save", json!({"id": 0, "name": "b group"})).await;
    let expect = r#"{"success":true,"data":{"id":1,"name":"b group","key":null,"created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:20.000Z"}}"#;
    assert_eq!(answer.text, expect);
    let other = console.post("/admin/group/save", json!({"name": "A group", "key": "code"})).await.data();
    assert_eq!((&other["id"], &other["key"]), (&json!(2), &json!("code")));
    assert_eq!(console.list("/admin/group/list", "id").await, ("2".into(), vec![json!(1), json!(2)]));
    assert_eq!(console.list("/admin/group/list?q=a%20G", "id").await, ("1".into(), vec![json!(2)]));
    assert_eq!(console.list("/admin/group/list?q=%25", "id").await.0, "0");
    assert_eq!(console.list("/admin/group/list?limit=1&offset=1", "id").await, ("2".into(), vec![json!(2)]));
    for name in ["A group", "b group"] {
        let text = console.post("/admin/group/save", json!({"name": name})).await.refused(
            409,
            "invalid_request_error",
            "already_exists",
        );
        assert_eq!(text, format!("{name} already exists"));
    }
    let clash = console.post("/admin/group/save", json!({"id": 1, "name": "A group"})).await;
    clash.refused(409, "invalid_request_error", "already_exists");
    let renamed = console.post("/admin/group/save", json!({"id": "2", "name": "C", "key": null})).await.data();
    assert_eq!(renamed, console.get("/admin/group/detail/2").await.data());
    assert_eq!((&renamed["name"], &renamed["key"]), (&json!("C"), &json!(null)));
    assert_eq!(console.get("/admin/group/detail?id=2").await.data(), renamed);
    assert_eq!(console.post("/admin/group/delete", json!({"id": 2})).await.text, r#"{"success":true,"data":true}"#);
    assert_eq!(console.get("/admin/group/detail/2").await.not_found(), "not found");
    console.post("/admin/group/delete", json!({"id": 2})).await.not_found();
    console.post("/admin/group/save", json!({"id": 2, "name": "x"})).await.not_found();
}

#[tokio::test]
async fn a_group_needs_a_sane_name() {
    let console = Console::open();
    for (body, expect) in [
        (json!({}), "name is required"),
        (json!({"name": " "}), "name is required"),
        (json!({"name": "x".repeat(65)}), "name is longer than 64 characters"),
        (json!({"name": "n", "key": "x".repeat(65)}), "key is longer than 64 characters"),
        (json!({"name": "a\nb"}), "name must not contain control characters"),
        (json!({"name": "n", "id": "x"}), "id must be a number"),
    ] {
        assert_eq!(console.post("/admin/group/save", body).await.invalid(), expect);
    }
    assert_eq!(console.post("/admin/group/delete", json!({})).await.invalid(), "id is required");
}

#[tokio::test]
async fn c52_a_deleted_group_leaves_its_keys_with_their_own_models() {
    let console = Console::open();
    let (ours, theirs) = (console.model("ours").await, console.model("theirs").await);
    let group = console.group("g").await;
    let (id, secret) = console.key(json!({"group_id": group})).await;
    console.bind("group", group, theirs).await;
    console.bind("key", id, ours).await;
    assert_eq!(console.models_of(&secret).await, ["theirs", "ours"]);
    console.post("/admin/group/delete", json!({"id": group})).await.data();
    assert_eq!(console.models_of(&secret).await, ["ours"]);
    assert_eq!(console.get_as(&secret, "/user/api-key/mine").await.data()["group_id"], json!(0));
    assert_eq!(console.list("/admin/group/list-model", "id").await.0, "0");
}

#[tokio::test]
async fn c57_binding_twice_undoes_it_unless_an_action_is_named() {
    let console = Console::open();
    let (model, group) = (console.model("m").await, console.group("g").await);
    let (key, _) = console.key(json!({})).await;
    for (kind, grantee) in [("key", key), ("group", group)] {
        for expect in ["created", "deleted", "created", "deleted"] {
            assert_eq!(console.bind(kind, grantee, model).await, json!(expect));
        }
        let path = format!("/admin/{}/bind-or-unbind-model", if kind == "key" { "api-key" } else { "group" });
        let body =
            |action: &str| json!({format!("{kind}_id"): grantee.to_string(), "model_id": model, "action": action});
        for (action, expect) in [("bind", "created"), ("bind", "created"), ("unbind", "deleted"), ("unbind", "deleted")]
        {
            assert_eq!(console.post(&path, body(action)).await.data(), json!(expect), "{kind} {action}");
        }
        assert_eq!(console.post(&path, body("toggle")).await.invalid(), "action must be bind or unbind");
        let unknown = [(grantee, 99), (99, model)];
        for (grantee, model) in unknown {
            let body = json!({format!("{kind}_id"): grantee, "model_id": model});
            assert_eq!(console.post(&path, body).await.status, 404, "{kind} {grantee} {model}");
        }
        assert_eq!(console.post(&path, json!({"model_id": model})).await.invalid(), format!("{kind}_id is required"));
        let body = json!({format!("{kind}_id"): grantee});
        assert_eq!(console.post(&path, body).await.invalid(), "model_id is required");
    }
}

#[tokio::test]
async fn c58_to_c63_what_a_key_may_use() {
    let console = Console::open();
    let mut models = Vec::new();
    for name in ["group only", "key only", "both", "neither"] {
        models.push(console.model(name).await);
    }
    let group = console.group("g").await;
    let (id, secret) = console.key(json!({"role": "admin"})).await;
    let may = |model: i64| {
        let picture = console.picture();
        let key = picture.key(&digest(secret.as_bytes())).unwrap().clone();
        picture.models().are_granted(&key, ModelId(model))
    };
    assert!(models.iter().all(|model| !may(*model)), "a role gives no model");
    assert_eq!(console.bind("key", id, models[1]).await, json!("created"));
    assert!(may(models[1]), "without any group");
    console.bind("key", id, models[2]).await;
    console.bind("group", group, models[2]).await;
    console.bind("group", group, models[0]).await;
    assert!(!may(models[0]));
    console.post("/admin/api-key/update", json!({"id": id, "group_id": group})).await.data();
    assert_eq!(models.iter().map(|model| may(*model)).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(console.models_of(&secret).await, ["both", "group only", "key only"]);
    let list = console.get_as(&secret, "/user/model/list").await.data();
    let shown: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["model_name"], &item["group_name"], &item["key_name"]))
        .collect();
    let null = &json!(null);
    let (g, k) = (&json!("g"), &json!("somebody"));
    assert_eq!(shown, [(&json!("both"), g, null), (&json!("group only"), g, null), (&json!("key only"), null, k)]);
    assert!(list.as_array().unwrap().iter().all(|item| item["config"] == json!({})), "configs are the operator's");
    // Taken back: for the next request.
    assert_eq!(console.bind("group", group, models[0]).await, json!("deleted"));
    assert!(!may(models[0]));
    assert_eq!(console.models_of(&secret).await, ["both", "key only"]);
    let (other, _) = (console.group("h").await, ());
    console.post("/admin/api-key/update", json!({"id": id, "group_id": other})).await.data();
    assert_eq!(console.models_of(&secret).await, ["key only", "both"]);
}

#[tokio::test]
async fn the_list_for_brclient_is_written_exactly_so() {
    let console = Console::seeded().await;
    let (_, secret) = console.key(json!({"group_id": 1})).await;
    let answer = console.get_as(&secret, "/user/model/list-for-brclient?f=?f=1700000000000").await;
    let expect = r#"{"name":"claude-3-sonnet","available":true,"modelId":"claude-3-sonnet","multiple":true,"displayName":"claude-3-sonnet","provider":{"id":"aws","name":"AWS","providerName":"BRConnector"}}"#;
    assert!(
        answer.text.starts_with(r#"{"success":true,"data":[{"name":"#) && answer.text.contains(expect),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn grants_are_listed_with_both_sides() {
    let console = Console::open();
    let (model, group) = (console.model("m one").await, console.group("g").await);
    let other = console.model("other").await;
    let (key, _) = console.key(json!({"name": "Kim"})).await;
    for model in [model, other] {
        console.bind("key", key, model).await;
        console.bind("group", group, model).await;
    }
    let answer = console.get("/admin/group/list-model?q=M%20ONE").await;
    let item = |id: &str, mid: &str, end: &str| {
        format!(
            r#"{{"success":true,"data":{{"items":[{{"id":{id},{mid},"created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:20.000Z",{end},"model_name":"m one","multiple":0,"price_in":"0.0000000000","price_out":"0.0000000000","provider":"ollama","config":{{"host":"http://127.0.0.1:1","model":"m"}}}}],"total":"1","limit":20,"offset":0}}}}"#
        )
    };
    let id = answer.json()["data"]["items"][0]["id"].to_string();
    assert_eq!(answer.text, item(&id, r#""model_id":1,"group_id":1"#, r#""group_name":"g""#));
    let answer = console.get("/admin/api-key/list-model?model_id=1&key_id=1").await;
    let id = answer.json()["data"]["items"][0]["id"].to_string();
    assert_eq!(answer.text, item(&id, r#""key_id":1,"model_id":1"#, r#""key_name":"Kim""#));
    for (query, total) in
        [("", "2"), ("q=kim", "2"), ("q=%25", "0"), ("key_id=9", "0"), ("key_id=x", "0"), ("model_id=2", "1")]
    {
        assert_eq!(console.list(&format!("/admin/api-key/list-model?{query}"), "id").await.0, total, "{query}");
    }
}
