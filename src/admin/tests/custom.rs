//! Custom providers.

use super::support::*;
use serde_json::{Value, json};

const PATH: &str = "/api/custom/providers";
const ONE: &str = "/api/custom/providers/{id}";
const SETTINGS: &str = "/api/provider-settings";
const INVALID: &str = "/errors/validation";

fn route(path: &str, fields: Value) -> Value {
    let mut route = json!({
        "path": path,
        "target_url": "http://127.0.0.1:9/v1/chat",
        "model_location": "model",
        "request_prompt_location": "messages.#.content",
        "response_completion_location": "choices.#.message.content",
    });
    merge(&mut route, fields);
    route
}

fn streaming(path: &str) -> Value {
    let fields = json!({
        "stream_location": "stream",
        "stream_end_word": "[DONE]",
        "stream_response_completion_location": "$.choices[*].delta.content",
        "stream_max_empty_messages": 7,
    });
    route(path, fields)
}

fn one_of(made: &Value) -> String {
    format!("{PATH}/{}", made["id"].as_str().unwrap())
}

impl Desk {
    async fn acme(&self) -> Value {
        let body = json!({"provider": "Acme", "route_configs": [streaming("/chat")], "authentication_param": "apiKey"});
        self.post(PATH, body).await.good()
    }
}

#[tokio::test]
async fn c122_create_returns_the_whole_provider() {
    let desk = Desk::open();
    let made = desk.acme().await;
    assert!(uuid::Uuid::try_parse(made["id"].as_str().unwrap()).is_ok());
    let expected = json!({
        "id": made["id"], "created_at": NOW, "updated_at": NOW, "provider": "acme",
        "route_configs": [streaming("/chat")], "authentication_param": "apikey",
    });
    assert_eq!(made, expected);
    assert_eq!(desk.refreshed(), 1, "requests see it before the answer");
    let plain = json!({"provider": "plain", "route_configs": [route("/x", json!({}))]});
    let made = desk.post(PATH, plain).await.good();
    assert_eq!((&made["authentication_param"], &made["route_configs"][0]["stream_location"]), (&json!(""), &json!("")));
    assert_eq!(made["route_configs"][0]["stream_max_empty_messages"], 0);
}

#[tokio::test]
async fn c123_what_is_missing_is_named() {
    let desk = Desk::open();
    for field in ["path", "target_url", "model_location", "request_prompt_location", "response_completion_location"] {
        for absent in [Value::Null, json!("")] {
            let body = json!({"provider": "p", "route_configs": [route("/x", json!({field: absent}))]});
            let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
            assert!(detail.contains(&format!("route_configs[0].{field}")), "{detail}");
        }
    }
    for field in ["stream_end_word", "stream_response_completion_location"] {
        let mut wanted = streaming("/x");
        wanted[field] = json!("");
        let body = json!({"provider": "p", "route_configs": [wanted]});
        let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.contains(field), "{detail}");
    }
    for (body, field) in [
        (json!({"route_configs": [route("/x", json!({}))]}), "provider"),
        (json!({"provider": "p"}), "route_configs"),
        (json!({"provider": "p", "route_configs": []}), "route_configs"),
    ] {
        let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.contains(field), "{detail}");
    }
    assert!(desk.store.custom.lock().is_empty());
}

#[tokio::test]
async fn c124_names_and_paths_have_rules() {
    let desk = Desk::open();
    desk.acme().await;
    for name in
        ["openai", "Anthropic", "azure", "bedrock", "deepinfra", "vllm", "ACME", "a b", "a\tb", "a/b", "..", "é", ""]
    {
        let body = json!({"provider": name, "route_configs": [route("/x", json!({}))]});
        let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.starts_with("provider "), "{name}: {detail}");
    }
    for paths in [vec!["x"], vec!["/a b"], vec!["/a", "/b", "/a"], vec!["/a?b"], vec!["/a/../b"]] {
        let routes: Vec<_> = paths.iter().map(|path| route(path, json!({}))).collect();
        let body = json!({"provider": "p", "route_configs": routes});
        let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.contains(".path"), "{paths:?}: {detail}");
    }
    let body = json!({"provider": "p", "route_configs": [route("/x", json!({}))], "authentication_param": "a b"});
    let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
    assert!(detail.contains("authentication_param"), "{detail}");
    assert_eq!(desk.store.custom.lock().len(), 1);
}

#[tokio::test]
async fn unsupported_locations_and_forbidden_targets_are_refused() {
    let desk = Desk::open();
    for (field, bad) in [
        ("model_location", "a.*"),
        ("request_prompt_location", "messages.#(role==\"user\")#.content"),
        ("response_completion_location", "$.["),
        ("stream_location", "@this"),
        ("stream_max_empty_messages", "-1"),
        ("target_url", "ftp://x/"),
        ("target_url", "/v1/chat"),
        ("target_url", "http://169.254.169.254/latest"),
        ("target_url", "http://user:pw@host/x"),
        ("target_url", "http://host/x#y"),
        ("target_url", "http://host/a b"),
    ] {
        let mut wanted = streaming("/x");
        wanted[field] = bad.parse::<i64>().map_or(json!(bad), |n| json!(n));
        let body = json!({"provider": "p", "route_configs": [wanted]});
        let detail = desk.post(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.contains(field), "{bad}: {detail}");
    }
    let fine = json!({"target_url": "https://api.acme.example/v1?version=2&x=a%20b", "model_location": "$.model"});
    desk.post(PATH, json!({"provider": "p", "route_configs": [route("/x", fine)]})).await.good();
}

