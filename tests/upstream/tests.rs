//! The upstream is a judge of others, so it is tested itself.

use std::time::Duration;

use base64::Engine as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Act, Early, Fault, Options, Upstream};

const LIMIT: Duration = Duration::from_secs(10);

async fn upstream() -> Upstream {
    Upstream::start(Options::default()).await.expect("loopback")
}

fn post(upstream: &Upstream, tail: &str) -> reqwest::RequestBuilder {
    reqwest::Client::new().post(format!("{}/v1/{tail}", upstream.url())).bearer_auth("sk-upstream")
}

fn chat() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]})
}

fn streamed(extra: &Value) -> Value {
    let mut body = chat();
    body["stream"] = json!(true);
    body.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
    body
}

fn frames(text: &str) -> Vec<&str> {
    text.split_terminator("\n\n").map(|frame| frame.rsplit_once("data: ").expect("data").1).collect()
}

fn act(json: &Value) -> Act {
    serde_json::from_str(&json.to_string()).expect("behaviour")
}

#[tokio::test]
async fn unary_chat_reports_its_usage() {
    let upstream = upstream().await;
    let answer: Value = post(&upstream, "chat/completions").json(&chat()).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello! How can I help you today?");
    assert_eq!(answer["usage"]["total_tokens"], 29);
    assert_eq!(answer["model"], "gpt-4o");
}

#[tokio::test]
async fn a_request_commands_its_own_answer() {
    let upstream = upstream().await;
    let command = json!({"content": "ok", "tokens": {"input": 1000, "cached": 200, "output": 5, "reasoning": 3}, "service_tier": "flex"});
    for (member, value) in [
        ("user", json!(command.to_string())),
        ("metadata", json!({"upstream": command.to_string()})),
        ("model", json!(format!("upstream:{command}"))),
    ] {
        let mut body = chat();
        body[member] = value;
        let answer: Value = post(&upstream, "chat/completions").json(&body).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "ok", "by {member}");
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 200);
        assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
        assert_eq!(answer["service_tier"], "flex");
    }
}

#[tokio::test]
async fn a_stream_shows_usage_only_when_asked() {
    let upstream = upstream().await;
    let ask = |extra: Value| post(&upstream, "chat/completions").json(&streamed(&extra)).send();
    let silent = ask(json!({})).await.unwrap().text().await.unwrap();
    assert!(!silent.contains("usage"));
    assert_eq!(frames(&silent).last(), Some(&"[DONE]"));

    let asked = ask(json!({"stream_options": {"include_usage": true}})).await.unwrap().text().await.unwrap();
    let chunks: Vec<Value> = frames(&asked)
        .iter()
        .filter(|frame| **frame != "[DONE]")
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let (last, earlier) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 10);
    assert!(earlier.iter().all(|chunk| chunk["usage"] == Value::Null && chunk.get("usage").is_some()));
    let said: String = earlier.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "Hello! How can I help you today?");
}

#[tokio::test]
async fn responses_events_are_named_and_numbered() {
    let upstream = upstream().await;
    let body = json!({"model": "gpt-5", "input": "hi", "stream": true, "user": json!({"chunks": 3}).to_string()});
    let text = post(&upstream, "responses").json(&body).send().await.unwrap().text().await.unwrap();
    for (at, event) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        assert_eq!(data["sequence_number"], at);
    }
    let last: Value = serde_json::from_str(frames(&text).last().unwrap()).unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["output_tokens"], 10);
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], " tok0 tok1 tok2");
}

#[tokio::test]
async fn a_held_stream_sends_one_piece_for_each_release() {
    let upstream = upstream().await;
    upstream.script(act(&json!({"hold": true, "chunks": 2})));
    let answer = post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap();
    let mut body = answer.bytes_stream();
    let mut read = 0;
    for sent in 1..=5_u64 {
        let piece = tokio::time::timeout(LIMIT, body.next()).await.unwrap().unwrap().unwrap();
        read += piece.len();
        // Nothing more was sent than what has been read: the next piece really waits.
        assert_eq!(upstream.stats().pieces, sent);
        upstream.release(1);
    }
    assert!(read > 0 && body.next().await.is_none());
    assert!(upstream.wait(LIMIT, |stats| stats.answered == 1).await.is_some());
}

