//! Routes.

use super::support::*;
use crate::domain::*;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const PATH: &str = "/api/routes";
const ONE: &str = "/api/routes/{id}";
const INVALID: &str = "/errors/validation";
const GONE: &str = "/errors/route-not-found";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn one_of(made: &Value) -> String {
    format!("{PATH}/{}", made["id"].as_str().unwrap())
}

fn chat(fields: Value) -> Value {
    let mut step = json!({"provider": "openai", "model": "gpt-4o-mini"});
    merge(&mut step, fields);
    step
}

fn azure(fields: Value) -> Value {
    let params = json!({"deploymentId": "my-gpt", "apiVersion": "2024-10-21"});
    let mut step = json!({"provider": "azure", "model": "gpt-35-turbo", "params": params});
    merge(&mut step, fields);
    step
}

impl Desk {
    /// Id of a new key with a setting of each of these providers.
    async fn caller(&self, name: &str, providers: &[&str]) -> String {
        let mut ids = Vec::new();
        for provider in providers {
            let entries = match *provider {
                "azure" => json!({"apikey": CREDENTIAL, "resourceName": "r"}),
                "vllm" => json!({"url": "http://127.0.0.1:9"}),
                "bedrock" => {
                    json!({"awsAccessKeyId": "A", "awsSecretAccessKey": CREDENTIAL, "awsRegion": "eu-west-1"})
                }
                _ => json!({"apikey": CREDENTIAL}),
            };
            let made = self.put("/api/provider-settings", json!({"provider": provider, "setting": entries})).await;
            ids.push(made.good()["id"].clone());
        }
        let key = json!({"name": name, "key": format!("gw-of-{name}"), "settingIds": ids});
        let made = self.put("/api/key-management/keys", key).await.good();
        made["keyId"].as_str().unwrap().to_owned()
    }
    /// What is sent to create a route of a key.
    fn wanted_route(key: &str, fields: Value) -> Value {
        let mut body = json!({
            "name": "a route", "path": "/team/chat", "keyIds": [key],
            "steps": [chat(json!({}))], "cacheConfig": {"enabled": false},
        });
        merge(&mut body, fields);
        body
    }
    async fn route(&self, key: &str, fields: Value) -> Value {
        self.post(PATH, Self::wanted_route(key, fields)).await.good()
    }
    /// The mistakes that are told of a route that cannot be created.
    async fn no_route(&self, key: &str, fields: Value) -> String {
        self.post(PATH, Self::wanted_route(key, fields)).await.problem(400, INVALID, PATH)
    }
    /// A model row.
    fn model(&self, name: &str, kind: &str, config: &Value) {
        self.store.models.lock().push(Model {
            id: ModelId(1),
            revision: 1,
            name: name.into(),
            provider: kind.into(),
            multiple: false,
            price_in: Money::ZERO,
            price_out: Money::ZERO,
            config: Secret::from(config.to_string()),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        });
    }
    fn stored(&self) -> Route {
        self.store.routes.lock()[0].clone()
    }
    async fn delete(&self, path: &str) -> Answer {
        self.raw(Method::DELETE, path, Body::empty()).await
    }
}

#[tokio::test]
async fn c134_a_route_is_created_shown_and_listed() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai"]).await;
    let before = desk.refreshed();
    let made = desk.route(&key, json!({"cacheConfig": {"enabled": true}})).await;
    assert!(uuid::Uuid::try_parse(made["id"].as_str().unwrap()).is_ok());
    let step = json!({
        "provider": "openai", "model": "gpt-4o-mini", "retries": 0, "params": {}, "timeout": "5m", "requestParams": {},
    });
    let expected = json!({
        "id": made["id"], "createdAt": NOW, "updatedAt": NOW, "name": "a route", "path": "/team/chat",
        "keyIds": [key], "steps": [step], "cacheConfig": {"enabled": true, "ttl": "168h", "shared": false},
        "retryStrategy": "", "requestFormat": "openai_chat",
    });
    assert_eq!(made, expected);
    assert_eq!(desk.refreshed() - before, 1, "requests see it before the answer");
    assert_eq!(desk.get(&one_of(&made)).await.good(), made);
    let second = desk.route(&key, json!({"path": "/other"})).await;
    assert_eq!(second["cacheConfig"], json!({"enabled": false, "ttl": "", "shared": false}));
    assert_eq!(desk.get(PATH).await.good(), json!([made, second]));
    for unknown in [NOBODY, "nonsense"] {
        desk.get(&format!("{PATH}/{unknown}")).await.problem(404, GONE, ONE);
    }
}

