//! `/v1/embeddings` at upstreams with a form of their own: many calls, one event, the exact cost.

use super::{Caller, House, aws, sent};
use crate::bedrock;
use crate::support::Setup;
use crate::upstream::{Act, Api, Fault, Options, Tokens, Upstream};
use serde_json::{Value, json};

const TITAN: &str = "amazon.titan-embed-text-v2:0";

async fn titan(config: Value, rules: Value, setup: Setup) -> (House, Caller) {
    let house = House::new(Options { strict: true, ..Options::default() }, setup).await;
    let model = house.model("vectors", "titan-embeddings", ("20", "0"), aws(config)).await;
    let caller = house.caller("embedder", &[&model], rules).await;
    (house, caller)
}

fn input(tokens: u64) -> Act {
    Act { tokens: Tokens { input: Some(tokens), ..Tokens::default() }, times: Some(10_000), ..Act::default() }
}

fn lengths(answer: &Value) -> Vec<(u64, f64)> {
    let item = |item: &Value| (item["index"].as_u64().unwrap(), item["embedding"][0].as_f64().unwrap() * 4.0);
    answer["data"].as_array().unwrap().iter().map(item).collect()
}

#[tokio::test]
async fn a_list_of_texts_is_many_calls_one_event_and_their_exact_sum() {
    let (house, caller) = titan(json!({"modelId": TITAN, "dimensions": 512}), json!({}), Setup::default()).await;
    house.upstream.script(input(7));
    let texts: Vec<String> = (1..=30).map(|n| "x".repeat(n)).collect();
    let ask = json!({"model": "vectors", "input": texts, "user": "u-1"});
    let answer = house.post(&caller, "/v1/embeddings", &ask).await;
    assert_eq!(answer.status(), 200);
    // 30 calls of 7 tokens, at 20 USD a million.
    assert_eq!(answer.headers()["x-tollgate-cost-usd"], "0.0042000000");
    assert!(answer.headers().contains_key("x-tollgate-event-id"));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(lengths(&answer), (0..30).map(|n| (n, n as f64 + 1.0)).collect::<Vec<_>>(), "in the order of the texts");
    assert_eq!(
        (&answer["object"], &answer["model"], &answer["usage"]),
        (&json!("list"), &json!("vectors"), &json!({"prompt_tokens": 210, "total_tokens": 210}))
    );
    let bodies = sent(&house.upstream);
    assert!(bodies.iter().all(|body| body["dimensions"] == 512 && body["normalize"] == true), "{bodies:?}");
    assert_eq!(house.upstream.stats().violations, 0);
    let event = house.events(&caller, 1).await.remove(0);
    let told = (event["prompt_token_count"].as_u64(), event["cost_in_usd"].as_f64(), &event["flags"], &event["userId"]);
    assert_eq!((told.0, told.1, told.2), (Some(210), Some(0.0042), &json!([])), "{event}");
    assert!(event.to_string().contains("u-1"), "{event}");
}

