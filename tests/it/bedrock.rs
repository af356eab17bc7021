//! AWS Bedrock through the running program: keys, signatures, every family's bill, binary streams.

use crate::support::{Gateway, PATIENCE, Setup};
use crate::upstream::{Act, Fault, Options, Tokens, Upstream};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

pub const KEY: &str = "gw-bedrock-key";
const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

pub fn entries() -> Value {
    json!({"awsAccessKeyId": "AKIDUPSTREAM", "awsSecretAccessKey": "upstream/secret+key", "awsRegion": "us-east-1"})
}

/// An upstream that refuses whatever is of the client, a gateway, and the id of its key.
pub async fn house(setup: Setup, setting: Value, key: Value) -> (Upstream, Gateway, String) {
    let options = Options { strict: true, forbidden: vec![KEY.to_owned()], ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = setup.start(&upstream).await;
    let setting = gateway.setting(json!({"provider": "bedrock", "setting": setting})).await;
    let mut rules = json!({"settingIds": [setting]});
    rules.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    let id = gateway.key(KEY, rules).await;
    (upstream, gateway, id)
}

async fn plain() -> (Upstream, Gateway, String) {
    house(Setup::default(), entries(), json!({})).await
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("{}/api/providers/bedrock{path}", gateway.proxy)
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> reqwest::Response {
    gateway.http.post(url(gateway, path)).bearer_auth(KEY).json(body).send().await.unwrap()
}

fn question() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": "hello"}]}], "inferenceConfig": {"maxTokens": 100}})
}

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
}

/// Names and payloads of the messages in a body.
fn messages(body: &[u8]) -> Vec<(String, Value)> {
    let mut framer = tollgate::wire::event_stream::Framer::default();
    let mut found = Vec::new();
    let followed = framer.push(&bytes::Bytes::copy_from_slice(body), |message| {
        let name = message.text(":event-type").or(message.text(":exception-type")).unwrap().to_owned();
        found.push((name, serde_json::from_slice(message.payload()).unwrap()));
    });
    assert_eq!((followed, framer.is_unfinished()), (Ok(()), false));
    found
}

#[tokio::test]
async fn c27_to_c30_cost_what_they_must_unary_and_streamed() {
    let (upstream, gateway, id) = plain().await;
    let cached = Tokens { cached: 2000, cache_write: 300, ..tokens(500, 80) };
    let claude = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": []});
    let message = json!({"model": HAIKU, "max_tokens": 100, "messages": []});
    let streamed = json!({"model": HAIKU, "max_tokens": 100, "messages": [], "stream": true});
    let invoke = |model: &str, stream: bool| {
        format!("/model/{model}/{}", if stream { "invoke-with-response-stream" } else { "invoke" })
    };
    let nova = "amazon.nova-lite-v1%3A0";
    let llama = "meta.llama3-8b-instruct-v1%3A0";
    let mistral = "mistral.mistral-7b-instruct-v0%3A2";
    let cases = [
        ("C27", format!("/model/{HAIKU}/converse"), question(), cached.clone(), 0.001_622_5),
        ("C27", format!("/model/{HAIKU}/converse-stream"), question(), cached.clone(), 0.001_622_5),
        ("C27", invoke(HAIKU, false), claude.clone(), cached.clone(), 0.001_622_5),
        ("C27", invoke(HAIKU, true), claude, cached.clone(), 0.001_622_5),
        ("C27", "/anthropic/v1/messages".to_owned(), message, cached.clone(), 0.001_622_5),
        ("C27", "/anthropic/v1/messages".to_owned(), streamed, cached, 0.001_622_5),
        ("C28", invoke(nova, true), question(), tokens(12, 5), 0.000_001_92),
        ("C28", invoke(nova, false), question(), tokens(12, 5), 0.000_001_92),
        ("C28", format!("/model/{nova}/converse-stream"), question(), tokens(12, 5), 0.000_001_92),
        ("C29", invoke(llama, false), json!({"prompt": "Hi"}), tokens(100, 20), 0.000_042),
        ("C29", invoke(llama, true), json!({"prompt": "Hi"}), tokens(100, 20), 0.000_042),
        ("C30", invoke(mistral, false), json!({"prompt": "Hi"}), tokens(14, 36), 0.000_009_3),
        ("C30", invoke(mistral, true), json!({"prompt": "Hi"}), tokens(14, 36), 0.000_009_3),
        (
            "embedding",
            invoke("cohere.embed-english-v3", false),
            json!({"texts": ["a"], "input_type": "search_query"}),
            tokens(1000, 0),
            0.000_1,
        ),
        (
            "embedding",
            invoke("amazon.titan-embed-text-v2:0", false),
            json!({"inputText": "a"}),
            tokens(1000, 0),
            0.000_02,
        ),
    ];
    for (name, path, body, tokens, usd) in &cases {
        upstream.script(Act { tokens: tokens.clone(), ..Act::default() });
        let answer = post(&gateway, path, body).await;
        assert_eq!(answer.status(), 200, "{name} {path}: {}", answer.text().await.unwrap());
        let told = answer.headers().get("x-tollgate-cost-usd").map(|v| v.to_str().unwrap().parse::<f64>().unwrap());
        let stream = path.ends_with("stream") || body["stream"] == true;
        assert_eq!(told, if stream { None } else { Some(*usd) }, "{name} {path}");
        answer.bytes().await.unwrap();
    }
    let mut events = gateway.events_settled(&id, cases.len()).await;
    events.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
    for ((name, path, _, _, usd), event) in cases.iter().zip(&events) {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), *usd, "{name} {path}: {event}");
        assert_eq!((&event["flags"], &event["provider"]), (&json!([]), &json!("bedrock")), "{name} {path}");
    }
    assert_eq!(upstream.stats().violations, 0);
}