#[tokio::test]
async fn everything_that_is_said_is_kept() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai", "azure"]).await;
    let own = desk.setting("openai").await;
    let steps = json!([
        {
            "provider": "openai", "model": "gpt-4o", "retries": 10, "params": {"settingId": own}, "timeout": "90m",
            "firstByteTimeout": "10s", "retryInterval": "60s", "weight": 3,
            "requestParams": {"temperature": 0.1, "max_tokens": 100, "stop": ["a"], "logit_bias": {"5": -1}},
        },
        {
            "provider": "azure", "model": "gpt-4o", "retries": 0, "timeout": "1500ms", "requestParams": {}, "weight": 0,
            "params": {"apiVersion": "2024-10-21", "deploymentId": "my.gpt_4-o"},
        },
    ]);
    let wanted = json!({
        "steps": steps, "cacheConfig": {"enabled": true, "ttl": "720h", "shared": true},
        "retryStrategy": "exponential", "requestFormat": "openai_chat",
    });
    let made = desk.route(&key, wanted.clone()).await;
    for member in ["steps", "cacheConfig", "retryStrategy", "requestFormat"] {
        assert_eq!(made[member], wanted[member], "{member}");
    }
    let again = desk.put(&one_of(&made), made.clone()).await.good();
    assert_eq!(again, made, "what is shown can be sent back");
    let stored = desk.stored();
    assert_eq!(stored.retry_strategy, RetryStrategy::Exponential);
    assert_eq!(stored.cache, RouteCache { enabled: true, ttl: Duration::from_secs(720 * 3600), shared: true });
    assert_eq!(stored.steps[0].retry_interval, Some(Duration::from_secs(60)));
    assert_eq!(stored.steps[0].request_params.iter().map(|p| &*p.name).collect::<Vec<_>>().len(), 4);
}

#[tokio::test]
async fn c135_what_is_missing_unknown_or_taken_is_named() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai"]).await;
    for (member, nothing) in [
        ("name", json!("")),
        ("path", json!("")),
        ("keyIds", json!([])),
        ("steps", json!([])),
        ("cacheConfig", json!(null)),
    ] {
        for nothing in [nothing, json!(null)] {
            let told = desk.no_route(&key, json!({member: nothing})).await;
            assert!(told.starts_with(&format!("{member} must ")) && !told.contains(';'), "{told}");
        }
    }
    let all = desk.post(PATH, json!({})).await.problem(400, INVALID, PATH);
    for member in ["name", "path", "keyIds", "steps", "cacheConfig"] {
        assert!(all.contains(&format!("{member} must ")), "{member}: {all}");
    }
    for (ids, told) in [
        (json!([key, "nonsense"]), "keyIds[1] is not the id of a key".to_owned()),
        (json!([key, NOBODY]), format!("keyIds must be ids of keys, which {NOBODY} is not")),
    ] {
        assert_eq!(desk.no_route(&key, json!({"keyIds": ids})).await, told);
    }
    assert!(desk.store.routes.lock().is_empty());

    let made = desk.route(&key, json!({"keyIds": [key, key]})).await;
    assert_eq!(made["keyIds"], json!([key]), "each once");
    assert_eq!(desk.no_route(&key, json!({})).await, "path is the path of another route");
    desk.route(&key, json!({"path": "/team/chat/v1/chat/completions"})).await;
    let told = desk.no_route(&key, json!({"path": "/a//b", "cacheConfig": {"ttl": "721h"}})).await;
    assert!(told.contains("path must be a path of a URL"), "{told}");
    assert!(told.contains("cacheConfig.enabled must be given"), "{told}");
    assert!(told.contains("cacheConfig.ttl must be at least 1s and at most 720h"), "{told}");
}

