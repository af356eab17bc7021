//! Rates: N in a window admits N over all gateways, never one more, and a refused request takes nothing.

use super::{count, early, question};
use crate::support::{Fleet, Told};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn remaining(answers: &[Told], status: u16) -> Vec<usize> {
    let those = answers.iter().filter(|answer| answer.status == status);
    those.map(|answer| answer.header("x-ratelimit-remaining-requests").parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_on_a_hundred_a_minute_admit_exactly_a_hundred() {
    let fleet = Fleet::start(3).await;
    for key in ["one", "two"] {
        fleet.first().key(key, json!({"rateLimitOverTime": 100, "rateLimitUnit": "m"})).await;
    }
    fleet.first().key("hour", json!({"rateLimitOverTime": 70, "rateLimitUnit": "h"})).await;
    early(60, 25).await;
    let body = question();
    // Two keys at once: neither takes anything of the other.
    let (one, two) = tokio::join!(fleet.at_once(1000, "one", &body), fleet.at_once(300, "two", &body));
    for answers in [&one, &two] {
        assert_eq!((count(answers, 200), count(answers, 429)), (100, answers.len() - 100));
        // Each admitted request was told another number, and all numbers were told.
        let told: BTreeSet<usize> = remaining(answers, 200).into_iter().collect();
        assert_eq!(told, (0..100).collect());
        assert!(remaining(answers, 429).iter().all(|left| *left == 0));
        assert!(answers.iter().all(|answer| answer.header("x-ratelimit-limit-requests") == "100"));
        let waits = answers.iter().filter(|answer| answer.status == 429);
        for wait in waits.map(|answer| answer.header("retry-after").parse::<u64>().unwrap()) {
            assert!((1..=60).contains(&wait), "{wait}");
        }
    }
    assert_eq!(fleet.upstream.stats().requests, 200);
    early(3600, 10).await;
    let answers = fleet.at_once(200, "hour", &body).await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (70, 130));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_second_admits_more_than_its_rate_and_the_next_one_admits_again() {
    const RATE: usize = 20;
    let fleet = Fleet::start(3).await;
    let id = fleet.first().key("k", json!({"rateLimitOverTime": RATE, "rateLimitUnit": "s"})).await;
    let began = std::time::Instant::now();
    let (mut admitted, mut refused) = (0, 0);
    while began.elapsed().as_millis() < 3_500 {
        let answers = fleet.at_once(30, "k", &question()).await;
        admitted += count(&answers, 200);
        refused += count(&answers, 429);
        assert_eq!(count(&answers, 200) + count(&answers, 429), answers.len(), "{answers:?}");
    }
    let mut seconds: BTreeMap<i64, usize> = BTreeMap::new();
    for event in fleet.first().booked(&id, admitted).await {
        *seconds.entry(admission(event["id"].as_str().unwrap()) / 1000).or_default() += 1;
    }
    // Who arrives in the last moment of a second may be counted in the next: over any run of seconds that evens out.
    let mut sum = 0;
    for (number, admitted) in seconds.values().enumerate() {
        sum += admitted;
        assert!(sum <= RATE * (number + 2) && *admitted <= 2 * RATE, "{seconds:?}");
    }
    assert!(sum <= RATE * (seconds.len() + 1), "{seconds:?}");
    assert!(seconds.len() >= 3 && refused > 0, "{seconds:?}");
    assert!(seconds.values().filter(|admitted| **admitted >= RATE).count() >= 2, "the rate is usable: {seconds:?}");
}

/// When the request of an event was admitted, Unix milliseconds: the id says it.
fn admission(id: &str) -> i64 {
    let digits: String = id.chars().filter(|c| *c != '-').take(12).collect();
    i64::from_str_radix(&digits, 16).unwrap()
}
