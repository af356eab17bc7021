//! One step fails in any way before its output, another answers: the client sees nothing of it, the books see all of it.

use super::{
    CHEAP, CLAUDE, CLAUDE_DEAR, DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, openai_at, outcome,
    question, status, step, streamed, text, tries, used,
};
use crate::unified::Answer;
use crate::upstream::{Act, Fault, Options};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// A way to fail.
struct Kind {
    name: &'static str,
    /// `None`: nobody listens.
    act: Option<Act>,
    /// Of the step that fails.
    timeout: &'static str,
    /// Words of which one names it in the books.
    failures: &'static [&'static str],
    /// In which forms it fails before its output.
    whole: bool,
    stream: bool,
    /// A kept connection that turns out to be closed is not the upstream's answer: it may be asked once more.
    stale: u64,
}

fn kind(name: &'static str, act: impl Into<Option<Act>>, failures: &'static [&'static str]) -> Kind {
    Kind { name, act: act.into(), timeout: "30s", failures, whole: true, stream: true, stale: 0 }
}

fn fault(fault: Fault) -> Act {
    Act { fault: Some(fault), ..Act::default() }
}

/// The stream word for word; whoever does not stream gets a body that is no answer.
fn frames(frames: &[&str]) -> Act {
    Act { frames: Some(frames.iter().map(|frame| (*frame).to_owned()).collect()), ..Act::default() }
}

const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";

/// A body of more than a mebibyte, so that no buffer holds it by chance.
fn long(stream: bool) -> Value {
    let filler = "lorem \u{e9} \"ipsum\" \\ ".repeat(MIB / 20);
    let body =
        json!({"model": "whatever", "stream": stream, "messages": [{"role": "user", "content": filler}], "n": 1});
    assert!(body.to_string().len() > MIB);
    body
}

/// Each kind at a route of its own, over both versions of HTTP, whole and streamed.
async fn each_leads_on(kinds: Vec<Kind>) {
    let house = House::with(super::setup(), Options { body_kept: 4 * MIB, record: 8, ..Options::default() }).await;
    let nowhere = house.nowhere().await;
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let mut served = 0;
    for kind in kinds {
        house.upstream.teach(FIRST, kind.act.clone());
        let first = if kind.act.is_some() { openai(FIRST) } else { openai_at(FIRST, &nowhere) };
        let path = format!("/{}", kind.name.replace(' ', "-"));
        let steps = json!([and(first, json!({"timeout": kind.timeout})), openai(SECOND)]);
        house.route_with(json!({"steps": steps, "path": path, "name": kind.name})).await;
        for (version, client) in [("h1", &house.gateway.http), ("h2", &h2)] {
            for stream in [false, true] {
                if !(if stream { kind.stream } else { kind.whole }) {
                    continue;
                }
                let case = format!("{} {version} {stream}", kind.name);
                let asked = [FIRST, SECOND].map(|model| house.upstream.asked(model));
                let body = long(stream);
                let answer = Answer::of(client.post(house.url(&path)).bearer_auth(KEY).json(&body)).await;
                assert_eq!(answer.status, 200, "{case}: {}", answer.text);
                assert_eq!(text(&answer), HELLO, "{case}");
                assert_eq!(answer.header("x-tollgate-model"), SECOND, "{case}");
                assert!(answer.header("content-type").contains(if stream { "event-stream" } else { "json" }), "{case}");
                let since = [FIRST, SECOND].map(|model| house.upstream.asked(model));
                let first = u64::from(kind.act.is_some());
                assert!((first..=first + kind.stale).contains(&(since[0] - asked[0])), "{case}: {asked:?} {since:?}");
                assert_eq!(since[1], asked[1] + 1, "{case}");
                let got = house.sent();
                assert_eq!((&got["model"], &got["messages"]), (&json!(SECOND), &body["messages"]), "{case}");
                let event = house.event(&answer).await;
                assert_eq!(outcome(&event), (2, DEAR, 200, json!([])), "{case}: {event}");
                let tried = tries(&event);
                assert_eq!((tried.len(), tried[0].0), (1, 1), "{case}: {event}");
                assert!(kind.failures.contains(&tried[0].1), "{case}: {event}");
                let named = &event["tries"][0];
                assert_eq!((&named["provider"], &named["model"]), (&json!("openai"), &json!(FIRST)), "{event}");
                served += 1;
            }
        }
    }
    house.booked(served).await;
    assert_eq!(house.upstream.stats().violations, 0);
    // Nothing that was given up goes on.
    assert!(house.upstream.wait(crate::support::PATIENCE, |stats| stats.running == 0).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_refuses_connections_or_drops_them() {
    each_leads_on(vec![
        kind("nobody listens", None, &["connect"]),
        Kind { stale: 1, ..kind("closes at once", fault(Fault::Close { after: None }), &["broken"]) },
        Kind { stale: 1, ..kind("resets at once", fault(Fault::Reset { after: None }), &["broken"]) },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_too_slow() {
    let late = |name, act: Act| Kind { timeout: "500ms", ..kind(name, act, &["timeout"]) };
    each_leads_on(vec![
        late("never answers", fault(Fault::Stall { after: None })),
        late("answers late", Act { delay_ms: 60_000, ..Act::default() }),
        late("a head and no body", fault(Fault::Stall { after: Some(0) })),
        late("a body long after its head", Act { body_delay_ms: 60_000, ..Act::default() }),
        Kind { whole: false, ..late("a role and nothing more", fault(Fault::Stall { after: Some(1) })) },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_answers_with_a_failure() {
    let headers = [("retry-after".to_owned(), "3600".to_owned())];
    let asked_to_wait = Act { headers: headers.into_iter().collect(), ..status(429) };
    let no_body = Act { fault: Some(Fault::Stall { after: Some(0) }), ..status(503) };
    let huge = Act { body: Some("x".repeat(3 * MIB)), ..status(500) };
    each_leads_on(vec![
        kind("429", status(429), &["throttled"]),
        kind("429 with a wait", asked_to_wait, &["throttled"]),
        kind("500", status(500), &["server_error"]),
        kind("503", status(503), &["server_error"]),
        kind("529", status(529), &["server_error"]),
        Kind { timeout: "1s", ..kind("503 without its body", no_body, &["server_error", "timeout"]) },
        kind("a huge 500", huge, &["server_error"]),
        kind("401", status(401), &["credential"]),
        kind("403", status(403), &["credential"]),
        kind("404", status(404), &["refused"]),
        kind("408", status(408), &["request_timeout"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_dies_before_its_output() {
    let stream = |name, act: Act| Kind { whole: false, ..kind(name, act, &["truncated", "broken"]) };
    each_leads_on(vec![
        kind("a head and its end", fault(Fault::Close { after: Some(0) }), &["broken", "truncated"]),
        Kind { stream: false, ..kind("half a body", fault(Fault::Truncate), &["broken", "truncated"]) },
        stream("a role and its end", fault(Fault::Close { after: Some(1) })),
        stream("a role and a reset", fault(Fault::Reset { after: Some(1) })),
        stream("an error first", fault(Fault::ErrorFrame { after: 0 })),
        stream("an error after the role", fault(Fault::ErrorFrame { after: 1 })),
        stream("nothing at all", frames(&[""])),
        stream("comments only", frames(&[": still here\n\n", ": still here\n\n"])),
        stream("a role and a clean end", frames(&[ROLE])),
    ])
    .await;
}

#[tokio::test]
async fn c140_a_step_is_tried_as_often_as_it_says() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(500));
    let first = and(openai(FIRST), json!({"retries": 2, "retryInterval": "20ms"}));
    house.route(json!([first, openai(SECOND)])).await;
    for (n, body) in [(1, question()), (2, streamed(question()))] {
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO);
        assert_eq!((house.upstream.asked(FIRST), house.upstream.asked(SECOND)), (3 * n, n));
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (2, DEAR, 200, json!([])), "{event}");
        assert_eq!(tries(&event), [(1, "server_error", 500); 3], "{event}");
    }
    // A failure that passes is over with the next try.
    house.upstream.teach(FIRST, used(1000, 100));
    house.upstream.script(Act { times: Some(2), ..status(503) });
    let answer = house.ask(&question()).await;
    let event = house.event(&answer).await;
    assert_eq!(outcome(&event), (1, CHEAP, 200, json!([])), "{event}");
    assert_eq!(tries(&event), [(1, "server_error", 503); 2], "{event}");
    assert_eq!(house.upstream.asked(SECOND), 2, "not asked again");
    house.booked(3).await;
}

#[tokio::test]
async fn c146_what_was_asked_wrongly_is_not_asked_again_of_the_same_provider() {
    let house = House::open().await;
    for refusal in [400, 422] {
        let path = format!("/{refusal}");
        let before = [FIRST, SECOND].map(|model| house.upstream.asked(model));
        house.upstream.teach(FIRST, status(refusal));
        let first = and(openai(FIRST), json!({"retries": 3, "retryInterval": "10ms"}));
        let steps = json!([first, openai(SECOND), step("anthropic", CLAUDE)]);
        house.route_with(json!({"steps": steps, "path": path})).await;
        let answer = house.ask_at(&path, &question()).await;
        assert_eq!(text(&answer), HELLO);
        assert_eq!(answer.header("x-tollgate-provider"), "anthropic");
        let after = [FIRST, SECOND].map(|model| house.upstream.asked(model));
        assert_eq!(after, [before[0] + 1, before[1]], "{refusal}: once, and nobody else of this provider");
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (3, CLAUDE_DEAR, 200, json!([])), "{event}");
        assert_eq!(tries(&event), [(1, "refused", u64::from(refusal))], "{event}");
    }
    // With nobody else to ask, the refusal is the answer, word for word.
    let body = r#"{"error":{"message":"the words of it","type":"invalid_request_error","param":null,"code":null}}"#;
    house.upstream.teach(FIRST, Act { body: Some(body.to_owned()), ..status(400) });
    let asked = house.upstream.asked(SECOND);
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let answer = house.ask(&question()).await;
    assert_eq!((answer.status, &*answer.text), (400, body));
    assert_eq!(house.upstream.asked(SECOND), asked);
    let event = house.event(&answer).await;
    assert_eq!(outcome(&event), (1, 0.0, 400, json!([])), "{event}");
}

#[tokio::test]
async fn other_refusals_lead_to_the_next_step_at_once() {
    let house = House::open().await;
    for refusal in [401, 403, 404] {
        let path = format!("/{refusal}");
        let before = house.upstream.asked(FIRST);
        house.upstream.teach(FIRST, status(refusal));
        let first = and(openai(FIRST), json!({"retries": 5, "retryInterval": "30s"}));
        house.route_with(json!({"steps": [first, openai(SECOND)], "path": path})).await;
        assert_eq!(text(&house.ask_at(&path, &question()).await), HELLO, "{refusal}");
        assert_eq!(house.upstream.asked(FIRST), before + 1, "{refusal}");
    }
}

#[tokio::test]
async fn never_after_the_first_output() {
    let house = House::open().await;
    let first = and(openai(FIRST), json!({"retries": 3, "retryInterval": "10ms"}));
    house.route(json!([first, openai(SECOND)])).await;
    for (n, broken) in [
        Fault::Close { after: Some(3) },
        Fault::Reset { after: Some(3) },
        Fault::ErrorFrame { after: 3 },
        Fault::Truncate,
    ]
    .into_iter()
    .enumerate()
    {
        house.upstream.teach(FIRST, Act { fault: Some(broken.clone()), chunks: Some(9), ..used(1000, 100) });
        let answer = house.ask(&streamed(question())).await;
        assert_eq!(answer.status, 200);
        let lines = crate::unified::data(&answer.text);
        assert!(lines.iter().any(|line| line.contains("tok0")), "{broken:?}: {}", answer.text);
        assert!(answer.text.contains("\"error\""), "{broken:?}: the client is told: {}", answer.text);
        assert!(!answer.text.contains(HELLO), "{broken:?}: {}", answer.text);
        assert_eq!((house.upstream.asked(FIRST), house.upstream.asked(SECOND)), (n as u64 + 1, 0), "{broken:?}");
        let event = house.event(&answer).await;
        assert_eq!((&event["routeStep"], tries(&event).len()), (&json!(1), 0), "{event}");
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "what was said is paid: {event}");
    }
    house.booked(4).await;
}

#[tokio::test]
async fn a_stream_is_not_held_back_beyond_its_first_output() {
    use futures_util::StreamExt as _;
    let house = House::open().await;
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    house.upstream.script(Act { hold: true, chunks: Some(3), ..Act::default() });
    let mut asked = streamed(question());
    asked["stream_options"] = json!({"include_usage": true});
    let request = house.request(PATH, &asked).send();
    // The role, then the first word: the head leaves with it.
    house.upstream.release(1);
    let answer = tokio::time::timeout(crate::support::PATIENCE, request).await.expect("a head").unwrap();
    let mut body = answer.bytes_stream();
    let mut got = String::new();
    while let Some(piece) = tokio::time::timeout(crate::support::PATIENCE, body.next()).await.expect("a piece in time")
    {
        got.push_str(&String::from_utf8_lossy(&piece.unwrap()));
        if got.contains("tok") {
            house.upstream.release(1);
        }
    }
    assert!(
        got.contains("\"role\":\"assistant\"") && got.contains("tok2") && got.ends_with("data: [DONE]\n\n"),
        "{got}"
    );
}

#[tokio::test]
async fn c150_failed_tries_can_be_listed_as_events_of_their_own() {
    let house = House::open().await;
    let made = {
        house.upstream.teach(FIRST, status(503));
        let first = and(openai(FIRST), json!({"retries": 1, "retryInterval": "10ms"}));
        house.route(json!([first, openai_at(FIRST, &house.nowhere().await), openai(SECOND)])).await
    };
    let answer = house.ask(&question()).await;
    let event = house.event(&answer).await;
    assert_eq!(tries(&event), [(1, "server_error", 503), (1, "server_error", 503), (2, "connect", 0)], "{event}");
    assert_eq!(event["routeId"], made["id"], "{event}");
    let path = format!("/api/events?keyIds={}&start=0&end=99999999999&attempts=true", house.key);
    let (_, all) = house.gateway.admin("GET", &path, None).await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 4, "{all:#?}");
    let correlation = &event["correlationId"];
    assert!(correlation.as_str().is_some_and(|id| !id.is_empty()), "{event}");
    for one in all {
        assert_eq!((&one["correlationId"], &one["routeId"]), (correlation, &made["id"]), "{one}");
    }
    let (last, failed) = all.split_last().unwrap();
    assert_eq!(last["id"], event["id"]);
    assert!(failed.iter().all(|one| one["cost_in_usd"] == 0.0 && one["model"] == FIRST), "{failed:#?}");
    assert_eq!(failed.iter().map(|one| one["status"].as_u64().unwrap()).collect::<Vec<_>>(), [503, 503, 0]);
    let mut ids: Vec<_> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each has an id of its own");
    // Reports count what was asked, not how often it was tried.
    let (_, report) = house.gateway.admin("GET", &format!("/api/reporting/keys/{}", house.key), None).await;
    assert_eq!(report["costInMicroDollars"], 3500, "{report}");
}

#[tokio::test]
async fn metrics_tell_of_tries() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    house.ask(&question()).await;
    house.gateway.idle().await;
    let metrics = house.gateway.metrics().await;
    let tries: Vec<_> = metrics.lines().filter(|line| line.starts_with("tollgate_route_tries_total{")).collect();
    let has = |step: &str, outcome: &str| {
        let labels = [format!("step=\"{step}\""), format!("outcome=\"{outcome}\""), format!("route=\"{PATH}\"")];
        tries.iter().any(|line| labels.iter().all(|label| line.contains(label)) && line.ends_with(" 1"))
    };
    assert!(has("1", "server_error") && has("2", "answered"), "{tries:#?}");
    assert_eq!(house.gateway.metric("tollgate_route_try_duration_seconds_count").await, 2.0);
    assert_eq!(house.gateway.metric("tollgate_requests_total").await, 1.0, "one request");
}
