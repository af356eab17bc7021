//! The upstream as Azure, vLLM and DeepInfra: what makes them different from OpenAI is what a gateway can get wrong.

use serde_json::{Value, json};

use super::{Api, Options, Upstream};

const AZURE: &str = "/openai/deployments/my-dep/chat/completions";

async fn upstream(api: Api) -> Upstream {
    Upstream::start(Options { api, ..Options::default() }).await.expect("loopback")
}

async fn post(upstream: &Upstream, path: &str, header: (&str, &str), body: &Value) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{}{path}", upstream.url())).header(header.0, header.1);
    let answer = request.json(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

fn chat(extra: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": []});
    body.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
    body
}

#[tokio::test]
async fn azure_wants_its_own_header_and_a_version() {
    let upstream = upstream(Api::Azure).await;
    let dated = format!("{AZURE}?api-version=2024-10-21");
    let key = ("api-key", "sk-upstream");
    for (path, header, status) in [
        (dated.as_str(), key, 200),
        (&dated, ("authorization", "Bearer sk-upstream"), 200),
        (&dated, ("api-key", "sk-other"), 401),
        (&dated, ("x-api-key", "sk-upstream"), 400),
        (AZURE, key, 404),
        ("/openai/v1/chat/completions", key, 200),
        ("/openai/v1/chat/completions?api-version=2024-10-21", key, 400),
        ("/v1/chat/completions?api-version=2024-10-21", key, 404),
        ("/openai/deployments/no-such/chat/completions?api-version=2024-10-21", key, 404),
    ] {
        assert_eq!(post(&upstream, path, header, &chat(&json!({}))).await.0, status, "{path} {header:?}");
    }
}

#[tokio::test]
async fn azure_reports_its_filter_and_elder_versions_refuse_options() {
    let upstream = upstream(Api::Azure).await;
    let key = ("api-key", "sk-upstream");
    let asking = chat(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let (_, text) = post(&upstream, &format!("{AZURE}?api-version=2024-10-21"), key, &asking).await;
    assert!(text.starts_with(r#"data: {"choices":[],"created":0,"id":"","model":"""#), "{text}");
    assert!(text.contains("gpt-4o-2024-11-20") && text.contains(r#""usage":{"#), "{text}");
    let (status, text) = post(&upstream, &format!("{AZURE}?api-version=2024-06-01"), key, &asking).await;
    assert_eq!(status, 400, "{text}");
    let (_, text) = post(&upstream, &format!("{AZURE}?api-version=2024-06-01"), key, &chat(&json!({}))).await;
    let whole: Value = serde_json::from_str(&text).expect("json");
    assert!(whole["prompt_filter_results"].is_array() && whole["usage"].is_object(), "{text}");
}

#[tokio::test]
async fn vllm_reports_with_every_chunk_when_it_is_asked() {
    let upstream = upstream(Api::Vllm).await;
    let bearer = ("authorization", "Bearer sk-upstream");
    for (options, usages) in [
        (json!({}), 0),
        (json!({"stream_options": {"continuous_usage_stats": true}}), 0),
        (json!({"stream_options": {"include_usage": true}}), 1),
        (json!({"stream_options": {"include_usage": true, "continuous_usage_stats": true}}), 6),
    ] {
        let mut body = chat(&json!({"stream": true, "user": json!({"chunks": 3}).to_string()}));
        body.as_object_mut().expect("object").extend(options.as_object().expect("object").clone());
        let (status, text) = post(&upstream, "/v1/chat/completions", bearer, &body).await;
        assert_eq!((status, text.matches(r#""usage":{"#).count()), (200, usages), "{options}: {text}");
    }
    let (status, text) = post(&upstream, "/v1/chat/completions", bearer, &json!({"model": "no-such"})).await;
    let error: Value = serde_json::from_str(&text).expect("json");
    assert_eq!((status, &error["error"]["code"]), (404, &json!(404)));
}

#[tokio::test]
async fn deepinfra_lives_below_its_own_base_and_reports_unasked() {
    let upstream = upstream(Api::DeepInfra).await;
    let bearer = ("authorization", "Bearer sk-upstream");
    let body = chat(&json!({"stream": true}));
    assert_eq!(post(&upstream, "/v1/chat/completions", bearer, &body).await.0, 404);
    let (_, text) = post(&upstream, "/v1/openai/chat/completions", bearer, &body).await;
    assert!(
        text.contains(r#""finish_reason":"stop","stop_reason":null}],"usage":{"#)
            || text.contains(r#""finish_reason":"stop"}],"usage":{"#),
        "{text}"
    );
    assert!(text.contains("estimated_cost"), "{text}");
}
