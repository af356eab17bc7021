//! Knowledge bases on `/v1`: answered by the service itself, or by another model from what is found.

use super::{Caller, House, aws, sent};
use crate::support::Setup;
use crate::upstream::{Act, Fault, Options, Tokens};
use serde_json::{Value, json};

const ARN: &str = "arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-7b-instruct-v0:2";

async fn house() -> House {
    House::new(Options { strict: true, ..Options::default() }, Setup::default()).await
}

fn base(config: &Value) -> Value {
    let mut all = aws(json!({"region": "us-east-1", "knowledgeBaseId": "KB1", "maxRetries": 0}));
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    all
}

fn ask(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "before"},
        {"role": "assistant", "content": "x"}, {"role": "user", "content": "What is a toll?"}]})
}

fn chunks(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]");
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn the_service_answers_with_citations_and_keeps_the_session() {
    let house = house().await;
    let model =
        house.model("library", "bedrock-knowledge-base", ("10", "20"), base(&json!({"bedrockModelArn": ARN}))).await;
    let caller = house.caller("reader", &[&model], json!({})).await;
    house.upstream.script(Act { content: Some("A fee.".into()), times: Some(3), ..Act::default() });
    let answer = house.post(&caller, "/v1/chat/completions", &ask("library")).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-tollgate-session-id"]), (200, &"s-1".parse().unwrap()));
    let cost = answer.headers()["x-tollgate-cost-usd"].to_str().unwrap().parse::<f64>().unwrap();
    let body: Value = answer.json().await.unwrap();
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "A fee.\n\n---\n\n1. s3://books/a.pdf", "{body}");
    assert_eq!(message["annotations"][0]["url_citation"]["url"], "s3://books/a.pdf", "{body}");
    let (prompt, written) =
        (body["usage"]["prompt_tokens"].as_u64().unwrap(), body["usage"]["completion_tokens"].as_u64().unwrap());
    assert!(prompt > 300 && written >= 3, "{body}");
    assert!((cost - (prompt * 10 + written * 20) as f64 / 1e6).abs() < 1e-9, "{cost} {body}");

    let mut streamed = ask("library");
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let request = house.gateway.http.post(format!("{}/v1/chat/completions", house.gateway.proxy));
    let request = request.bearer_auth(&caller.secret).header("x-tollgate-session-id", "s-1").json(&streamed);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["x-tollgate-session-id"], "s-2");
    let text = answer.text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    let told = chunks(&text);
    assert_eq!(said(&told), "A fee.\n\n---\n\n1. s3://books/a.pdf");
    assert_eq!(told.last().unwrap()["usage"]["prompt_tokens"].as_u64(), Some(prompt), "{text}");

    // A session is the key's that was told of it.
    let other = house.caller("another reader", &[&model], json!({})).await;
    let request = house.gateway.http.post(format!("{}/v1/chat/completions", house.gateway.proxy));
    let request = request.bearer_auth(&other.secret).header("x-tollgate-session-id", "s-1").json(&ask("library"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 404, "{}", answer.text().await.unwrap());

    let bodies = sent(&house.upstream);
    assert_eq!((&bodies[0]["sessionId"], &bodies[1]["sessionId"]), (&Value::Null, &json!("s-1")));
    let base = &bodies[1]["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"];
    assert_eq!((&bodies[1]["input"]["text"], &base["modelArn"]), (&json!("What is a toll?"), &json!(ARN)));
    assert_eq!(base["generationConfiguration"]["inferenceConfig"]["textInferenceConfig"]["maxTokens"], 50);
    let paths: Vec<String> = house.upstream.seen().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(paths, ["/retrieveAndGenerate", "/retrieveAndGenerateStream"]);
    let events = house.events(&caller, 2).await;
    for event in &events {
        assert_eq!((&event["flags"], event["cost_in_usd"].as_f64()), (&json!(["estimated"]), Some(cost)), "{event}");
    }
    assert_eq!(house.upstream.stats().violations, 0);
}

#[tokio::test]
async fn what_fails_in_the_service_is_told_and_a_broken_stream_has_no_end() {
    let house = house().await;
    let model =
        house.model("library", "bedrock-knowledge-base", ("10", "20"), base(&json!({"bedrockModelArn": ARN}))).await;
    let caller = house.caller("reader", &[&model], json!({})).await;
    house.upstream.script(Act { status: Some(429), ..Act::default() });
    let answer = house.post(&caller, "/v1/chat/completions", &ask("library")).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "upstream_throttled");
    let mut streamed = ask("library");
    streamed["stream"] = json!(true);
    for fault in [Fault::Close { after: Some(2) }, Fault::ErrorFrame { after: 2 }, Fault::Truncate] {
        house.upstream.script(Act { fault: Some(fault.clone()), chunks: Some(9), ..Act::default() });
        let text = house.post(&caller, "/v1/chat/completions", &streamed).await.text().await.unwrap();
        assert!(text.contains("\"error\"") && !text.contains("s3://"), "{fault:?}: {text}");
    }
    let events = house.events(&caller, 4).await;
    let aborted = events.iter().filter(|event| event["flags"].as_array().unwrap().contains(&json!("aborted"))).count();
    assert_eq!(aborted, 3, "{events:#?}");
    let strict = house.caller("careful", &[&model], json!({"costLimitInUsd": 1, "budgetMode": "strict"})).await;
    assert_eq!(house.post(&strict, "/v1/chat/completions", &ask("library")).await.status(), 403, "nothing bounds it");
}