#[tokio::test]
async fn c125_a_patch_merges_by_path_and_keeps_the_order() {
    let desk = Desk::open();
    let routes = json!([streaming("/b"), route("/a", json!({})), route("/c", json!({}))]);
    let made = desk.post(PATH, json!({"provider": "p", "route_configs": routes})).await.good();
    desk.at(NOW + 5);
    let change = json!({"route_configs": [
        {"path": "/a", "target_url": "http://127.0.0.1:8/new", "model_location": ""},
        route("/0", json!({})),
        {"path": "/b", "stream_max_empty_messages": 0},
    ]});
    let changed = desk.patch(&one_of(&made), change).await.good();
    let paths: Vec<_> = changed["route_configs"].as_array().unwrap().iter().map(|r| r["path"].clone()).collect();
    assert_eq!(paths, ["/b", "/a", "/c", "/0"], "known ones keep their place, new ones follow");
    let routes = &changed["route_configs"];
    assert_eq!(
        (&routes[1]["target_url"], &routes[1]["model_location"]),
        (&json!("http://127.0.0.1:8/new"), &json!("model"))
    );
    assert_eq!((&routes[0]["stream_max_empty_messages"], &routes[0]["stream_end_word"]), (&json!(0), &json!("[DONE]")));
    assert_eq!((&changed["updated_at"], &changed["created_at"]), (&json!(NOW + 5), &json!(NOW)));
    assert_eq!(desk.refreshed(), 2);

    let credential = desk.patch(&one_of(&made), json!({"authentication_param": "Token"})).await.good();
    assert_eq!((&credential["authentication_param"], &credential["route_configs"]), (&json!("token"), routes));
    for (bad, field) in [
        (json!({"route_configs": [{"path": "/new", "target_url": "http://h/"}]}), "route_configs[0].model_location"),
        (json!({"route_configs": [{"path": "/a", "stream_location": "stream"}]}), "stream_end_word"),
        (json!({"route_configs": [{"path": "/a"}, {"path": "/a"}]}), "route_configs[1].path"),
    ] {
        let detail = desk.patch(&one_of(&made), bad).await.problem(400, INVALID, ONE);
        assert!(detail.contains(field), "{detail}");
    }
    for unknown in [uuid::Uuid::new_v4().to_string(), "nonsense".into()] {
        desk.patch(&format!("{PATH}/{unknown}"), json!({})).await.problem(404, "/errors/not-found", ONE);
    }
}

#[tokio::test]
async fn c126_get_lists_all() {
    let desk = Desk::open();
    assert_eq!(desk.get(PATH).await.good(), json!([]));
    let first = desk.acme().await;
    let second = desk.post(PATH, json!({"provider": "b", "route_configs": [route("/x", json!({}))]})).await.good();
    assert_eq!(desk.get(PATH).await.good(), json!([first, second]));
}

#[tokio::test]
async fn c15_a_setting_needs_the_named_entry() {
    let desk = Desk::open();
    let wanted = |provider: &str, setting: Value| json!({"provider": provider, "setting": setting});
    desk.put(SETTINGS, wanted("acme", json!({"apikey": CREDENTIAL}))).await.problem(400, INVALID, SETTINGS);
    desk.acme().await;
    for setting in [json!({}), json!({"apikey": ""}), json!({"other": CREDENTIAL})] {
        let detail = desk.put(SETTINGS, wanted("acme", setting)).await.problem(400, INVALID, SETTINGS);
        assert!(detail.contains("setting.apikey"), "{detail}");
    }
    let made = desk.put(SETTINGS, wanted("ACME", json!({"apiKey": CREDENTIAL, "unknown": "x"}))).await.good();
    assert_eq!((&made["provider"], made.get("setting")), (&json!("acme"), None), "its entry is a secret");
    let stored = desk.store.settings.lock()[0].secrets.clone();
    assert_eq!(stored.keys().map(|k| &**k).collect::<Vec<_>>(), ["apikey"]);
    let one = format!("{SETTINGS}/{}", made["id"].as_str().unwrap());
    desk.patch(&one, json!({"setting": {"apikey": "other"}})).await.good();

    desk.post(PATH, json!({"provider": "open", "route_configs": [route("/x", json!({}))]})).await.good();
    desk.put(SETTINGS, wanted("open", json!({}))).await.good();
}

#[tokio::test]
async fn a_broken_store_and_others_changes_are_handled() {
    let desk = Desk::open();
    let made = desk.acme().await;
    desk.store.conflicts.store(4, std::sync::atomic::Ordering::Relaxed);
    desk.patch(&one_of(&made), json!({"authentication_param": ""})).await.good();
    desk.store.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    let kind = "/errors/custom-provider-manager";
    let told = desk.get(PATH).await.problem(500, kind, PATH);
    assert!(!told.contains("SELECT"));
    desk.patch(&one_of(&made), json!({})).await.problem(500, kind, ONE);
}
