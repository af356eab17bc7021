//! Event streams: no delay, no change, no silent truncation, no upstream left running.

use crate::support::{Gateway, PATIENCE, Setup, chat_body, eventually, stream_body};
use crate::upstream::{Act, Fault, Options, Upstream};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    (upstream, gateway)
}

async fn text(gateway: &Gateway, body: &Value) -> String {
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    answer.text().await.unwrap()
}

#[tokio::test]
async fn c90_each_piece_leaves_before_the_next_one_arrives() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    for http2 in [false, true] {
        let client = if http2 {
            reqwest::Client::builder().http2_prior_knowledge().build().unwrap()
        } else {
            gateway.http.clone()
        };
        upstream.script(Act { hold: true, chunks: Some(5), ..Act::default() });
        let request = client.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&stream_body_with_usage());
        let mut body = request.send().await.unwrap().bytes_stream();
        let mut received = String::new();
        // The upstream sends a piece only after it was told to, and it is told only after the one before has arrived here.
        loop {
            let next = tokio::time::timeout(PATIENCE, body.next()).await.expect("a piece arrives without the next one");
            let Some(piece) = next else { break };
            received += &String::from_utf8_lossy(&piece.unwrap());
            upstream.release(1);
        }
        assert!(received.trim_end().ends_with("data: [DONE]"), "h2={http2}: {received}");
    }
}

/// With usage asked for, every piece of the upstream is a piece for the client.
fn stream_body_with_usage() -> Value {
    let mut body = stream_body_plain();
    body["stream_options"] = json!({"include_usage": true});
    body
}

fn stream_body_plain() -> Value {
    json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hello"}]})
}

#[tokio::test]
async fn c91_event_bytes_are_unchanged_when_usage_was_asked_for() {
    let (upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    let frames: Vec<String> = [
        ": a comment\n\n",
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\ud83d\"}}],\"usage\":null}\r\n\r\n",
        "event: odd\nid: 7\ndata: {\"choices\":\ndata: []}\n\n",
        "data:{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n",
        "data: [DONE]\n\n",
    ]
    .map(String::from)
    .to_vec();
    for split in [None, Some(1), Some(7)] {
        upstream.script(Act { frames: Some(frames.clone()), split, ..Act::default() });
        let mut body = stream_body_plain();
        body["stream_options"] = json!({"include_usage": true});
        assert_eq!(text(&gateway, &body).await, frames.concat(), "{split:?}");
    }
    let sent: Value = serde_json::from_slice(&upstream.seen()[0].body).unwrap();
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn usage_is_always_asked_for_and_hidden_from_those_who_did_not() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    for extra in [
        json!({}),
        json!({"stream_options": {"include_obfuscation": false}}),
        json!({"stream_options": null}),
        json!({"stream_options": {"include_usage": false}}),
    ] {
        let mut body = stream_body_plain();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let received = text(&gateway, &body).await;
        assert!(!received.contains("\"usage\""), "{extra}: {received}");
        assert!(received.contains("data: [DONE]"));
        let sent: Value = serde_json::from_slice(&upstream.seen().pop().unwrap().body).unwrap();
        assert_eq!(sent["stream_options"]["include_usage"], true, "{extra}");
    }
    let mut asking = stream_body_plain();
    asking["stream_options"] = json!({"include_usage": true});
    let received = text(&gateway, &asking).await;
    assert!(received.contains("\"usage\":{\"prompt_tokens\""), "{received}");
    for event in gateway.events_settled(&id, 5).await {
        assert_eq!(
            (event["prompt_token_count"].as_u64(), event["completion_token_count"].as_u64()),
            (Some(19), Some(10))
        );
        assert_eq!(event["flags"], json!([]));
    }
}

#[tokio::test]
async fn c92_a_stream_that_breaks_ends_in_one_error_and_no_false_success() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let faults =
        [Fault::Close { after: Some(3) }, Fault::Reset { after: Some(3) }, Fault::Truncate, Fault::NoTerminator];
    let count = faults.len();
    for fault in faults {
        let label = format!("{fault:?}");
        upstream.script(Act { fault: Some(fault), chunks: Some(6), ..Act::default() });
        let received = text(&gateway, &stream_body_plain()).await;
        assert_eq!(received.matches("\"error\"").count(), 1, "{label}: {received}");
        assert!(!received.contains("[DONE]"), "{label}: {received}");
    }
    for event in gateway.events_settled(&id, count).await {
        let flags = event["flags"].as_array().unwrap();
        assert!(flags.contains(&json!("aborted")) && flags.contains(&json!("estimated")), "{event}");
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "what was consumed is billed: {event}");
    }
}

