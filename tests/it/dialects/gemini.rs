//! Gemini: a model in the path, a key in a header of its own, thoughts that are output, errors with the name of a status.

use super::{KEY, booked, gateway, key, key_with, post, sent, upstream, url};
use crate::support::Gateway;
use crate::upstream::{Act, Api, Fault, Upstream};
use serde_json::{Value, json};

const MODEL: &str = "/v1beta/models/gemini-2.5-flash";

async fn house() -> (Upstream, Gateway) {
    let upstream = upstream(Api::Gemini).await;
    let base = format!("{}/v1beta/", upstream.url());
    let gateway = gateway(&upstream, Some(("TOLLGATE_PROVIDERS_GEMINI_BASE_URL", base))).await;
    (upstream, gateway)
}

fn entries() -> Value {
    json!({"apikey": "sk-upstream"})
}

fn body() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 100}})
}

fn act(act: Value) -> Act {
    serde_json::from_value(act).expect("a behaviour")
}

async fn ask(gateway: &Gateway, operation: &str, body: &Value) -> reqwest::Response {
    post(&url(gateway, "gemini", &format!("{MODEL}:{operation}")), gateway, body).await
}

const STREAM: &str = "streamGenerateContent?alt=sse";

#[tokio::test]
async fn text_is_billed_by_the_table_exactly() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "gemini", entries(), json!({"costLimitInUsd": 1})).await;
    // 1000 of a prompt, 400 of them cached; 90 of output, 60 of them thoughts.
    let tokens = json!({"tokens": {"input": 1000, "cached": 400, "output": 90, "reasoning": 60}, "chunks": 3});
    for operation in ["generateContent", STREAM, "streamGenerateContent"] {
        upstream.script(act(tokens.clone()));
        let answer = ask(&gateway, operation, &body()).await;
        assert_eq!(answer.status(), 200, "{operation}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(" tok2") && text.contains(r#""thoughtsTokenCount":60"#), "{text}");
        assert_eq!(text.matches("data: ").count(), if operation == STREAM { 4 } else { 0 });
        assert_eq!(sent(&upstream), body());
    }
    for event in gateway.events_settled(&id, 3).await {
        // 600 at 0.30, 400 at 0.03, 90 at 2.50 USD per million.
        assert_eq!(booked(&event), (1000, 90, 0.000_417, json!([])), "{event}");
    }
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(
        (&*seen.target, seen.header("x-goog-api-key")),
        (&*format!("{MODEL}:streamGenerateContent"), Some("sk-upstream"))
    );
}

#[tokio::test]
async fn a_cost_map_wins_and_calls_of_tools_pass() {
    let (upstream, gateway) = house().await;
    let costs =
        json!({"promptCostPerModel": {"gemini-2.5-flash": 1.0}, "completionCostPerModel": {"gemini-2.5-flash": 2.0}});
    let setting = json!({"provider": "gemini", "setting": {"apikey": "sk-upstream"}, "costMap": costs});
    let id = key_with(&gateway, setting, json!({})).await;
    let asked = json!({"contents": [
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}]});
    for operation in ["generateContent", STREAM] {
        upstream.script(act(
            json!({"calls": [{"name": "f", "arguments": "{\"a\":1}"}], "tokens": {"input": 30, "output": 6}}),
        ));
        let text = ask(&gateway, operation, &asked).await.text().await.unwrap();
        assert!(text.contains(r#""functionCall":{"args":{"a":1},"name":"f"}"#) && text.contains("c2lnbmVk"), "{text}");
    }
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!(booked(&event), (30, 6, 0.042, json!([])), "{event}");
    }
}

#[tokio::test]
async fn the_clients_key_stays_here_wherever_it_is_put() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "gemini", entries(), json!({})).await;
    let path = format!("{MODEL}:generateContent?key={KEY}&$alt=proto&fields=candidates");
    for name in ["x-goog-api-key", "x-api-key", "api-key"] {
        let request = gateway
            .http
            .post(url(&gateway, "gemini", &path))
            .header(name, KEY)
            .header("x-goog-fieldmask", "candidates");
        let answer = request.json(&body()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text().await.unwrap());
    }
    for seen in upstream.seen() {
        assert_eq!(seen.target, format!("{MODEL}:generateContent"));
        assert_eq!((seen.header("x-goog-api-key"), seen.header("x-goog-fieldmask")), (Some("sk-upstream"), Some("*")));
    }
    let none = gateway.http.post(url(&gateway, "gemini", &path)).json(&body()).send().await.unwrap();
    assert_eq!(none.status(), 401, "never from the query");
    assert_eq!(none.json::<Value>().await.unwrap()["error"]["status"], "UNAUTHENTICATED");
    gateway.events_settled(&id, 3).await;
}