#[tokio::test]
async fn the_clients_signature_names_its_key_and_is_replaced() {
    let (upstream, gateway, id) = plain().await;
    let scope = "20261121/eu-west-1/bedrock/aws4_request";
    let signed = |gateway: &Gateway, scope: &str, path: String| {
        let authorization = format!("AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders=host, Signature=00");
        let request = gateway.http.post(path).header("authorization", authorization);
        request.header("x-amz-date", "20261121T000000Z").header("x-amz-security-token", KEY).json(&question())
    };
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    for model in ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3a0", arn] {
        let path = url(&gateway, &format!("/model/{model}/converse?trace=a&b"));
        let answer = signed(&gateway, scope, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{model}: {}", answer.text().await.unwrap());
    }
    let seen = upstream.seen();
    assert!(seen[0].target.starts_with("/model/amazon.nova-lite-v1%3A0/converse?"), "{}", seen[0].target);
    assert_eq!(seen[0].target, seen[1].target);
    assert!(seen[2].target.contains("inference-profile%2Fus.amazon.nova-lite-v1%3A0/converse"));
    let authorization = seen[0].header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDUPSTREAM/"), "{authorization}");
    assert!(seen[0].header("x-amz-security-token").is_none());
    gateway.events_settled(&id, 3).await;
    // Another service's signature is no key here, and no signature is one elsewhere.
    let s3 = scope.replace("/bedrock/", "/s3/");
    let answer = signed(&gateway, &s3, url(&gateway, "/model/m/converse")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("x-amzn-errortype")), (401, true));
    let answer = signed(&gateway, scope, gateway.url("/v1/chat/completions")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!gateway.log().contains(KEY));
}

#[tokio::test]
async fn bearer_tokens_and_the_hosts_own_credentials_work_too() {
    let bearer = json!({"awsRegion": "us-east-1", "bearerToken": "sk-upstream"});
    let (upstream, gateway, _) = house(Setup::default(), bearer, json!({})).await;
    assert_eq!(post(&gateway, "/model/amazon.nova-lite-v1:0/converse", &question()).await.status(), 200);
    assert_eq!(upstream.seen()[0].header("authorization"), Some("Bearer sk-upstream"));

    let setup = Setup::default()
        .env("AWS_ACCESS_KEY_ID", "AKIDUPSTREAM")
        .env("AWS_SECRET_ACCESS_KEY", "upstream/secret+key")
        .env("AWS_SESSION_TOKEN", "session-token");
    let (upstream, gateway, _) = house(setup, json!({"awsRegion": "us-east-1"}), json!({})).await;
    let answer = post(&gateway, "/model/amazon.nova-lite-v1:0/converse", &question()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert_eq!(upstream.seen()[0].header("x-amz-security-token"), Some("session-token"));
    assert!(!gateway.log().contains("upstream/secret+key"));
}

#[tokio::test]
async fn a_setting_that_cannot_sign_is_not_the_clients_fault() {
    let wrong = json!({"awsAccessKeyId": "AKIDUPSTREAM", "awsSecretAccessKey": "wrong", "awsRegion": "us-east-1"});
    let (_upstream, gateway, id) = house(Setup::default(), wrong, json!({})).await;
    let answer = post(&gateway, "/model/amazon.nova-lite-v1:0/converse", &question()).await;
    assert_eq!(answer.status(), 502);
    let text = answer.text().await.unwrap();
    assert!(text.contains("credential") && !text.contains("AKID"), "{text}");
    assert_eq!(gateway.events_settled(&id, 1).await[0]["cost_in_usd"], 0.0);
    let off = Setup::default().env("AWS_EC2_METADATA_DISABLED", "true");
    let (_upstream, gateway, _) = house(off, json!({"awsRegion": "us-east-1"}), json!({})).await;
    let answer = post(&gateway, "/model/amazon.nova-lite-v1:0/converse", &question()).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.text().await.unwrap().contains("awsAccessKeyId"));
}

