//! Azure OpenAI: resources, deployments, versions, data zones.

use super::{KEY, admitted, booked, gateway, key, key_with, post, sent, upstream, url};
use crate::support::{Gateway, chat_body, stream_body};
use crate::upstream::{Act, Api, Fault, Upstream};
use serde_json::{Value, json};

const CHAT: &str = "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21";

async fn house() -> (Upstream, Gateway) {
    let upstream = upstream(Api::Azure).await;
    let gateway = gateway(&upstream, Some(("TOLLGATE_PROVIDERS_AZURE_BASE_URL", upstream.url()))).await;
    (upstream, gateway)
}

fn entries(more: &Value) -> Value {
    let mut entries = json!({"resourceName": "my-resource", "apikey": "sk-upstream"});
    entries.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entries
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    post(&url(gateway, "azure", path), gateway, body).await
}

#[tokio::test]
async fn c32_a_mapped_deployment_costs_what_its_model_costs_in_its_zone() {
    let (upstream, gateway) = house().await;
    let listed = entries(&json!({"dataZone": "eu", "deployments": "my-dep=gpt-4o"}));
    // A budget: so the model must be priced before it is called.
    let id = key(&gateway, "azure", listed, json!({"costLimitInUsd": 10})).await;
    let act = json!({"tokens": {"input": 1000, "output": 100}});
    for body in [chat_body("whatever", &act), stream_body("whatever", &act)] {
        let answer = ask(&gateway, CHAT, &body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-tollgate-model"], "gpt-4o");
        if body["stream"] != true {
            assert_eq!(answer.headers()["x-tollgate-cost-usd"], "0.0038500000");
        }
        let text = answer.text().await.unwrap();
        assert!(text.contains("prompt_filter_results"), "{text}");
        assert_eq!(text.contains("\"usage\""), body["stream"] != true, "{text}");
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event), (1000, 100, 0.003_85, json!([])), "{event}");
        assert_eq!((&event["provider"], &event["model"]), (&json!("azure"), &json!("gpt-4o-2024-11-20")));
    }
    for seen in upstream.seen() {
        assert_eq!(seen.target, CHAT, "C88");
        assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("sk-upstream"), None));
    }
}

#[tokio::test]
async fn c88_the_answering_model_prices_a_deployment_that_nobody_mapped() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "azure", entries(&json!({})), json!({})).await;
    let act = json!({"tokens": {"input": 1000, "output": 100}, "answers_as": "gpt-4o-mini-2024-07-18"});
    let versions = "api-version=2024-10-21&other=1";
    for path in
        [format!("/openai/deployments/my-dep/chat/completions?{versions}"), "/openai/v1/chat/completions".to_owned()]
    {
        let answer = ask(&gateway, &path, &chat_body("my-dep", &act)).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(upstream.seen().last().unwrap().target, path);
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event), (1000, 100, 0.000_21, json!([])), "1000 x 0.15/M + 100 x 0.6/M: {event}");
    }
}

#[tokio::test]
async fn embeddings_completions_and_responses_are_billed() {
    let (_upstream, gateway) = house().await;
    let id =
        key(&gateway, "azure", entries(&json!({"deployments": "emb=text-embedding-3-small,gpt=gpt-4o"})), json!({}))
            .await;
    let act = json!({"tokens": {"input": 8191}, "answers_as": "text-embedding-3-small"}).to_string();
    let version = "?api-version=2024-10-21";
    let embeddings = json!({"input": "hello", "user": act});
    let path = format!("/openai/deployments/emb/embeddings{version}");
    assert_eq!(ask(&gateway, &path, &embeddings).await.status(), 200);
    let act = json!({"tokens": {"input": 1000, "output": 100}, "answers_as": "gpt-4o"}).to_string();
    for (path, body) in [
        (format!("/openai/deployments/gpt/completions{version}"), json!({"prompt": "hi", "user": act})),
        (format!("/openai/responses{version}"), json!({"model": "gpt", "input": "hi", "user": act})),
        ("/openai/v1/responses".to_owned(), json!({"model": "gpt", "input": "hi", "user": act, "stream": true})),
    ] {
        let answer = ask(&gateway, &path, &body).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap();
    }
    let events = gateway.events_settled(&id, 4).await;
    let mut costs: Vec<f64> = events.iter().map(|e| booked(e).2).collect();
    costs.sort_by(f64::total_cmp);
    assert_eq!(costs, [0.000_180_202, 0.0035, 0.0035, 0.0035]);
}

