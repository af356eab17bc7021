//! Models: prices, configs and their secrets.

use super::*;

fn ollama(fields: Value) -> Value {
    let mut body = json!({"name": "m", "provider": "ollama"});
    crate::admin::tests::support::merge(&mut body, fields);
    body
}

#[tokio::test]
async fn c04_c05_the_first_models_are_there_once() {
    let console = Console::seeded().await;
    let again = console.store.seed_models(&first_models(console.clock.now())).await.unwrap();
    assert!(!again);
    assert_eq!(console.list("/admin/group/list", "name").await, ("1".into(), vec![json!("group 1")]));
    let (models, _) = console.list("/admin/model/list", "id").await;
    let granted = console.list("/admin/group/list-model?group_id=1&limit=100", "model_name").await;
    assert_eq!(granted.0, models);
    assert!(granted.1.contains(&json!("claude-3-sonnet")));
}

#[tokio::test]
async fn c53_prices_are_saved_per_million_and_listed_per_token() {
    let console = Console::open();
    let made = console.post("/admin/model/save", ollama(json!({"price_in": 3, "price_out": "0.0001"}))).await.data();
    for shown in [
        made.clone(),
        console.get("/admin/model/list").await.data()["items"][0].clone(),
        console.get("/admin/model/detail/1").await.data(),
        console.get("/admin/model/detail?id=1").await.data(),
    ] {
        let prices =
            ["price_in", "price_out", "price_in_per_million", "price_out_per_million"].map(|n| shown[n].clone());
        assert_eq!(json!(prices), json!(["0.0000030000", "0.0000000001", "3.0000000000", "0.0001000000"]));
        assert_eq!(shown, made);
    }
    let updated = console.post("/admin/model/save", json!({"id": 1, "price_in": "0.25"})).await.data();
    assert_eq!((&updated["price_in"], &updated["price_out"]), (&json!("0.0000002500"), &json!("0.0000000001")));
    for wrong in [json!(0.00001), json!(-1), json!("dear"), json!(1_000_000), json!(true)] {
        let text = console.post("/admin/model/save", ollama(json!({"name": "x", "price_in": wrong}))).await.invalid();
        assert!(text.starts_with("price_in "), "{text}");
    }
}

#[tokio::test]
async fn the_model_object_is_written_exactly_so() {
    let console = Console::open();
    let body = ollama(json!({"id": null, "multiple": true, "config": {"host": "http://h", "model": "l"}}));
    let answer = console.post("/admin/model/save", body).await;
    let expect = r#"{"success":true,"data":{"id":1,"name":"m","provider":"ollama","multiple":1,"model_type":1,"price_in":"0.0000000000","price_out":"0.0000000000","config":{"host":"http://h","model":"l"},"created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:20.000Z","price_in_per_million":"0.0000000000","price_out_per_million":"0.0000000000"}}"#;
    assert_eq!(answer.text, expect);
}

#[tokio::test]
async fn c54_a_config_is_an_object_or_text_that_holds_one() {
    let console = Console::open();
    let config = json!({"host": "http://h", "model": "l", "options": {"deep": [1, "zwei"]}});
    let object = console.post("/admin/model/save", ollama(json!({"config": config}))).await.data();
    let text = ollama(json!({"name": "n", "config": config.to_string()}));
    let text = console.post("/admin/model/save", text).await.data();
    assert_eq!((&object["config"], &text["config"]), (&config, &config));
    for (n, none) in [json!(null), json!(""), json!({})].into_iter().enumerate() {
        let made = console.post("/admin/model/save", ollama(json!({"name": format!("e{n}"), "config": none}))).await;
        assert_eq!(made.data()["config"], json!({}));
    }
    for wrong in [json!("{"), json!("[]"), json!([]), json!(1), json!("null"), json!("{} x"), json!(true)] {
        let text = console.post("/admin/model/save", ollama(json!({"name": "x", "config": wrong}))).await.invalid();
        assert_eq!(text, "config must be a JSON object");
    }
    console.post("/admin/model/save", json!({"id": 1, "name": "renamed"})).await.data();
    assert_eq!(console.get("/admin/model/detail/1").await.data()["config"], config, "absent = unchanged");
}

#[tokio::test]
async fn c55_the_provider_is_one_that_there_is() {
    let console = Console::open();
    let known = console.get("/admin/model/list-providers").await.data();
    assert!(known.as_array().unwrap().contains(&json!("bedrock-converse")));
    for wrong in ["nothing", "Ollama", "aws-executor", "ollama "] {
        let text = console.post("/admin/model/save", json!({"name": "x", "provider": wrong})).await.invalid();
        assert_eq!(text, "provider is not one of list-providers");
    }
    assert_eq!(console.post("/admin/model/save", json!({"name": "x"})).await.invalid(), "provider is required");
    for kind in known.as_array().unwrap() {
        let made = console.post("/admin/model/save", json!({"name": kind, "provider": kind})).await.data();
        assert_eq!(&made["provider"], kind, "without a config: savable, not callable");
    }
    let text = console.post("/admin/model/save", json!({"id": 1, "provider": "nothing"})).await.invalid();
    assert_eq!(text, "provider is not one of list-providers");
}

