//! Event streams: no delay, no change, no silent truncation, what was consumed is billed.

use super::{house, key, message, post, request, streamed};
use crate::support::PATIENCE;
use crate::upstream::{Act, Fault};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

const OPUS: &str = "claude-opus-5-5";

fn plain() -> Value {
    let mut body = streamed(OPUS, &json!({}));
    body["metadata"] = json!(null);
    body
}

#[tokio::test]
async fn each_piece_leaves_before_the_next_one_arrives() {
    let (upstream, gateway) = house().await;
    key(&gateway).await;
    upstream.script(Act { hold: true, chunks: Some(5), ..Act::default() });
    let answer = post(&gateway, "/v1/messages", &plain()).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut body = answer.bytes_stream();
    let mut received = String::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, body.next()).await.expect("a piece arrives without the next one");
        let Some(piece) = next else { break };
        received += &String::from_utf8_lossy(&piece.unwrap());
        upstream.release(1);
    }
    assert!(received.trim_end().ends_with("data: {\"type\":\"message_stop\"}"), "{received}");
}

#[tokio::test]
async fn event_bytes_are_unchanged() {
    let (upstream, gateway) = house().await;
    key(&gateway).await;
    let frames: Vec<String> = [
        ": a comment\n\n",
        "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"x\":1e400}}}\r\n\r\n",
        "event: brand_new\nid: 7\ndata: {\"type\":\ndata: \"brand_new\"}\n\n",
        "event: content_block_delta\ndata:{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\ud83d\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
    .map(String::from)
    .to_vec();
    for split in [None, Some(1), Some(7)] {
        upstream.script(Act { frames: Some(frames.clone()), split, ..Act::default() });
        assert_eq!(post(&gateway, "/v1/messages", &plain()).await.text().await.unwrap(), frames.concat(), "{split:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_one_named_error_and_no_false_success() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let faults =
        [Fault::Close { after: Some(5) }, Fault::Reset { after: Some(5) }, Fault::Truncate, Fault::NoTerminator];
    let count = faults.len();
    for fault in faults {
        let label = format!("{fault:?}");
        upstream.script(Act { fault: Some(fault), chunks: Some(6), ..Act::default() });
        let received = post(&gateway, "/v1/messages", &plain()).await.text().await.unwrap();
        assert_eq!(received.matches("event: error\n").count(), 1, "{label}: {received}");
        let error = received.rsplit_once("data: ").unwrap().1;
        let error: Value = serde_json::from_str(error).expect("the last event is whole");
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("api_error")), "{label}");
        assert!(!received.contains("message_stop"), "{label}: {received}");
    }
    for event in gateway.events_settled(&id, count).await {
        assert_eq!(event["flags"], json!(["estimated", "aborted"]), "{event}");
        assert_eq!(event["prompt_token_count"], 19, "the input was told at the beginning: {event}");
        assert!(event["completion_token_count"].as_u64().unwrap() > 1, "what was seen is counted: {event}");
    }
}

#[tokio::test]
async fn a_failure_that_the_provider_tells_is_passed_on_alone() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    upstream.script(Act { fault: Some(Fault::ErrorFrame { after: 5 }), chunks: Some(9), ..Act::default() });
    let received = post(&gateway, "/v1/messages", &plain()).await.text().await.unwrap();
    assert_eq!(received.matches("event: error\n").count(), 1, "{received}");
    assert!(received.contains("overloaded_error"), "{received}");
    let event = &gateway.events_settled(&id, 1).await[0];
    assert_eq!(event["flags"], json!(["estimated", "aborted"]), "{event}");
    assert_eq!(event["prompt_token_count"], 19, "{event}");
}

#[tokio::test]
async fn a_client_that_leaves_is_billed_and_its_upstream_call_ends() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    upstream.script(Act { hold: true, chunks: Some(50), ..Act::default() });
    let mut body = post(&gateway, "/v1/messages", &plain()).await.bytes_stream();
    for _ in 0..8 {
        upstream.release(1);
        body.next().await.unwrap().unwrap();
    }
    drop(body);
    assert!(upstream.wait(PATIENCE, |s| s.aborted == 1).await.is_some(), "the upstream call is ended");
    upstream.script(Act { fault: Some(Fault::Stall { after: None }), ..Act::default() });
    let call = tokio::spawn(request(&gateway, "/v1/messages", &message(OPUS, &json!({}))).send());
    assert!(upstream.wait(PATIENCE, |s| s.requests == 2 && s.running == 1).await.is_some());
    call.abort();
    let events = gateway.events_settled(&id, 2).await;
    assert_eq!((&events[0]["status"], &events[1]["status"]), (&json!(200), &json!(499)));
    assert_eq!(events[0]["prompt_token_count"], 19, "exact: {}", events[0]);
    for event in &events {
        assert_eq!(event["flags"], json!(["estimated", "aborted"]), "{event}");
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
    }
}

#[tokio::test]
async fn a_hostile_stream_costs_bounded_memory() {
    let (upstream, gateway) = house().await;
    let id = key(&gateway).await;
    let body = streamed(OPUS, &json!({"no_usage": true}));
    post(&gateway, "/v1/messages", &body).await.bytes().await.unwrap();
    let before = gateway.peak_memory();
    let fault = Some(Fault::GiantLine { after: 1, bytes: 100 << 20 });
    upstream.script(Act { fault, chunks: Some(3), ..Act::default() });
    let mut body = post(&gateway, "/v1/messages", &plain()).await.bytes_stream();
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece.unwrap().len();
    }
    assert!(total > 100 << 20, "the bytes pass: {total}");
    let grown = gateway.peak_memory() - before;
    assert!(grown < 40 << 20, "memory grew by {grown} bytes");
    upstream.script(Act { fault: Some(Fault::Garbage { after: 3 }), ..Act::default() });
    let received = post(&gateway, "/v1/messages", &plain()).await.bytes().await.unwrap();
    assert!(received.windows(7).any(|w| w == b"garbage"));
    let events = gateway.events_settled(&id, 3).await;
    for event in &events[1..] {
        assert_eq!((&event["completion_token_count"], &event["flags"]), (&json!(10), &json!([])), "{event}");
    }
}