#[tokio::test]
async fn a_broken_stream_is_billed_by_what_it_had_reported() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "gemini", entries(), json!({})).await;
    let fault = Some(Fault::Close { after: Some(4) });
    upstream.script(Act { fault, ..act(json!({"chunks": 10, "tokens": {"input": 1000, "output": 1000}})) });
    let text = ask(&gateway, STREAM, &body()).await.text().await.unwrap();
    let last: Value = serde_json::from_str(text.trim_end().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!((last["error"]["status"].as_str(), text.contains("STOP")), (Some("UNAVAILABLE"), false), "{text}");
    let event = &gateway.events_settled(&id, 1).await[0];
    // 1000 at 0.30 and 400 at 2.50 USD per million.
    assert_eq!(booked(event), (1000, 400, 0.0013, json!(["estimated", "aborted"])), "{event}");
    upstream.script(Act { no_usage: true, ..Act::default() });
    ask(&gateway, STREAM, &body()).await.text().await.unwrap();
    let events = gateway.events_settled(&id, 2).await;
    let counted = events.iter().find(|e| e["flags"] == json!(["estimated"])).expect("a counted one");
    assert!(booked(counted).0 > 0 && (5..15).contains(&booked(counted).1), "{counted}");
}

#[tokio::test]
async fn errors_pass_unchanged_and_the_rest_is_free_or_closed() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway, "gemini", entries(), json!({"costLimitInUsd": 1})).await;
    let odd = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}], "messages": []});
    let answer = ask(&gateway, "generateContent", &odd).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["status"], "INVALID_ARGUMENT");
    upstream.script(Act { status: Some(429), ..Act::default() });
    let answer = ask(&gateway, STREAM, &body()).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["status"], "RESOURCE_EXHAUSTED");
    upstream.script(Act { fault: Some(Fault::ErrorFrame { after: 0 }), ..Act::default() });
    let text = ask(&gateway, STREAM, &body()).await.text().await.unwrap();
    assert!(text.starts_with("data: {\"error\":{") && text.contains("overloaded"), "{text}");
    let counted = ask(&gateway, "countTokens", &body()).await;
    assert_eq!(counted.json::<Value>().await.unwrap()["totalTokens"], 19);
    let models =
        gateway.http.get(url(&gateway, "gemini", "/v1beta/models?pageSize=5")).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(models.json::<Value>().await.unwrap()["models"][0]["name"], "models/gemini-2.5-flash");
    assert_eq!(upstream.seen().last().unwrap().target, "/v1beta/models?pageSize=5");
    for event in gateway.events_settled(&id, 5).await {
        assert_eq!((booked(&event).2, booked(&event).3), (0.0, json!([])), "{event}");
    }
    for path in ["/v1beta/files", "/v1beta/cachedContents", "/v1beta/models/m:predict", "/v1/models/m:generateContent"]
    {
        let answer = post(&url(&gateway, "gemini", path), &gateway, &body()).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["status"], "NOT_FOUND", "{path}");
    }
    assert_eq!(upstream.stats().requests, 5);
}

#[tokio::test]
async fn models_are_allowed_by_the_path_and_embeddings_are_counted() {
    let (upstream, gateway) = house().await;
    let setting = json!({"provider": "gemini", "setting": entries(), "allowedModels": ["gemini-embedding-001"]});
    let id = key_with(&gateway, setting, json!({})).await;
    assert_eq!(ask(&gateway, "generateContent", &body()).await.status(), 403);
    let embed = |operation: &str| url(&gateway, "gemini", &format!("/v1beta/models/gemini-embedding-001:{operation}"));
    let one = json!({"content": {"parts": [{"text": "What is the meaning of life?"}]}});
    assert_eq!(post(&embed("embedContent"), &gateway, &one).await.status(), 200);
    let other = json!({"requests": [{"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "x"}]}}]});
    assert_eq!(post(&embed("batchEmbedContents"), &gateway, &other).await.status(), 403);
    let events = super::admitted(&gateway, &id, 1).await;
    let (input, output, cost, flags) = booked(&events[0]);
    assert!((6..=15).contains(&input) && output == 0 && cost > 0.0, "{events:?}");
    assert_eq!((flags, upstream.stats().requests), (json!(["estimated"]), 1));
}
