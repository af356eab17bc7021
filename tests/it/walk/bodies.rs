//! Request bodies of any size, framing and HTTP version arrive byte for byte, or are refused within bounds.

use crate::support::{Gateway, Setup, eventually};
use crate::upstream::{Options, Upstream};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MIB: usize = 1 << 20;

/// Sends bytes as they are over one connection and returns all that comes back until it closes.
pub(crate) async fn raw(gateway: &Gateway, request: &str) -> String {
    let address = gateway.proxy.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(crate::support::PATIENCE, socket.read_to_end(&mut answer))
        .await
        .expect("the connection ends")
        .ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn h2() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().build().unwrap()
}

/// A chat body of exactly `size` bytes.
fn body_of(size: usize) -> Vec<u8> {
    let start = br#"{"model":"gpt-4o","messages":[{"role":"user","content":""#;
    let end = br#""}]}"#;
    let mut body = start.to_vec();
    let filler = b"lorem ipsum \\u00e9 \\\"dolor\\\" ";
    while body.len() + filler.len() + end.len() <= size {
        body.extend_from_slice(filler);
    }
    body.resize(size - end.len(), b'x');
    body.extend_from_slice(end);
    body
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn chunked(body: &[u8]) -> reqwest::Body {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        body.chunks(100_003).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c83_bodies_arrive_byte_for_byte_over_h1_and_h2_chunked_and_with_length() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    let url = gateway.url("/v1/chat/completions");
    for size in [200, MIB, 30 * MIB] {
        let body = body_of(size);
        serde_json::from_slice::<Value>(&body).expect("the test's own body is JSON");
        for (label, client) in [("h1", gateway.http.clone()), ("h2", h2())] {
            for framed in ["length", "chunked"] {
                let sent = if framed == "length" { body.clone().into() } else { chunked(&body) };
                let request = client.post(&url).bearer_auth("k").header("content-type", "application/json").body(sent);
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200, "{size} {label} {framed}: {}", answer.text().await.unwrap());
                let seen = upstream.seen().pop().unwrap();
                assert_eq!(seen.body_length, size as u64, "{size} {label} {framed}");
                assert_eq!(seen.body_sha256, sha256(&body), "{size} {label} {framed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_above_the_limit_are_413_with_bounded_memory() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_PROXY_BODY_LIMIT", "1MiB").start(&upstream).await;
    gateway.key("k", json!({})).await;
    let url = gateway.url("/v1/chat/completions");
    let before = gateway.settled_memory("k").await;
    upstream.forget();
    let served = upstream.stats().requests;
    for (label, client) in [("h1", gateway.http.clone()), ("h2", h2())] {
        for framed in ["length", "chunked"] {
            let body = body_of(20 * MIB);
            let sent = if framed == "length" { body.into() } else { chunked(&body) };
            let request = client.post(&url).bearer_auth("k").header("content-type", "application/json").body(sent);
            // A client that is still sending may see its write fail instead of the answer; nothing else is acceptable.
            match request.send().await {
                Ok(answer) => assert_eq!(answer.status(), 413, "{label} {framed}"),
                Err(error) => assert!(error.is_request() || error.is_body(), "{label} {framed}: {error:?}"),
            }
        }
    }
    assert_eq!(upstream.stats().requests, served, "nothing reached the upstream");
    let after = gateway.peak_memory();
    // The system's own account of a peak may lag behind.
    assert!(after.saturating_sub(before) < 30 * MIB, "memory grew from {before} to {after}");
}

#[tokio::test]
async fn a_refused_length_is_answered_before_the_body_is_sent() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    let head = "POST /api/providers/openai/v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n";
    let answer = raw(&gateway, &format!("{head}expect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("gateway_bad_request"), "{answer}");
}

#[tokio::test]
async fn smuggled_framing_is_refused() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    let head = "POST /api/providers/openai/v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\nconnection: close\r\n";
    let smuggled = "GET /api/providers/openai/v1/smuggled HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "content-length: +4\r\n\r\nabcd",
    ] {
        raw(&gateway, &format!("{head}{framing}{smuggled}")).await;
    }
    let smuggled = upstream.seen().into_iter().find(|s| s.target.contains("smuggled"));
    assert!(smuggled.is_none(), "{smuggled:?}");
}

#[tokio::test]
async fn a_body_that_drips_is_408() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_PROXY_BODY_TIMEOUT", "1s").start(&upstream).await;
    gateway.key("k", json!({})).await;
    let head = "POST /api/providers/openai/v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n";
    let answer = raw(&gateway, &format!("{head}content-length: 100\r\n\r\n{{\"model\"")).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(upstream.stats().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c86_uploads_arrive_with_every_byte_and_are_not_collected() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_PROXY_BODY_LIMIT", "1MiB").start(&upstream).await;
    let id = gateway.key("k", json!({})).await;
    let file: Vec<u8> = (0..5 * MIB).map(|i| (i * 31 % 251) as u8).collect();
    let mut body = b"--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n".to_vec();
    body.extend_from_slice(&file);
    body.extend_from_slice(b"\r\n--cut--\r\n");
    for sent in [body.clone().into(), chunked(&body)] {
        let request = gateway.http.post(gateway.url("/v1/files")).bearer_auth("k");
        let answer =
            request.header("content-type", "multipart/form-data; boundary=cut").body(sent).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.body_length, seen.body_sha256), (body.len() as u64, sha256(&body)));
        assert_eq!(seen.violations, Vec::<String>::new());
    }
    gateway.events_settled(&id, 2).await;
}

#[tokio::test]
async fn c79b_compressed_request_bodies_are_refused_by_name() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    let request =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("content-encoding", "gzip");
    let answer = request.body("x").send().await.unwrap();
    assert_eq!(answer.status(), 415);
    assert!(answer.text().await.unwrap().contains("content-encoding"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_for_bodies_is_shared_and_given_back() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default()
        .env("TOLLGATE_PROXY_BODY_LIMIT", "2MiB")
        .env("TOLLGATE_PROXY_BODY_MEMORY", "3MiB")
        .start(&upstream)
        .await;
    gateway.key("k", json!({})).await;
    let url = gateway.url("/v1/chat/completions");
    // Two senders stop half way and hold the memory that their lengths announce.
    let address = gateway.proxy.trim_start_matches("http://").to_owned();
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = "POST /api/providers/openai/v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n";
        let head = format!("{head}content-length: 1400000\r\nexpect: 100-continue\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        // The invitation comes when the memory is theirs.
        let mut invited = [0; 12];
        socket.read_exact(&mut invited).await.unwrap();
        assert_eq!(&invited, b"HTTP/1.1 100");
        holders.push(socket);
    }
    let send = || async {
        let request = gateway.http.post(&url).bearer_auth("k").header("content-type", "application/json");
        request.body(body_of(MIB)).send().await.map(|r| r.status().as_u16()).unwrap_or(0)
    };
    // A sender that is refused in mid-body may lose the answer with its connection.
    eventually("memory is taken", || async { matches!(send().await, 503 | 0) }).await;
    drop(holders);
    eventually("memory is given back", || async { send().await == 200 }).await;
}