#[tokio::test]
async fn c136_steps_say_what_their_providers_need() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai", "azure"]).await;
    for (step, told) in [
        (azure(json!({"params": {"apiVersion": "2024-10-21"}})), "steps[0].params.deploymentId must not be empty"),
        (azure(json!({"params": {"deploymentId": "d"}})), "steps[0].params.apiVersion must not be empty"),
        (azure(json!({"params": {"deploymentId": "", "apiVersion": "2024-10-21"}})), "deploymentId must not be empty"),
        (azure(json!({"params": {"deploymentId": "a/../b", "apiVersion": "2024-10-21"}})), "name of a deployment"),
        (azure(json!({"params": {"deploymentId": "d", "apiVersion": "2024-10-21&x=1"}})), "must be a version"),
        (azure(json!({"model": ""})), "steps[0].model must not be empty"),
        (chat(json!({"model": null})), "steps[0].model must not be empty"),
        (chat(json!({"model": "a\nb"})), "steps[0].model must be one line"),
        (chat(json!({"provider": null})), "steps[0].provider must not be empty"),
        (chat(json!({"provider": "nobody"})), "steps[0].provider is not a supported provider"),
        (chat(json!({"params": {"region": "x"}})), "steps[0].params.region is not known, only settingId are"),
        (
            chat(json!({"params": {"settingId": NOBODY}})),
            "steps[0].params.settingId is not the id of a provider setting",
        ),
        (chat(json!({"params": {"settingId": "x"}})), "steps[0].params.settingId is not the id of a provider setting"),
        (chat(json!({"retries": -1})), "steps[0].retries must be at least 0 and at most 10"),
        (chat(json!({"retries": 11})), "steps[0].retries must be at least 0 and at most 10"),
        (chat(json!({"timeout": "soon"})), "steps[0].timeout must be a duration"),
        (chat(json!({"timeout": "1s", "firstByteTimeout": "2s"})), "steps[0].firstByteTimeout must not be longer"),
        (chat(json!({"retryInterval": "1m"})), "steps[0].retryInterval must be in seconds or milliseconds"),
        (chat(json!({"requestParams": {"n": "2"}})), "steps[0].requestParams.n must be an integer of at least 1"),
        (chat(json!({"requestParams": {"tools": []}})), "steps[0].requestParams.tools is not known"),
        (chat(json!({"weight": -1})), "steps[0].weight must be at least 0"),
        (chat(json!({"weight": 1_000_001})), "steps[0].weight must be at least 0"),
        (chat(json!({"weight": 0})), "steps[0].weight must not be 0"),
    ] {
        let answer = desk.no_route(&key, json!({"steps": [step]})).await;
        assert!(answer.contains(told) && !answer.contains(';'), "{told}: {answer}");
    }
    let other = desk.caller("o", &["azure"]).await;
    let theirs = desk.store.keys.lock().iter().find(|k| k.id == KeyId::parse(&other).unwrap()).unwrap().setting_ids[0];
    let step = chat(json!({"params": {"settingId": theirs.to_string()}}));
    let told = desk.no_route(&key, json!({"steps": [step]})).await;
    assert_eq!(told, "steps[0].params.settingId is a setting of another provider");
    let many = vec![chat(json!({})); 51];
    assert_eq!(desk.no_route(&key, json!({"steps": many})).await, "steps must be at least 1 and at most 50");
    let told =
        desk.no_route(&key, json!({"steps": [chat(json!({"retries": -1})), azure(json!({"params": {}}))]})).await;
    for (field, count) in [("steps[0].retries", 1), ("steps[1].params.", 2)] {
        assert_eq!(told.matches(field).count(), count, "{told}");
    }
    for strategy in ["linear", "Constant"] {
        let told = desk.no_route(&key, json!({"retryStrategy": strategy})).await;
        assert_eq!(told, "retryStrategy must be constant or exponential");
    }
}

