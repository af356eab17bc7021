//! Realtime over WebSocket: frames pass both ways, every response is billed while the connection is open.

use crate::support::{Gateway, Setup, eventually};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;

/// What RFC 6455 makes of a key.
fn accept_of(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.expect("a whole head");
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}

fn frame(payload: &[u8], mask: bool) -> Vec<u8> {
    let flag = if mask { 0x80 } else { 0 };
    let mut out = vec![0x81];
    if payload.len() < 126 {
        out.push(flag | u8::try_from(payload.len()).unwrap());
    } else {
        out.push(flag | 126);
        out.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    if mask {
        out.extend([1, 2, 3, 4]);
        out.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, k)| b ^ k));
    } else {
        out.extend(payload);
    }
    out
}

/// One frame: opcode and payload, unmasked.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let second = stream.read_u8().await.ok()?;
    let length = match second & 0x7f {
        126 => usize::from(stream.read_u16().await.ok()?),
        n => usize::from(n),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await.ok()?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(b, k)| *b ^= k);
    Some((first & 0x0f, payload))
}

fn done() -> Value {
    json!({"type": "response.done", "response": {"id": "r", "usage": {
        "total_tokens": 1450, "input_tokens": 1000, "output_tokens": 450,
        "input_token_details": {"text_tokens": 300, "audio_tokens": 700, "cached_tokens": 700,
            "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 500}},
        "output_token_details": {"text_tokens": 50, "audio_tokens": 400}}}})
}

/// Answers every message with a delta and a `response.done`; tells the heads it saw.
async fn upstream() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                let head = head_of(&mut stream).await;
                heads.send(head.clone()).unwrap();
                let Some(key) = header(&head, "sec-websocket-key") else {
                    let body = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(body.as_bytes()).await.unwrap();
                    return;
                };
                let chosen =
                    header(&head, "sec-websocket-protocol").map(|p| format!("sec-websocket-protocol: {p}\r\n"));
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n{}\r\n",
                    accept_of(key),
                    chosen.unwrap_or_default(),
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                while let Some((1, _)) = read_frame(&mut stream).await {
                    let delta = json!({"type": "response.output_audio.delta", "delta": "A".repeat(20_000)}).to_string();
                    stream.write_all(&frame(delta.as_bytes(), false)).await.unwrap();
                    // In two pieces, the second a moment later.
                    let told = frame(done().to_string().as_bytes(), false);
                    let (a, b) = told.split_at(17);
                    stream.write_all(a).await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    stream.write_all(b).await.unwrap();
                }
            });
        }
    });
    (url, seen)
}

struct Client {
    stream: TcpStream,
    head: String,
}

async fn connect(gateway: &Gateway, credential: &str) -> Client {
    let address = gateway.proxy.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/providers/openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-extensions: permessage-deflate\r\n{credential}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head_of(&mut stream).await;
    Client { stream, head }
}

impl Client {
    async fn say(&mut self) -> Option<Value> {
        let text = json!({"type": "response.create"}).to_string();
        self.stream.write_all(&frame(text.as_bytes(), true)).await.ok()?;
        let (_, delta) = read_frame(&mut self.stream).await?;
        assert!(delta.len() > 20_000, "{delta:?}");
        let (_, done) = read_frame(&mut self.stream).await?;
        serde_json::from_slice(&done).ok()
    }
}

