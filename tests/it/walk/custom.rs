//! Custom providers against the running program.

use crate::support::{Gateway, PATIENCE, Setup, eventually};
use crate::upstream::{Act, Options, Upstream};
use serde_json::{Value, json};

struct House {
    upstream: Upstream,
    gateway: Gateway,
}

fn route(upstream: &Upstream, mut fields: Value) -> Value {
    let mut route = json!({
        "path": "/v1/chat/completions",
        "target_url": format!("{}/v1/chat/completions", upstream.url()),
        "model_location": "model",
        "request_prompt_location": "messages.#.content",
        "response_completion_location": "choices.#.message.content",
        "stream_location": "stream",
        "stream_end_word": "[DONE]",
        "stream_response_completion_location": "choices.#.delta.content",
    });
    route.as_object_mut().unwrap().append(fields.as_object_mut().unwrap());
    route
}

impl House {
    async fn open() -> Self {
        Self::open_with(Setup::default()).await
    }

    async fn open_with(setup: Setup) -> Self {
        let options = Options {
            keys: vec!["acme-secret".into()],
            forbidden: vec!["gateway-key".into(), "sk-upstream".into()],
            strict: true,
            ..Options::default()
        };
        let upstream = Upstream::start(options).await.unwrap();
        let gateway = setup.start(&upstream).await;
        Self { upstream, gateway }
    }

    async fn provider(&self, name: &str, fields: Value) -> Value {
        let body = json!({
            "provider": name, "authentication_param": "token", "route_configs": [route(&self.upstream, fields)],
        });
        let (status, made) = self.gateway.admin("POST", "/api/custom/providers", Some(body)).await;
        assert_eq!(status, 200, "{made}");
        made
    }

    async fn setting(&self, provider: &str, extra: Value) -> String {
        let mut body = json!({"provider": provider, "setting": {"token": "acme-secret"}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.gateway.setting(body).await
    }

    /// A key `gateway-key` for a provider `acme`; returns the key's id.
    async fn acme(&self, route: Value, setting: Value, key: Value) -> String {
        self.provider("Acme", route).await;
        let mut extra = json!({"settingIds": [self.setting("acme", setting).await]});
        extra.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
        self.gateway.key("gateway-key", extra).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let url = format!("{}/api/custom/providers{path}", self.gateway.proxy);
        let answer = self.gateway.http.post(url).bearer_auth("gateway-key").json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn chat(&self, body: &Value) -> (u16, String) {
        self.post("/acme/v1/chat/completions", body).await
    }
}

/// Two messages: 10 tokens of cl100k.
fn body(model: &str, act: &Value) -> Value {
    json!({
        "model": model, "user": act.to_string(),
        "messages": [{"role": "user", "content": "The quick brown fox"}, {"role": "user", "content": " jumps over the lazy dog."}],
    })
}

fn streamed(act: &Value) -> Value {
    let mut body = body("gpt-4o", act);
    body["stream"] = json!(true);
    body
}

fn costs() -> Value {
    json!({"costMap": {"promptCostPerModel": {"gpt-4o": 1}, "completionCostPerModel": {"gpt-4o": 2}}})
}

fn frame(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"delta": {"content": text}}]}))
}

#[tokio::test]
async fn c127_c128_a_call_reaches_its_target_with_the_named_credential() {
    let house = House::open().await;
    let target = json!({"target_url": format!("{}/v1/anything?version=2", house.upstream.url())});
    let key = house.acme(target, json!({}), json!({})).await;
    let sent = r#"{ "model":"gpt-4o" , "messages":[], "odd":1e400,"half":"\ud83d" }"#;
    let url = format!("{}/api/custom/providers/ACME/v1/chat/completions?a=%20b", house.gateway.proxy);
    let request =
        house.gateway.http.post(url).header("x-api-key", "gateway-key").header("content-type", "application/json");
    let answer = request.header("x-custom-event-id", "run-1").body(sent).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-tollgate-provider"], "acme");
    let seen = house.upstream.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/anything?version=2&a=%20b"));
    assert_eq!(seen.header("authorization"), Some("Bearer acme-secret"));
    assert_eq!(seen.header("host"), Some(house.upstream.addr().to_string().as_str()));
    assert_eq!(seen.body, sent.as_bytes());
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    let events = house.gateway.events_settled(&key, 1).await;
    assert_eq!((&events[0]["provider"], &events[0]["custom_id"]), (&json!("acme"), &json!("run-1")));
    assert_eq!(events[0]["flags"], json!(["estimated", "unpriced"]));
    house.gateway.idle().await;
    let metrics = house.gateway.metrics().await;
    assert!(metrics.contains("provider=\"custom\"") && !metrics.contains("acme"));
}