#[tokio::test]
async fn c56_a_name_is_one_models() {
    let console = Console::open();
    console.model("m").await;
    let second = console.model("n").await;
    for body in [ollama(json!({})), ollama(json!({"id": second}))] {
        let text =
            console.post("/admin/model/save", body).await.refused(409, "invalid_request_error", "already_exists");
        assert_eq!(text, "m already exists");
    }
    console.post("/admin/model/save", ollama(json!({"name": "M"}))).await.data();
    for (name, expect) in [
        (json!(null), "name is required"),
        (json!(" "), "name is required"),
        (json!("a/b"), "name must not contain / or control characters"),
        (json!("a\u{7}b"), "name must not contain / or control characters"),
        (json!("x".repeat(65)), "name is longer than 64 characters"),
    ] {
        assert_eq!(console.post("/admin/model/save", ollama(json!({"name": name}))).await.invalid(), expect);
    }
    console.post("/admin/model/save", ollama(json!({"name": "ü".repeat(64)}))).await.data();
}

#[tokio::test]
async fn models_are_listed_newest_first_and_deleted_with_their_grants() {
    let console = Console::open();
    let (first, _) = (console.model("One").await, console.model("two").await);
    let other = json!({"name": "three", "provider": "bedrock-converse"});
    console.post("/admin/model/save", other).await.data();
    assert_eq!(console.list("/admin/model/list", "name").await.1, [json!("three"), json!("two"), json!("One")]);
    assert_eq!(console.list("/admin/model/list?q=oN", "name").await, ("1".into(), vec![json!("One")]));
    assert_eq!(console.list("/admin/model/list?q=%25", "name").await.0, "0");
    assert_eq!(
        console.list("/admin/model/list?provider=ollama&limit=1", "name").await,
        ("2".into(), vec![json!("two")])
    );
    assert_eq!(console.list("/admin/model/list?provider=oll", "name").await.0, "0");
    let (key, secret) = console.key(json!({})).await;
    let body = json!({"key_id": key, "model_id": first});
    console.post("/admin/api-key/bind-or-unbind-model", body).await.data();
    assert_eq!(console.post("/admin/model/delete", json!({"id": first})).await.text, r#"{"success":true,"data":true}"#);
    assert!(console.models_of(&secret).await.is_empty());
    assert_eq!(console.list("/admin/api-key/list-model", "id").await.0, "0");
    assert_eq!(console.post("/admin/model/delete", json!({"id": first})).await.not_found(), "not found");
    assert_eq!(console.get(&format!("/admin/model/detail/{first}")).await.not_found(), "not found");
    console.post("/admin/model/save", ollama(json!({"id": first}))).await.not_found();
}

#[tokio::test]
async fn c64_secrets_of_a_config_are_kept_and_never_shown() {
    let console = Console::open();
    let config = json!({
        "baseURL": "https://u.example", "apiKey": "secret-1", "bearerToken": "secret-2", "maxTokens": 5,
        "credentials": [
            {"accessKeyId": "A", "secretAccessKey": "secret-a"}, {"accessKeyId": "B", "secretAccessKey": "secret-b"},
        ],
        "serpapi": {"apiKey": "secret-3"},
    });
    let body = json!({"name": "m", "provider": "openai-compatible", "config": config});
    console.post("/admin/model/save", body).await.data();
    let (key, secret) = console.key(json!({"role": "admin"})).await;
    let group = console.group("g").await;
    console.post("/admin/api-key/bind-or-unbind-model", json!({"key_id": key, "model_id": 1})).await.data();
    console.post("/admin/group/bind-or-unbind-model", json!({"group_id": group, "model_id": 1})).await.data();
    let quiet = async |what: &str| {
        for path in [
            "/admin/model/list",
            "/admin/model/detail/1",
            "/admin/api-key/list-model",
            "/admin/group/list-model",
            "/user/model/list",
            "/user/model/list-for-brclient",
        ] {
            let answer = console.get_as(&secret, path).await;
            assert!(answer.status == 200 && !answer.text.contains("secret-"), "{what} {path}: {}", answer.text);
        }
    };
    quiet("new").await;
    let shown = console.get("/admin/model/detail/1").await.data()["config"].clone();
    assert_eq!(
        (&shown["apiKey"], &shown["maxTokens"], &shown["baseURL"]),
        (&json!("******"), &json!(5), &config["baseURL"])
    );
    let stored = async || -> Value {
        let model = console.store.model(ModelId(1)).await.unwrap().unwrap();
        serde_json::from_str(model.config.expose()).unwrap()
    };
    // What was shown comes back, once as text, with the credentials in another order and one secret changed.
    let mut back = shown;
    back["credentials"].as_array_mut().unwrap().reverse();
    back["bearerToken"] = json!("secret-4");
    let saved = console.post("/admin/model/save", json!({"id": 1, "config": back.to_string()})).await;
    assert!(!saved.text.contains("secret-"), "{}", saved.text);
    let mut expect = config;
    expect["credentials"].as_array_mut().unwrap().reverse();
    expect["bearerToken"] = json!("secret-4");
    assert_eq!(stored().await, expect);
    quiet("saved").await;
    let refused =
        console.post("/admin/model/save", json!({"id": 1, "config": {"otherSecret": "******"}})).await.invalid();
    assert_eq!(refused, "config.otherSecret is masked, and nothing is stored for it");
    assert_eq!(stored().await, expect);
    let other = json!({"name": "copy", "provider": "openai-compatible", "config": {"apiKey": "******"}});
    console.post("/admin/model/save", other).await.invalid();
}

#[tokio::test]
async fn addresses_of_the_machine_itself_are_refused() {
    let console = Console::open();
    for (field, url) in [
        ("baseURL", "http://169.254.169.254/latest"),
        ("host", "http://metadata.google.internal"),
        ("endpoint", "http://[fd00:ec2::254]"),
        ("baseURL", "file:///etc/passwd"),
        ("baseURL", "http://user:pass@host"),
    ] {
        let text = console.post("/admin/model/save", ollama(json!({"config": {field: url}}))).await.invalid();
        assert!(text.starts_with(&format!("config.{field} must ")), "{text}");
    }
    let fine = ollama(json!({"config": {"host": "http://10.0.0.7:11434", "model": "l"}}));
    console.post("/admin/model/save", fine).await.data();
}

#[tokio::test]
async fn a_knowledge_base_model_is_saved_by_its_shortcut() {
    let console = Console::seeded().await;
    let body = json!({"name": "kb", "knowledgeBaseId": "K1", "summaryModel": "claude-3-haiku"});
    let made = console.post("/admin/model/save-kb-model", body.clone()).await.data();
    assert_eq!(made["provider"], json!("bedrock-knowledge-base"));
    let config = json!({"knowledgeBaseId": "K1", "summaryModel": "claude-3-haiku", "region": "us-east-1"});
    assert_eq!(made["config"], config);
    let id = made["id"].clone();
    let change = json!({"id": id, "knowledgeBaseId": "K2", "summaryModel": "claude-3-haiku", "region": "eu-west-1"});
    let changed = console.post("/admin/model/save-kb-model", change).await.data();
    assert_eq!((&changed["name"], &changed["config"]["region"]), (&json!("kb"), &json!("eu-west-1")));
    for (missing, expect) in [
        ("name", "name is required"),
        ("knowledgeBaseId", "knowledgeBaseId is required"),
        ("summaryModel", "summaryModel is required"),
    ] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(console.post("/admin/model/save-kb-model", body).await.invalid(), expect);
    }
    let mut body = body;
    body["summaryModel"] = json!("nothing");
    assert_eq!(
        console.post("/admin/model/save-kb-model", body).await.invalid(),
        "summaryModel is not the name of a model"
    );
}

