//! Pictures in conversations.

use super::{House, SONNET, question};
use serde_json::{Value, json};

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn showing(model: &str, url: &str) -> Value {
    let mut ask = question(model);
    ask["messages"][0]["content"] =
        json!([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]);
    ask
}

#[tokio::test]
async fn c75_bytes_and_format_arrive() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    // As each format begins.
    for (format, bytes) in [
        ("png", PIXEL),
        ("jpeg", "/9j/4AAQSkZJRg=="),
        ("gif", "R0lGODlhAQABAIAAAAAA"),
        ("webp", "UklGRiQAAABXRUJQVlA4"),
    ] {
        let ask = showing("claude-3-sonnet", &format!("data:image/{format};base64,{bytes}"));
        let answer = house.chat(&user, &ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let expect = json!([{"text": "what?"}, {"image": {"format": format, "source": {"bytes": bytes}}}]);
        assert_eq!(house.sent()["messages"][0]["content"], expect);
    }
}

#[tokio::test]
async fn c76_a_model_without_eyes() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    house.compatible("open", "gpt-4o").await;
    let picture = format!("data:image/png;base64,{PIXEL}");
    for model in ["mistral-7b", "open"] {
        let answer = house.chat(&user, &showing(model, &picture)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert_eq!(answer.json()["data"], "This model does not support images.");
    }
    let ask = json!({"model": "mistral-7b", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]}]});
    let answer = house.post(&user.key, "/v1/messages", &ask).await;
    assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("error")), "{}", answer.text);
    assert_eq!(house.upstream.stats().requests, 0);
}

#[tokio::test]
async fn c77_nobody_fetches_for_a_client() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let own = format!("{}/picture.png", house.upstream.url());
    for url in [&*own, "http://169.254.169.254/latest/meta-data", "https://example.com/p.png", "file:///etc/passwd"] {
        let answer = house.chat(&user, &showing("claude-3-sonnet", url)).await;
        answer.refused(400, "unsupported_image_url");
        assert!(answer.header("x-tollgate-event-id").is_empty(), "nothing was admitted");
    }
    assert_eq!(house.upstream.stats().requests, 0, "nobody looked");
    let row = json!({"multiple": 1});
    house.model_at("eyes", "bedrock-converse", json!({"modelId": SONNET}), row).await;
    house.chat(&user, &showing("eyes", "data:image/tiff;base64,AAAA")).await;
    assert_eq!(house.upstream.stats().requests, 0, "a format that the service does not know");
}