#[tokio::test]
async fn c136_conversations_and_embeddings_do_not_mix() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai", "azure", "anthropic"]).await;
    let vectors = |provider: &str, model: &str| json!({"provider": provider, "model": model});
    for (steps, told) in [
        (
            json!([chat(json!({})), vectors("openai", "text-embedding-3-small")]),
            "steps[1].model is an embedding model, and the route takes conversations",
        ),
        (
            json!([vectors("openai", "text-embedding-ada-002"), chat(json!({}))]),
            "steps[1].model is not an embedding model, and the route takes embeddings",
        ),
        (
            json!([vectors("openai", "my-new-embedder"), vectors("anthropic", "claude-of-tomorrow")]),
            "steps[1].model cannot be asked for embeddings by its provider",
        ),
        (json!([azure(json!({"model": "ada"})), azure(json!({}))]), "steps[1].model is not an embedding model"),
        (
            json!([{"provider": "openai", "model": "text-embedding-3-small", "requestParams": {"temperature": 1}}]),
            "steps[0].requestParams must be empty: they are for conversations",
        ),
    ] {
        let answer = desk.no_route(&key, json!({"steps": steps})).await;
        assert!(answer.starts_with(told) && !answer.contains(';'), "{answer}");
    }
    for (format, model, told) in [
        ("openai_embeddings", "gpt-4o", "steps[0].model is not an embedding model, and the route takes embeddings"),
        ("chat", "text-embedding-3-small", "steps[0].model is an embedding model, and the route takes conversations"),
    ] {
        let fields = json!({"steps": [vectors("openai", model)], "requestFormat": format});
        assert_eq!(desk.no_route(&key, fields).await, told);
    }
    assert!(desk.store.routes.lock().is_empty());
    // Nobody has to know a model, and what is said is stronger than what its name looks like.
    let fields = |path: &str, model: &str| json!({"path": path, "steps": [vectors("openai", model), chat(json!({}))]});
    desk.route(&key, fields("/new", "gpt-of-tomorrow")).await;
    let mut said = fields("/said", "no-embed-at-all");
    said["requestFormat"] = json!("openai_chat");
    desk.route(&key, said).await;
}

#[tokio::test]
async fn c137_every_key_needs_a_credential_for_every_step() {
    let desk = Desk::open();
    let both = desk.caller("both", &["openai", "azure"]).await;
    let one = desk.caller("one", &["openai"]).await;
    let steps = json!([chat(json!({})), azure(json!({}))]);
    let told = desk.no_route(&both, json!({"keyIds": [both, one], "steps": steps})).await;
    assert_eq!(told, format!("keyIds must be keys with a setting of azure, which {one} does not have"));
    desk.route(&both, json!({"steps": steps})).await;
    // A step that names its credential asks nothing of its callers, nor does a model.
    let setting = desk.store.keys.lock().iter().find(|k| k.id.to_string() == both).unwrap().setting_ids[1].to_string();
    let params = json!({"deploymentId": "d", "apiVersion": "2024-10-21", "settingId": setting});
    desk.model("mine", "ollama", &json!({"host": "http://127.0.0.1:1", "model": "llama3"}));
    let steps = json!([azure(json!({"params": params})), {"provider": "model", "model": "mine"}]);
    let made = desk.route(&one, json!({"path": "/named", "steps": steps})).await;
    assert_eq!(made["steps"][0]["params"]["settingId"], json!(setting));
}

#[tokio::test]
async fn c147_a_route_of_embedding_models_takes_embeddings() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai", "azure", "vllm"]).await;
    desk.model("titan", "titan-embeddings", &json!({"modelId": "amazon.titan-embed-text-v2:0"}));
    let params = json!({"deploymentId": "d", "apiVersion": "2024-10-21"});
    for (path, steps) in [
        ("/a", json!([{"provider": "openai", "model": "text-embedding-3-large"}])),
        ("/b", json!([{"provider": "azure", "model": "ada", "params": params}])),
        ("/c", json!([{"provider": "vllm", "model": "BAAI/bge-m3"}])),
        ("/d", json!([{"provider": "model", "model": "titan"}, {"provider": "openai", "model": "of-tomorrow"}])),
    ] {
        let made = desk.route(&key, json!({"path": path, "steps": steps})).await;
        assert_eq!(made["requestFormat"], "openai_embeddings", "{path}");
    }
    assert!(desk.store.routes.lock().iter().all(|route| route.request_format == RequestFormat::Embeddings));
    let fields = json!({
        "path": "/said", "requestFormat": "openai_embeddings", "steps": [{"provider": "vllm", "model": "mine"}],
    });
    let said = desk.route(&key, fields).await;
    let changed = desk.patch(&one_of(&said), json!({"name": "n"})).await.good();
    assert_eq!(changed["requestFormat"], "openai_embeddings");
    let other = desk.patch(&one_of(&said), json!({"steps": [chat(json!({}))]})).await.good();
    assert_eq!(other["requestFormat"], "openai_chat", "new steps decide anew");
    let told = desk.patch(&one_of(&said), json!({"requestFormat": "openai_embeddings"})).await;
    assert!(told.problem(400, INVALID, ONE).starts_with("steps[0].model is not an embedding model"));
}

