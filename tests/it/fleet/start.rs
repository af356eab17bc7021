//! A gateway that is started while something it needs is away.

use super::question;
use super::redis_down::all_ready;
use crate::support::{Fleet, Gateway, Setup, eventually, servers};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};

async fn get(gateway: &Gateway, path: &str) -> Option<(u16, Value)> {
    let answer = gateway.http.get(format!("{}{path}", gateway.proxy)).send().await.ok()?;
    let status = answer.status().as_u16();
    let text = answer.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_it_says_what_it_waits_for_and_serves_as_soon_as_it_is_there() {
    let (mut postgres, redis) = servers().await;
    let upstream = Upstream::start(Options { record: 0, ..Options::default() }).await.unwrap();
    postgres.kill();
    let setup = Setup::default()
        .shared(&postgres, postgres.port, redis.port)
        .env("TOLLGATE_PROVIDERS_OPENAI_BASE_URL", &upstream.url())
        .fixed_ports();
    let gateway = setup.start_unwatched();
    eventually("it is alive", || async { get(&gateway, "/healthz").await.is_some_and(|(status, _)| status == 200) })
        .await;
    assert_eq!(get(&gateway, "/").await.unwrap().0, 200);
    for query in ["", "?degraded=ok"] {
        let (status, told) = gateway.ready(query).await;
        assert_eq!(status, 503, "{told}");
        assert!(told.to_string().contains("store"), "{told}");
        assert!(!told.to_string().contains("test-password"), "{told}");
    }
    let answer = gateway.told("anybody", &question()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(serde_json::from_str::<Value>(&answer.text).unwrap()["error"].is_object(), "{answer:?}");
    postgres.restart();
    eventually("it serves", || async { get(&gateway, "/readyz").await.is_some_and(|(status, _)| status == 200) }).await;
    gateway.key("k", json!({"costLimitInUsd": 1})).await;
    assert_eq!(gateway.told("k", &question()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_connections_of_postgres_in_use_it_says_so_and_serves_as_soon_as_there_are_some() {
    let (postgres, redis) = servers().await;
    postgres.sql("CREATE ROLE app LOGIN PASSWORD 'test-password' CONNECTION LIMIT 0");
    postgres.sql("GRANT CREATE ON SCHEMA public TO app");
    // Not what one wants for counts: a start says this, too.
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let url = postgres.url("postgres").replace("postgres:test-password", "app:test-password");
    let setup =
        Setup::default().shared(&postgres, postgres.port, redis.port).env("TOLLGATE_STORE_URL", &url).fixed_ports();
    let gateway = setup.start_unwatched();
    let says = |parts: &[&str]| gateway.log().lines().any(|line| parts.iter().all(|part| line.contains(part)));
    eventually("it says what is missing", || async {
        says(&["waiting for the store", "too many connections", "53300"])
    })
    .await;
    eventually("it is alive", || async { get(&gateway, "/healthz").await.is_some_and(|(status, _)| status == 200) })
        .await;
    assert_eq!(gateway.ready("").await.0, 503);
    postgres.sql("ALTER ROLE app CONNECTION LIMIT -1");
    eventually("it serves", || async { get(&gateway, "/readyz").await.is_some_and(|(status, _)| status == 200) }).await;
    assert!(says(&["WARN", "maxmemory-policy is allkeys-lru", "noeviction"]), "{}", gateway.log());
    assert!(!gateway.log().contains("test-password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_it_can_be_told_to_stop() {
    let (mut postgres, redis) = servers().await;
    postgres.kill();
    let setup = Setup::default().shared(&postgres, postgres.port, redis.port).fixed_ports();
    let mut gateway = setup.start_unwatched();
    eventually("it is alive", || async { get(&gateway, "/healthz").await.is_some() }).await;
    let began = std::time::Instant::now();
    assert_eq!(gateway.stop().await, Some(0));
    assert!(began.elapsed().as_secs() < 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_away_in_the_middle_of_it() {
    let mut fleet = Fleet::start(1).await;
    fleet.first().key("k", json!({"costLimitInUsd": 1})).await;
    assert_eq!(fleet.nodes[0].stop().await, Some(0));
    // Whoever reads the configuration waits behind this one.
    let (client, connection) =
        tokio_postgres::connect(&fleet.postgres.url("postgres"), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE changes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let setup = Setup::default()
        .shared(&fleet.postgres, fleet.postgres.port, fleet.redis.port)
        .env("TOLLGATE_PROVIDERS_OPENAI_BASE_URL", &fleet.upstream.url())
        .fixed_ports();
    let gateway = setup.start_unwatched();
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'changes'::regclass AND NOT granted";
    eventually("it has joined, and reads", || async {
        client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    fleet.postgres.kill();
    assert!(driver.await.unwrap().is_err());
    eventually("it is alive", || async { get(&gateway, "/healthz").await.is_some_and(|(status, _)| status == 200) })
        .await;
    assert_eq!(gateway.ready("").await.0, 503);
    fleet.postgres.restart();
    eventually("it serves", || async { get(&gateway, "/readyz").await.is_some_and(|(status, _)| status == 200) }).await;
    assert_eq!(gateway.told("k", &question()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_it_serves_from_the_ledger() {
    let mut fleet = Fleet::start(1).await;
    fleet.first().key("k", json!({"costLimitInUsdOverTime": 0.0002, "costLimitInUsdUnit": "mo"})).await;
    assert_eq!(fleet.first().told("k", &question()).await.status, 200);
    assert_eq!(fleet.nodes[0].stop().await, Some(0));
    fleet.redis.kill();
    let setup = Setup::default()
        .shared(&fleet.postgres, fleet.postgres.port, fleet.redis.port)
        .env("TOLLGATE_PROVIDERS_OPENAI_BASE_URL", &fleet.upstream.url())
        .fixed_ports();
    let gateway = setup.start_unwatched();
    let known = || async { get(&gateway, "/readyz?degraded=ok").await.is_some_and(|(status, _)| status == 200) };
    eventually("it serves", known).await;
    let (status, told) = gateway.ready("").await;
    assert_eq!((status, &told["dependencies"]["counters"]["ok"]), (503, &json!(false)), "{told}");
    assert_eq!(gateway.told("k", &question()).await.status, 200, "0.0001475 is spent, less than the limit");
    assert_eq!(gateway.told("k", &question()).await.status, 429, "now more is");
    fleet.redis.restart();
    eventually("it is ready", || async { gateway.ready("").await.0 == 200 }).await;
    assert_eq!(gateway.told("k", &question()).await.status, 429);
    fleet.nodes[0].restart().await;
    all_ready(&fleet).await;
    assert_eq!(fleet.first().told("k", &question()).await.status, 429, "and the other knows it");
}