#[tokio::test]
async fn a_provider_without_credential_sends_none() {
    let house = House::open().await;
    let body = json!({"provider": "open", "route_configs": [route(&house.upstream, json!({}))]});
    assert_eq!(house.gateway.admin("POST", "/api/custom/providers", Some(body)).await.0, 200);
    let setting = house.gateway.setting(json!({"provider": "open", "setting": {}})).await;
    house.gateway.key("gateway-key", json!({"settingIds": [setting]})).await;
    // This upstream wants a credential: its refusal shows that none came.
    let (status, text) = house.post("/open/v1/chat/completions", &self::body("gpt-4o", &json!({}))).await;
    assert_eq!(status, 502, "{text}");
    let seen = house.upstream.seen().pop().unwrap();
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn c129_unknown_provider_path_and_method_are_404() {
    let house = House::open().await;
    house.acme(json!({}), json!({}), json!({})).await;
    let sent = body("gpt-4o", &json!({}));
    for path in ["/nobody/v1/chat/completions", "/acme/v1/chat/completions/", "/acme/v1", "/acme"] {
        assert_eq!(house.post(path, &sent).await.0, 404, "{path}");
    }
    let url = format!("{}/api/custom/providers/acme/v1/chat/completions", house.gateway.proxy);
    assert_eq!(house.gateway.http.get(url).bearer_auth("gateway-key").send().await.unwrap().status(), 404);
    assert!(house.upstream.seen().is_empty());
    assert_eq!(house.chat(&sent).await.0, 200);
}

#[tokio::test]
async fn c130_tokens_are_counted_where_nobody_reports_them() {
    let house = House::open().await;
    let key = house.acme(json!({}), costs(), json!({})).await;
    let silent = json!({"no_usage": true, "content": "Hello, world!"});
    assert_eq!(house.chat(&body("gpt-4o", &silent)).await.0, 200);
    let told = json!({"tokens": {"input": 1000, "output": 7}, "content": "Hello, world!"});
    assert_eq!(house.chat(&body("gpt-4o", &told)).await.0, 200);
    let anthropic = json!({"usage": {"input_tokens": 20, "output_tokens": 3}});
    assert_eq!(house.chat(&body("gpt-4o", &anthropic)).await.0, 200);
    let events = house.gateway.events_settled(&key, 3).await;
    let counts = |n: usize| (events[n]["prompt_token_count"].clone(), events[n]["completion_token_count"].clone());
    assert_eq!(counts(0), (json!(10), json!(4)));
    assert_eq!(counts(1), (json!(1000), json!(7)));
    assert_eq!(counts(2), (json!(20), json!(3)));
    // 1 USD per 1000 prompt tokens, 2 per 1000 completion tokens.
    assert_eq!(
        events.iter().map(|e| e["cost_in_usd"].clone()).collect::<Vec<_>>(),
        [json!(0.018), json!(1.014), json!(0.026)]
    );
    assert_eq!((&events[0]["flags"], &events[1]["flags"]), (&json!(["estimated"]), &json!([])));
}

#[tokio::test]
async fn c131_a_stream_ends_after_its_end_word() {
    let house = House::open().await;
    let key = house.acme(json!({}), costs(), json!({})).await;
    let frames = vec![frame("Hello, "), frame("world!"), "data: [DONE]\n\n".into(), frame("never")];
    // The upstream goes on and then keeps the connection open: the client must not wait for it.
    let fault = serde_json::from_value(json!({"kind": "stall", "after": 4})).unwrap();
    house.upstream.script(Act { frames: Some(frames.clone()), fault: Some(fault), ..Act::default() });
    let answer = tokio::time::timeout(PATIENCE / 2, house.chat(&streamed(&json!({})))).await.expect("an end");
    assert_eq!(answer, (200, frames[..3].concat()));
    let seen = house.upstream.wait(PATIENCE, |stats| stats.running == 0).await;
    assert!(seen.is_some(), "the upstream was let go");

    let mut unary = body("gpt-4o", &json!({"no_usage": true, "content": "Hello, world!"}));
    unary["stream"] = json!(false);
    assert_eq!(house.chat(&unary).await.0, 200);
    let events = house.gateway.events_settled(&key, 2).await;
    for event in events {
        assert_eq!((&event["prompt_token_count"], &event["completion_token_count"]), (&json!(10), &json!(4)));
        assert_eq!((&event["cost_in_usd"], &event["flags"]), (&json!(0.018), &json!(["estimated"])));
    }
}

#[tokio::test]
async fn a_whole_stream_passes_unchanged_and_its_connection_is_used_again() {
    let house = House::open().await;
    let key = house.acme(json!({}), costs(), json!({})).await;
    for _ in 0..5 {
        let (status, text) = house.chat(&streamed(&json!({"content": "Hello, world!"}))).await;
        assert_eq!(status, 200);
        assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("prompt_tokens"), "the body was not changed");
    }
    house.gateway.events_settled(&key, 5).await;
    assert_eq!(house.upstream.stats().connections, 1);
}

