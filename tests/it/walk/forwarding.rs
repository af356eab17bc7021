//! Checklist 18.6: what the upstream gets and what comes back.

use crate::support::{Gateway, Setup, chat, chat_body};
use crate::upstream::{Act, Fault, Options, Upstream};
use serde_json::{Value, json};

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { strict: true, ..Options::default() }).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("k", json!({})).await;
    (upstream, gateway)
}

#[tokio::test]
async fn c85_every_documented_path_reaches_the_same_tail() {
    let (upstream, gateway) = house().await;
    let paths = [
        ("POST", "/v1/moderations"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gpt-4o"),
        ("DELETE", "/v1/models/ft-1"),
        ("GET", "/v1/files"),
        ("GET", "/v1/files/file-1"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/files/file-1/content"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/assistants"),
        ("GET", "/v1/assistants"),
        ("GET", "/v1/assistants/a"),
        ("POST", "/v1/assistants/a"),
        ("DELETE", "/v1/assistants/a"),
        ("POST", "/v1/assistants/a/files"),
        ("GET", "/v1/assistants/a/files/f"),
        ("DELETE", "/v1/assistants/a/files/f"),
        ("POST", "/v1/threads"),
        ("GET", "/v1/threads/t"),
        ("POST", "/v1/threads/t"),
        ("DELETE", "/v1/threads/t"),
        ("POST", "/v1/threads/t/messages"),
        ("GET", "/v1/threads/t/messages"),
        ("GET", "/v1/threads/t/messages/m"),
        ("POST", "/v1/threads/t/messages/m"),
        ("GET", "/v1/threads/t/messages/m/files"),
        ("GET", "/v1/threads/t/messages/m/files/f"),
        ("POST", "/v1/threads/t/runs"),
        ("GET", "/v1/threads/t/runs"),
        ("GET", "/v1/threads/t/runs/r"),
        ("POST", "/v1/threads/t/runs/r"),
        ("POST", "/v1/threads/t/runs/r/submit_tool_outputs"),
        ("POST", "/v1/threads/t/runs/r/cancel"),
        ("POST", "/v1/threads/runs"),
        ("GET", "/v1/threads/t/runs/r/steps"),
        ("GET", "/v1/threads/t/runs/r/steps/s"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/b"),
        ("POST", "/v1/batches/b/cancel"),
        ("POST", "/v1/vector_stores"),
        ("GET", "/v1/vector_stores/v/files"),
        ("POST", "/v1/vector_stores/v/file_batches/b/cancel"),
        ("POST", "/v1/something/not/yet/invented"),
    ];
    for (method, path) in paths {
        let with_query = format!("{path}?limit=2&after=x%20y");
        let request = gateway.http.request(method.parse().unwrap(), gateway.url(&with_query)).bearer_auth("k");
        let request = if method == "POST" {
            request.json(&json!({"model": "gpt-4o", "input": "a", "prompt": "a", "n": 1}))
        } else {
            request
        };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success() || answer.status() == 404, "{method} {path}: {}", answer.status());
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, with_query.as_str()));
        assert_eq!(seen.violations, Vec::<String>::new(), "{method} {path}");
    }
}

#[tokio::test]
async fn c100_both_spellings_of_translations_and_the_documented_file_delete() {
    let (upstream, gateway) = house().await;
    let form = "--cut\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--cut--\r\n";
    for path in ["/v1/audio/translations", "/v1/audios/translations"] {
        let request = gateway.http.post(gateway.url(path)).bearer_auth("k");
        let answer =
            request.header("content-type", "multipart/form-data; boundary=cut").body(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(upstream.seen().pop().unwrap().target, "/v1/audio/translations");
    }
    gateway.http.post(gateway.url("/v1/files/file-1")).bearer_auth("k").send().await.unwrap();
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("DELETE", "/v1/files/file-1"));
}