#[tokio::test]
async fn a_model_that_answers_through_a_route_names_one_that_there_is() {
    let console = Console::open();
    let state = AdminState { model_providers: || vec![backend::ROUTE], ..console.state.clone() };
    let console = Console { router: router(state), ..console };
    let now = console.clock.now();
    let route = Route {
        id: RouteId::from_uuid(uuid::Uuid::new_v4()),
        revision: 0,
        name: "r".into(),
        path: "/team/chat".into(),
        created_at: now,
        updated_at: now,
        key_ids: Vec::new(),
        steps: Vec::new(),
        cache: RouteCache::default(),
        retry_strategy: RetryStrategy::Unset,
        request_format: RequestFormat::Chat,
    };
    console.store.insert_route(&route).await.unwrap();
    let row = |name: &str, config: Value| json!({"name": name, "provider": "route", "config": config});
    for wrong in [json!("/other"), json!("team/chat"), json!("/team/chat/"), json!(7), json!(["/team/chat"])] {
        let text = console.post("/admin/model/save", row("m", json!({"route": wrong}))).await.invalid();
        assert_eq!(text, "config.route is not the path of a route");
    }
    for (name, unfinished) in [("a", json!({})), ("b", json!({"route": ""})), ("c", json!({"route": null}))] {
        console.post("/admin/model/save", row(name, unfinished)).await.data();
    }
    let made = console.post("/admin/model/save", row("m", json!({"route": "/team/chat"}))).await.data();
    console.store.delete_route(route.id).await.unwrap();
    let renamed = console.post("/admin/model/save", json!({"id": made["id"], "name": "n"})).await.data();
    assert_eq!(renamed["config"], json!({"route": "/team/chat"}), "the route's going does not stand in its way");
    let again = json!({"id": made["id"], "config": {"route": "/team/chat"}});
    assert_eq!(console.post("/admin/model/save", again).await.invalid(), "config.route is not the path of a route");
}