#[tokio::test]
async fn a_broken_stream_is_told_and_billed() {
    let house = House::open().await;
    let key = house.acme(json!({}), costs(), json!({})).await;
    for fault in [None, Some(json!({"kind": "close", "after": 2}))] {
        let frames = vec![frame("Hello, "), frame("world!")];
        let fault = fault.map(|fault| serde_json::from_value(fault).unwrap());
        house.upstream.script(Act { frames: Some(frames.clone()), fault, ..Act::default() });
        let (status, text) = house.chat(&streamed(&json!({}))).await;
        assert!(status == 200 && text.starts_with(&frames.concat()) && text.contains("\"error\""), "{text}");
        assert!(!text.contains("[DONE]"));
    }
    for event in house.gateway.events_settled(&key, 2).await {
        assert_eq!((&event["cost_in_usd"], &event["completion_token_count"]), (&json!(0.018), &json!(4)));
        assert_eq!(event["flags"], json!(["estimated", "aborted"]));
    }
}

#[tokio::test]
async fn c132_allowed_models_apply_to_the_model_location() {
    let house = House::open().await;
    let models = json!({"allowedModels": ["gpt-4o"]});
    house.acme(json!({"model_location": "$.options.model"}), models, json!({})).await;
    let wanted = |model: &str| {
        let mut body = body("gpt-4o", &json!({}));
        body["options"] = json!({"model": model});
        body
    };
    assert_eq!(house.chat(&wanted("gpt-4o")).await.0, 200);
    assert_eq!(house.chat(&wanted("gpt-5")).await.0, 403);
    let twice = r#"{"model":"gpt-4o","options":{"model":"gpt-4o","model":"gpt-5"},"messages":[]}"#;
    let url = format!("{}/api/custom/providers/acme/v1/chat/completions", house.gateway.proxy);
    let answer = house.gateway.http.post(url).bearer_auth("gateway-key").body(twice).send().await.unwrap();
    assert_eq!(answer.status(), 400, "one model may not hide another");
    assert_eq!(house.chat(&json!("no object")).await.0, 400, "what names no model is the upstream's to refuse");
    assert_eq!(house.upstream.seen().len(), 2);
}

#[tokio::test]
async fn c133_a_stream_without_text_is_ended() {
    let house = House::open().await;
    let key = house.acme(json!({"stream_max_empty_messages": 2}), costs(), json!({})).await;
    let empty = "data: {\"choices\":[]}\n\n".to_owned();
    let frames = vec![frame("Hello, "), empty.clone(), empty.clone(), empty.clone(), empty, frame("world!")];
    let fault = serde_json::from_value(json!({"kind": "stall", "after": 6})).unwrap();
    house.upstream.script(Act { frames: Some(frames.clone()), fault: Some(fault), ..Act::default() });
    let (status, text) = house.chat(&streamed(&json!({}))).await;
    let passed = frames[..3].concat();
    assert!(status == 200 && text.starts_with(&passed), "{text}");
    let tail = &text[passed.len()..];
    assert!(tail.starts_with("data: {\"error\":") && tail.contains("without text"), "{tail}");
    assert_eq!(house.gateway.events_settled(&key, 1).await[0]["flags"], json!(["estimated", "aborted"]));
}

