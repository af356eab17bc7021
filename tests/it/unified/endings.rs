//! Streams that do not end well: the client leaves, the upstream breaks. What was produced is billed.

use super::{Answer, House, data, fee, question, said, streamed, used};
use crate::support::PATIENCE;
use crate::upstream::{Act, Fault};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;

/// The same question in each form that streams.
fn forms(model: &str) -> [(&'static str, Value); 4] {
    let chat = streamed(question(model));
    let input = json!({"model": model, "input": "hello", "stream": true});
    let prompt = json!({"model": model, "prompt": "hello", "stream": true, "max_tokens": 100});
    [
        ("/v1/chat/completions", chat.clone()),
        ("/v1/messages", chat),
        ("/v1/responses", input),
        ("/v1/completions", prompt),
    ]
}

/// That a stream ends with an error, once, in its own form.
fn check_error(path: &str, answer: &Answer) {
    let text = &answer.text;
    match path {
        "/v1/chat/completions" | "/v1/completions" => {
            let chunks = answer.chunks();
            let last = chunks.last().unwrap();
            assert!(last["error"]["message"].is_string() && last["error"]["type"].is_string(), "{path}: {last}");
            if path == "/v1/chat/completions" {
                assert_eq!(
                    (&last["choices"][0]["delta"], &last["choices"][0]["finish_reason"]),
                    (&json!({}), &json!("error"))
                );
            }
            assert_eq!(chunks.iter().filter(|chunk| chunk["error"].is_object()).count(), 1, "{path}: {text}");
        }
        "/v1/messages" => {
            assert_eq!(text.matches("event: error\n").count(), 1, "{text}");
            let last = text.trim_end().rsplit("\n\n").next().unwrap();
            assert!(last.starts_with("event: error\n"), "{text}");
            let told: Value = serde_json::from_str(data(last)[0]).unwrap();
            assert_eq!(told["type"], "error");
            assert!(told["error"]["type"].is_string() && told["error"]["message"].is_string(), "{told}");
            assert!(!text.contains("message_stop"), "{text}");
        }
        _ => {
            let last = text.trim_end().rsplit("\n\n").next().unwrap();
            assert!(last.starts_with("event: response.failed\n"), "{text}");
            let told: Value = serde_json::from_str(data(last)[0]).unwrap();
            assert_eq!(told["response"]["status"], "failed");
            assert!(told["response"]["error"]["message"].is_string(), "{told}");
            assert!(!text.contains("response.completed"), "{text}");
        }
    }
}

#[tokio::test]
async fn c81_a_stream_that_breaks_says_so_in_every_form() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.compatible("open", "gpt-4o").await;
    let faults = [
        Fault::Close { after: Some(4) },
        Fault::Reset { after: Some(4) },
        Fault::Truncate,
        Fault::Garbage { after: 4 },
        Fault::ErrorFrame { after: 4 },
        Fault::NoTerminator,
    ];
    for fault in faults {
        for (path, ask) in forms("claude-3-sonnet") {
            house.upstream.script(Act { fault: Some(fault.clone()), chunks: Some(9), ..used(1000, 100) });
            let answer = house.post(&user.key, path, &ask).await;
            assert_eq!(answer.status, 200, "{path} {fault:?}: {}", answer.text);
            assert!(answer.text.contains("tok1"), "{path} {fault:?}: what came before is delivered: {}", answer.text);
            check_error(path, &answer);
            let event = house.event(&answer).await;
            assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{path} {fault:?}: {event}");
            assert!(event["flags"].as_array().unwrap().contains(&json!("aborted")), "{path} {fault:?}: {event}");
        }
        // The upstream's own form is told the same way, but for garbage, which is passed on with the rest.
        if matches!(fault, Fault::Garbage { .. } | Fault::ErrorFrame { .. } | Fault::NoTerminator) {
            continue;
        }
        house.upstream.script(Act { fault: Some(fault.clone()), chunks: Some(9), ..used(1000, 100) });
        let answer = house.chat(&user, &streamed(question("open"))).await;
        assert!(answer.text.contains("\"error\""), "{fault:?}: {}", answer.text);
        let event = house.event(&answer).await;
        assert!(event["flags"].as_array().unwrap().contains(&json!("aborted")), "{fault:?}: {event}");
    }
}