#[tokio::test]
async fn c93_a_client_that_leaves_is_billed_and_its_upstream_call_ends() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    // In mid-stream.
    upstream.script(Act { hold: true, chunks: Some(50), ..Act::default() });
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&stream_body_plain());
    let mut body = request.send().await.unwrap().bytes_stream();
    for _ in 0..4 {
        upstream.release(1);
        body.next().await.unwrap().unwrap();
    }
    drop(body);
    assert!(upstream.wait(PATIENCE, |s| s.aborted == 1).await.is_some(), "the upstream call is ended");
    // Before any answer, unary.
    upstream.script(Act { fault: Some(Fault::Stall { after: None }), ..Act::default() });
    let request =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&chat_body("gpt-4o", &json!({})));
    let call = tokio::spawn(request.send());
    assert!(upstream.wait(PATIENCE, |s| s.requests == 2 && s.running == 1).await.is_some());
    call.abort();
    assert!(upstream.wait(PATIENCE, |s| s.aborted == 2).await.is_some(), "the upstream call is ended");
    let events = gateway.events_settled(&id, 2).await;
    assert_eq!(events[0]["status"], 200);
    assert_eq!(events[1]["status"], 499);
    for event in &events {
        assert_eq!(event["flags"], json!(["estimated", "aborted"]), "{event}");
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
    }
    assert!(events[0]["completion_token_count"].as_u64().unwrap() > 0, "what was seen is counted: {}", events[0]);
}

#[tokio::test]
async fn responses_streams_end_with_their_own_marker_and_usage() {
    let (_upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let body = json!({"model": "gpt-4o", "input": "hello", "stream": true});
    let request = gateway.http.post(gateway.url("/v1/responses")).bearer_auth("k").json(&body);
    let received = request.send().await.unwrap().text().await.unwrap();
    assert!(received.contains("event: response.completed"), "{received}");
    let events = gateway.events_settled(&id, 1).await;
    assert_eq!(
        (events[0]["prompt_token_count"].as_u64(), events[0]["completion_token_count"].as_u64()),
        (Some(19), Some(10))
    );
    assert_eq!(events[0]["flags"], json!([]));
}

#[tokio::test]
async fn a_hostile_stream_costs_bounded_memory() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let before = gateway.settled_memory("k").await;
    upstream.script(Act {
        fault: Some(Fault::GiantLine { after: 1, bytes: 100 << 20 }),
        chunks: Some(3),
        ..Act::default()
    });
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&stream_body_plain());
    let mut body = request.send().await.unwrap().bytes_stream();
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece.unwrap().len();
    }
    assert!(total > 100 << 20, "the bytes pass: {total}");
    let grown = gateway.peak_memory() - before;
    assert!(grown < 40 << 20, "memory grew by {grown} bytes");
    gateway.events_settled(&id, 3).await;
}

#[tokio::test]
async fn garbage_in_a_stream_passes_and_does_not_stop_the_meter() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    upstream.script(Act { fault: Some(Fault::Garbage { after: 2 }), ..Act::default() });
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&stream_body_plain());
    let received = request.send().await.unwrap().bytes().await.unwrap();
    assert!(received.windows(7).any(|w| w == b"garbage"));
    let events = gateway.events_settled(&id, 1).await;
    assert_eq!(events[0]["completion_token_count"], 10, "{}", events[0]);
}

#[tokio::test]
async fn streams_tell_their_cost_in_a_trailer_to_h2_clients_that_accept_one() {
    // No Rust client shows trailers through its comfortable API; the curl of the machine does.
    let (_upstream, gateway) = house().await;
    gateway.key("k", json!({})).await;
    let output = tokio::process::Command::new("curl")
        .args([
            "-sN",
            "--http2-prior-knowledge",
            "-D",
            "-",
            "-o",
            "/dev/null",
            "-H",
            "te: trailers",
            "-H",
            "authorization: Bearer k",
        ])
        .args([
            "-H",
            "content-type: application/json",
            "-d",
            &stream_body_plain().to_string(),
            &gateway.url("/v1/chat/completions"),
        ])
        .output()
        .await
        .unwrap();
    let heads = String::from_utf8_lossy(&output.stdout);
    assert!(heads.contains("x-tollgate-cost-usd: 0.0001475000"), "{heads}");
}

#[tokio::test]
async fn a_stop_lets_streams_finish() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let mut gateway = Setup::default().start(&upstream).await;
    let id = gateway.key("k", json!({})).await;
    upstream.script(Act { hold: true, chunks: Some(5), ..Act::default() });
    let request = gateway
        .http
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth("k")
        .json(&stream_body("gpt-4o", &json!({"hold": true, "chunks": 5})));
    let mut body = request.send().await.unwrap().bytes_stream();
    body.next().await.unwrap().unwrap();
    gateway.terminate();
    eventually("new connections are refused", || async {
        tokio::net::TcpStream::connect(gateway.proxy.trim_start_matches("http://")).await.is_err()
    })
    .await;
    upstream.release(100);
    let mut rest = String::new();
    while let Some(piece) = body.next().await {
        rest += &String::from_utf8_lossy(&piece.unwrap());
    }
    assert!(rest.contains("[DONE]"), "{rest}");
    assert_eq!(gateway.ended().await, Some(0));
    gateway.restart().await;
    let events = gateway.events_settled(&id, 1).await;
    assert_eq!(
        events[0]["completion_token_count"], 10,
        "C118: events accepted before a stop are in the store after it"
    );
}
