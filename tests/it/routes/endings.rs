//! When no step answers, when the client leaves, when the process dies.

use super::{
    CLAUDE, DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, openai_at, outcome, question, status, step,
    streamed, text, tries, used,
};
use crate::support::PATIENCE;
use crate::unified::Answer;
use crate::upstream::{Act, Fault};
use serde_json::json;
use std::time::{Duration, Instant};

fn stalled() -> Act {
    Act { fault: Some(Fault::Stall { after: None }), ..Act::default() }
}

#[tokio::test]
async fn c142_when_all_fail_the_last_answer_of_an_upstream_is_the_clients() {
    let house = House::open().await;
    let words = r#"{"error":{"message":"the last words","type":"server_error","param":null,"code":"odd"}}"#;
    house.upstream.teach(FIRST, status(500));
    let headers = [("x-odd".to_owned(), "kept".to_owned())];
    let last = Act { body: Some(words.to_owned()), headers: headers.into_iter().collect(), ..status(503) };
    house.upstream.teach(SECOND, last);
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    for body in [question(), streamed(question())] {
        let answer = house.ask(&body).await;
        assert_eq!((answer.status, &*answer.text), (503, words));
        assert_eq!(answer.header("x-odd"), "kept");
        assert!(answer.header("content-type").starts_with("application/json"));
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (2, 0.0, 503, json!([])), "{event}");
        assert_eq!(tries(&event).first(), Some(&(1, "server_error", 500)), "{event}");
    }
    // Whoever said nothing after it does not make it unsaid.
    let nowhere = house.nowhere().await;
    let silent = and(openai(FIRST), json!({"timeout": "400ms"}));
    for (path, last) in [("/refused", openai_at(FIRST, &nowhere)), ("/silent", silent)] {
        house.upstream.teach(FIRST, (path == "/silent").then(stalled));
        house.route_with(json!({"path": path, "steps": [openai(SECOND), last]})).await;
        for body in [question(), streamed(question())] {
            let answer = house.ask_at(path, &body).await;
            assert_eq!((answer.status, &*answer.text), (503, words), "{path}");
            let event = house.event(&answer).await;
            assert_eq!((&event["status"], &event["cost_in_usd"]), (&json!(503), &json!(0.0)), "{event}");
        }
    }
    house.booked(6).await;
}

#[tokio::test]
async fn when_nobody_says_anything_the_gateway_does() {
    let house = House::open().await;
    let nowhere = house.nowhere().await;
    house.upstream.teach(FIRST, stalled());
    let slow = and(openai(FIRST), json!({"timeout": "400ms"}));
    let refused = openai_at(SECOND, &nowhere);
    for (path, steps, expect) in [
        ("/refused", json!([refused]), 502),
        ("/slow", json!([slow]), 504),
        ("/slow-last", json!([refused, slow]), 504),
        ("/refused-last", json!([slow, refused]), 502),
    ] {
        house.route_with(json!({"path": path, "steps": steps})).await;
        for body in [question(), streamed(question())] {
            let answer = house.ask_at(path, &body).await;
            assert_eq!(answer.status, expect, "{path}: {}", answer.text);
            assert!(answer.json()["error"]["type"].is_string(), "{path}: {}", answer.text);
            assert!(!answer.text.contains("127.0.0.1") && !answer.text.contains("sk-upstream"), "{}", answer.text);
            // What nobody reported of a call that was sent is estimated, as anywhere.
            let event = house.event(&answer).await;
            assert_eq!(event["status"], expect, "{event}");
            assert!(expect == 504 || event["cost_in_usd"] == 0.0, "{event}");
        }
    }
}

#[tokio::test]
async fn a_refused_credential_is_not_the_clients_fault() {
    let house = House::open().await;
    let wrong = house.gateway.setting(json!({"setting": {"apikey": "sk-wrong-secret"}})).await;
    house.route(json!([openai_at(FIRST, &wrong)])).await;
    let answer = house.ask(&question()).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (502, &json!("upstream_auth")), "{}", answer.text);
    assert!(!answer.text.contains("sk-wrong"), "{}", answer.text);
}

