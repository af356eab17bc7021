//! Names of models beyond the rows: `row/model`, `provider/model`, bare names of priced models.

use super::{House, SONNET, User, fee, question, streamed, used};
use serde_json::{Value, json};

#[tokio::test]
async fn a_row_with_a_slash_names_another_model_of_the_same_upstream() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.compatible("open", "gpt-4o").await;
    for (name, sent) in [("open/gpt-4o-mini", "gpt-4o-mini"), ("open/meta/llama-3", "meta/llama-3"), ("open", "gpt-4o")]
    {
        house.upstream.script(used(1000, 100));
        let answer = house.chat(&user, &question(name)).await;
        assert_eq!((answer.status, &house.sent()["model"]), (200, &json!(sent)), "{name}: {}", answer.text);
        assert_eq!(answer.header("x-tollgate-cost-usd"), fee(1000, 100), "the row's price");
        assert_eq!(answer.header("x-tollgate-model"), sent);
        assert_eq!(answer.json()["model"], name, "the name that was asked for");
    }
    let answer = house.chat(&user, &question("claude-3-sonnet/amazon.nova-lite-v1:0")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(house.upstream.seen().last().unwrap().target.contains("amazon.nova-lite-v1%3A0/converse"));
    // The grant is the one on the row before the slash.
    let stranger = house.user(json!({"group_id": 0})).await;
    let text = house.chat(&stranger, &question("open/gpt-4o")).await.refused(403, "model_not_permitted");
    assert!(text.contains("[open]"), "{text}");
}

/// A key of the configuration API with settings of its own, and no quota rule.
async fn with_settings(house: &House) -> User {
    let aws =
        json!({"awsAccessKeyId": super::AWS_ID, "awsSecretAccessKey": super::AWS_SECRET, "awsRegion": "us-east-1"});
    let bedrock = house.gateway.setting(json!({"provider": "bedrock", "setting": aws})).await;
    let openai = house.gateway.setting(json!({})).await;
    house.gateway.key("k-own", json!({"settingIds": [bedrock, openai]})).await;
    User { id: 0, key: "k-own".into() }
}

#[tokio::test]
async fn a_key_with_settings_names_provider_and_model() {
    let house = House::open().await;
    let user = with_settings(&house).await;
    for (name, provider, model) in [
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("bedrock/amazon.nova-lite-v1:0", "bedrock", "amazon.nova-lite-v1:0"),
        ("amazon.nova-lite-v1:0", "bedrock", "amazon.nova-lite-v1:0"),
    ] {
        for body in [question(name), streamed(question(name))] {
            house.upstream.script(used(1000, 100));
            let answer = house.chat(&user, &body).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
            assert_eq!((answer.header("x-tollgate-provider"), answer.header("x-tollgate-model")), (provider, model));
            let event = house.event(&answer).await;
            assert_eq!((&event["provider"], &event["model"]), (&json!(provider), &json!(model)), "{event}");
            let told = (&event["prompt_token_count"], &event["completion_token_count"]);
            assert_eq!(told, (&json!(1000), &json!(100)), "{event}");
            assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "by the price table: {event}");
            assert_eq!(event["flags"], json!([]), "{event}");
        }
    }
    house.chat(&user, &question("openai/")).await.refused(404, "model_not_found");
    house.chat(&user, &question("anthropic/claude-3-haiku-20240307")).await.refused(404, "model_not_found");
    house.chat(&user, &question("claude-3-sonnet")).await.refused(403, "model_not_permitted");
}

#[tokio::test]
async fn a_row_may_use_a_stored_setting() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let setting = house.gateway.setting(json!({})).await;
    let base = format!("{}/v1", house.upstream.url());
    house.model("kept", "openai-compatible", json!({"baseURL": base, "model": "gpt-4o", "settingId": setting})).await;
    let answer = house.chat(&user, &question("kept")).await;
    assert!(matches!(answer.status, 200 | 500), "{}", answer.text);
}

#[tokio::test]
async fn what_cannot_be_said_is_dropped_and_named_or_refused() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let mut ask = question("claude-3-sonnet");
    ask["seed"] = json!(7);
    ask["presence_penalty"] = json!(0.5);
    ask["logit_bias"] = json!({"1": 2});
    let answer = house.chat(&user, &ask).await;
    let dropped: Vec<&str> = answer.header("x-tollgate-dropped-params").split(',').collect();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(["seed", "presence_penalty", "logit_bias"].iter().all(|name| dropped.contains(name)), "{dropped:?}");
    let plain = house.chat(&user, &question("claude-3-sonnet")).await;
    assert_eq!(plain.header("x-tollgate-dropped-params"), "");
    // The upstream that knows them gets them.
    house.compatible("open", "gpt-4o").await;
    ask["model"] = json!("open");
    let answer = house.chat(&user, &ask).await;
    assert_eq!((&house.sent()["seed"], answer.header("x-tollgate-dropped-params")), (&json!(7), ""));

    let house = House::with(super::setup().env("TOLLGATE_UNIFIED_UNSUPPORTED_PARAMS", "error")).await;
    let user = house.user(json!({})).await;
    ask["model"] = json!("claude-3-sonnet");
    let answer = house.chat(&user, &ask).await;
    answer.refused(400, "unsupported_parameter");
    assert!(answer.json()["error"]["param"].is_string(), "{}", answer.text);
    assert_eq!(
        (house.chat(&user, &question("claude-3-sonnet")).await.status, house.upstream.stats().requests),
        (200, 1)
    );
}

#[tokio::test]
async fn thinking_is_asked_for_by_header_or_by_the_row() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let modern = "us.anthropic.claude-3-7-sonnet-20250219-v1:0";
    house.model("thinker", "bedrock-converse", json!({"modelId": modern})).await;
    let ask = json!({"model": "thinker", "max_tokens": 100, "temperature": 0, "messages": [{"role": "user", "content": "x"}]});
    let request = house.request(&user.key, "/v1/chat/completions", &ask).header("think-budget", "2000");
    let answer = super::Answer::of(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let sent: Value = house.sent();
    assert_eq!(sent["additionalModelRequestFields"]["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
    assert!(sent["inferenceConfig"]["maxTokens"].as_u64().unwrap() > 2000, "{sent}");
    house.model("always", "bedrock-converse", json!({"modelId": modern, "thinking": true, "thinkBudget": 3000})).await;
    assert_eq!(house.chat(&user, &question("always")).await.status, 200);
    assert_eq!(house.sent()["additionalModelRequestFields"]["thinking"]["budget_tokens"], 3000);
    assert_eq!(house.chat(&user, &question("claude-3-sonnet")).await.status, 200);
    assert!(house.sent()["additionalModelRequestFields"].is_null() && SONNET.contains("claude-3-sonnet"));
}
