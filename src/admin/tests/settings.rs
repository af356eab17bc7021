//! Provider settings.

use super::support::*;
use axum::http::StatusCode;
use serde_json::{Value, json};

const PATH: &str = "/api/provider-settings";
const ONE: &str = "/api/provider-settings/{id}";
const INVALID: &str = "/errors/validation";

fn path(setting: &Value) -> String {
    format!("{PATH}/{}", setting["id"].as_str().unwrap())
}

impl Desk {
    async fn made(&self, fields: Value) -> Value {
        let mut body = json!({"provider": "openai", "setting": {"apikey": CREDENTIAL}});
        merge(&mut body, fields);
        self.put(PATH, body).await.good()
    }
    fn stored_secret(&self, entry: &str) -> Option<String> {
        self.store.settings.lock()[0].secrets.get(entry).map(|s| s.expose().to_owned())
    }
}

#[tokio::test]
async fn c11_put_and_post_create_an_openai_setting() {
    let desk = Desk::open();
    let body = json!({"provider": "openai", "setting": {"apikey": CREDENTIAL}});
    for made in [desk.put(PATH, body.clone()).await.good(), desk.post(PATH, body).await.good()] {
        assert!(uuid::Uuid::try_parse(made["id"].as_str().unwrap()).is_ok());
        let want = json!({"id": made["id"], "createdAt": NOW, "updatedAt": NOW, "provider": "openai", "name": "", "allowedModels": []});
        assert_eq!(made, want);
    }
    assert_eq!(desk.store.settings.lock().len(), 2);
    assert_eq!(desk.refreshed(), 2, "requests see it before the answer");
    assert_eq!(desk.stored_secret("apikey").as_deref(), Some(CREDENTIAL));
}

#[tokio::test]
async fn c12_c19_no_answer_shows_a_secret() {
    // `Desk` itself fails on any answer that contains the credential.
    let desk = Desk::open();
    let aws = json!({"awsAccessKeyId": "AKIA", "awsSecretAccessKey": CREDENTIAL, "awsRegion": "eu-west-1"});
    let made = desk.made(json!({"provider": "bedrock", "setting": aws})).await;
    assert_eq!(made["setting"], json!({"awsAccessKeyId": "AKIA", "awsRegion": "eu-west-1"}));
    desk.made(json!({})).await;
    let listed = desk.get(PATH).await.good();
    assert_eq!(listed[0]["setting"], made["setting"]);
    assert_eq!(listed[1].get("setting"), None, "omitted when nothing may be shown");
    let changed = desk.patch(&path(&made), json!({"setting": {"awsSecretAccessKey": CREDENTIAL}})).await.good();
    assert_eq!(changed["setting"], made["setting"]);
}

#[tokio::test]
async fn c13_missing_or_unknown_provider_is_400() {
    let desk = Desk::open();
    for provider in [json!(null), json!(""), json!("acme"), json!("OpenAI")] {
        let body = json!({"provider": provider, "setting": {"apikey": CREDENTIAL}});
        let detail = desk.put(PATH, body).await.problem(400, INVALID, PATH);
        assert!(detail.contains("provider"), "{detail}");
    }
    let detail = desk.put(PATH, json!({})).await.problem(400, INVALID, PATH);
    assert!(detail.contains("provider") && detail.contains("setting"), "{detail}");
    assert!(desk.store.settings.lock().is_empty());
}

#[tokio::test]
async fn c14_every_required_entry_is_required() {
    let desk = Desk::open();
    for (provider, setting, missing) in [
        ("openai", json!({}), vec!["setting.apikey"]),
        ("anthropic", json!({"apikey": ""}), vec!["setting.apikey"]),
        ("azure", json!({"apikey": CREDENTIAL}), vec!["setting.resourceName"]),
        ("azure", json!({"resourceName": "r"}), vec!["setting.apikey"]),
        ("azure", json!({}), vec!["setting.apikey", "setting.resourceName"]),
        ("vllm", json!({"apikey": CREDENTIAL}), vec!["setting.url"]),
    ] {
        let body = json!({"provider": provider, "setting": setting});
        let detail = desk.put(PATH, body).await.problem(400, INVALID, PATH);
        assert!(missing.iter().all(|m| detail.contains(m)), "{provider}: {detail}");
    }
    assert!(desk.store.settings.lock().is_empty());
}

