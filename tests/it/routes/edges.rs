//! Rarer ways of requests, answers and changes that a route must survive.

use super::{
    CLAUDE, DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, openai_at, outcome, question, setup, status,
    step, streamed, text, tries, used,
};
use crate::support::PATIENCE;
use crate::unified::Answer;
use crate::upstream::{Act, Early, Fault, Options};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

fn long(size: usize) -> Value {
    and(question(), json!({"messages": [{"role": "user", "content": "x".repeat(size)}]}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_refuses_before_it_has_read_the_body() {
    let house = House::with(super::setup(), Options { body_kept: 8 * MIB, ..Options::default() }).await;
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let body = long(3 * MIB);
    let mut served = 0;
    for early in [Early::Close, Early::Drain] {
        for refusal in [429, 500, 503] {
            house.upstream.script(Act { early: Some(early), ..status(refusal) });
            let answer = house.ask(&body).await;
            assert_eq!(text(&answer), HELLO, "{early:?} {refusal}");
            assert_eq!(house.sent()["messages"], body["messages"]);
            let event = house.event(&answer).await;
            assert_eq!((outcome(&event), tries(&event).len()), ((2, DEAR, 200, json!([])), 1), "{event}");
            served += 1;
        }
    }
    house.booked(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_chunks_is_sent_again_in_full() {
    let house = House::with(super::setup(), Options { body_kept: 4 * MIB, ..Options::default() }).await;
    house.upstream.teach(FIRST, status(503));
    let retried = and(openai(FIRST), json!({"retries": 2, "retryInterval": "1ms"}));
    house.route(json!([retried, openai(SECOND)])).await;
    let body = long(MIB + 7);
    let bytes = body.to_string().into_bytes();
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for client in [&house.gateway.http, &h2] {
        house.upstream.forget();
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            bytes.chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let sent = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
        let request = client.post(house.url(PATH)).bearer_auth(KEY).header("content-type", "application/json");
        assert_eq!(text(&Answer::of(request.body(sent)).await), HELLO);
        assert_eq!(house.asked(), [FIRST, FIRST, FIRST, SECOND]);
        for seen in house.upstream.seen() {
            assert_eq!(super::sent(&seen)["messages"], body["messages"]);
        }
    }
}

#[tokio::test]
async fn a_redirection_is_no_answer() {
    let house = House::open().await;
    let headers = [("location".to_owned(), "http://127.0.0.1:9/".to_owned())];
    house.upstream.teach(FIRST, Act { headers: headers.into_iter().collect(), ..status(302) });
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    for body in [question(), streamed(question())] {
        assert_eq!(text(&house.ask(&body).await), HELLO);
    }
}

#[tokio::test]
async fn what_comes_before_the_first_output_is_not_lost() {
    let house = House::open().await;
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk =
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let frames = vec![
        ": still here\n\n".to_owned(),
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        ": still here\n\n".to_owned(),
        chunk(json!({"content": "a"}), Value::Null),
        chunk(json!({"content": "b"}), Value::Null),
        chunk(json!({}), json!("stop")),
        "data: [DONE]\n\n".to_owned(),
    ];
    for split in [None, Some(1), Some(13)] {
        house.upstream.teach(FIRST, Act { frames: Some(frames.clone()), split, chunk_delay_ms: 1, ..Act::default() });
        let answer = house.ask(&streamed(question())).await;
        assert_eq!((answer.status, &answer.text), (200, &frames.concat()), "{split:?}");
    }
    assert_eq!(house.upstream.asked(SECOND), 0);
}

#[tokio::test]
async fn a_key_that_turns_its_settings_asks_the_other_one_at_once() {
    let house = House::with(
        setup(),
        Options { keys: vec!["sk-one".into(), "sk-two".into(), "sk-upstream".into()], ..Options::default() },
    )
    .await;
    let mut ids = Vec::new();
    for key in ["sk-one", "sk-two"] {
        ids.push(house.gateway.setting(json!({"setting": {"apikey": key}})).await);
    }
    house.gateway.patch_key(&house.key, json!({"settingIds": ids, "rotationEnabled": true})).await;
    house.route(json!([and(openai(SECOND), json!({"retries": 1, "retryInterval": "30s"}))])).await;
    for failure in [429, 401, 503] {
        house.upstream.forget();
        house.upstream.script(status(failure));
        let begun = Instant::now();
        assert_eq!(text(&house.ask(&question()).await), HELLO, "{failure}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{failure}: no pause for a credential that is not worn out");
        let seen = house.upstream.seen();
        let used: Vec<_> = seen.iter().map(|seen| seen.header("authorization").unwrap()).collect();
        assert_eq!(used.len(), 2, "{failure}");
        assert_ne!(used[0], used[1], "{failure}");
    }
}

#[tokio::test]
async fn a_caller_that_lacks_a_setting_of_any_step_is_told_so() {
    let house = House::open().await;
    house.route(json!([openai(SECOND), step("anthropic", CLAUDE)])).await;
    let own = house.gateway.setting(json!({})).await;
    house.gateway.patch_key(&house.key, json!({"settingIds": [own]})).await;
    let answer = house.ask(&question()).await;
    assert_eq!((answer.status, house.upstream.stats().requests), (401, 0), "{}", answer.text);
}

#[tokio::test]
async fn fifty_steps_may_fail_before_one_answers() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    let mut steps = vec![openai(FIRST); 49];
    steps.push(openai(SECOND));
    house.route(json!(steps)).await;
    let answer = house.ask(&question()).await;
    let event = house.event(&answer).await;
    assert_eq!(outcome(&event), (50, DEAR, 200, json!([])), "{event}");
    assert_eq!(tries(&event), (1..50).map(|n| (n, "server_error", 503)).collect::<Vec<_>>(), "{event}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http2_that_leaves_ends_its_tries_and_nobody_elses() {
    let house = House::open().await;
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    house.upstream.teach(FIRST, Act { fault: Some(Fault::Stall { after: None }), ..Act::default() });
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = |body: &Value| h2.post(house.url(PATH)).bearer_auth(KEY).json(body);
    let gone = tokio::spawn(ask(&question()).send());
    assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(FIRST) == 1).await.is_some());
    house.upstream.teach(FIRST, Act { delay_ms: 1500, ..used(1000, 100) });
    let stays = tokio::spawn(Answer::of(ask(&question())));
    assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(FIRST) == 2).await.is_some());
    gone.abort();
    assert!(house.upstream.wait(PATIENCE, |stats| stats.aborted == 1).await.is_some(), "{:?}", house.upstream.stats());
    assert_eq!(text(&stays.await.unwrap()), HELLO);
    let events = house.booked(2).await;
    let aborted = events.iter().filter(|event| event["flags"].to_string().contains("aborted")).count();
    assert_eq!((aborted, house.upstream.asked(SECOND)), (1, 0), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends_as_it_began() {
    let house = House::open().await;
    let made = house.route(json!([openai(FIRST), openai(SECOND)])).await;
    house.upstream.teach(FIRST, Act { delay_ms: 1500, ..status(503) });
    let under_way = tokio::spawn(Answer::of(house.request(PATH, &question())));
    assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(FIRST) == 1).await.is_some());
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    assert_eq!(house.gateway.admin("DELETE", &at, None).await.0, 200);
    assert_eq!(house.ask(&question()).await.status, 404);
    let answer = under_way.await.unwrap();
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
    assert_eq!(house.event(&answer).await["routeId"], made["id"]);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let house = House::with(setup().env("TOLLGATE_ROUTES_CACHE_ENTRY", "20KiB"), Options::default()).await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    for (size, second) in [(10_000, "hit"), (30_000, "miss")] {
        house.upstream.teach(SECOND, Act { content_bytes: Some(size), ..Act::default() });
        let body = and(question(), json!({"seed": size}));
        let first = house.ask(&body).await;
        let again = house.ask(&body).await;
        assert_eq!((first.header("x-cache"), again.header("x-cache")), ("miss", second), "{size}");
        assert_eq!(text(&first), text(&again), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_answers_have_a_bound() {
    let small = setup().env("TOLLGATE_ROUTES_CACHE_MEMORY", "2MiB");
    let house = House::with(small, Options { record: 0, ..Options::default() }).await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    house.upstream.teach(SECOND, Act { content_bytes: Some(100_000), ..Act::default() });
    let ask = async |n: usize| house.ask(&and(question(), json!({"seed": n}))).await.header("x-cache").to_owned();
    for n in 0..50 {
        assert_eq!(ask(n).await, "miss");
    }
    let before = house.gateway.peak_memory();
    for n in 50..550 {
        assert_eq!(ask(n).await, "miss");
    }
    let grown = house.gateway.peak_memory().saturating_sub(before);
    assert!(grown < 24 * MIB, "50 MiB were answered, memory grew by {grown}");
    let mut kept = 0;
    for n in 0..550 {
        kept += usize::from(ask(n).await == "hit");
        if kept > 25 {
            break;
        }
    }
    assert!(kept <= 21, "at most as many as fit into 2 MiB");
}

#[tokio::test]
async fn an_answer_that_came_compressed_is_kept_as_it_is_read() {
    let house = House::open().await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    house.upstream.teach(SECOND, Act { gzip: true, content: Some("packed".into()), ..used(1000, 100) });
    let first = house.request(PATH, &question()).send().await.unwrap();
    assert_eq!(first.status(), 200);
    first.bytes().await.unwrap();
    let second = house.ask(&question()).await;
    match second.header("x-cache") {
        "hit" => assert_eq!((text(&second), second.header("content-encoding")), ("packed".to_owned(), "")),
        // Or it is not kept at all.
        other => assert_eq!((other, house.upstream.asked(SECOND)), ("miss", 2)),
    }
}

#[tokio::test]
async fn all_choices_come_back_in_either_form() {
    let house = House::open().await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    for first_streams in [false, true] {
        let body = and(question(), json!({"n": 2, "seed": u8::from(first_streams)}));
        let shape = |stream: bool| if stream { streamed(body.clone()) } else { body.clone() };
        for stream in [first_streams, first_streams, !first_streams] {
            let answer = house.ask(&shape(stream)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let mut said = [String::new(), String::new()];
            let parts = if stream { answer.chunks() } else { vec![answer.json()] };
            for choice in parts.iter().flat_map(|part| part["choices"].as_array().cloned()).flatten() {
                let words = choice[if stream { "delta" } else { "message" }]["content"].as_str().unwrap_or_default();
                said[choice["index"].as_u64().unwrap() as usize] += words;
            }
            assert_eq!(said, [HELLO, HELLO], "{} {}", answer.header("x-cache"), answer.text);
        }
    }
}

#[tokio::test]
async fn a_setting_that_has_changed_is_used_for_the_next_call() {
    let house = House::open().await;
    let setting = house.nowhere().await;
    house.route(json!([openai_at(SECOND, &setting)])).await;
    assert_eq!(house.ask(&question()).await.status, 502);
    let patch = json!({"setting": {"apikey": "sk-upstream", "baseUrl": house.upstream.url()}});
    let (status, answer) =
        house.gateway.admin("PATCH", &format!("/api/provider-settings/{setting}"), Some(patch)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&house.ask(&question()).await), HELLO);
}