/// A base that answers with `nova`, and the ids of both rows.
async fn wrapper(house: &House) -> [Value; 2] {
    let nova =
        house.model("nova", "bedrock-converse", ("3", "15"), aws(json!({"modelId": "amazon.nova-lite-v1:0"}))).await;
    let library =
        house.model("library", "bedrock-knowledge-base", ("100", "100"), base(&json!({"summaryModel": "nova"}))).await;
    [nova, library]
}

#[tokio::test]
async fn another_model_answers_from_what_is_found_and_is_billed() {
    let house = house().await;
    let [nova, library] = wrapper(&house).await;
    let caller = house.caller("reader", &[&nova, &library], json!({})).await;
    let tokens = Tokens { input: Some(1000), output: Some(100), ..Tokens::default() };
    let act =
        Act { path: Some("/model/".into()), content: Some("A fee.".into()), tokens, times: Some(4), ..Act::default() };
    house.upstream.script(act);
    let list = "A fee.\n\n---\n\n1. s3://books/a.pdf\n2. s3://books/b.pdf";
    let answer = house.post(&caller, "/v1/chat/completions", &ask("library")).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-tollgate-cost-usd"]),
        (200, &"0.0045000000".parse().unwrap())
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (&body["model"], &body["choices"][0]["message"]["content"]),
        (&json!("library"), &json!(list)),
        "{body}"
    );
    let mut streamed = ask("library");
    streamed["stream"] = json!(true);
    let text = house.post(&caller, "/v1/chat/completions", &streamed).await.text().await.unwrap();
    assert_eq!(said(&chunks(&text)), list, "{text}");
    let answer: Value = house.post(&caller, "/v1/messages", &ask("library")).await.json().await.unwrap();
    let texts: String =
        answer["content"].as_array().unwrap().iter().filter_map(|block| block["text"].as_str()).collect();
    assert_eq!(texts, list, "{answer}");
    // An answer that is to be parsed has nothing under it.
    let mut parsed = ask("library");
    parsed["response_format"] = json!({"type": "json_object"});
    let answer: Value = house.post(&caller, "/v1/chat/completions", &parsed).await.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "A fee.", "{answer}");

    let bodies = sent(&house.upstream);
    assert_eq!(bodies[0]["retrievalQuery"]["text"], "What is a toll?");
    let asked = bodies[1]["messages"][0]["content"][0]["text"].as_str().unwrap();
    assert!(
        asked.contains("passage of b") && asked.ends_with("What is a toll?") && !asked.contains("before"),
        "{asked}"
    );
    let events = house.events(&caller, 4).await;
    for event in &events {
        assert_eq!((event["cost_in_usd"].as_f64(), &event["flags"]), (Some(0.0045), &json!([])), "{event}");
        assert_eq!(event["model"], "amazon.nova-lite-v1:0");
    }
    assert_eq!(house.upstream.stats().violations, 0);
}

#[tokio::test]
async fn both_rows_must_be_granted_and_rows_that_lead_in_a_circle_end() {
    let house = house().await;
    let [nova, library] = wrapper(&house).await;
    let again =
        house.model("again", "bedrock-knowledge-base", ("1", "1"), base(&json!({"summaryModel": "again"}))).await;
    let nowhere =
        house.model("nowhere", "bedrock-knowledge-base", ("1", "1"), base(&json!({"summaryModel": "gone"}))).await;
    let deep =
        house.model("deep", "bedrock-knowledge-base", ("1", "1"), base(&json!({"summaryModel": "library"}))).await;
    let outer = house.caller("outer", &[&library], json!({})).await;
    let status = async |caller: &Caller, model: &str| {
        house.post(caller, "/v1/chat/completions", &ask(model)).await.status().as_u16()
    };
    assert_eq!(status(&outer, "library").await, 403, "the model that answers is not granted");
    let all = house.caller("all", &[&nova, &library, &again, &nowhere, &deep], json!({})).await;
    assert_eq!((status(&all, "again").await, status(&all, "nowhere").await), (500, 500));
    assert_eq!(house.upstream.stats().requests, 0);
    assert_eq!(status(&all, "deep").await, 200, "one base before another");
    assert_eq!(house.upstream.stats().requests, 3);
    let embed = house.post(&all, "/v1/embeddings", &json!({"model": "library", "input": "a"})).await;
    assert_eq!(embed.status(), 400);
}

#[tokio::test]
async fn who_is_refused_looks_nothing_up_and_who_finds_nothing_pays_nothing() {
    let house = house().await;
    let [nova, library] = wrapper(&house).await;
    // 32 KiB of passages at 3 USD a million are about 0.1 USD.
    let rules = json!({"costLimitInUsd": 0.05, "budgetMode": "strict"});
    let poor = house.caller("poor", &[&nova, &library], rules).await;
    assert_eq!(house.post(&poor, "/v1/chat/completions", &ask("library")).await.status(), 429);
    assert_eq!(house.upstream.stats().requests, 0);
    let caller =
        house.caller("reader", &[&nova, &library], json!({"costLimitInUsd": 0.2, "budgetMode": "strict"})).await;
    for (status, told) in [(404, 502), (400, 400), (403, 502)] {
        house.upstream.script(Act { path: Some("/retrieve".into()), status: Some(status), ..Act::default() });
        assert_eq!(
            house.post(&caller, "/v1/chat/completions", &ask("library")).await.status().as_u16(),
            told,
            "{status}"
        );
    }
    assert_eq!(house.post(&caller, "/v1/chat/completions", &ask("library")).await.status(), 200);
    let events = house.events(&caller, 4).await;
    let paid = events.iter().filter(|event| event["cost_in_usd"].as_f64() > Some(0.0)).count();
    assert_eq!(paid, 1, "{events:#?}");
}
