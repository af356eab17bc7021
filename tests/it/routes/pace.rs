//! Pauses between tries, timeouts of a step, deadlines of a request.

use super::{FIRST, HELLO, House, PATH, SECOND, and, openai, outcome, question, status, streamed, text, tries};
use crate::unified::Answer;
use crate::upstream::{Act, Fault};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What the machine may add to any pause; an upper bound only keeps pauses of minutes from passing.
const SLACK: Duration = Duration::from_secs(8);

fn stalled() -> Act {
    Act { fault: Some(Fault::Stall { after: None }), ..Act::default() }
}

fn asked_to_wait(seconds: &str) -> Act {
    let headers = [("retry-after".to_owned(), seconds.to_owned())];
    Act { headers: headers.into_iter().collect(), ..status(429) }
}

async fn timed(house: &House, body: &Value) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = house.ask(body).await;
    (answer, begun.elapsed())
}

#[tokio::test]
async fn constant_and_growing_pauses() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    // Two pauses each: 2 x 400 ms; at least half of 400 and half of 600 ms.
    for (strategy, least) in [("", 800), ("constant", 800), ("exponential", 500)] {
        let path = format!("/pace/{strategy}x");
        let first = and(openai(FIRST), json!({"retries": 2, "retryInterval": "400ms"}));
        let members = json!({"steps": [first, openai(SECOND)], "path": path, "retryStrategy": strategy});
        house.route_with(members).await;
        let begun = Instant::now();
        assert_eq!(text(&house.ask_at(&path, &question()).await), HELLO, "{strategy}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least) && took < SLACK, "{strategy}: {took:?}");
    }
}

#[tokio::test]
async fn a_step_that_says_nothing_waits_a_second() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    house.route(json!([and(openai(FIRST), json!({"retries": 1})), openai(SECOND)])).await;
    let (answer, took) = timed(&house, &question()).await;
    assert_eq!(text(&answer), HELLO);
    assert!(took >= Duration::from_secs(1) && took < SLACK, "{took:?}");
}

#[tokio::test]
async fn retry_after_is_waited_for_or_too_long() {
    let house = House::open().await;
    let first = and(openai(FIRST), json!({"retries": 1, "retryInterval": "10ms"}));
    house.route(json!([first, openai(SECOND)])).await;
    house.upstream.script(asked_to_wait("1"));
    let (answer, took) = timed(&house, &question()).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), FIRST));
    assert!(took >= Duration::from_secs(1) && took < SLACK, "{took:?}");
    // Longer than any pause: the next step answers at once.
    house.upstream.script(asked_to_wait("120"));
    let (answer, took) = timed(&house, &question()).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
    assert!(took < SLACK, "{took:?}");
    assert_eq!(house.upstream.asked(FIRST), 3);
}

#[tokio::test]
async fn the_last_429_brings_its_retry_after_to_the_client() {
    let house = House::open().await;
    house.upstream.teach(FIRST, asked_to_wait("77"));
    house.route(json!([openai(FIRST)])).await;
    for body in [question(), streamed(question())] {
        let answer = house.ask(&body).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "77"), "{}", answer.text);
    }
}

#[tokio::test]
async fn c141_a_step_that_is_too_slow_is_left_at_its_timeout() {
    let house = House::open().await;
    house.upstream.teach(FIRST, stalled());
    let first = and(openai(FIRST), json!({"timeout": "600ms", "retries": 1, "retryInterval": "10ms"}));
    house.route(json!([first, openai(SECOND)])).await;
    for (n, body) in [(1, question()), (2, streamed(question()))] {
        let (answer, took) = timed(&house, &body).await;
        assert_eq!(text(&answer), HELLO);
        assert!(took >= Duration::from_millis(1200) && took < SLACK, "{took:?}");
        let event = house.event(&answer).await;
        assert_eq!(tries(&event), [(1, "timeout", 0); 2], "{event}");
        assert_eq!(outcome(&event).0, 2, "{event}");
        let latencies: Vec<_> =
            event["tries"].as_array().unwrap().iter().map(|t| t["latencyMs"].as_u64().unwrap()).collect();
        assert!(latencies.iter().all(|ms| (600..8000).contains(ms)), "{event}");
        let left = house.upstream.wait(crate::support::PATIENCE, |stats| stats.aborted == 2 * n && stats.running == 0);
        assert!(left.await.is_some(), "both calls were ended: {:?}", house.upstream.stats());
    }
}

#[tokio::test]
async fn a_first_byte_that_does_not_come_in_time() {
    let house = House::open().await;
    let first = and(openai(FIRST), json!({"firstByteTimeout": "600ms", "timeout": "60s"}));
    house.route(json!([first, openai(SECOND)])).await;
    house.upstream.teach(FIRST, Act { delay_ms: 60_000, ..Act::default() });
    for body in [question(), streamed(question())] {
        let (answer, took) = timed(&house, &body).await;
        assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
        assert!(took >= Duration::from_millis(600) && took < SLACK, "{took:?}");
    }
    // What has begun may take its time.
    let slow = Act { chunk_delay_ms: 250, chunks: Some(5), ..Act::default() };
    house.upstream.teach(FIRST, slow);
    let (answer, took) = timed(&house, &streamed(question())).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (" tok0 tok1 tok2 tok3 tok4".to_owned(), FIRST));
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_stream_that_has_begun_ends_at_its_steps_timeout() {
    let house = House::open().await;
    house
        .upstream
        .teach(FIRST, Act { fault: Some(Fault::Stall { after: Some(3) }), chunks: Some(9), ..Act::default() });
    house.route(json!([and(openai(FIRST), json!({"timeout": "700ms"})), openai(SECOND)])).await;
    let (answer, took) = timed(&house, &streamed(question())).await;
    assert!(answer.text.contains("tok1") && answer.text.contains("\"error\""), "{}", answer.text);
    assert!(took < SLACK, "{took:?}");
    assert_eq!(house.upstream.asked(SECOND), 0);
    house.booked(1).await;
}

#[tokio::test]
async fn the_clients_own_deadline_ends_everything() {
    let house = House::open().await;
    for model in [FIRST, SECOND] {
        house.upstream.teach(model, stalled());
    }
    house.route(json!([and(openai(FIRST), json!({"retries": 5, "retryInterval": "10ms"})), openai(SECOND)])).await;
    for (n, body) in [(1, question()), (2, streamed(question()))] {
        let begun = Instant::now();
        let answer = Answer::of(house.request(PATH, &body).header("x-request-timeout", "700ms")).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["type"]),
            (504, &json!("gateway_timeout")),
            "{}",
            answer.text
        );
        assert!(begun.elapsed() >= Duration::from_millis(700) && begun.elapsed() < SLACK, "{:?}", begun.elapsed());
        assert_eq!((house.upstream.asked(FIRST), house.upstream.asked(SECOND)), (n, 0), "no time is left for others");
        let event = house.event(&answer).await;
        assert_eq!((&event["status"], &event["routeStep"]), (&json!(504), &json!(1)), "{event}");
    }
    // A pause that would outlast it is not begun.
    house.upstream.teach(FIRST, status(500));
    house.upstream.teach(SECOND, None);
    house
        .route_with(json!({"path": "/long", "steps":
        [and(openai(FIRST), json!({"retries": 5, "retryInterval": "30s"})), openai(SECOND)]}))
        .await;
    let begun = Instant::now();
    let answer = Answer::of(house.request("/long", &question()).header("x-request-timeout", "20s")).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let bad = Answer::of(house.request(PATH, &question()).header("x-request-timeout", "abc")).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
}