#[tokio::test]
async fn steps_may_be_models_and_custom_providers() {
    let desk = Desk::open();
    let custom = json!({"provider": "acme", "authentication_param": "token", "route_configs": [{
        "path": "/v1/ask", "target_url": "http://127.0.0.1:9/x", "model_location": "model",
        "request_prompt_location": "messages.#.content", "response_completion_location": "choices.#.message.content",
    }]});
    desk.post("/api/custom/providers", custom).await.good();
    let body = json!({"provider": "acme", "setting": {"token": CREDENTIAL}});
    let setting = desk.put("/api/provider-settings", body).await.good()["id"].clone();
    let key = json!({"name": "k", "key": "gw-k", "settingIds": [setting]});
    let key = desk.put("/api/key-management/keys", key).await.good()["keyId"].as_str().unwrap().to_owned();
    desk.model("mine", "ollama", &json!({"host": "http://127.0.0.1:1", "model": "llama3"}));
    desk.model("half", "ollama", &json!({}));
    desk.model("any", "openai-compatible", &json!({"baseURL": "http://127.0.0.1:1"}));
    desk.model("kb", "bedrock-knowledge-base", &json!({"knowledgeBaseId": "K", "summaryModel": "mine"}));
    desk.model("way", "route", &json!({"route": "/team/chat"}));
    let step =
        |provider: &str, model: &str, params: Value| json!({"provider": provider, "model": model, "params": params});
    for (step, told) in [
        (step("acme", "m", json!({})), "steps[0].params.path must not be empty"),
        (step("acme", "m", json!({"path": "/v2"})), "steps[0].params.path is not a path of this provider"),
        (step("model", "none", json!({})), "steps[0].model is not the name of a model"),
        (step("model", "mine", json!({"settingId": setting})), "steps[0].params.settingId is not known"),
        (step("model", "half", json!({})), "steps[0].model is a model whose config is not complete"),
        (step("model", "any", json!({})), "steps[0].model is a model whose config does not say which"),
        (step("model", "kb", json!({})), "steps[0].model is a knowledge base"),
        (step("model", "way", json!({})), "steps[0].model answers through a route"),
        (
            step("acme", "m", json!({"deploymentId": "d"})),
            "steps[0].params.path must not be empty; steps[0].params.dep",
        ),
    ] {
        let answer = desk.no_route(&key, json!({"steps": [step]})).await;
        assert!(answer.starts_with(told), "{told}: {answer}");
    }
    let steps = json!([step("ACME", "m", json!({"path": "/v1/ask"})), step("model", "mine", json!({}))]);
    let made = desk.route(&key, json!({"steps": steps})).await;
    assert_eq!(made["steps"][0]["provider"], "acme");
    let stranger = desk.caller("s", &["openai"]).await;
    let told = desk.no_route(&stranger, json!({"path": "/x", "steps": steps})).await;
    assert_eq!(told, format!("keyIds must be keys with a setting of acme, which {stranger} does not have"));
    let reserved = json!({"provider": "model", "route_configs": []});
    let told = desk.post("/api/custom/providers", reserved).await.problem(400, INVALID, "/api/custom/providers");
    assert!(told.starts_with("provider is the name of a built-in provider"), "{told}");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_a_put_all() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai", "azure"]).await;
    let cache = json!({"enabled": true, "ttl": "1h", "shared": true});
    let made = desk.route(&key, json!({"cacheConfig": cache, "retryStrategy": "constant"})).await;
    desk.at(NOW + 5);
    let before = desk.refreshed();
    let mut expected = made.clone();
    merge(&mut expected, json!({"name": "other", "path": "/other", "updatedAt": NOW + 5}));
    assert_eq!(desk.patch(&one_of(&made), json!({"name": "other", "path": "/other"})).await.good(), expected);
    assert_eq!(desk.refreshed() - before, 1);
    assert_eq!(desk.get(&one_of(&made)).await.good(), expected);
    let cache = desk.patch(&one_of(&made), json!({"cacheConfig": {"enabled": false}})).await.good();
    assert_eq!(cache["cacheConfig"], json!({"enabled": false, "ttl": "", "shared": false}), "the whole member");
    assert_eq!(cache["retryStrategy"], "constant");

    let put = desk.put(&one_of(&made), Desk::wanted_route(&key, json!({"steps": [azure(json!({}))]}))).await.good();
    assert_eq!((&put["id"], &put["createdAt"], &put["path"]), (&made["id"], &made["createdAt"], &json!("/team/chat")));
    assert_eq!((&put["retryStrategy"], &put["steps"][0]["provider"]), (&json!(""), &json!("azure")));
    let told = desk.put(&one_of(&made), json!({"name": "n"})).await.problem(400, INVALID, ONE);
    assert!(told.contains("path must ") && told.contains("steps must "), "{told}");

    desk.route(&key, json!({"path": "/taken"})).await;
    let told = desk.patch(&one_of(&made), json!({"path": "/taken"})).await.problem(400, INVALID, ONE);
    assert_eq!(told, "path is the path of another route");
    desk.patch(&one_of(&made), json!({"path": "/team/chat"})).await.good();
    for unknown in [NOBODY, "nonsense"] {
        let path = format!("{PATH}/{unknown}");
        desk.patch(&path, json!({})).await.problem(404, GONE, ONE);
        desk.put(&path, Desk::wanted_route(&key, json!({}))).await.problem(404, GONE, ONE);
        desk.delete(&path).await.problem(404, GONE, ONE);
    }
}