#[tokio::test]
async fn c57_a_setting_fits_its_own_provider_only() {
    let house = House::open().await;
    house.acme(json!({}), json!({}), json!({})).await;
    house.provider("other", json!({})).await;
    let sent = body("gpt-4o", &json!({}));
    assert_eq!(house.post("/other/v1/chat/completions", &sent).await.0, 401);
    let built_in = house.gateway.url("/v1/chat/completions");
    assert_eq!(
        house.gateway.http.post(built_in).bearer_auth("gateway-key").json(&sent).send().await.unwrap().status(),
        401
    );
    house.gateway.key("gateway-key-2", json!({})).await;
    let url = format!("{}/api/custom/providers/acme/v1/chat/completions", house.gateway.proxy);
    assert_eq!(
        house.gateway.http.post(url).bearer_auth("gateway-key-2").json(&sent).send().await.unwrap().status(),
        401
    );
    assert!(house.upstream.seen().is_empty(), "no upstream saw anything");
}

#[tokio::test]
async fn allowed_paths_take_the_literal_and_the_template() {
    let house = House::open().await;
    let id = house.acme(json!({}), json!({}), json!({})).await;
    let sent = body("gpt-4o", &json!({}));
    for (path, status) in [
        ("/api/custom/providers/acme/v1/chat/completions", 200),
        ("/api/custom/providers/:provider/*wildcard", 200),
        ("/api/custom/providers/{provider}/*wildcard", 200),
        ("/api/custom/providers/acme/*", 200),
        ("/api/custom/providers/other/*", 403),
        ("/api/providers/*", 403),
    ] {
        house.gateway.patch_key(&id, json!({"allowedPaths": [{"path": path, "method": "POST"}]})).await;
        assert_eq!(house.chat(&sent).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_budget_needs_a_price_and_a_strict_one_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let prices = dir.path().join("prices.json");
    let entry = json!({"provider": "acme", "id": "gpt-4o", "rates": {"input": "1", "output": "2"},
        "limits": {"input": 1000, "output": 100}});
    let file = json!({"schema_version": 1, "entries": [entry]});
    std::fs::write(&prices, file.to_string()).unwrap();
    let setup = Setup::default().env("TOLLGATE_PRICING_FILE", prices.to_str().unwrap());
    let house = House::open_with(setup).await;
    let id = house.acme(json!({}), json!({}), json!({"costLimitInUsd": 1, "budgetMode": "strict"})).await;
    let (status, text) = house.chat(&body("unheard-of", &json!({}))).await;
    assert!(status == 403 && text.contains("model_not_priced"), "{text}");
    let told = json!({"tokens": {"input": 1000, "output": 100}});
    assert_eq!(house.chat(&body("gpt-4o", &told)).await.0, 200);
    let events = eventually_admitted(&house.gateway, &id).await;
    // 1000 prompt tokens at 1 USD and 100 completion tokens at 2 USD per million.
    assert_eq!(events["cost_in_usd"], json!(0.0012));
    // The worst case is 0.0012 too: what is left does not cover it.
    house.gateway.patch_key(&id, json!({"costLimitInUsd": 0.0023})).await;
    assert_eq!(house.chat(&body("gpt-4o", &told)).await.0, 429);
}

async fn eventually_admitted(gateway: &Gateway, key: &str) -> Value {
    let admitted = || async { gateway.events(key).await.into_iter().find(|event| event["status"] == 200) };
    eventually("the event is in the store", || async { admitted().await.is_some() }).await;
    admitted().await.unwrap()
}

#[tokio::test]
async fn a_change_is_in_force_for_the_next_request() {
    let house = House::open().await;
    let made = house.provider("acme", json!({})).await;
    let setting = house.setting("acme", json!({})).await;
    house.gateway.key("gateway-key", json!({"settingIds": [setting]})).await;
    let sent = body("gpt-4o", &json!({}));
    assert_eq!(house.chat(&sent).await.0, 200);
    let one = format!("/api/custom/providers/{}", made["id"].as_str().unwrap());
    let other = json!({"route_configs": [
        {"path": "/v1/chat/completions", "target_url": format!("{}/v1/elsewhere", house.upstream.url())},
        route(&house.upstream, json!({"path": "/new"})),
    ]});
    assert_eq!(house.gateway.admin("PATCH", &one, Some(other)).await.0, 200);
    assert_eq!(house.chat(&sent).await.0, 200);
    assert_eq!(house.upstream.seen().pop().unwrap().target, "/v1/elsewhere");
    assert_eq!(house.post("/acme/new", &sent).await.0, 200);
    let (_, changed) = house.gateway.admin("PATCH", &one, Some(json!({"authentication_param": "renamed"}))).await;
    assert_eq!(changed["authentication_param"], "renamed");
    assert_eq!(house.chat(&sent).await.0, 401, "the setting has no such entry");
}