#[tokio::test]
async fn errors_pass_unchanged_and_cost_nothing() {
    let (upstream, gateway, id) = plain().await;
    let path = "/model/amazon.nova-lite-v1:0/converse-stream";
    for (status, kind) in [(429, "ThrottlingException"), (400, "ValidationException"), (503, "ServiceUnavailable")] {
        upstream.script(Act { status: Some(status), ..Act::default() });
        let answer = post(&gateway, path, &question()).await;
        assert_eq!(answer.status(), status);
        assert!(answer.headers()["x-amzn-errortype"].to_str().unwrap().starts_with(kind));
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body, json!({"message": "Too many requests, please wait before trying again."}));
    }
    let events = gateway.events_settled(&id, 3).await;
    assert!(events.iter().all(|e| e["cost_in_usd"] == 0.0 && e["flags"] == json!([])), "{events:#?}");
    // The gateway's own, each in the words of whoever calls.
    let answer = post(&gateway, "/model/m/converse", &json!([])).await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("x-amzn-errortype")), (400, true));
    assert!(answer.json::<Value>().await.unwrap()["message"].is_string());
    let answer = post(&gateway, "/anthropic/v1/messages", &json!({"model": "../x"})).await;
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("invalid_request_error")), "{body}");
    assert_eq!(post(&gateway, "/model/m/invoke-with-bidirectional-stream", &json!({})).await.status(), 404);
}

#[tokio::test]
async fn each_message_leaves_before_the_next_one_arrives() {
    let (upstream, gateway, _) = plain().await;
    for path in ["/model/amazon.nova-lite-v1:0/converse-stream", "/anthropic/v1/messages"] {
        upstream.script(Act { hold: true, chunks: Some(3), ..Act::default() });
        let mut body = question();
        body["model"] = json!(HAIKU);
        body["stream"] = json!(true);
        let answer = post(&gateway, path, &body).await;
        let mut stream = answer.bytes_stream();
        let mut pieces = 0;
        loop {
            let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message leaves at once");
            let Some(piece) = next else { break };
            piece.unwrap();
            pieces += 1;
            upstream.release(1);
        }
        assert!(pieces >= 5, "{pieces}");
    }
}

