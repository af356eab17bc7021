//! Uploads of any size pass byte for byte while they are read; what a rule must know is known before anything is sent.

use super::{events, form, post_form, wav};
use crate::support::{Gateway, Setup};
use crate::upstream::{Act, Fault, Options, Upstream};
use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const HEARING: &str = "/v1/audio/transcriptions";
const MIB: usize = 1 << 20;

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Setup::default().env("TOLLGATE_PROXY_BODY_LIMIT", "1MiB").start(&upstream).await;
    (upstream, gateway)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_larger_than_memory_allows_is_billed_exactly() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"rateLimitOverTime": 100, "rateLimitUnit": "m"})).await;
    let before = gateway.settled_memory("k").await;
    // 1000 s are 32 MB.
    let body = form(&[("model", "whisper-1"), ("response_format", "srt"), ("user", "ann")], "file", &wav(1_000_000));
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        body.chunks(70_001).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    for sent in [body.clone().into(), chunked] {
        let answer = post_form(&gateway, HEARING, sent).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-tollgate-model"], "whisper-1", "known once it has passed");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.body_length, seen.body_sha256), (body.len() as u64, sha256(&body)));
    }
    let found = events(&gateway, &id, 4).await;
    for event in &found[2..] {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), 0.1, "{event}");
        assert_eq!((&event["flags"], event["model"].as_str()), (&json!(["estimated"]), Some("whisper-1")), "{event}");
        assert_eq!(event["userId"], "ann");
    }
    let grown = gateway.peak_memory() - before;
    assert!(grown < 16 * MIB, "memory grew by {grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_reads_an_upload_before_it_pays_for_it() {
    let (upstream, gateway) = house().await;
    // 20 s of whisper cost 0.002.
    let id = gateway.key("k", json!({"costLimitInUsd": 0.003})).await;
    let fields = [("model", "whisper-1"), ("response_format", "text")];
    let short = form(&fields, "file", &wav(20_000));
    assert_eq!(post_form(&gateway, HEARING, short.clone()).await.status(), 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.body_sha256, seen.chunked), (sha256(&short), false), "as it came");
    let long = post_form(&gateway, HEARING, form(&fields, "file", &wav(60_000))).await;
    assert_eq!(long.status(), 413, "more than may be held is not guessed");
    assert_eq!(post_form(&gateway, HEARING, form(&[("model", "unheard-of")], "file", &wav(3000))).await.status(), 403);
    let nameless = post_form(&gateway, HEARING, form(&[], "file", &wav(3000))).await;
    assert_eq!(nameless.status(), 403);
    let two = form(&[("model", "whisper-1"), ("model", "gpt-4o-transcribe")], "file", &wav(3000));
    assert_eq!(post_form(&gateway, HEARING, two).await.status(), 400);
    assert_eq!(upstream.stats().requests, 1);
    // Files cost nothing: no budget is asked, nothing is held.
    let file = form(&[("purpose", "batch")], "file", &vec![7; 3 * MIB]);
    assert_eq!(post_form(&gateway, "/v1/files", file).await.status(), 200);
    let served: Vec<_> = gateway.events(&id).await.into_iter().filter(|e| e["status"] == 200).collect();
    assert!(served.iter().all(|e| e["cost_in_usd"] == 0.002 || e["cost_in_usd"] == 0.0), "{served:?}");
}

#[tokio::test]
async fn permitted_models_hold_for_forms_of_any_size() {
    let (upstream, gateway) = house().await;
    let setting = gateway.setting(json!({"allowedModels": ["whisper-1"]})).await;
    gateway.key("k", json!({"settingIds": [setting]})).await;
    for millis in [100, 10_000] {
        let send = |model| post_form(&gateway, HEARING, form(&[("model", model)], "file", &wav(millis)));
        assert_eq!(send("whisper-1").await.status(), 200);
        assert_eq!(send("gpt-4o-transcribe").await.status(), 403);
    }
    assert_eq!(upstream.stats().requests, 2);
}

