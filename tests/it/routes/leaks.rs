//! Ten thousand requests whose first steps fail in every way: nothing stays behind.

use super::{FIRST, HELLO, House, and, openai, openai_at, question, setup, status, streamed, text, upstream};
use crate::support::{Gateway, eventually};
use crate::upstream::{Act, Api, Fault, Options, Upstream};
use futures_util::StreamExt as _;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 32;

fn descriptors(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap().count()
}

fn fault(fault: Fault) -> Act {
    Act { fault: Some(fault), ..Act::default() }
}

/// Models of a first step and how each fails; an error event first, or a stream that ends, is an answer to whoever did
/// not ask for a stream.
fn kinds() -> Vec<(&'static str, Act, bool)> {
    let long = Act { body: Some("x".repeat(300_000)), ..status(500) };
    vec![
        ("f-500", status(500), false),
        ("f-429", status(429), false),
        ("f-long", long, false),
        ("f-close", fault(Fault::Close { after: None }), false),
        ("f-reset", fault(Fault::Reset { after: None }), false),
        ("f-head", fault(Fault::Close { after: Some(0) }), false),
        ("f-role", fault(Fault::Close { after: Some(1) }), true),
        ("f-error", fault(Fault::ErrorFrame { after: 1 }), true),
        ("f-stall", fault(Fault::Stall { after: None }), false),
        ("f-stall-head", fault(Fault::Stall { after: Some(0) }), false),
        ("f-stall-role", fault(Fault::Stall { after: Some(1) }), true),
    ]
}

/// Sends so many, over all routes in turn.
async fn calls(house: &House, routes: &[(String, bool)], count: usize) {
    let done = AtomicUsize::new(0);
    let asks = (0..count).map(|n| {
        let (path, streams) = &routes[n % routes.len()];
        let body = if *streams || n % 3 == 0 { streamed(question()) } else { question() };
        let done = &done;
        async move {
            assert_eq!(text(&house.ask_at(path, &body).await), HELLO, "{path}");
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
    futures_util::stream::iter(asks).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    assert_eq!(done.load(Ordering::Relaxed), count);
}

async fn at_rest(upstreams: [&Upstream; 2]) {
    eventually("no call goes on", || async { upstreams.iter().all(|upstream| upstream.stats().running == 0) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_over_ten_thousand_failed_tries() {
    let options = Options { record: 0, ..Options::default() };
    let setup = setup().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "1000000");
    let house = House::with(setup, options).await;
    let ill = upstream(Api::OpenAi).await;
    let setting = house.elsewhere(&ill.url()).await;
    let mut routes = Vec::new();
    for (model, act, streams) in kinds() {
        ill.teach(model, act);
        let first = and(openai_at(model, &setting), json!({"timeout": "60ms"}));
        let first = if model.contains("stall") { first } else { and(first, json!({"timeout": "30s"})) };
        house.route_with(json!({"path": format!("/{model}"), "steps": [first, openai(super::SECOND)]})).await;
        routes.push((format!("/{model}"), streams));
    }
    let nowhere = openai_at(FIRST, &house.nowhere().await);
    house.route_with(json!({"path": "/nowhere", "steps": [nowhere, openai(super::SECOND)]})).await;
    routes.push(("/nowhere".to_owned(), false));

    calls(&house, &routes, 600).await;
    at_rest([&house.upstream, &ill]).await;
    let before = (descriptors(&house.gateway), house.upstream.stats().open, ill.stats().open);
    let memory = house.gateway.peak_memory();
    calls(&house, &routes, REQUESTS - 600).await;
    at_rest([&house.upstream, &ill]).await;
    let after = (descriptors(&house.gateway), house.upstream.stats().open, ill.stats().open);
    // Kept connections come and go with the crowd; nothing grows with the requests.
    let flat = |before: usize, after: usize| after <= before.max(AT_ONCE) + AT_ONCE;
    assert!(flat(before.0, after.0), "descriptors: {} and {}", before.0, after.0);
    assert!(flat(before.1 as usize, after.1 as usize), "open at the well: {} and {}", before.1, after.1);
    assert!(flat(before.2 as usize, after.2 as usize), "open at the ill: {} and {}", before.2, after.2);
    let grown = house.gateway.peak_memory().saturating_sub(memory);
    assert!(grown < 64 << 20, "memory grew by {grown}");
    // Those that can be used again are.
    let opened = house.upstream.stats().connections;
    assert!(opened < REQUESTS as u64 / 20, "{opened} connections for {REQUESTS} calls of the second step");
    let micros = 3500 * REQUESTS as i64;
    let at = format!("/api/reporting/keys/{}", house.key);
    eventually("all is booked", || async {
        house.gateway.admin("GET", &at, None).await.1["costInMicroDollars"].as_i64() == Some(micros)
    })
    .await;
    assert_eq!(house.admitted().await.len(), REQUESTS);
}