#[tokio::test]
async fn c18_every_response_of_a_connection_is_an_event_with_its_cost() {
    let (url, mut seen) = upstream().await;
    let mut gateway = Setup::default().start_at(&url).await;
    let key = gateway.key("gw-rt", json!({})).await;
    let mut client = connect(&gateway, "authorization: Bearer gw-rt").await;
    assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
    assert_eq!(header(&client.head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(header(&client.head, "sec-websocket-protocol"), None, "nothing was offered");
    let head = seen.recv().await.unwrap();
    assert_eq!(header(&head, "authorization"), Some("Bearer sk-upstream"));
    assert!(!head.contains("gw-rt") && header(&head, "sec-websocket-extensions").is_none(), "{head}");
    assert!(head.starts_with("GET /v1/realtime?model=gpt-realtime "), "{head}");
    for _ in 0..2 {
        assert_eq!(client.say().await, Some(done()));
    }
    // The bills are there while the connection is open, and survive a kill.
    gateway.kill();
    drop(client);
    gateway.restart().await;
    let events = gateway.events_settled(&key, 3).await;
    let told: Vec<(f64, u64)> =
        events.iter().map(|e| (e["cost_in_usd"].as_f64().unwrap(), e["status"].as_u64().unwrap())).collect();
    assert_eq!(told.iter().filter(|t| **t == (0.03348, 200)).count(), 2, "{told:?}");
    assert_eq!(told.iter().map(|t| t.0).filter(|cost| *cost > 0.0).count(), 2, "the connection itself costs nothing");
    assert!(events.iter().all(|e| e["model"] == "gpt-realtime"), "{events:#?}");
}

#[tokio::test]
async fn a_browsers_key_comes_as_a_subprotocol_and_goes_no_further() {
    let (url, mut seen) = upstream().await;
    let gateway = Setup::default().start_at(&url).await;
    gateway.key("gw-browser", json!({})).await;
    let offer = "sec-websocket-protocol: realtime, openai-insecure-api-key.gw-browser, openai-beta.realtime-v1";
    let mut client = connect(&gateway, offer).await;
    assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
    assert_eq!(header(&client.head, "sec-websocket-protocol"), Some("realtime"));
    let head = seen.recv().await.unwrap();
    assert!(!head.contains("gw-browser"), "{head}");
    assert_eq!(client.say().await, Some(done()));
    let stranger = connect(&gateway, "sec-websocket-protocol: realtime, openai-insecure-api-key.nobody").await;
    assert!(stranger.head.starts_with("HTTP/1.1 401 "), "{}", stranger.head);
}

#[tokio::test]
async fn a_connection_ends_with_the_keys_budget() {
    let (url, _seen) = upstream().await;
    let gateway = Setup::default().start_at(&url).await;
    let key = gateway.key("gw-poor", json!({"costLimitInUsdOverTime": 0.05, "costLimitInUsdUnit": "d"})).await;
    let mut client = connect(&gateway, "authorization: Bearer gw-poor").await;
    assert_eq!(client.say().await, Some(done()), "0.03348 of 0.05");
    assert_eq!(client.say().await, Some(done()), "the answer that goes over is delivered");
    let (opcode, payload) = read_frame(&mut client.stream).await.expect("a close frame");
    assert_eq!((opcode, payload.get(..2)), (8, Some(&1008_u16.to_be_bytes()[..])));
    assert!(read_frame(&mut client.stream).await.is_none(), "then the connection ends");
    eventually("all is booked", || async { gateway.events(&key).await.len() == 3 }).await;
    let again = connect(&gateway, "authorization: Bearer gw-poor").await;
    assert!(again.head.starts_with("HTTP/1.1 429 "), "{}", again.head);
    let strict = json!({"costLimitInUsd": 5, "budgetMode": "strict"});
    gateway.key("gw-strict", strict).await;
    let refused = connect(&gateway, "authorization: Bearer gw-strict").await;
    assert!(refused.head.starts_with("HTTP/1.1 403 "), "nothing bounds it: {}", refused.head);
}

#[tokio::test]
async fn rules_hold_before_the_upgrade() {
    let (url, mut seen) = upstream().await;
    let gateway = Setup::default().start_at(&url).await;
    let setting = gateway.setting(json!({"allowedModels": ["gpt-4o"]})).await;
    gateway.key("gw-narrow", json!({"settingIds": [setting]})).await;
    let refused = connect(&gateway, "authorization: Bearer gw-narrow").await;
    assert!(refused.head.starts_with("HTTP/1.1 403 "), "{}", refused.head);
    gateway.key("gw-plain", json!({})).await;
    let plain = gateway.http.get(gateway.url("/v1/realtime?model=gpt-realtime")).bearer_auth("gw-plain");
    assert_eq!(plain.send().await.unwrap().status(), 426);
    for path in ["/v1/realtime/client_secrets", "/v1/realtime/sessions", "/v1/realtime/calls"] {
        let closed = gateway.http.post(gateway.url(path)).bearer_auth("gw-plain").json(&json!({}));
        assert_eq!(closed.send().await.unwrap().status(), 404, "{path} would open a way around the gateway");
    }
    assert!(seen.try_recv().is_err(), "nothing of it reached the provider");
}