/// Sends the head of an upload of `length` bytes and the beginning of its body.
async fn begin(gateway: &Gateway, more: &str, length: usize, body: &[u8]) -> tokio::net::TcpStream {
    let mut socket = tokio::net::TcpStream::connect(gateway.proxy.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/providers/openai{HEARING} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n\
         content-type: multipart/form-data; boundary=cut\r\ncontent-length: {length}\r\n{more}\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    socket
}

#[tokio::test]
async fn an_upload_that_breaks_off_costs_nothing() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let body = form(&[("model", "whisper-1")], "file", &wav(10_000));
    let socket = begin(&gateway, "", body.len(), &body[..body.len() / 2]).await;
    upstream.wait(crate::support::PATIENCE, |stats| stats.requests == 1).await.expect("it is passed on as it comes");
    drop(socket);
    let found = events(&gateway, &id, 1).await;
    assert_eq!((&found[0]["cost_in_usd"], &found[0]["status"]), (&json!(0.0), &json!(499)), "{}", found[0]);
    assert_eq!(found[0]["model"], "whisper-1", "as much as was read is known");
    // Out of time in the middle is no different.
    let mut socket = begin(&gateway, "x-request-timeout: 1s\r\n", body.len(), &body[..body.len() / 2]).await;
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap_or_default();
    let found = events(&gateway, &id, 2).await;
    assert_eq!(found[1]["cost_in_usd"], 0.0, "{} {text}", found[1]);
}

#[tokio::test]
async fn a_recording_that_was_sent_is_billed_to_a_client_that_leaves() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    for millis in [1000, 10_000] {
        let body = form(&[("model", "whisper-1")], "file", &wav(millis));
        upstream.script(Act { fault: Some(Fault::Stall { after: None }), ..Act::default() });
        let socket = begin(&gateway, "", body.len(), &body).await;
        let length = body.len() as u64;
        crate::support::eventually("it has all of it", || async {
            upstream.seen().pop().is_some_and(|seen| seen.body_length == length)
        })
        .await;
        drop(socket);
        upstream.wait(crate::support::PATIENCE, |stats| stats.running == 0).await.expect("it is told");
    }
    let found = events(&gateway, &id, 2).await;
    for (event, usd) in found.iter().zip([0.0001, 0.001]) {
        assert_eq!(event["cost_in_usd"].as_f64().unwrap(), usd, "{event}");
        assert_eq!((&event["flags"], &event["status"]), (&json!(["estimated", "aborted"]), &json!(499)), "{event}");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_is_relayed() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let early = crate::upstream::Early::Drain;
    upstream.script(Act { status: Some(400), early: Some(early), ..Act::default() });
    let body = form(&[("model", "whisper-1")], "file", &wav(5000));
    assert_eq!(post_form(&gateway, HEARING, body).await.status(), 400);
    assert_eq!(events(&gateway, &id, 1).await[0]["cost_in_usd"], 0.0);
}

#[tokio::test]
async fn the_keys_secret_stays_and_the_settings_goes() {
    let options = Options { strict: true, forbidden: vec!["gw-form".into()], ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    gateway.key("gw-form", json!({})).await;
    for millis in [10, 5000] {
        let request = gateway.http.post(gateway.url(HEARING)).bearer_auth("gw-form");
        let body = form(&[("model", "whisper-1")], "file", &wav(millis));
        let answer =
            request.header("content-type", "multipart/form-data; boundary=cut").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
        assert_eq!(seen.violations, Vec::<String>::new());
    }
}

#[tokio::test]
async fn parts_of_an_upload_and_its_completion_pass() {
    let (upstream, gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 1})).await;
    let part = form(&[], "data", &vec![9; 2 * MIB]);
    let answer = post_form(&gateway, "/v1/uploads/upload_1/parts", part.clone()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.seen().pop().unwrap().body_sha256, sha256(&part));
    let done = gateway.http.post(gateway.url("/v1/uploads/upload_1/complete")).bearer_auth("k");
    assert_eq!(done.json(&json!({"part_ids": ["part_1"]})).send().await.unwrap().status(), 200);
    for event in events(&gateway, &id, 2).await {
        assert_eq!((&event["cost_in_usd"], &event["flags"]), (&json!(0.0), &json!([])), "{event}");
    }
    // Nothing is left of an unread answer on the connection.
    let mut socket = tokio::net::TcpStream::connect(gateway.proxy.trim_start_matches("http://")).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}