#[tokio::test]
async fn c81_translated_from_openais_form_too() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.compatible("open", "gpt-4o").await;
    let faults =
        [Fault::Close { after: Some(4) }, Fault::Truncate, Fault::ErrorFrame { after: 4 }, Fault::NoTerminator];
    for fault in faults {
        for (path, ask) in
            forms("open").into_iter().filter(|(path, _)| matches!(*path, "/v1/messages" | "/v1/responses"))
        {
            house.upstream.script(Act { fault: Some(fault.clone()), chunks: Some(9), ..used(1000, 100) });
            let answer = house.post(&user.key, path, &ask).await;
            assert_eq!(answer.status, 200, "{path} {fault:?}: {}", answer.text);
            assert!(answer.text.contains("tok1"), "{path} {fault:?}: {}", answer.text);
            check_error(path, &answer);
            let event = house.event(&answer).await;
            assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{path} {fault:?}: {event}");
        }
    }
}

#[tokio::test]
async fn c82_who_leaves_stops_the_upstream_and_pays_for_what_was_said() {
    let house = House::open().await;
    house.compatible("open", "gpt-4o").await;
    for model in ["claude-3-sonnet", "open"] {
        for (path, ask) in forms(model) {
            let user = house.user(json!({})).await;
            let aborted = house.upstream.stats().aborted;
            house.upstream.script(Act { hold: true, chunks: Some(40), ..used(1000, 100) });
            let answer = house.request(&user.key, path, &ask).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{model} {path}");
            let event = answer.headers()["x-tollgate-event-id"].to_str().unwrap().to_owned();
            house.upstream.release(8);
            let (mut stream, mut text) = (answer.bytes_stream(), String::new());
            while !text.contains("tok2") {
                let piece = tokio::time::timeout(PATIENCE, stream.next()).await.expect("more").expect("more");
                text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            }
            drop(stream);
            let gone = house.upstream.wait(Duration::from_secs(1), |stats| stats.aborted > aborted).await;
            assert!(gone.is_some(), "{model} {path}: the upstream goes on talking to nobody");
            let find = || async { house.events().await.into_iter().find(|e| e["id"] == *event) };
            crate::support::eventually("it is billed", || async { find().await.is_some() }).await;
            let event = find().await.unwrap();
            let flags = event["flags"].as_array().unwrap();
            assert!(
                flags.contains(&json!("aborted")) && flags.contains(&json!("estimated")),
                "{model} {path}: {event}"
            );
            assert!(event["completion_token_count"].as_u64().unwrap() >= 3, "{model} {path}: {event}");
            assert!(event["prompt_token_count"].as_u64().unwrap() >= 1, "{model} {path}: {event}");
            assert_ne!(house.mine(&user).await["total_fee"], "0.0000000000", "{model} {path}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_that_never_comes_is_an_error_of_its_own() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.model("once", "bedrock-converse", json!({"modelId": super::SONNET, "maxRetries": 0})).await;
    for (path, code) in [("/v1/chat/completions", "upstream_error"), ("/v1/responses", "upstream_error")] {
        let ask = json!({"model": "once", "messages": [{"role": "user", "content": "x"}], "input": "x"});
        house.upstream.script(Act { fault: Some(Fault::Truncate), chunked: true, ..Act::default() });
        house.post(&user.key, path, &ask).await.refused(502, code);
        house.upstream.script(Act { status: Some(200), body: Some("{\"output\":".into()), ..Act::default() });
        house.post(&user.key, path, &ask).await.refused(502, code);
    }
}

#[tokio::test]
async fn a_stream_with_nothing_but_usage_is_still_whole() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.upstream.script(Act { content: Some(String::new()), ..used(1000, 0) });
    let answer = house.chat(&user, &streamed(question("claude-3-sonnet"))).await;
    assert_eq!(said(&answer.chunks()), "");
    house.spent(&user, &fee(1000, 0)).await;
}