#[tokio::test]
async fn c16_name_and_models_are_echoed() {
    let made = Desk::open().made(json!({"name": "team", "allowedModels": ["gpt-4", "gpt-4o"]})).await;
    assert_eq!((&made["name"], &made["allowedModels"]), (&json!("team"), &json!(["gpt-4", "gpt-4o"])));
}

#[tokio::test]
async fn c17_c18_get_lists_all_or_exactly_the_wanted() {
    let desk = Desk::open();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(desk.setting("openai").await);
    }
    let listed = |answer: Value| -> Vec<String> {
        answer.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(desk.get(PATH).await.good()), ids);
    let two = desk.get(&format!("{PATH}?ids={}&ids={}", ids[2], ids[0])).await.good();
    assert_eq!(listed(two), [ids[0].clone(), ids[2].clone()]);
    let comma = desk.get(&format!("{PATH}?ids={},{}", ids[2], ids[0])).await.good();
    assert_eq!(listed(comma), [ids[0].clone(), ids[2].clone()]);
    let unknown = format!("{PATH}?ids={}&ids={}&ids=x", ids[1], uuid::Uuid::new_v4());
    assert_eq!(listed(desk.get(&unknown).await.good()), [ids[1].clone()]);
    assert_eq!(desk.get(&format!("{PATH}?ids=nonsense")).await.good(), json!([]));
}

#[tokio::test]
async fn c20_c23_name_and_models_can_be_emptied() {
    let desk = Desk::open();
    let made = desk.made(json!({"name": "team", "allowedModels": ["gpt-4"]})).await;
    let same = desk.patch(&path(&made), json!({"name": null, "setting": null})).await.good();
    assert_eq!(
        (&same["name"], &same["allowedModels"]),
        (&json!("team"), &json!(["gpt-4"])),
        "absent and null: unchanged"
    );
    let changed = desk.patch(&path(&made), json!({"name": "", "allowedModels": []})).await.good();
    assert_eq!((&changed["name"], &changed["allowedModels"]), (&json!(""), &json!([])));
    assert_eq!(desk.refreshed(), 3);
    assert_eq!(desk.stored_secret("apikey").as_deref(), Some(CREDENTIAL));
}

#[tokio::test]
async fn c21_a_patch_is_judged_by_its_result() {
    let desk = Desk::open();
    let made = desk.made(json!({})).await;
    for useless in [json!({"api": "x"}), json!({})] {
        let detail = desk.patch(&path(&made), json!({"setting": useless})).await.problem(400, INVALID, ONE);
        assert!(detail.contains("setting"), "{detail}");
    }
    desk.patch(&path(&made), json!({"setting": {"apikey": ""}})).await.problem(400, INVALID, ONE);
    assert_eq!(desk.stored_secret("apikey").as_deref(), Some(CREDENTIAL), "still works");

    let azure = desk.made(json!({"provider": "azure", "setting": {"resourceName": "r", "apikey": "old"}})).await;
    let changed = desk.patch(&path(&azure), json!({"setting": {"apikey": CREDENTIAL}})).await.good();
    assert_eq!(changed["setting"], json!({"resourceName": "r"}));
}

#[tokio::test]
async fn c22_a_new_credential_replaces_the_old_before_the_answer() {
    let desk = Desk::open();
    let made = desk.made(json!({})).await;
    desk.patch(&path(&made), json!({"setting": {"apikey": "sk-new"}})).await.good();
    assert_eq!(desk.stored_secret("apikey").as_deref(), Some("sk-new"));
    assert_eq!(desk.refreshed(), 2);
}

#[tokio::test]
async fn c24_unknown_setting_is_404() {
    let desk = Desk::open();
    for id in [uuid::Uuid::new_v4().to_string(), "nonsense".into(), "%FF".into()] {
        desk.patch(&format!("{PATH}/{id}"), json!({"name": "x"})).await.problem(404, "/errors/not-found", ONE);
    }
}

#[tokio::test]
async fn c25_updated_at_moves_forward_only() {
    let desk = Desk::open();
    let made = desk.made(json!({})).await;
    for (now, updated) in [(NOW + 1, NOW + 1), (NOW - 500, NOW + 1), (NOW + 9, NOW + 9)] {
        desk.at(now);
        let changed = desk.patch(&path(&made), json!({"name": "n"})).await.good();
        assert_eq!((&changed["updatedAt"], &changed["createdAt"]), (&json!(updated), &json!(NOW)));
    }
}

