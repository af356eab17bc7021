//! Which of equal steps is asked first, and which are left alone for a while because they are ill.

use super::{
    DEAR, FIRST, HELLO, House, PATH, SECOND, and, openai, openai_at, outcome, question, setup, status, streamed, text,
    upstream, used,
};
use crate::support::eventually;
use crate::unified::Answer;
use crate::upstream::{Act, Api, Fault, Options};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn weighted(model: &str, weight: u32) -> Value {
    and(openai(model), json!({"weight": weight}))
}

/// So many calls, some at once.
async fn calls(house: &House, path: &str, count: usize) {
    let asks = (0..count).map(|_| async { assert_eq!(text(&house.ask_at(path, &question()).await), HELLO) });
    futures_util::stream::iter(asks).buffer_unordered(16).collect::<Vec<_>>().await;
}

/// Within five standard deviations of what chance gives.
fn near(have: u64, of: u64, share: f64) {
    let (of, have) = (of as f64, have as f64);
    // Of a share of nothing too, there is nothing.
    let deviation = (of * share * (1.0 - share)).sqrt().max(0.1);
    assert!((have - of * share).abs() < 5.0 * deviation, "{have} of {of}, expected {}", of * share);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_hold_within_statistical_error() {
    let house = House::with(setup(), Options { record: 0, ..Options::default() }).await;
    let models = ["a", "b", "c", "spare"];
    let weights = [70, 20, 10, 0];
    let steps: Vec<_> = models.iter().zip(weights).map(|(model, weight)| weighted(model, weight)).collect();
    house.route(json!(steps)).await;
    const CALLS: u64 = 2000;
    calls(&house, PATH, CALLS as usize).await;
    for (model, weight) in models.iter().zip(weights) {
        near(house.upstream.asked(model), CALLS, f64::from(weight) / 100.0);
    }
    assert_eq!(house.upstream.asked("spare"), 0, "only when all others have failed");
    // When one fails, its share goes to the others as their weights say.
    house.upstream.teach("a", status(503));
    let before = models.map(|model| house.upstream.asked(model));
    calls(&house, PATH, CALLS as usize).await;
    let since: Vec<u64> =
        models.iter().zip(before).map(|(model, before)| house.upstream.asked(model) - before).collect();
    near(since[1], CALLS, 2.0 / 3.0);
    near(since[0], CALLS, 0.7);
    assert_eq!((since[1] + since[2], since[3]), (CALLS, 0));
    for model in ["b", "c"] {
        house.upstream.teach(model, status(503));
    }
    calls(&house, PATH, 20).await;
    assert_eq!(house.upstream.asked("spare"), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_without_a_weight_keep_their_place() {
    let house = House::open().await;
    house.upstream.teach("first", status(503));
    house.route(json!([openai("first"), weighted("a", 1), weighted("b", 1), openai("last")])).await;
    calls(&house, PATH, 60).await;
    let asked = ["first", "a", "b", "last"].map(|model| house.upstream.asked(model));
    assert_eq!((asked[0], asked[1] + asked[2], asked[3]), (60, 60, 0), "{asked:?}");
    assert!(asked[1] > 0 && asked[2] > 0, "{asked:?}");
    let event = house.booked(60).await.remove(0);
    assert!(matches!(event["routeStep"].as_u64(), Some(2 | 3)), "in the order of the route: {event}");
}

/// Breakers that open after three failures, for half a second at first.
fn touchy() -> crate::support::Setup {
    setup()
        .env("TOLLGATE_ROUTES_BREAKER_FAILURES", "3")
        .env("TOLLGATE_ROUTES_BREAKER_PAUSE", "500ms")
        .env("TOLLGATE_ROUTES_BREAKER_LONGEST_PAUSE", "1s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_step_gets_only_probes_until_it_is_well() {
    let house = House::with(touchy(), Options { record: 0, ..Options::default() }).await;
    let ill = upstream(Api::OpenAi).await;
    ill.teach(FIRST, status(500));
    let setting = house.elsewhere(&ill.url()).await;
    house.route(json!([openai_at(FIRST, &setting), openai(SECOND)])).await;
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(4) || asked < 100 {
        let body = if asked % 2 == 0 { question() } else { streamed(question()) };
        assert_eq!(text(&house.ask(&body).await), HELLO);
        asked += 1;
    }
    // Three to find out, then one each time that the pause is over, which is never shorter than the first.
    let most = 3 + begun.elapsed().as_millis() as u64 / 500 + 1;
    let tried = ill.stats().requests;
    assert!(tried >= 4 && tried <= most, "{tried} of {asked} calls in {:?}, at most {most}", begun.elapsed());
    house.gateway.idle().await;
    assert!(house.gateway.metric("tollgate_route_set_aside").await >= 1.0);
    // Well again, it is asked again, and by everybody.
    ill.teach(FIRST, None);
    eventually("it serves again", || async { house.ask(&question()).await.header("x-tollgate-model") == FIRST }).await;
    let before = ill.stats().requests;
    calls(&house, PATH, 20).await;
    assert_eq!(ill.stats().requests, before + 20);
    house.gateway.idle().await;
    assert_eq!(house.gateway.metric("tollgate_route_set_aside").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_break_off_tell_of_illness_too() {
    let house = House::with(touchy(), Options { record: 0, ..Options::default() }).await;
    let ill = upstream(Api::OpenAi).await;
    let broken = Act { fault: Some(Fault::Close { after: Some(3) }), chunks: Some(9), ..used(1000, 100) };
    ill.teach(FIRST, broken);
    let setting = house.elsewhere(&ill.url()).await;
    house.route(json!([openai_at(FIRST, &setting), openai(SECOND)])).await;
    for _ in 0..3 {
        let answer = house.ask(&streamed(question())).await;
        assert!(answer.text.contains("\"error\"") && answer.text.contains("tok0"), "{}", answer.text);
    }
    assert_eq!(text(&house.ask(&streamed(question())).await), HELLO, "it is set aside");
    assert_eq!(ill.stats().requests, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_probe_at_a_time_however_many_ask() {
    let house = House::with(touchy(), Options { record: 0, ..Options::default() }).await;
    let ill = upstream(Api::OpenAi).await;
    ill.teach(FIRST, status(500));
    let setting = house.elsewhere(&ill.url()).await;
    house.route(json!([openai_at(FIRST, &setting), openai(SECOND)])).await;
    calls(&house, PATH, 100).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // It answers nothing for longer than a crowd needs.
    ill.teach(FIRST, Act { delay_ms: 800, ..status(500) });
    let before = ill.stats().requests;
    let begun = Instant::now();
    calls(&house, PATH, 100).await;
    let probes = 1 + begun.elapsed().as_millis() as u64 / 500;
    let asked = ill.stats().requests - before;
    assert!(asked >= 1 && asked <= probes, "{asked}, at most {probes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_what_was_asked_is_no_illness() {
    let house = House::with(touchy(), Options::default()).await;
    house.upstream.teach(FIRST, status(400));
    house.route(json!([openai(FIRST), super::step("anthropic", super::CLAUDE)])).await;
    calls(&house, PATH, 10).await;
    assert_eq!(house.upstream.asked(FIRST), 10, "it is asked each time");
    house.gateway.idle().await;
    assert_eq!(house.gateway.metric("tollgate_route_set_aside").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_ill_somebody_is_asked_nonetheless() {
    let house = House::with(touchy(), Options::default()).await;
    house.upstream.teach(FIRST, status(500));
    house.route(json!([openai(FIRST)])).await;
    for _ in 0..6 {
        let answer = house.ask(&question()).await;
        assert!(matches!(answer.status, 500 | 503), "{} {}", answer.status, answer.text);
    }
    house.upstream.teach(FIRST, used(1000, 100));
    eventually("it serves again", || async { house.ask(&question()).await.status == 200 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_credential_that_is_throttled_leaves_the_other_alone() {
    let house =
        House::with(touchy(), Options { keys: vec!["sk-upstream".into(), "sk-busy".into()], ..Options::default() })
            .await;
    let busy = upstream(Api::OpenAi).await;
    let headers = [("retry-after".to_owned(), "1".to_owned())];
    busy.teach(SECOND, Act { headers: headers.into_iter().collect(), ..status(429) });
    let (first, second) = (house.elsewhere(&busy.url()).await, house.elsewhere(&house.upstream.url()).await);
    house.route(json!([openai_at(SECOND, &first), openai_at(SECOND, &second)])).await;
    for _ in 0..20 {
        let answer = Answer::of(house.request(PATH, &question())).await;
        assert_eq!(outcome(&house.event(&answer).await), (2, DEAR, 200, json!([])));
    }
    assert!(busy.stats().requests < 20, "{:?}", busy.stats());
}