#[tokio::test]
async fn usage_is_asked_for_only_where_the_version_knows_it() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "azure", entries(&json!({"deployments": "my-dep=gpt-4o"})), json!({})).await;
    let body = stream_body("m", &json!({"tokens": {"input": 500, "output": 50}}));
    let old = CHAT.replace("2024-10-21", "2024-06-01");
    for (path, asked) in [(CHAT, true), (&*old, false)] {
        let answer = ask(&gateway, path, &body).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.text().await.unwrap().contains("[DONE]"));
        assert_eq!(sent(&upstream).get("stream_options").is_some(), asked, "{path}");
    }
    let mut events = gateway.events_settled(&id, 2).await;
    events.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    assert_eq!(booked(&events[0]).3, json!([]));
    assert_eq!((booked(&events[0]).0, booked(&events[0]).1), (500, 50));
    assert_eq!(booked(&events[1]).3, json!(["estimated"]), "{}", events[1]);
    assert!(booked(&events[1]).2 > 0.0);
}

#[tokio::test]
async fn the_settings_version_stands_in_for_a_missing_one() {
    let (upstream, gateway) = house().await;
    key(&gateway, "azure", entries(&json!({"apiVersion": "2024-10-21"})), json!({})).await;
    for (path, target) in [
        (
            "/openai/deployments/gpt-4o/chat/completions",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
        ("/openai/models?limit=3", "/openai/models?limit=3&api-version=2024-10-21"),
        ("/openai/v1/models", "/openai/v1/models"),
        ("/openai/models?api-version=2025-03-01-preview", "/openai/models?api-version=2025-03-01-preview"),
    ] {
        let answer = if path.contains("models") {
            gateway.http.get(url(&gateway, "azure", path)).header("api-key", KEY).send().await.unwrap()
        } else {
            ask(&gateway, path, &chat_body("m", &json!({}))).await
        };
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(upstream.seen().last().unwrap().target, target);
    }
}

/// The upstream refuses any request that carries the client's key anywhere, or a second credential.
#[tokio::test]
async fn every_place_of_a_key_works_and_none_reaches_the_upstream() {
    let (upstream, gateway) = house().await;
    key(&gateway, "azure", entries(&json!({})), json!({})).await;
    let body = chat_body("gpt-4o", &json!({}));
    for (name, value) in
        [("api-key", KEY.to_owned()), ("x-api-key", KEY.into()), ("authorization", format!("Bearer {KEY}"))]
    {
        let path = url(&gateway, "azure", &format!("{CHAT}&api-key={KEY}&Api%2Dkey={KEY}"));
        let answer = gateway.http.post(path).header(name, value).header("ocp-apim-subscription-key", KEY);
        let answer = answer.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text().await.unwrap());
    }
    assert!(upstream.seen().iter().all(|seen| seen.target == CHAT && seen.violations.is_empty()));
    assert!(!gateway.log().contains(KEY) && !gateway.log().contains("sk-upstream"));
}

#[tokio::test]
async fn a_directory_token_is_presented_as_one() {
    let (upstream, gateway) = house().await;
    key(&gateway, "azure", entries(&json!({"authScheme": "bearer"})), json!({})).await;
    assert_eq!(ask(&gateway, CHAT, &chat_body("m", &json!({}))).await.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("api-key")), (Some("Bearer sk-upstream"), None));
}