#[tokio::test]
async fn c26_api_key_has_an_alias() {
    let desk = Desk::open();
    desk.made(json!({"setting": {"apiKey": CREDENTIAL}})).await;
    assert_eq!(desk.stored_secret("apikey").as_deref(), Some(CREDENTIAL));
    assert_eq!(desk.stored_secret("apiKey"), None);
    let both = json!({"provider": "openai", "setting": {"apiKey": CREDENTIAL, "apikey": "other"}});
    desk.put(PATH, both).await.problem(400, INVALID, PATH);
}

#[tokio::test]
async fn c120_cost_map_is_kept_replaced_and_cleared() {
    let desk = Desk::open();
    let costs = json!({"promptCostPerModel": {"gpt-4": 0.03}, "completionCostPerModel": {"gpt-4": 0.06}});
    let made = desk.made(json!({"costMap": costs})).await;
    assert_eq!(made["costMap"]["promptCostPerModel"], json!({"gpt-4": 0.03}));
    assert_eq!(made["costMap"]["embeddingsCostPerModel"], json!({}));
    assert!(desk.store.settings.lock()[0].cost_map.as_ref().unwrap().chat("gpt-4").is_some());
    let replaced = desk.patch(&path(&made), json!({"costMap": {"embeddingsCostPerModel": {"e": 0}}})).await.good();
    assert_eq!(replaced["costMap"]["promptCostPerModel"], json!({}));
    assert_eq!(replaced["costMap"]["embeddingsCostPerModel"], json!({"e": 0.0}));
    let cleared = desk.patch(&path(&made), json!({"costMap": {}})).await.good();
    assert_eq!(cleared.get("costMap"), None);
    let bad = json!({"costMap": {"promptCostPerModel": {"a": -1}, "completionCostPerModel": {"b": 1e9}}});
    let detail = desk.patch(&path(&made), bad).await.problem(400, INVALID, ONE);
    assert!(detail.contains("costMap.promptCostPerModel.a") && detail.contains("costMap.completionCostPerModel.b"));
}

#[tokio::test]
async fn base_urls_are_checked_and_can_be_removed() {
    let desk = Desk::open();
    let with = |url: &str| json!({"provider": "openai", "setting": {"apikey": CREDENTIAL, "baseUrl": url}});
    let made = desk.put(PATH, with("http://127.0.0.1:9/v1/")).await.good();
    assert_eq!(made["setting"], json!({"baseUrl": "http://127.0.0.1:9/v1"}));
    for bad in ["http://169.254.169.254/", "ftp://x", "http://u:p@h", "x", "http://h\n"] {
        let detail = desk.put(PATH, with(bad)).await.problem(400, INVALID, PATH);
        assert!(detail.contains("setting.baseUrl"), "{detail}");
    }
    let changed = desk.patch(&path(&made), json!({"setting": {"baseUrl": ""}})).await.good();
    assert_eq!(changed.get("setting"), None);
}

#[tokio::test]
async fn all_mistakes_of_a_setting_are_told_at_once() {
    let body =
        json!({"provider": "openai", "setting": {"apikey": "a\r\nb"}, "name": "a\u{0}", "allowedModels": ["", "m"]});
    let detail = Desk::open().put(PATH, body).await.problem(400, INVALID, PATH);
    for field in ["setting.apikey", "name", "allowedModels[0]"] {
        assert!(detail.contains(field), "{detail}");
    }
    assert!(!detail.contains("allowedModels[1]"));
}

#[tokio::test]
async fn a_change_outlives_others_but_not_for_ever() {
    let desk = Desk::open();
    let made = desk.made(json!({})).await;
    desk.store.conflicts.store(4, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(desk.patch(&path(&made), json!({"name": "n"})).await.good()["name"], "n");
    desk.store.conflicts.store(5, std::sync::atomic::Ordering::Relaxed);
    let answer = desk.patch(&path(&made), json!({"name": "m"})).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    answer.problem(500, "/errors/provider-settings-manager", ONE);
    assert_eq!(&*desk.store.settings.lock()[0].name, "n");
}