#[tokio::test]
async fn errors_of_another_form_are_told_in_the_clients() {
    let house = House::open().await;
    house.claude.teach(CLAUDE, status(529));
    house.route(json!([step("anthropic", CLAUDE)])).await;
    let answer = house.ask(&question()).await;
    assert!(answer.status >= 500, "{}", answer.text);
    let error = answer.json()["error"].clone();
    assert!(error["message"].is_string() && error["type"].is_string(), "{}", answer.text);
    // And the other way round.
    house.upstream.teach(SECOND, status(429));
    house.route_with(json!({"path": "/openai", "steps": [openai(SECOND)]})).await;
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    let answer = house.ask_at("/openai/v1/messages", &body).await;
    assert_eq!((answer.status, &answer.json()["type"]), (429, &json!("error")), "{}", answer.text);
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error", "{}", answer.text);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_try_and_everything_after_it() {
    let house = House::open().await;
    house.route(json!([and(openai(FIRST), json!({"retries": 3, "retryInterval": "10ms"})), openai(SECOND)])).await;
    // Before the head, after it, and before the first output of a stream.
    let acts = [
        stalled(),
        Act { fault: Some(Fault::Stall { after: Some(0) }), ..Act::default() },
        Act { fault: Some(Fault::Stall { after: Some(1) }), ..Act::default() },
    ];
    let mut left = 0;
    for act in acts {
        house.upstream.teach(FIRST, act.clone());
        for body in [question(), streamed(question())] {
            if body["stream"] != true && matches!(act.fault, Some(Fault::Stall { after: Some(1) })) {
                continue;
            }
            let asked = house.upstream.asked(FIRST);
            let gone = house.request(PATH, &body).timeout(Duration::from_secs(30)).send();
            let gone = tokio::spawn(gone);
            assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(FIRST) > asked).await.is_some());
            gone.abort();
            left += 1;
            let ended = house.upstream.wait(PATIENCE, |stats| stats.aborted == left && stats.running == 0).await;
            assert!(ended.is_some(), "{:?}", house.upstream.stats());
            let events = house.booked(left as usize).await;
            let event = events.last().unwrap();
            assert!(event["flags"].as_array().unwrap().contains(&json!("aborted")), "{event}");
            assert_eq!(house.upstream.asked(FIRST), asked + 1, "nobody is asked again");
        }
    }
    assert_eq!(house.upstream.asked(SECOND), 0);
}

#[tokio::test]
async fn a_client_that_leaves_in_a_pause_ends_it() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    house.route(json!([and(openai(FIRST), json!({"retries": 3, "retryInterval": "50s"})), openai(SECOND)])).await;
    let begun = Instant::now();
    let gone = tokio::spawn(house.request(PATH, &question()).send());
    assert!(house.upstream.wait(PATIENCE, |stats| stats.answered == 1).await.is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    gone.abort();
    let event = house.booked(1).await.remove(0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(event["flags"].as_array().unwrap().contains(&json!("aborted")), "{event}");
    assert_eq!(tries(&event).first(), Some(&(1, "server_error", 500)), "{event}");
    assert_eq!((house.upstream.asked(FIRST), house.upstream.asked(SECOND)), (1, 0));
}

#[tokio::test]
async fn killed_between_two_steps_one_event_tells_of_it() {
    for stream in [false, true] {
        let mut house = House::open().await;
        house.upstream.teach(FIRST, status(500));
        house.upstream.teach(SECOND, stalled());
        house.route(json!([openai(FIRST), openai(SECOND)])).await;
        let body = if stream { streamed(question()) } else { question() };
        let hanging = tokio::spawn(house.request(PATH, &body).send());
        assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(SECOND) == 1).await.is_some());
        house.gateway.kill();
        assert!(hanging.await.unwrap().is_err());
        house.gateway.restart().await;
        let event = house.booked(1).await.remove(0);
        assert!(event["flags"].as_array().unwrap().contains(&json!("recovered")), "{event}");
        house.upstream.teach(SECOND, used(1000, 100));
        let answer = house.ask(&question()).await;
        assert_eq!(outcome(&house.event(&answer).await), (2, DEAR, 200, json!([])));
        house.booked(2).await;
    }
}

#[tokio::test]
async fn killed_before_any_step_has_answered_nothing_is_twice() {
    let mut house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    house.route(json!([and(openai(FIRST), json!({"retries": 9, "retryInterval": "100ms"})), openai(SECOND)])).await;
    let all: Vec<_> = (0..8)
        .map(|n| {
            let request = house.request(PATH, &question()).header("x-custom-event-id", format!("killed-{n}"));
            tokio::spawn(request.send())
        })
        .collect();
    assert!(house.upstream.wait(PATIENCE, |_| house.upstream.asked(FIRST) >= 16).await.is_some());
    house.gateway.kill();
    for one in all {
        assert!(one.await.unwrap().is_err());
    }
    house.gateway.restart().await;
    let mut ids: Vec<_> = house.booked(8).await.iter().map(|e| e["custom_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, (0..8).map(|n| format!("killed-{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_body_that_is_no_request_is_the_clients_fault() {
    let house = House::open().await;
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let raw = |body: &'static str| {
        let request = house.gateway.http.post(house.url(PATH)).bearer_auth(KEY);
        Answer::of(request.header("content-type", "application/json").body(body))
    };
    for body in ["", "{", "[]", "7", "\"text\""] {
        let answer = raw(body).await;
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("gateway_bad_request")), "{body}");
    }
    assert_eq!(house.upstream.stats().requests, 0);
    assert_eq!(text(&house.ask(&question()).await), HELLO);
}