#[tokio::test]
async fn wrong_key_and_leaked_headers_are_refused() {
    let upstream =
        Upstream::start(Options { forbidden: vec!["gw-secret".to_owned()], ..Options::default() }).await.unwrap();
    let url = format!("{}/v1/chat/completions", upstream.url());
    let client = reqwest::Client::new();
    let answer = client.post(&url).bearer_auth("sk-other").json(&chat()).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "invalid_api_key");
    for (name, value) in [("x-api-key", "k"), ("x-custom-event-id", "e"), ("x-other", "gw-secret-1")] {
        let answer = post(&upstream, "chat/completions").header(name, value).json(&chat()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
    }
    let answer = post(&upstream, "chat/completions").body("{\"model\":").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(upstream.stats().violations, 4);
    assert_eq!(upstream.seen().last().unwrap().violations, ["body is not JSON"]);
}

#[tokio::test]
async fn odd_json_is_json() {
    let upstream = upstream().await;
    let odd = r#"{"model":"gpt-4o","x":1e400,"messages":[{"role":"user","content":"\ud83d"}],"metadata":7,"user":12}"#;
    let answer = post(&upstream, "chat/completions").body(odd).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn faults_break_the_answer_as_told() {
    let upstream = upstream().await;
    for fault in [
        Fault::Truncate,
        Fault::Close { after: Some(1) },
        Fault::Reset { after: Some(1) },
        Fault::Close { after: None },
    ] {
        upstream.script(Act { fault: Some(fault.clone()), chunks: Some(4), ..Act::default() });
        let broken = match post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await {
            Ok(answer) => answer.text().await.is_err(),
            Err(_) => true,
        };
        assert!(broken, "{fault:?}");
    }
    upstream.script(Act { fault: Some(Fault::Truncate), ..Act::default() });
    let answer = post(&upstream, "chat/completions").json(&chat()).send().await.unwrap();
    assert!(answer.bytes().await.is_err(), "shorter than its length");

    upstream.script(act(&json!({"fault": {"kind": "no_terminator"}})));
    let clean =
        post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap().text().await.unwrap();
    assert!(!clean.contains("[DONE]") && clean.contains("today"));

    upstream.script(act(&json!({"fault": {"kind": "giant_line", "after": 1, "bytes": 3_000_000}})));
    let giant =
        post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap().text().await.unwrap();
    assert_eq!(giant.split("\n\n").map(str::len).max(), Some(2_999_998));
    assert_eq!(upstream.stats().aborted, 0, "it was the upstream that left");
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let upstream = upstream().await;
    for fault in [Fault::Stall { after: None }, Fault::Stall { after: Some(2) }] {
        upstream.script(Act { fault: Some(fault), ..Act::default() });
        let left = post(&upstream, "chat/completions").json(&streamed(&json!({}))).timeout(Duration::from_millis(200));
        let outcome = match left.send().await {
            Ok(answer) => answer.text().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(outcome.unwrap_err().is_timeout());
    }
    let stats = upstream.wait(LIMIT, |stats| stats.aborted == 2 && stats.open == 0).await;
    assert!(stats.is_some(), "{:?}", upstream.stats());
}

#[tokio::test]
async fn scripted_statuses_come_in_order_and_once() {
    let upstream = upstream().await;
    let script = json!([
        {"path": "embeddings", "status": 503},
        {"status": 429, "headers": {"retry-after": "7"}, "times": 2},
        {"status": 302, "headers": {"location": "http://127.0.0.1:1/"}}
    ]);
    let sent = reqwest::Client::new().post(format!("{}/_script", upstream.url())).json(&script).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let url = format!("{}/v1/chat/completions", upstream.url());
        let answer = client.post(url).bearer_auth("sk-upstream").json(&chat()).send().await.unwrap();
        assert_eq!(answer.headers().get("retry-after").is_some(), answer.status() == 429);
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [429, 429, 302, 200]);
    let embeddings = post(&upstream, "embeddings").json(&json!({"model": "m", "input": "x"})).send().await.unwrap();
    assert_eq!(embeddings.status(), 503);
}

#[tokio::test]
async fn a_model_answers_as_it_was_taught_until_it_is_taught_otherwise() {
    let upstream = upstream().await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [], "user": json!({"status": 418}).to_string()});
        post(&upstream, "chat/completions").json(&body).send().await.unwrap().status().as_u16()
    };
    upstream.teach("broken", Act { status: Some(503), ..Act::default() });
    upstream.teach("well", Act::default());
    for _ in 0..3 {
        assert_eq!((ask("broken").await, ask("well").await, ask("other").await), (503, 200, 418));
    }
    upstream.script(Act { status: Some(429), ..Act::default() });
    assert_eq!((ask("broken").await, ask("broken").await), (429, 503), "what is queued goes first");
    upstream.teach("broken", None);
    assert_eq!(ask("broken").await, 418);
    assert_eq!(["broken", "well", "other", "never"].map(|model| upstream.asked(model)), [6, 3, 3, 0]);

    let path = "/openai/deployments/dep/chat/completions?api-version=2024-10-21";
    let azure = Upstream::start(Options { api: super::Api::Azure, ..Options::default() }).await.unwrap();
    azure.teach("dep", Act { status: Some(500), ..Act::default() });
    let asked = reqwest::Client::new().post(format!("{}{path}", azure.url())).header("api-key", "sk-upstream");
    assert_eq!(asked.json(&json!({"messages": []})).send().await.unwrap().status(), 500);
    assert_eq!(azure.asked("dep"), 1);
}

