//! One process takes over from another: nobody is refused, nothing is lost or twice, limits hold as if there were one.

use crate::support::{Gateway, Setup, chat, chat_body, eventually, stream_body};
use crate::upstream::{Options, Upstream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

/// What the local upstream's plain gpt-4o answer costs, US dollars.
const COST: f64 = 0.000_147_5;

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    let setup = Setup::default().fixed_ports().env("TOLLGATE_ADMIN_EVENTS_LIMIT", "10000000");
    let gateway = setup.start(&upstream).await;
    (upstream, gateway)
}

/// A stream that the upstream has begun and holds back until it is told to go on.
async fn held_stream(upstream: &Upstream, gateway: &Gateway, key: &str) -> JoinHandle<reqwest::Result<String>> {
    let mut body = stream_body("gpt-4o", &json!({"hold": true, "chunks": 3}));
    body["max_tokens"] = json!(10);
    let before = upstream.stats().requests;
    let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(&body);
    let answer = tokio::spawn(async move { request.send().await?.text().await });
    eventually("the stream has begun", || async { upstream.stats().requests > before }).await;
    answer
}

async fn released(upstream: &Upstream, stream: JoinHandle<reqwest::Result<String>>) -> String {
    while !stream.is_finished() {
        upstream.release(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stream.await.unwrap().unwrap()
}

#[derive(Default)]
struct Tally {
    /// Custom ids of answers that arrived whole.
    whole: Mutex<Vec<String>>,
    /// Anything but an answer of a status that is due.
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Sends requests until told to stop; every one of them must be answered.
async fn client(
    http: reqwest::Client,
    url: String,
    key: &'static str,
    due: &'static [u16],
    tally: Arc<Tally>,
    n: usize,
) {
    let mut sent = 0;
    while !tally.stop.load(Ordering::Acquire) {
        let id = format!("{key}-{n}-{sent}");
        sent += 1;
        let mut body =
            if sent % 2 == 0 { stream_body("gpt-4o", &json!({"chunks": 5})) } else { chat_body("gpt-4o", &json!({})) };
        body["max_tokens"] = json!(10);
        let request = http.post(&url).bearer_auth(key).header("x-custom-event-id", &id).json(&body);
        let answer = match request.send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await),
            Err(error) => {
                tally.failures.lock().push(format!("{id}: {error:?}"));
                continue;
            }
        };
        match answer {
            (200, Ok(text)) if text.contains("[DONE]") || serde_json::from_str::<Value>(&text).is_ok() => {
                tally.whole.lock().push(id);
            }
            (status, Ok(_)) if status != 200 && due.contains(&status) => {}
            other => tally.failures.lock().push(format!("{id}: {other:?}")),
        }
    }
}

/// Asks the admin listener over ever new connections.
async fn watcher(url: String, tally: Arc<Tally>) {
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    while !tally.stop.load(Ordering::Acquire) {
        match http.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => {}
            other => tally.failures.lock().push(format!("{url}: {other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Connects, and takes its time before it asks: at any moment there is such a connection.
async fn hesitant(base: String, tally: Arc<Tally>) {
    let address = base.trim_start_matches("http://").to_owned();
    while !tally.stop.load(Ordering::Acquire) {
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect(&address).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map(|_| answer)
        };
        match asked.await {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => {}
            other => tally.failures.lock().push(format!("hesitant at {address}: {other:?}")),
        }
    }
}

fn spent(events: &[Value]) -> f64 {
    events.iter().map(|event| event["cost_in_usd"].as_f64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgraded_twice_under_load_nobody_is_refused_and_every_answer_has_one_event() {
    let (_upstream, mut gateway) = house().await;
    let free = gateway.key("free", json!({"costLimitInUsd": 1000})).await;
    // Used up somewhere on the way.
    let strict = gateway.key("strict", json!({"costLimitInUsd": 0.2, "budgetMode": "strict"})).await;
    let rated = gateway.key("rated", json!({"rateLimitOverTime": 1500, "rateLimitUnit": "d"})).await;
    let tally = Arc::new(Tally::default());
    let fresh = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = gateway.url("/v1/chat/completions");
    let mut clients = vec![tokio::spawn(watcher(format!("{}/healthz", gateway.admin), tally.clone()))];
    for base in [&gateway.proxy, &gateway.admin] {
        clients.push(tokio::spawn(hesitant(base.clone(), tally.clone())));
    }
    for (n, http) in [&gateway.http, &gateway.http, &gateway.http, &fresh, &fresh, &http2].into_iter().enumerate() {
        for (key, due) in [("free", &[][..]), ("strict", &[401, 429]), ("rated", &[429])] {
            clients.push(tokio::spawn(client(http.clone(), url.clone(), key, due, tally.clone(), n)));
        }
    }
    for _ in 0..2 {
        let before = tally.whole.lock().len();
        eventually("requests are served", || async { tally.whole.lock().len() > before + 100 }).await;
        let mut old = gateway.upgrade().await;
        assert_eq!(old.ended().await, Some(0), "{}", old.log());
        let before = tally.whole.lock().len();
        eventually("the next one serves", || async { tally.whole.lock().len() > before + 100 }).await;
    }
    // However slow the machine: the limits are used up before the clients end.
    let of = |key: &str| tally.whole.lock().iter().filter(|whole| whole.starts_with(key)).count();
    eventually("the budget is spent", || async { of("strict-") as f64 * COST > 0.19 }).await;
    eventually("the rate is used up", || async { of("rated-") >= 1500 }).await;
    tally.stop.store(true, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(*tally.failures.lock(), Vec::<String>::new());
    // One more keeps the drain from racing with the count below.
    assert_eq!(chat(&gateway, "free").await.status(), 200);

    let whole = std::mem::take(&mut *tally.whole.lock());
    let mut events: HashMap<String, usize> = HashMap::new();
    for (id, key) in [(&free, "free"), (&strict, "strict"), (&rated, "rated")] {
        let due = whole.iter().filter(|w| w.starts_with(&format!("{key}-"))).count();
        let admitted = || async {
            let all = gateway.events(id).await;
            all.into_iter().filter(|e| !flags(e).contains(&json!("refused"))).collect::<Vec<_>>()
        };
        eventually("all events are there", || async { admitted().await.len() >= due }).await;
        let admitted = admitted().await;
        for event in &admitted {
            assert_eq!(event["cost_in_usd"], COST, "{event}");
            assert!(flags(event).is_empty(), "{event}");
            *events.entry(event["custom_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match key {
            "strict" => {
                let spent = spent(&admitted);
                assert!(spent <= 0.2 && spent > 0.19, "strict means strict, and is usable: {spent}");
            }
            "rated" => assert_eq!(admitted.len(), 1500, "not one more, and all of them were asked for"),
            _ => {}
        }
    }
    for id in &whole {
        assert_eq!(events.get(id), Some(&1), "{id} was received in full");
    }
}

fn flags(event: &Value) -> &Vec<Value> {
    event["flags"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_in_the_old_process_counts_in_the_new_one() {
    let (upstream, mut gateway) = house().await;
    let strict = gateway.key("strict", json!({"costLimitInUsd": 1, "budgetMode": "strict"})).await;
    let rated = gateway.key("rated", json!({"rateLimitOverTime": 4, "rateLimitUnit": "d"})).await;
    let spends = gateway.key("spends", json!({"costLimitInUsd": 1.2 * COST, "budgetMode": "observe"})).await;
    let rate_stream = held_stream(&upstream, &gateway, "rated").await;
    let strict_stream = held_stream(&upstream, &gateway, "strict").await;
    let hold = gateway.metric("tollgate_held_usd").await;
    assert!(hold > 0.0);
    let spending_stream = held_stream(&upstream, &gateway, "spends").await;
    assert_eq!(chat(&gateway, "rated").await.status(), 200);
    assert_eq!(chat(&gateway, "spends").await.status(), 200);
    // Room for one worst case and half of another.
    gateway.patch_key(&strict, json!({"costLimitInUsd": 1.5 * hold})).await;

    let mut old = gateway.upgrade().await;
    let held = gateway.metric("tollgate_held_usd").await;
    assert!((held - hold).abs() < 1e-9, "{held} of {hold}");
    let mut body = chat_body("gpt-4o", &json!({}));
    body["max_tokens"] = json!(10);
    let ask = |key: &'static str| {
        let request = gateway.http.post(gateway.url("/v1/chat/completions")).bearer_auth(key).json(&body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(ask("strict").await, 429, "the old process's request holds the room");
    assert_eq!((ask("rated").await, ask("rated").await, ask("rated").await), (200, 200, 429), "one and one there");

    let text = tokio::join!(
        released(&upstream, rate_stream),
        released(&upstream, strict_stream),
        released(&upstream, spending_stream)
    );
    for text in [text.0, text.1, text.2] {
        assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    }
    assert_eq!(old.ended().await, Some(0), "{}", old.log());
    eventually("the hold is replaced by the cost", || async { gateway.metric("tollgate_held_usd").await == 0.0 }).await;
    assert_eq!(ask("strict").await, 200);
    // 1.2 times the cost of a call: one there and one stream there are more.
    assert_eq!(ask("spends").await, 401, "the spend of both counts");
    gateway.events_settled(&spends, 3).await;
    gateway.events_settled(&strict, 3).await;
    assert_eq!(gateway.events(&rated).await.iter().filter(|e| flags(e).is_empty()).count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_process_that_is_killed_is_booked_by_the_new_one_at_once() {
    let (upstream, mut gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 1, "budgetMode": "strict"})).await;
    let streams = [held_stream(&upstream, &gateway, "k").await, held_stream(&upstream, &gateway, "k").await];
    let mut old = gateway.upgrade().await;
    assert!(gateway.metric("tollgate_held_usd").await > 0.0);
    old.kill();
    eventually("nothing is held any more", || async { gateway.metric("tollgate_held_usd").await == 0.0 }).await;
    for stream in streams {
        assert!(stream.await.unwrap().is_err(), "its connection was cut");
    }
    let recovered = || async {
        let events = gateway.events(&id).await;
        events.into_iter().filter(|e| flags(e).contains(&json!("recovered"))).collect::<Vec<_>>()
    };
    eventually("both are booked", || async { recovered().await.len() >= 2 }).await;
    let recovered = recovered().await;
    assert_eq!(recovered.len(), 2);
    // What they were booked with is in the counters too.
    let (_, spend) = gateway.admin("GET", &format!("/api/reporting/keys/{id}"), None).await;
    let ledger: i64 = recovered.iter().map(|e| (e["cost_in_usd"].as_f64().unwrap() * 1e10).round() as i64).sum();
    assert_eq!(spend["costInMicroDollars"].as_i64(), Some(ledger / 10_000));
    // And its directory is free for the next.
    let mut old = gateway.upgrade().await;
    assert_eq!(old.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigquit_may_come_first_and_ends_nothing_while_nobody_takes_over() {
    let (_upstream, mut gateway) = house().await;
    gateway.key("k", json!({})).await;
    gateway.heir().await.kill();
    gateway.quit();
    eventually("it has seen the signal", || async { gateway.log().contains("handing over") }).await;
    assert_eq!(chat(&gateway, "k").await.status(), 200);
    let next = gateway.heir().await.served().await;
    let mut old = std::mem::replace(&mut gateway, next);
    assert_eq!(old.ended().await, Some(0), "{}", old.log());
    assert_eq!(chat(&gateway, "k").await.status(), 200);
}

/// Starts a second process that cannot work; what it says.
fn refused(gateway: &Gateway, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(gateway.dir())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_upgrade_a_second_process_is_told_what_is_in_use() {
    let (_upstream, mut gateway) = house().await;
    let any = [("TOLLGATE_PROXY_LISTEN", "127.0.0.1:0"), ("TOLLGATE_ADMIN_LISTEN", "127.0.0.1:0")];
    let told = refused(&gateway, &["serve"], &any);
    assert!(told.contains("ledger.journal_dir") && told.contains("another process"), "{told}");
    let told = refused(&gateway, &["serve", "--upgrade"], &any);
    assert!(told.contains("proxy.listen: port 0"), "{told}");
    // A journal of its own, but the same ports.
    for (key, used, free) in [
        ("proxy.listen", "TOLLGATE_PROXY_LISTEN", "TOLLGATE_ADMIN_LISTEN"),
        ("admin.listen", "TOLLGATE_ADMIN_LISTEN", "TOLLGATE_PROXY_LISTEN"),
    ] {
        let base = if key == "proxy.listen" { &gateway.proxy } else { &gateway.admin };
        let address = base.trim_start_matches("http://");
        let elsewhere = [(used, address), (free, "127.0.0.1:0"), ("TOLLGATE_LEDGER_JOURNAL_DIR", "elsewhere")];
        let told = refused(&gateway, &["serve"], &elsewhere);
        assert!(told.contains(&format!("{key}: cannot listen on {address}")), "{told}");
    }

    // Also when it is the second directory that is in use.
    let mut old = gateway.upgrade().await;
    assert_eq!(old.ended().await, Some(0));
    let told = refused(&gateway, &["serve"], &any);
    assert!(told.contains("another process"), "{told}");
    // And while an upgrade is on its way, there is no third.
    let heir = gateway.heir().await;
    let told = refused(&gateway, &["serve", "--upgrade"], &[]);
    assert!(told.contains("two processes"), "{told}");
    heir.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nobody_to_take_over_from_upgrade_starts_as_ever_and_books_what_was_left() {
    let (upstream, mut gateway) = house().await;
    let id = gateway.key("k", json!({})).await;
    let stream = held_stream(&upstream, &gateway, "k").await;
    // The stream's process leaves to another one, and both are killed.
    let mut old = gateway.upgrade().await;
    gateway.kill();
    old.kill();
    assert!(stream.await.unwrap().is_err());
    let started = gateway.heirless().await;
    let events = started.events(&id).await;
    assert_eq!(events.len(), 1, "booked before it serves");
    assert!(flags(&events[0]).contains(&json!("recovered")));
    assert_eq!(chat(&started, "k").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_died_is_replaced_while_the_old_one_still_finishes() {
    let (upstream, mut gateway) = house().await;
    let id = gateway.key("k", json!({"costLimitInUsd": 1, "budgetMode": "strict"})).await;
    let stream = held_stream(&upstream, &gateway, "k").await;
    let mut old = gateway.upgrade().await;
    let held = gateway.metric("tollgate_held_usd").await;
    gateway.kill();
    // As a supervisor does it.
    gateway.restart().await;
    assert_eq!(gateway.metric("tollgate_held_usd").await, held);
    assert!(released(&upstream, stream).await.trim_end().ends_with("data: [DONE]"));
    assert_eq!(old.ended().await, Some(0));
    let events = gateway.events_settled(&id, 1).await;
    assert_eq!(events[0]["cost_in_usd"], COST);
    eventually("its hold is gone", || async { gateway.metric("tollgate_held_usd").await == 0.0 }).await;
}