#[tokio::test]
async fn streams_that_break_end_in_an_exception_and_are_billed() {
    let (upstream, gateway, id) = plain().await;
    let path = "/model/amazon.nova-lite-v1:0/converse-stream";
    let faults = [
        (Fault::Close { after: Some(3) }, "modelStreamErrorException"),
        (Fault::Truncate, "modelStreamErrorException"),
        (Fault::Garbage { after: 3 }, "modelStreamErrorException"),
        (Fault::ErrorFrame { after: 3 }, "throttlingException"),
    ];
    for (fault, exception) in &faults {
        for split in [None, Some(7)] {
            let split = split.filter(|_| !matches!(fault, Fault::Truncate | Fault::Garbage { .. }));
            let fault = match (fault, split) {
                // Pieces are counted after the cut.
                (Fault::Close { .. }, Some(_)) => Fault::Close { after: Some(60) },
                (Fault::ErrorFrame { .. }, Some(_)) => continue,
                (fault, _) => fault.clone(),
            };
            upstream.script(Act { fault: Some(fault.clone()), split, chunks: Some(9), ..Act::default() });
            let body = post(&gateway, path, &question()).await.bytes().await.unwrap();
            let messages = messages(&body);
            assert_eq!(&messages.last().unwrap().0, exception, "{fault:?} {split:?}");
            assert_eq!(messages.iter().filter(|(name, _)| name.ends_with("Exception")).count(), 1, "{fault:?}");
            assert!(messages.len() > 2, "{fault:?}: what came before is delivered");
        }
    }
    upstream.script(Act { fault: Some(Fault::Close { after: Some(3) }), ..Act::default() });
    let body = json!({"model": HAIKU, "stream": true, "max_tokens": 9, "messages": []});
    let text = post(&gateway, "/anthropic/v1/messages", &body).await.text().await.unwrap();
    assert!(text.trim_end().rsplit("\n\n").next().unwrap().starts_with("event: error\n"), "{text}");
    for event in gateway.events(&id).await {
        let flags = event["flags"].as_array().unwrap();
        assert!(flags.contains(&json!("aborted")) && event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
    }
}

#[tokio::test]
async fn messages_of_anthropics_form_are_invocations() {
    let (upstream, gateway, id) = plain().await;
    let body = json!({"model": HAIKU, "max_tokens": 9, "system": "s", "unknown": {"a": 1.5}, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    upstream.script(Act { content: Some("añ😀".into()), ..Act::default() });
    let request = gateway.http.post(url(&gateway, "/anthropic/v1/messages?beta=true"));
    let request = request.header("x-api-key", KEY).header("anthropic-beta", "x-1").json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = answer.text().await.unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names.first().zip(names.last()), Some((&"message_start", &"message_stop")));
    assert!(text.contains("añ😀"));
    let seen = upstream.seen();
    assert!(seen[0].target.ends_with("-v1%3A0/invoke-with-response-stream"), "{}", seen[0].target);
    let sent: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(
        sent,
        json!({"max_tokens": 9, "system": "s", "unknown": {"a": 1.5}, "anthropic_version": "bedrock-2023-05-31",
            "anthropic_beta": ["x-1"], "messages": [{"role": "user", "content": "hello"}]})
    );
    let legacy =
        json!({"model": "anthropic.claude-v2:1", "prompt": "\n\nHuman: hi\n\nAssistant:", "max_tokens_to_sample": 9});
    let answer: Value = post(&gateway, "/anthropic/v1/complete", &legacy).await.json().await.unwrap();
    assert_eq!(answer["type"], "completion");
    let events = gateway.events_settled(&id, 2).await;
    assert!(events.iter().any(|e| e["model"] == HAIKU) && events.iter().all(|e| e["status"] == 200), "{events:#?}");
}

#[tokio::test]
async fn answers_from_a_knowledge_base_are_counted_because_nobody_tells() {
    let (upstream, gateway, id) = plain().await;
    let model = "arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-7b-instruct-v0:2";
    let ask = json!({"input": {"text": "Hello, world!"}, "retrieveAndGenerateConfiguration": {"type": "KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration": {"knowledgeBaseId": "KB", "modelArn": model}}});
    for path in ["/retrieveAndGenerate", "/retrieveAndGenerateStream"] {
        upstream.script(Act { content: Some("Hello, world!".into()), ..Act::default() });
        let answer = post(&gateway, path, &ask).await;
        assert_eq!(answer.status(), 200, "{path}");
        let body = answer.bytes().await.unwrap();
        assert!(memchr::memmem::find(&body, b"Hello, world!").is_some() || path.ends_with("Stream"), "{path}");
    }
    for event in gateway.events_settled(&id, 2).await {
        // The question and the passage are as long as the answer, and the service's own prompt is taken for 300.
        let told = (event["prompt_token_count"].as_u64().unwrap(), event["completion_token_count"].as_u64().unwrap());
        assert_eq!((told.0, &event["flags"]), (300 + 2 * told.1, &json!(["estimated"])), "{event}");
        assert!(told.1 >= 4 && event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
        assert_eq!(event["model"], model, "{event}");
    }
    let strict = json!({"costLimitInUsd": 1, "budgetMode": "strict"});
    let (_upstream, gateway, _) = house(Setup::default(), entries(), strict).await;
    assert_eq!(post(&gateway, "/retrieveAndGenerate", &ask).await.status(), 403, "nothing bounds what is looked up");
}

#[tokio::test]
async fn budgets_and_allowed_models_hold() {
    let strict = json!({"costLimitInUsd": 0.001, "budgetMode": "strict"});
    let (upstream, gateway, _) = house(Setup::default(), entries(), strict).await;
    let ask = |body: Value| {
        let gateway = &gateway;
        async move { post(gateway, "/model/amazon.nova-lite-v1:0/converse", &body).await }
    };
    assert_eq!(ask(question()).await.status(), 200);
    let mut dear = question();
    dear["inferenceConfig"]["maxTokens"] = json!(5000);
    assert_eq!(ask(dear).await.status(), 429, "5000 tokens may cost more than is left");
    let mut endless = question();
    endless["toolConfig"] = json!({"tools": [{"systemTool": {"name": "nova_grounding"}}]});
    assert_eq!(ask(endless).await.status(), 403, "nothing bounds it");
    let answer = post(&gateway, "/model/acme.unheard-of/converse", &question()).await;
    assert_eq!(answer.status(), 403, "no price, no budget");
    assert_eq!(post(&gateway, "/guardrail/g/version/1/apply", &json!({})).await.status(), 403);
    assert_eq!(upstream.stats().requests, 1);

    let only = json!({"provider": "bedrock", "setting": entries(), "allowedModels": ["amazon.nova-lite-v1:0"]});
    let setting = gateway.setting(only).await;
    gateway.key("other", json!({"settingIds": [setting]})).await;
    for (model, status) in [("amazon.nova-lite-v1%3A0", 200), ("amazon.nova-pro-v1:0", 403)] {
        let request = gateway.http.post(url(&gateway, &format!("/model/{model}/converse"))).bearer_auth("other");
        assert_eq!(request.json(&question()).send().await.unwrap().status(), status, "{model}");
    }
}