#[tokio::test]
async fn a_head_can_come_long_before_its_body() {
    let upstream = upstream().await;
    upstream.script(Act { body_delay_ms: 1000, ..Act::default() });
    let begun = std::time::Instant::now();
    let answer = post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(900), "the head does not wait");
    assert!(answer.text().await.unwrap().contains("[DONE]"));
    assert!(begun.elapsed() >= Duration::from_millis(1000));
    // A failure whose body never comes.
    upstream.script(act(&json!({"status": 503, "fault": {"kind": "stall", "after": 0}})));
    let answer = post(&upstream, "chat/completions").json(&chat()).timeout(Duration::from_millis(300));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap_err().is_timeout());
}

/// Bytes in, bytes out: what a client library would hide.
async fn raw(upstream: &Upstream, request: &[u8], cut: usize) -> String {
    let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in request.chunks(cut) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

const ECHO: &str = "host: u\r\nauthorization: Bearer sk-upstream\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = upstream().await;
    let mut request = String::new();
    for at in 0..5 {
        request.push_str(&format!("POST /v1/echo/{at} HTTP/1.1\r\n{ECHO}content-length: 3\r\n\r\nab{at}"));
    }
    request.push_str(&format!("GET /v1/echo/5 HTTP/1.1\r\n{ECHO}connection: close\r\n\r\n"));
    for cut in [1, 7, 100_000] {
        let answer = raw(&upstream, request.as_bytes(), cut).await;
        let order: Vec<_> = answer.match_indices("/v1/echo/").map(|(at, _)| answer.as_bytes()[at + 9]).collect();
        assert_eq!(order, b"012345", "cut every {cut}");
    }
}