#[tokio::test]
async fn c87_binary_answers_are_byte_identical() {
    let (upstream, gateway) = house().await;
    let request = gateway.http.post(gateway.url("/v1/audio/speech")).bearer_auth("k");
    let through = request.json(&json!({"model": "tts-1", "input": "hello", "voice": "alloy"})).send().await.unwrap();
    let content_type = through.headers()["content-type"].clone();
    let through = through.bytes().await.unwrap();
    let request = gateway.http.post(format!("{}/v1/audio/speech", upstream.url())).bearer_auth("sk-upstream");
    let direct = request.json(&json!({"model": "tts-1", "input": "hello", "voice": "alloy"})).send().await.unwrap();
    assert_eq!(content_type, direct.headers()["content-type"]);
    assert_eq!(through, direct.bytes().await.unwrap());
    assert!(!through.is_empty());
}

#[tokio::test]
async fn c94_c95_timeouts_are_504_and_bounded() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("PROXY_TIMEOUT", "5s").start(&upstream).await;
    let id = gateway.key("k", json!({})).await;
    let stalled = || Act { fault: Some(Fault::Stall { after: None }), ..Act::default() };
    for (header, at_most) in [(Some("300ms"), 4_900), (None, 30_000)] {
        upstream.script(stalled());
        let mut request = gateway
            .http
            .post(gateway.url("/v1/chat/completions"))
            .bearer_auth("k")
            .json(&chat_body("gpt-4o", &json!({})));
        if let Some(timeout) = header {
            request = request.header("x-request-timeout", timeout);
        }
        let start = std::time::Instant::now();
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 504);
        assert!(start.elapsed().as_millis() < at_most, "{header:?}: {:?}", start.elapsed());
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "gateway_timeout");
    }
    let bad =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("x-request-timeout", "abc");
    assert_eq!(bad.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap().status(), 400);
    for event in gateway.events_settled(&id, 2).await {
        assert_eq!((event["status"].as_u64(), &event["flags"]), (Some(504), &json!(["estimated", "aborted"])));
    }
    assert!(
        upstream.wait(crate::support::PATIENCE, |s| s.aborted == 2).await.is_some(),
        "the upstream calls are ended"
    );
}

#[tokio::test]
async fn c96_an_upstream_that_cannot_be_reached_is_502_and_recorded() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [format!("http://127.0.0.1:{port}"), "http://no-such-host.invalid".to_owned()] {
        let gateway = Setup::default().start_at(&url).await;
        let id = gateway.key("k", json!({})).await;
        let answer = chat(&gateway, "k").await;
        assert_eq!(answer.status(), 502, "{url}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("127.0.0.1") && !text.contains("invalid\""), "{text}");
        let events = gateway.events_settled(&id, 1).await;
        assert_eq!((events[0]["status"].as_u64(), events[0]["cost_in_usd"].as_f64()), (Some(502), Some(0.0)));
    }
}