#[tokio::test]
async fn what_a_route_refers_to_may_go_without_standing_in_its_way() {
    let desk = Desk::open();
    let (key, gone) = (desk.caller("k", &["openai"]).await, desk.caller("g", &["openai"]).await);
    let made = desk.route(&key, json!({"keyIds": [key, gone]})).await;
    desk.delete(&format!("/api/key-management/keys/{gone}")).await;
    let renamed = desk.patch(&one_of(&made), json!({"name": "n"})).await.good();
    assert_eq!(renamed["keyIds"], json!([key, gone]));
    desk.put(&one_of(&made), renamed.clone()).await.good();
    let new = desk.caller("n", &["openai"]).await;
    let changed = desk.patch(&one_of(&made), json!({"keyIds": [gone, new]})).await.good();
    assert_eq!(changed["keyIds"], json!([gone, new]));
    let told = desk.patch(&one_of(&made), json!({"keyIds": [new, NOBODY]})).await.problem(400, INVALID, ONE);
    assert_eq!(told, format!("keyIds must be ids of keys, which {NOBODY} is not"));

    desk.model("mine", "ollama", &json!({"host": "http://127.0.0.1:1", "model": "llama3"}));
    desk.patch(&one_of(&made), json!({"steps": [{"provider": "model", "model": "mine"}]})).await.good();
    desk.store.models.lock().clear();
    desk.patch(&one_of(&made), json!({"keyIds": [key], "retryStrategy": "constant"})).await.good();
    let bare = desk.caller("bare", &["azure"]).await;
    desk.patch(&one_of(&made), json!({"keyIds": [bare]})).await.good();
    let told = desk.patch(&one_of(&made), json!({"steps": [chat(json!({}))]})).await.problem(400, INVALID, ONE);
    assert_eq!(told, format!("keyIds must be keys with a setting of openai, which {bare} does not have"));
}

#[tokio::test]
async fn c149_a_deleted_route_is_gone_at_once() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai"]).await;
    let made = desk.route(&key, json!({})).await;
    let before = desk.refreshed();
    let answer = desk.delete(&one_of(&made)).await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, ""));
    assert_eq!(desk.refreshed() - before, 1, "requests know it no longer before the answer");
    assert!(desk.store.routes.lock().is_empty());
    desk.get(&one_of(&made)).await.problem(404, GONE, ONE);
    desk.delete(&one_of(&made)).await.problem(404, GONE, ONE);
    desk.route(&key, json!({})).await;
}

#[tokio::test]
async fn a_broken_store_and_others_changes_are_handled() {
    let desk = Desk::open();
    let key = desk.caller("k", &["openai"]).await;
    let made = desk.route(&key, json!({})).await;
    desk.store.conflicts.store(4, Relaxed);
    desk.patch(&one_of(&made), json!({"name": "n"})).await.good();
    desk.store.conflicts.store(5, Relaxed);
    let kind = "/errors/route-manager";
    let told = desk.patch(&one_of(&made), json!({"name": "n"})).await.problem(500, kind, ONE);
    assert!(told.contains("try again"), "{told}");
    desk.store.broken.store(true, Relaxed);
    let told = desk.get(PATH).await.problem(500, kind, PATH);
    assert!(!told.contains("SELECT"));
    desk.post(PATH, Desk::wanted_route(&key, json!({}))).await.problem(500, kind, PATH);
    for answer in
        [desk.get(&one_of(&made)).await, desk.patch(&one_of(&made), json!({})).await, desk.delete(&one_of(&made)).await]
    {
        answer.problem(500, kind, ONE);
    }
}