#[tokio::test]
async fn chunked_bodies_arrive_byte_for_byte() {
    let upstream = upstream().await;
    let request = format!(
        "POST /v1/echo HTTP/1.1\r\n{ECHO}transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         5\r\nhello\r\n1;name=value\r\n \r\n00a\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n"
    );
    let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, b"hello 0123456789"));
    for cut in 1..request.len() {
        let answer = raw(&upstream, request.as_bytes(), cut).await;
        assert!(answer.contains(&hash), "cut every {cut}: {answer}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.chunked && seen.body == b"hello 0123456789"));
}

#[tokio::test]
async fn early_answers_leave_before_the_body_is_read() {
    let upstream = upstream().await;
    for (early, closes) in [(Early::Close, true), (Early::Drain, false)] {
        upstream.script(Act { early: Some(early), status: Some(413), ..Act::default() });
        let mut stream = TcpStream::connect(upstream.addr()).await.unwrap();
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\n{ECHO}content-length: 5\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let n = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 "));
        assert_eq!(answer.contains("connection: close"), closes);
        if !closes {
            stream
                .write_all(format!("12345GET /v1/models HTTP/1.1\r\n{ECHO}connection: close\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert!(rest.starts_with("HTTP/1.1 200 "), "the connection goes on");
        }
    }
}

#[tokio::test]
async fn an_unasked_gzip_body_decodes() {
    let upstream = upstream().await;
    upstream.script(Act { gzip: true, content: Some("packed".to_owned()), ..Act::default() });
    let answer = post(&upstream, "chat/completions").json(&chat()).send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let bytes = answer.bytes().await.unwrap();
    // Header, stored blocks, an empty last block, then checksum and length of the plain bytes.
    let (mut plain, mut at) = (Vec::new(), 10);
    loop {
        let length = usize::from(u16::from_le_bytes([bytes[at + 1], bytes[at + 2]]));
        plain.extend_from_slice(&bytes[at + 5..at + 5 + length]);
        let last = bytes[at] == 1;
        at += 5 + length;
        if last {
            break;
        }
    }
    assert_eq!(bytes[at..at + 4], crc32fast::hash(&plain).to_le_bytes());
    assert_eq!(bytes[at + 4..], u32::try_from(plain.len()).unwrap().to_le_bytes());
    assert!(serde_json::from_slice::<Value>(&plain).unwrap()["choices"][0]["message"]["content"] == "packed");
}

#[tokio::test]
async fn embeddings_are_equal_in_both_encodings() {
    let upstream = upstream().await;
    let ask = |format: &str| {
        let body =
            json!({"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": format, "dimensions": 6});
        post(&upstream, "embeddings").json(&body).send()
    };
    let numbers: Value = ask("float").await.unwrap().json().await.unwrap();
    let encoded: Value = ask("base64").await.unwrap().json().await.unwrap();
    assert_eq!(numbers["data"].as_array().unwrap().len(), 2);
    for at in 0..2 {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded["data"][at]["embedding"].as_str().unwrap())
            .unwrap();
        let decoded: Vec<f64> =
            bytes.chunks(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect();
        assert_eq!(json!(decoded), numbers["data"][at]["embedding"]);
    }
}

#[tokio::test]
async fn uploads_are_answered_with_what_arrived() {
    let upstream = upstream().await;
    let file = super::answer_binary(70_000);
    let mut body = b"--XX\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--XX\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\ncontent-type: application/octet-stream\r\n\r\n"
        .to_vec();
    body.extend_from_slice(&file);
    body.extend_from_slice(b"\r\n--XX--\r\n");
    let answer: Value = post(&upstream, "files")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&answer["bytes"], &answer["purpose"], &answer["filename"]),
        (&json!(70_000), &json!("batch"), &json!("a.bin"))
    );
    let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, &file));
    assert_eq!(answer["parts"]["file"]["sha256"], hash);
    let content = reqwest::Client::new()
        .get(format!("{}/v1/files/file-1/content", upstream.url()))
        .bearer_auth("sk-upstream")
        .send()
        .await
        .unwrap();
    assert_eq!(content.bytes().await.unwrap(), super::answer_binary(4096));
}

#[tokio::test]
async fn a_strict_upstream_refuses_what_belongs_to_one_connection() {
    let upstream = Upstream::start(Options { strict: true, ..Options::default() }).await.unwrap();
    for (name, value) in [("accept-encoding", "gzip"), ("te", "trailers"), ("proxy-connection", "keep-alive")] {
        let answer = post(&upstream, "chat/completions").header(name, value).json(&chat()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
    }
    let good = post(&upstream, "chat/completions").header("accept-encoding", "identity").json(&chat());
    assert_eq!(good.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn bytes_can_be_given_word_for_word() {
    let upstream = upstream().await;
    let request = format!("GET /v1/x HTTP/1.1\r\n{ECHO}connection: close\r\n\r\n");
    upstream.script(Act { raw: Some("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_owned()), ..Act::default() });
    assert_eq!(raw(&upstream, request.as_bytes(), 1000).await, "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n");

    let frames = vec![": ping\r\n\r\n".to_owned(), "id: 7\ndata: a\ndata: b\n\n".to_owned()];
    upstream.script(Act { frames: Some(frames.clone()), ..Act::default() });
    let stream = post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap();
    assert_eq!(stream.text().await.unwrap(), frames.concat());

    upstream.script(Act { fault: Some(Fault::HugeHeader { bytes: 20_000 }), ..Act::default() });
    let huge = post(&upstream, "chat/completions").json(&chat()).send().await.unwrap();
    assert_eq!(huge.headers()["x-huge"].len(), 20_000);
}

#[tokio::test]
async fn dropping_the_upstream_cuts_its_connections() {
    let upstream = upstream().await;
    upstream.script(Act { fault: Some(Fault::Stall { after: Some(1) }), ..Act::default() });
    let answer = post(&upstream, "chat/completions").json(&streamed(&json!({}))).send().await.unwrap();
    let addr = upstream.addr();
    drop(upstream);
    let rest = tokio::time::timeout(LIMIT, answer.bytes()).await.expect("the connection is cut");
    assert!(rest.is_err());
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}