#[tokio::test]
async fn allowed_models_name_a_deployment_or_its_model() {
    let (upstream, gateway) = house().await;
    let listed = entries(&json!({"deployments": "my-dep=gpt-4o,dear=gpt-5-pro"}));
    let setting = json!({"provider": "azure", "setting": listed, "allowedModels": ["gpt-4o", "unlisted", "side"]});
    key_with(&gateway, setting, json!({})).await;
    for (deployment, body_model, status) in [
        ("my-dep", "x", 200),
        ("unlisted", "x", 200),
        // Nobody said what is behind it, so it may be called what its caller calls it.
        ("other", "side", 200),
        ("other", "x", 403),
        // A listed one is what the list says, whatever the body says.
        ("dear", "gpt-4o", 403),
    ] {
        let path = CHAT.replace("my-dep", deployment);
        assert_eq!(
            ask(&gateway, &path, &chat_body(body_model, &json!({}))).await.status(),
            status,
            "{deployment} {body_model}"
        );
    }
    let v1 = "/openai/v1/chat/completions";
    assert_eq!(ask(&gateway, v1, &chat_body("my-dep", &json!({}))).await.status(), 200);
    assert_eq!(ask(&gateway, v1, &chat_body("dear", &json!({}))).await.status(), 403);
    assert_eq!(upstream.stats().requests, 4);
}

#[tokio::test]
async fn c65_resource_and_credential_come_from_the_same_setting() {
    let make = async |key: &str| {
        let options = crate::upstream::Options { api: Api::Azure, keys: vec![key.into()], ..Default::default() };
        Upstream::start(options).await.unwrap()
    };
    let (a, b) = (make("sk-a").await, make("sk-b").await);
    let gateway = gateway(&a, None).await;
    let mut ids = Vec::new();
    for (at, key) in [(&a, "sk-a"), (&b, "sk-b")] {
        let setting = entries(&json!({"apikey": key, "baseUrl": at.url()}));
        ids.push(gateway.setting(json!({"provider": "azure", "setting": setting})).await);
    }
    gateway.key(KEY, json!({"settingIds": ids, "rotationEnabled": true})).await;
    for _ in 0..60 {
        assert_eq!(ask(&gateway, CHAT, &chat_body("m", &json!({}))).await.status(), 200);
    }
    for upstream in [&a, &b] {
        assert!(upstream.stats().requests > 5, "both are used");
        assert!(upstream.seen().iter().all(|seen| seen.target == CHAT));
    }
}

#[tokio::test]
async fn an_unmapped_deployment_has_no_price_to_hold_a_budget_to() {
    let (upstream, gateway) = house().await;
    key(&gateway, "azure", entries(&json!({})), json!({"costLimitInUsd": 1})).await;
    let answer = ask(&gateway, CHAT, &chat_body("gpt-4o", &json!({}))).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "model_not_priced");
    assert_eq!(upstream.stats().requests, 0);
    let named = CHAT.replace("my-dep", "gpt-4o");
    assert_eq!(
        ask(&gateway, &named, &chat_body("x", &json!({}))).await.status(),
        200,
        "a deployment named as its model"
    );
}

#[tokio::test]
async fn a_strict_budget_holds() {
    let (_upstream, gateway) = house().await;
    let limits = json!({"costLimitInUsd": 0.01, "budgetMode": "strict"});
    let id = key(&gateway, "azure", entries(&json!({"deployments": "my-dep=gpt-4o", "dataZone": "us"})), limits).await;
    let mut body = chat_body("m", &json!({"tokens": {"input": 40, "output": 10}}));
    body["max_tokens"] = json!(10);
    let calls = (0..120).map(|_| ask(&gateway, CHAT, &body));
    let answers = futures_util::future::join_all(calls).await;
    let served = answers.iter().filter(|a| a.status() == 200).count();
    assert!(served > 0 && answers.iter().all(|a| matches!(a.status().as_u16(), 200 | 401 | 429)), "{served}");
    let spent: f64 = admitted(&gateway, &id, served).await.iter().map(|e| booked(e).2).sum();
    assert!(spent > 0.0 && spent <= 0.01, "{spent}");
    body["data_sources"] = json!([{"type": "azure_search"}]);
    assert_ne!(ask(&gateway, CHAT, &body).await.status(), 200, "what is fetched has no bound");
}

