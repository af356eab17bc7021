//! Many callers at once: each pays for its own calls and for no others.

use super::{House, User, fee, streamed, told};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What the calls of one key consume, unlike any other key's.
fn tokens(n: usize) -> (u64, u64) {
    (1000 + 7 * n as u64, 10 + n as u64)
}

/// One of the shapes that calls take; `turn` chooses.
fn ask(n: usize, turn: usize) -> (&'static str, Value) {
    let (input, output) = tokens(n);
    let mut act = json!({"tokens": {"input": input, "output": output}, "content": format!("for {n}")});
    if turn % 5 == 4 {
        act["calls"] = json!([{"name": "f", "arguments": format!(r#"{{"n":{n}}}"#)}]);
    }
    let model = if turn.is_multiple_of(3) { "open" } else { "claude-3-sonnet" };
    let mut body = told(model, &act);
    let path = match turn % 7 {
        6 => {
            body.as_object_mut().unwrap().remove("user");
            body["metadata"] = json!({"user_id": act.to_string()});
            "/v1/messages"
        }
        _ => "/v1/chat/completions",
    };
    (path, if turn.is_multiple_of(2) { streamed(body) } else { body })
}

/// One call; that the answer is the caller's own.
async fn call(house: &House, user: &User, n: usize, turn: usize) {
    let (path, body) = ask(n, turn);
    let request = house.request(&user.key, path, &body).header("x-custom-event-id", format!("{n}-{turn}"));
    let answer = super::Answer::of(request).await;
    assert_eq!(answer.status, 200, "{n} {turn}: {}", answer.text);
    if turn % 5 == 4 {
        let compact = answer.text.replace(['\\', '"'], "");
        assert!(body["stream"] == true || compact.contains(&format!("n:{n}}}")), "{n} {turn}: {}", answer.text);
    } else if body["stream"] != true {
        assert!(answer.text.contains(&format!("for {n}\"")), "{n} {turn}: {}", answer.text);
    }
    let end = if path == "/v1/messages" { "message_stop" } else { "data: [DONE]" };
    assert!(body["stream"] != true || answer.text.contains(end), "{n} {turn}: {}", answer.text);
}

async fn crowd(keys: usize, calls: usize) {
    let house = House::with(super::setup().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "100000")).await;
    house.compatible("open", "gpt-4o").await;
    let mut users = Vec::new();
    for _ in 0..keys {
        users.push(house.user(json!({})).await);
    }
    let (house, users) = (&house, &users);
    let all =
        (0..keys * calls).map(|at| async move { call(house, &users[at % keys], at % keys, at / keys + at).await });
    futures_util::future::join_all(all).await;
    for (n, user) in users.iter().enumerate() {
        let (input, output) = tokens(n);
        let mine = house.spent(user, &fee(calls as u64 * input, calls as u64 * output)).await;
        assert_eq!(mine["month_fee"], mine["total_fee"]);
    }
    check_events(house, keys, calls).await;
}

/// One event for each call, with the caller's numbers; all of one caller under one key.
async fn check_events(house: &House, keys: usize, calls: usize) {
    let events = house.events().await;
    assert_eq!(events.len(), keys * calls);
    let mut owners: HashMap<usize, String> = HashMap::new();
    for event in &events {
        let custom = event["custom_id"].as_str().unwrap();
        let n: usize = custom.split('-').next().unwrap().parse().unwrap();
        let told = (event["prompt_token_count"].as_u64().unwrap(), event["completion_token_count"].as_u64().unwrap());
        assert_eq!((told, &event["flags"]), (tokens(n), &json!([])), "{event}");
        let owner = event["key_id"].as_str().unwrap();
        assert_eq!(owners.entry(n).or_insert_with(|| owner.to_owned()), owner, "{event}");
    }
    let mut different: Vec<_> = owners.values().collect();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c83_two_hundred_calls_of_twenty_keys_at_once() {
    crowd(20, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c83_two_hundred_keys_at_once() {
    crowd(200, 1).await;
}