#[tokio::test]
async fn broken_answers_are_502_and_nothing_leaks_into_the_next_one() {
    let (upstream, gateway) = house().await;
    let faults = [
        Act { fault: Some(Fault::Close { after: None }), ..Act::default() },
        Act { fault: Some(Fault::Reset { after: None }), ..Act::default() },
        Act { fault: Some(Fault::Truncate), ..Act::default() },
        Act { raw: Some("NONSENSE\r\n\r\n".into()), ..Act::default() },
        Act { raw: Some("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".into()), ..Act::default() },
    ];
    for fault in faults {
        let label = format!("{fault:?}");
        // A closed pooled connection is tried again on a new one, so the fault must meet every attempt.
        upstream.script(Act { times: Some(1), ..fault.clone() });
        let first = chat(&gateway, "k").await.status().as_u16();
        upstream.forget();
        assert!(matches!(first, 200 | 502), "{label}: {first}");
        assert_eq!(chat(&gateway, "k").await.status(), 200, "{label}");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_died_is_replaced_unseen() {
    let (upstream, gateway) = house().await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    upstream.script(Act { fault: Some(Fault::Close { after: None }), ..Act::default() });
    assert_eq!(chat(&gateway, "k").await.status(), 200, "sent again on a fresh connection");
    assert_eq!(upstream.stats().connections, 2);
}

#[tokio::test]
async fn c97_headers_for_the_gateway_stay_and_others_pass() {
    let (upstream, gateway) = house().await;
    let request = gateway
        .http
        .post(gateway.url("/v1/chat/completions"))
        .bearer_auth("k")
        .header("x-custom-event-id", "run-7")
        .header("x-metadata", r#"{"team":"a"}"#)
        .header("x-request-timeout", "5s")
        .header("x-forwarded-for", "10.0.0.1")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("openai-beta", "assistants=v2")
        .header("x-stainless-lang", "rust")
        .header("idempotency-key", "abc")
        .header("user-agent", "a-client/1");
    let answer = request.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    for gone in ["x-custom-event-id", "x-metadata", "x-request-timeout", "x-forwarded-for", "x-hop", "connection"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    for (kept, value) in [
        ("openai-beta", "assistants=v2"),
        ("x-stainless-lang", "rust"),
        ("idempotency-key", "abc"),
        ("user-agent", "a-client/1"),
    ] {
        assert_eq!(seen.header(kept), Some(value));
    }
    assert_eq!(seen.header("host"), Some(upstream.addr().to_string().as_str()));
}

#[tokio::test]
async fn answers_carry_our_ids_and_the_upstreams() {
    let (upstream, gateway) = house().await;
    upstream.script(Act {
        headers: [("set-cookie", "a=b"), ("alt-svc", "h3=\":443\"")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Act::default()
    });
    let request =
        gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").header("x-request-id", "mine-1");
    let answer = request.json(&chat_body("gpt-4o", &json!({}))).send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("x-request-id").as_deref(), Some("mine-1"));
    assert!(header("x-upstream-request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!(header("x-tollgate-provider").as_deref(), Some("openai"));
    assert_eq!(header("x-tollgate-model").as_deref(), Some("gpt-4o"));
    assert!(header("x-ratelimit-remaining-tokens").is_some(), "the upstream's own limits pass");
    assert_eq!((header("set-cookie"), header("alt-svc")), (None, None));
    let event_id = header("x-tollgate-event-id").unwrap();
    let plain = chat(&gateway, "k").await;
    assert_eq!(plain.headers()["x-request-id"], plain.headers()["x-tollgate-event-id"]);
    assert_ne!(plain.headers()["x-tollgate-event-id"].to_str().unwrap(), event_id);
}

#[tokio::test]
async fn c98_a_redirect_is_returned_not_followed() {
    let (upstream, gateway) = house().await;
    let headers = [("location".to_owned(), "http://127.0.0.1:1/elsewhere".to_owned())].into();
    upstream.script(Act { status: Some(307), headers, ..Act::default() });
    let answer = chat(&gateway, "k").await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
        (307, "http://127.0.0.1:1/elsewhere")
    );
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept_and_none_leaks() {
    let (upstream, gateway) = house().await;
    for _ in 0..300 {
        assert_eq!(chat(&gateway, "k").await.status(), 200);
    }
    assert!(upstream.stats().connections <= 2, "{:?}", upstream.stats());
    assert!(upstream.stats().open <= 2);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_reaches_the_client() {
    let (upstream, gateway) = house().await;
    upstream.script(Act { status: Some(429), early: Some(crate::upstream::Early::Close), ..Act::default() });
    let mut body = chat_body("gpt-4o", &json!({}));
    body["messages"][0]["content"] = json!("x".repeat(3 << 20));
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth("k").json(&body);
    let status = request.send().await.unwrap().status().as_u16();
    // The upstream resets while the body is still being written; its answer may be lost with it.
    assert!(matches!(status, 429 | 502), "{status}");
}