#[tokio::test]
async fn errors_of_the_provider_pass_unchanged() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "azure", entries(&json!({"deployments": "my-dep=gpt-4o"})), json!({})).await;
    let filter = r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#;
    for (status, body) in [(400, filter), (429, r#"{"error":{"code":"429","message":"slow down"}}"#), (500, "<html>")] {
        upstream.script(Act { status: Some(status), body: Some(body.into()), ..Act::default() });
        let answer = ask(&gateway, CHAT, &chat_body("m", &json!({}))).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (status, body));
    }
    let unknown = ask(&gateway, &CHAT.replace("my-dep", "no-such"), &chat_body("m", &json!({}))).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["error"]["code"], "DeploymentNotFound");
    upstream.script(Act {
        status: Some(401),
        body: Some(r#"{"statusCode":401,"message":"denied"}"#.into()),
        ..Act::default()
    });
    let refused = ask(&gateway, CHAT, &chat_body("m", &json!({}))).await;
    assert_eq!(refused.status(), 502, "whose credential it was is told");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "upstream_auth");
    for event in gateway.events_settled(&id, 5).await {
        assert_eq!(booked(&event).2, 0.0, "{event}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_billed_and_told() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "azure", entries(&json!({"deployments": "my-dep=gpt-4o"})), json!({})).await;
    upstream.script(Act { fault: Some(Fault::Close { after: Some(5) }), chunks: Some(9), ..Act::default() });
    let text = ask(&gateway, CHAT, &stream_body("m", &json!({}))).await.text().await.unwrap();
    assert_eq!(text.matches("\"error\"").count(), 1, "{text}");
    assert!(!text.contains("[DONE]"));
    let event = &gateway.events_settled(&id, 1).await[0];
    let flags = event["flags"].as_array().unwrap();
    assert!(
        flags.contains(&json!("aborted")) && flags.contains(&json!("estimated")) && booked(event).2 > 0.0,
        "{event}"
    );
}

#[tokio::test]
async fn settings_are_looked_at_when_they_are_made() {
    let (_upstream, gateway) = house().await;
    for (entry, bad) in [
        ("resourceName", "evil.example/"),
        ("resourceName", ""),
        ("apikey", ""),
        ("apiVersion", "yesterday"),
        ("authScheme", "basic"),
        ("dataZone", "mars"),
        ("deployments", "a:b"),
    ] {
        let body = json!({"provider": "azure", "setting": entries(&json!({entry: bad}))});
        let (status, answer) = gateway.admin("PUT", "/api/provider-settings", Some(body)).await;
        assert_eq!(status, 400, "{entry}: {answer}");
        assert!(answer.to_string().contains(entry), "{answer}");
    }
    let good = json!({"provider": "azure", "setting": entries(&json!({"deployments": "a=gpt-4o", "dataZone": "eu"}))});
    let (status, answer) = gateway.admin("PUT", "/api/provider-settings", Some(good)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["setting"], json!({"resourceName": "my-resource", "deployments": "a=gpt-4o", "dataZone": "eu"}));
}

#[tokio::test]
async fn what_is_not_served_is_404() {
    let (upstream, gateway) = house().await;
    key(&gateway, "azure", entries(&json!({})), json!({})).await;
    for path in [
        "/openai/deployments/my-dep",
        "/openai/deployments/my-dep/realtime?api-version=2024-10-21",
        "/openai/deployments/a%2fb/chat/completions",
        "/openai/realtime?deployment=d",
        "/openai/v1/realtime/client_secrets",
        "/v1/chat/completions",
    ] {
        assert_eq!(ask(&gateway, path, &chat_body("m", &json!({}))).await.status(), 404, "{path}");
    }
    assert_eq!(upstream.stats().requests, 0);
}
