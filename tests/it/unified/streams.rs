//! Streams in the client's form, whatever the upstream's is.

use super::{Answer, House, data, fee, question, said, streamed, used};
use crate::upstream::Act;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;

fn check_stream(chunks: &[Value], model: &str) {
    let first = &chunks[0];
    assert!(first["id"].as_str().unwrap().starts_with("chatcmpl-"), "{first}");
    for chunk in chunks {
        assert_eq!((&chunk["id"], &chunk["created"]), (&first["id"], &first["created"]), "{chunk}");
        assert_eq!((&chunk["object"], &chunk["model"]), (&json!("chat.completion.chunk"), &json!(model)), "{chunk}");
    }
    assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
}

#[tokio::test]
async fn c66_chunks_from_role_to_done() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.upstream.script(used(10, 4));
    let answer = house.chat(&user, &streamed(question("claude-3-sonnet"))).await;
    let chunks = answer.chunks();
    check_stream(&chunks, "claude-3-sonnet");
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"][0]["delta"], &last["choices"][0]["finish_reason"]), (&json!({}), &json!("stop")));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()), "nobody asked for usage");
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));

    let mut ask = streamed(question("claude-3-sonnet"));
    ask["stream_options"] = json!({"include_usage": true});
    house.upstream.script(used(10, 4));
    let chunks = house.chat(&user, &ask).await.chunks();
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    let usage = &last["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(10), &json!(4)), "{last}");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    house.spent(&user, &fee(20, 8)).await;
}

#[tokio::test]
async fn c67_what_is_said_arrives_whole_however_it_is_cut() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let text = "añ😀 — „naïve“\n\n\"data: [DONE]\"\t\\ 张三 \u{2028} end";
    for split in [None, Some(1), Some(3), Some(64)] {
        house.upstream.script(Act { content: Some(text.into()), chunks: Some(9), split, ..Act::default() });
        let chunks = house.chat(&user, &streamed(question("claude-3-sonnet"))).await.chunks();
        assert_eq!(said(&chunks), text, "{split:?}");
        house.upstream.script(Act { content: Some(text.into()), split, ..Act::default() });
        let whole = house.chat(&user, &question("claude-3-sonnet")).await.json();
        assert_eq!(whole["choices"][0]["message"]["content"], text, "{split:?}");
    }
}

#[tokio::test]
async fn c68_every_piece_leaves_before_the_next_one_comes() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        let mut ask = streamed(question("claude-3-sonnet"));
        if path == "/v1/responses" {
            ask = json!({"model": "claude-3-sonnet", "input": "hello", "stream": true});
        }
        house.upstream.script(Act { hold: true, chunks: Some(3), ..Act::default() });
        let answer = house.request(&user.key, path, &ask).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let (mut stream, mut text, mut released) = (answer.bytes_stream(), String::new(), 0);
        loop {
            // Not everything that the upstream says makes a piece for the client.
            match tokio::time::timeout(Duration::from_millis(300), stream.next()).await {
                Ok(None) => break,
                Ok(Some(piece)) => text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap()),
                Err(_) => assert!(released < 20, "{path}: {text}"),
            }
            // Each word is here before the next may leave the upstream.
            let said = (0..3).take_while(|n| text.contains(&format!("tok{n}"))).count();
            assert!(said <= released && said >= released.min(3), "{path}: {said} of {released}");
            house.upstream.release(1);
            released += 1;
        }
        assert!(text.contains("tok2"), "{path}: {text}");
    }
}

/// Names of the events of a stream.
fn names(answer: &Answer) -> Vec<&str> {
    answer.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn the_same_model_speaks_every_form() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let sonnet = question("claude-3-sonnet");
    let say = || Act { content: Some("pong".into()), ..used(10, 4) };

    house.upstream.script(say());
    let message = house.post(&user.key, "/v1/messages", &sonnet).await.json();
    assert_eq!((&message["type"], &message["model"]), (&json!("message"), &json!("claude-3-sonnet")), "{message}");
    assert_eq!((&message["content"][0]["text"], &message["stop_reason"]), (&json!("pong"), &json!("end_turn")));
    assert_eq!((&message["usage"]["input_tokens"], &message["usage"]["output_tokens"]), (&json!(10), &json!(4)));

    house.upstream.script(say());
    let stream = house.post(&user.key, "/v1/messages", &streamed(sonnet.clone())).await;
    let names = names(&stream);
    assert_eq!((names[0], *names.last().unwrap()), ("message_start", "message_stop"), "{}", stream.text);
    let delta = data(&stream.text).into_iter().find(|line| line.contains("message_delta")).unwrap();
    let delta: Value = serde_json::from_str(delta).unwrap();
    assert_eq!(delta["usage"]["output_tokens"], 4, "{delta}");

    let ask = json!({"model": "claude-3-sonnet", "input": "ping", "max_output_tokens": 100});
    house.upstream.script(say());
    let response = house.post(&user.key, "/v1/responses", &ask).await.json();
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")), "{response}");
    assert!(response["output"].to_string().contains("pong") && response["usage"]["input_tokens"] == 10, "{response}");
    house.upstream.script(say());
    let stream = house.post(&user.key, "/v1/responses", &streamed(ask)).await;
    let names = self::names(&stream);
    assert_eq!((names[0], *names.last().unwrap()), ("response.created", "response.completed"), "{}", stream.text);

    let ask = json!({"model": "claude-3-sonnet", "prompt": "ping", "max_tokens": 100});
    house.upstream.script(say());
    let completion = house.post(&user.key, "/v1/completions", &ask).await.json();
    assert_eq!((&completion["object"], &completion["choices"][0]["text"]), (&json!("text_completion"), &json!("pong")));
    house.upstream.script(say());
    let stream = house.post(&user.key, "/v1/completions", &streamed(ask)).await;
    let text: String =
        stream.chunks().iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(text, "pong", "{}", stream.text);
    house.spent(&user, &fee(60, 24)).await;
}