#[tokio::test]
async fn vectors_as_base64_and_requests_that_cannot_be_served() {
    let (house, caller) = titan(json!({"modelId": "amazon.titan-embed-text-v1"}), json!({}), Setup::default()).await;
    let ask = json!({"model": "vectors", "input": "xx", "encoding_format": "base64", "dimensions": 256});
    let answer = house.post(&caller, "/v1/embeddings", &ask).await;
    assert_eq!(answer.headers()["x-tollgate-dropped-params"], "dimensions");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["data"][0]["embedding"], "AAAAPwAAgD4=");
    assert_eq!(sent(&house.upstream), [json!({"inputText": "xx"})], "this one takes neither size nor norm");
    for bad in [json!([1, 2, 3]), json!([]), json!(""), json!(vec!["a"; 2049]), Value::Null] {
        let answer = house.post(&caller, "/v1/embeddings", &json!({"model": "vectors", "input": bad})).await;
        assert_eq!(answer.status(), 400, "{bad}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["success"], &answer["error"]["param"]), (&json!(false), &json!("input")), "{answer}");
    }
    let chat = json!({"model": "vectors", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(house.post(&caller, "/v1/chat/completions", &chat).await.status(), 400);
    assert_eq!(house.upstream.stats().requests, 1);
    house.events(&caller, 1).await;
}

#[tokio::test]
async fn a_call_that_fails_ends_it_and_the_others_are_billed() {
    let (house, caller) = titan(json!({"modelId": TITAN, "maxRetries": 0}), json!({}), Setup::default()).await;
    let good = |times| Act { times: Some(times), ..input(7) };
    for (status, told, code) in
        [(429, 429, "upstream_throttled"), (400, 400, "upstream_validation"), (403, 502, "upstream_auth")]
    {
        house.upstream.forget();
        house.upstream.script(good(20));
        house.upstream.script(Act { status: Some(status), times: Some(1000), ..Act::default() });
        let ask = json!({"model": "vectors", "input": vec!["abc"; 200]});
        let answer = house.post(&caller, "/v1/embeddings", &ask).await;
        assert_eq!(answer.status().as_u16(), told);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["success"], &answer["error"]["code"]), (&json!(false), &json!(code)), "{answer}");
        let calls = house.upstream.seen().len();
        assert!((21..=24).contains(&calls), "none begins after the failure: {calls}");
    }
    for event in house.events(&caller, 3).await {
        assert_eq!(event["cost_in_usd"].as_f64(), Some(0.0028), "20 calls of 7 tokens: {event}");
    }
}

#[tokio::test]
async fn a_region_that_throttles_is_left_for_another() {
    let config = json!({"modelId": TITAN, "regions": ["us-east-1", "eu-west-1"]});
    let (house, caller) = titan(config, json!({}), Setup::default()).await;
    house.upstream.script(Act { status: Some(429), times: Some(3), ..Act::default() });
    let ask = json!({"model": "vectors", "input": ["a", "bb", "ccc", "dddd"]});
    let answer = house.post(&caller, "/v1/embeddings", &ask).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(lengths(&answer.json().await.unwrap()), [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]);
    assert_eq!(house.upstream.stats().requests, 7);
    let event = house.events(&caller, 1).await.remove(0);
    assert_eq!(event["prompt_token_count"], 4 * 19, "{event}");
}

