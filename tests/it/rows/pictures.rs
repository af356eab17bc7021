//! Pictures that a client names by URL: fetched where an operator wants that, from nowhere that is not public.

use super::{House, aws, sent};
use crate::support::Setup;
use crate::upstream::Options;
use base64::Engine as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest";

/// A server of pictures; counts and keeps the heads of what it is asked.
struct Pictures {
    url: String,
    asked: Arc<AtomicUsize>,
    heads: Arc<parking_lot::Mutex<String>>,
}

impl Pictures {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(parking_lot::Mutex::new(String::new())));
        let pictures = Self { url, asked: asked.clone(), heads: heads.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::Relaxed);
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                heads.lock().push_str(&head);
                let path = head.split(' ').nth(1).unwrap_or_default();
                let there = |to: &str| {
                    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
                };
                let body = |body: &[u8]| {
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n", body.len());
                    [head.as_bytes(), body].concat()
                };
                let answer = match path {
                    "/a.png" => body(PNG),
                    "/folder/there" => there("../a.png?"),
                    "/1" => there("a.png"),
                    "/2" => there("/1"),
                    "/3" => there("/2"),
                    "/metadata" => there("http://169.254.169.254/latest"),
                    "/other" => there("http://127.0.0.2:1/a.png"),
                    "/page" => body(b"<html>"),
                    "/huge" => body(&[PNG, &vec![0; 3_750_000]].concat()),
                    _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                };
                // A reader that has had enough closes: its business.
                let _ = stream.write_all(&answer).await;
            }
        });
        pictures
    }
}

fn ask(model: &str, urls: &[String]) -> Value {
    let picture = |url: &String| json!({"type": "image_url", "image_url": {"url": url}});
    let mut content = vec![json!({"type": "text", "text": "What is this?"})];
    content.extend(urls.iter().map(picture));
    json!({"model": model, "messages": [{"role": "user", "content": content}]})
}

fn fetching() -> Setup {
    Setup::default()
        .env("TOLLGATE_UNIFIED_FETCH_REMOTE_IMAGES", "true")
        .env("TOLLGATE_UNIFIED_FETCH_HTTP_IMAGES", "true")
        .env("TOLLGATE_DEBUG_FETCH_NETWORKS", "127.0.0.1")
}

async fn house(setup: Setup) -> (House, super::Caller) {
    let house = House::new(Options::default(), setup).await;
    let row =
        house.model("eyes", "bedrock-converse", ("1", "1"), aws(json!({"modelId": "amazon.nova-lite-v1:0"}))).await;
    let config = json!({"baseURL": format!("{}/v1", house.upstream.url()), "apiKey": "sk-upstream", "model": "gpt-4o"});
    let open = house.model("open", "openai-compatible", ("1", "1"), config).await;
    let caller = house.caller("viewer", &[&row, &open], json!({})).await;
    (house, caller)
}

async fn code(house: &House, caller: &super::Caller, body: &Value) -> (u16, Value) {
    let answer = house.post(caller, "/v1/chat/completions", body).await;
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap()["error"]["code"].clone())
}

#[tokio::test]
async fn pictures_are_fetched_for_models_that_take_only_bytes() {
    let pictures = Pictures::start().await;
    let (house, caller) = house(fetching().env("TOLLGATE_DEBUG_TEST_HOOKS", "true")).await;
    let at = |path: &str| format!("{}{path}", pictures.url);
    let urls = [at("/a.png"), at("/2"), at("/a.png")];
    assert_eq!(code(&house, &caller, &ask("eyes", &urls)).await, (200, Value::Null));
    let body = sent(&house.upstream).remove(0);
    let content = body["messages"][0]["content"].as_array().unwrap();
    let data = base64::engine::general_purpose::STANDARD.encode(PNG);
    let image = json!({"image": {"format": "png", "source": {"bytes": data}}});
    assert_eq!(content[1..], [image.clone(), image.clone(), image], "known by its bytes, not by its type");
    let heads = pictures.heads.lock().to_ascii_lowercase();
    assert_eq!(pictures.asked.load(Ordering::Relaxed), 4, "one URL is fetched once; two redirects");
    assert!(!heads.contains("authorization") && !heads.contains("cookie") && !heads.contains("viewer"), "{heads}");
    for bad in ["/3", "/metadata", "/other", "/page", "/huge", "/nothing"] {
        let told = code(&house, &caller, &ask("eyes", &[at(bad)])).await;
        assert_eq!(told, (400, json!("image_not_fetched")), "{bad}");
    }
    for bad in [
        "https://127.0.0.2/a",
        "http://10.0.0.1/a",
        "http://[::1]:80/a",
        "http://u:p@127.0.0.1/a",
        "http://2130706434/",
    ] {
        let told = code(&house, &caller, &ask("eyes", &[bad.to_owned()])).await;
        assert_eq!(told, (400, json!("image_not_fetched")), "{bad}");
    }
    assert_eq!(house.upstream.stats().requests, 1);
    house.events(&caller, 1).await;
}

#[tokio::test]
async fn nothing_is_fetched_unless_an_operator_says_so_and_never_from_a_private_address() {
    let pictures = Pictures::start().await;
    let url = [format!("{}/a.png", pictures.url)];
    let (off, caller) = house(Setup::default()).await;
    assert_eq!(code(&off, &caller, &ask("eyes", &url)).await, (400, json!("unsupported_image_url")));
    // Without the hook of tests the network that is named counts for nothing.
    let (on, caller) = house(fetching()).await;
    assert_eq!(code(&on, &caller, &ask("eyes", &url)).await, (400, json!("image_not_fetched")));
    assert_eq!(pictures.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_upstream_is_not_sent_to_what_only_its_network_has() {
    let (house, caller) = house(Setup::default()).await;
    for bad in [
        "http://127.0.0.1/a",
        "http://localhost:8000/v1",
        "https://10.0.0.1/a",
        "http://169.254.169.254/",
        "http://metadata/",
    ] {
        let told = code(&house, &caller, &ask("open", &[bad.to_owned()])).await;
        assert_eq!(told, (400, json!("unsupported_image_url")), "{bad}");
        // The same where the client speaks another form.
        let body = json!({"model": "open", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": bad}}]}]});
        assert_eq!(house.post(&caller, "/v1/messages", &body).await.status(), 400, "{bad}");
    }
    assert_eq!(house.upstream.stats().requests, 0);
    let good = ask("open", &["https://example.com/a.png".to_owned()]);
    assert_eq!(code(&house, &caller, &good).await.0, 200);
}
