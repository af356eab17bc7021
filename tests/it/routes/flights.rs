//! Many who ask the same at once: one asks the upstream, all are answered.

use super::{HELLO, House, KEY, PATH, SECOND, and, openai, question, setup, status, streamed, text, used};
use crate::support::PATIENCE;
use crate::unified::Answer;
use crate::upstream::{Act, Options};
use serde_json::{Value, json};
use std::time::Duration;

const CROWD: usize = 1000;

async fn house() -> House {
    let events = setup().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "100000");
    let house = House::with(events, Options::default()).await;
    house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true}})).await;
    house
}

/// Clients over HTTP/2, so that a crowd needs few sockets.
fn clients() -> Vec<reqwest::Client> {
    let client = || reqwest::Client::builder().http2_prior_knowledge().timeout(PATIENCE * 3).build().unwrap();
    (0..20).map(|_| client()).collect()
}

/// All at once; each second one streams if `mixed`.
async fn crowd(house: &House, mixed: bool) -> Vec<Answer> {
    let clients = clients();
    let asks = (0..CROWD).map(|n| {
        let body = if mixed && n % 2 == 1 { streamed(question()) } else { question() };
        Answer::of(clients[n % clients.len()].post(house.url(PATH)).bearer_auth(KEY).json(&body))
    });
    futures_util::future::join_all(asks).await
}

async fn one_call(mixed: bool) {
    let house = house().await;
    // Long enough for all of them to come in the meantime.
    house.upstream.teach(SECOND, Act { delay_ms: 3000, ..used(1000, 100) });
    let answers = crowd(&house, mixed).await;
    assert!(answers.iter().all(|answer| text(answer) == HELLO));
    assert_eq!(house.upstream.stats().requests, 1);
    let events = house.booked(CROWD).await;
    let (free, paid): (Vec<&Value>, Vec<&Value>) = events.iter().partition(|event| event["cost_in_usd"] == 0.0);
    assert_eq!((free.len(), paid.len()), (CROWD - 1, 1));
    assert!(free.iter().all(|event| event["flags"] == json!(["cached"]) && event["provider"] == "cached"));
    assert_eq!((&paid[0]["cost_in_usd"], &paid[0]["flags"]), (&json!(super::DEAR), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_identical_misses_make_one_call() {
    one_call(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_identical_misses_make_one_call_in_whichever_form() {
    one_call(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_questions_do_not_wait_for_each_other() {
    let house = house().await;
    house.upstream.script(Act { delay_ms: 15_000, ..Act::default() });
    let slow = tokio::spawn(house.request(PATH, &question()).send());
    assert!(house.upstream.wait(PATIENCE, |stats| stats.requests == 1).await.is_some());
    let other = and(question(), json!({"seed": 7}));
    assert_eq!(text(&house.ask(&other).await), HELLO);
    assert!(!slow.is_finished());
    slow.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_one_who_asks_leaves_another_takes_over() {
    let house = house().await;
    house.upstream.script(Act { delay_ms: 60_000, ..Act::default() });
    let leader = tokio::spawn(house.request(PATH, &question()).send());
    assert!(house.upstream.wait(PATIENCE, |stats| stats.requests == 1).await.is_some());
    let followers: Vec<_> = (0..10)
        .map(|n| {
            let body = if n % 2 == 1 { streamed(question()) } else { question() };
            tokio::spawn(Answer::of(house.request(PATH, &body)))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.upstream.stats().requests, 1, "they wait");
    leader.abort();
    for follower in followers {
        assert_eq!(text(&follower.await.unwrap()), HELLO);
    }
    assert_eq!(house.upstream.stats().requests, 2);
    let events = house.booked(11).await;
    let paid = events.iter().filter(|event| event["cost_in_usd"] == super::DEAR).count();
    let aborted = events.iter().filter(|event| event["flags"].to_string().contains("aborted")).count();
    assert_eq!((paid, aborted), (1, 1), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_waits_may_leave() {
    let house = house().await;
    house.upstream.teach(SECOND, Act { delay_ms: 2000, ..Act::default() });
    let leader = tokio::spawn(Answer::of(house.request(PATH, &question())));
    assert!(house.upstream.wait(PATIENCE, |stats| stats.requests == 1).await.is_some());
    let leaves = tokio::spawn(house.request(PATH, &question()).send());
    let stays = tokio::spawn(Answer::of(house.request(PATH, &question())));
    tokio::time::sleep(Duration::from_millis(300)).await;
    leaves.abort();
    assert_eq!((text(&leader.await.unwrap()), text(&stays.await.unwrap())), (HELLO.to_owned(), HELLO.to_owned()));
    assert_eq!(house.upstream.stats().requests, 1);
    // Who leaves while nothing was done for it was never admitted.
    let events = house.booked(2).await;
    assert!(events.iter().all(|event| event["status"] == 200), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_everybodys_and_is_not_kept() {
    let house = house().await;
    house.upstream.teach(SECOND, Act { delay_ms: 500, ..status(500) });
    let body = question();
    let asks = (0..20).map(|_| house.ask(&body));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status, 500, "{}", answer.text);
    }
    house.upstream.teach(SECOND, used(1000, 100));
    let answer = house.ask(&question()).await;
    assert_eq!((text(&answer), answer.header("x-cache")), (HELLO.to_owned(), "miss"));
    house.booked(21).await;
}