#[tokio::test]
async fn what_breaks_is_no_answer_and_what_it_may_have_cost_is_counted() {
    let (house, caller) = titan(json!({"modelId": TITAN, "maxRetries": 0}), json!({}), Setup::default()).await;
    house.upstream.script(Act { times: Some(2), ..input(7) });
    house.upstream.script(Act { fault: Some(Fault::Truncate), ..input(7) });
    let ask = json!({"model": "vectors", "input": vec!["Hello, world!"; 3]});
    let answer = house.post(&caller, "/v1/embeddings", &ask).await;
    assert_eq!(answer.status(), 502);
    let event = house.events(&caller, 1).await.remove(0);
    assert!(event["cost_in_usd"].as_f64().unwrap() >= 0.00028, "{event}");
    house.upstream.forget();
    house.upstream.script(Act { body: Some(r#"{"embedding":"none"}"#.into()), ..Act::default() });
    let answer = house.post(&caller, "/v1/embeddings", &json!({"model": "vectors", "input": "a"})).await;
    assert_eq!(answer.status(), 502);
}

#[tokio::test]
async fn a_client_that_leaves_stops_it_and_pays_for_what_ran() {
    let (house, caller) = titan(json!({"modelId": TITAN}), json!({}), Setup::default()).await;
    house.upstream.script(Act { times: Some(8), ..input(7) });
    house.upstream.script(Act { fault: Some(Fault::Stall { after: None }), times: Some(1000), ..Act::default() });
    let ask = json!({"model": "vectors", "input": vec!["Hello, world!"; 100]});
    let leaving =
        tokio::time::timeout(std::time::Duration::from_millis(700), house.post(&caller, "/v1/embeddings", &ask));
    assert!(leaving.await.is_err(), "the client has left");
    let event = house.events(&caller, 1).await.remove(0);
    assert_eq!((&event["status"], &event["flags"]), (&json!(499), &json!(["estimated", "aborted"])), "{event}");
    // 8 calls of 7 tokens, and 4 that were under way, counted: 4 tokens each.
    assert_eq!(event["prompt_token_count"], 8 * 7 + 4 * 4, "{event}");
    assert_eq!(house.upstream.seen().len(), 12);
}

#[tokio::test]
async fn a_strict_budget_holds_for_all_texts_together() {
    // 20 USD a million: a text of 100 bytes can cost 0.002 USD, and a thousand of them 2.
    let rules = json!({"costLimitInUsd": 0.5, "budgetMode": "strict"});
    let (house, caller) = titan(json!({"modelId": TITAN}), rules, Setup::default()).await;
    let many = json!({"model": "vectors", "input": vec!["x".repeat(100); 1000]});
    assert_eq!(house.post(&caller, "/v1/embeddings", &many).await.status(), 429);
    assert_eq!(house.upstream.stats().requests, 0);
    let some = json!({"model": "vectors", "input": vec!["x".repeat(100); 100]});
    assert_eq!(house.post(&caller, "/v1/embeddings", &some).await.status(), 200);
    assert_eq!(house.upstream.stats().requests, 100);
}

#[tokio::test]
async fn keys_with_settings_of_their_own_embed_too() {
    let (upstream, gateway, id) = bedrock::house(Setup::default(), bedrock::entries(), json!({})).await;
    let post = async |body: &Value| {
        let request = gateway.http.post(format!("{}/v1/embeddings", gateway.proxy)).bearer_auth(bedrock::KEY);
        request.json(body).send().await.unwrap()
    };
    upstream.script(Act { times: Some(3), ..input(1000) });
    let texts: Vec<String> = (1..=200).map(|n| "y".repeat(n)).collect();
    let ask = json!({"model": "bedrock/cohere.embed-english-v3", "input": texts});
    let answer = post(&ask).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(lengths(&answer.json().await.unwrap()), (0..200).map(|n| (n, n as f64 + 1.0)).collect::<Vec<_>>());
    let bodies = sent(&upstream);
    let sizes: Vec<usize> = bodies.iter().map(|body| body["texts"].as_array().unwrap().len()).collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (200, Some(&96)));
    assert!(bodies.iter().all(|body| body["input_type"] == "search_document"));
    let event = gateway.events_settled(&id, 1).await.remove(0);
    assert_eq!(event["cost_in_usd"].as_f64(), Some(0.0003), "{event}");
    let answer = post(&json!({"model": "bedrock/amazon.nova-lite-v1:0", "input": "a"})).await;
    assert_eq!(answer.status(), 400, "a model that makes no vectors");
}

#[tokio::test]
async fn ollama_and_gemini_have_forms_of_their_own() {
    for (api, provider, config, calls) in
        [(Api::Ollama, "ollama", "host", 1), (Api::Gemini, "gemini-converse", "baseURL", 2)]
    {
        let upstream = Upstream::start(Options { api, ..Options::default() }).await.unwrap();
        let house = House::new(Options::default(), Setup::default()).await;
        let config = json!({"model": "embedding-1", "apiKey": "sk-upstream", config: upstream.url()});
        let model = house.model("vectors", provider, ("20", "0"), config).await;
        let caller = house.caller("embedder", &[&model], json!({})).await;
        let ask = json!({"model": "vectors", "input": vec!["Hello, world!"; 150]});
        let answer = house.post(&caller, "/v1/embeddings", &ask).await;
        assert_eq!(answer.status(), 200, "{provider}");
        assert_eq!(lengths(&answer.json().await.unwrap()).len(), 150, "{provider}");
        assert_eq!(upstream.stats().requests, calls, "{provider}");
        let event = house.events(&caller, 1).await.remove(0);
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
        let flags = if api == Api::Ollama { json!([]) } else { json!(["estimated"]) };
        assert_eq!(event["flags"], flags, "{provider}: one tells its tokens, the other does not");
    }
}
