//! `tollgate import` and the gateway afterwards: what the originals would answer, old keys, balances.

use crate::servers::{self, Database};
use crate::support::{Gateway, MASTER_KEY, Setup, chat, eventually, servers as servers_of_a_fleet};
use crate::upstream::{Options, Upstream};
use serde_json::{Value, json};
use std::process::{Command, Output};

const BOOT: &str = "br_boot-key-of-the-import-tests";
const KEY: &str = "00000000-0000-4000-8000-0000000000c1";

/// The tables of both products, with every odd thing in them; the library's tests read the same.
const BRICKSLLM: &str = include_str!("../../src/import/tests/bricksllm.sql");
const BRCONNECTOR: &str = include_str!("../../src/import/tests/brconnector.sql");

async fn sql(source: &Database, sql: &str) {
    let (client, connection) = tokio_postgres::connect(source.url(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
}

async fn source(tables: &str) -> Database {
    let source = tokio::task::spawn_blocking(servers::database).await.unwrap();
    sql(&source, tables).await;
    source
}

async fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Options { keys: Vec::new(), ..Options::default() }).await.unwrap();
    let gateway = Setup::default().env("ADMIN_API_KEY", BOOT).start(&upstream).await;
    (upstream, gateway)
}

/// In the gateway's directory, whether it runs or not.
async fn import(gateway: &Gateway, product: &str, source: &Database, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["import", product, source.url()]).args(more).current_dir(gateway.dir()).env_clear();
    command
        .envs(["TOLLGATE_STORE_URL", "TOLLGATE_MASTER_KEY"].iter().filter_map(|name| Some((name, gateway.env(name)?))));
    tokio::task::spawn_blocking(move || command.output().expect("the program runs")).await.unwrap()
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let request = gateway.http.get(format!("{}{path}", gateway.admin)).header("x-api-key", BOOT).bearer_auth(BOOT);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_running_gateway_takes_over_bricksllm() {
    let (_upstream, gateway) = house().await;
    let source = source(BRICKSLLM).await;
    // Its one call is to be answered by an upstream that takes any credential.
    sql(&source, "UPDATE keys SET cost_limit_in_usd = 2, allowed_paths = NULL, ttl = '' WHERE key_id LIKE '%c1'").await;
    let dry = import(&gateway, "bricksllm", &source, &["--dry-run"]).await;
    assert!(String::from_utf8_lossy(&dry.stdout).contains("this was a dry run"));
    assert_eq!(get(&gateway, "/api/provider-settings").await, json!([]));

    let done = import(&gateway, "bricksllm", &source, &[]).await;
    // Rows of the source are wrong, and are told.
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stderr).contains("7 rows of the source cannot be taken over"));
    let path = format!("/api/key-management/keys?keyIds={KEY}");
    eventually("the key is loaded", || async { chat(&gateway, "raw-key-one").await.status() == 200 }).await;
    let key = get(&gateway, &path).await[0].clone();
    for (field, expect) in [
        ("name", json!("钥匙")),
        ("createdAt", json!(200)),
        ("updatedAt", json!(201)),
        ("tags", json!(["a", "b"])),
        ("keyId", json!(KEY)),
        ("revoked", json!(false)),
        ("costLimitInUsd", json!(2.0)),
        ("costLimitInUsdOverTime", json!(0.3)),
        ("costLimitInUsdUnit", json!("mo")),
        ("rateLimitOverTime", json!(3)),
        ("rateLimitUnit", json!("m")),
        ("settingIds", json!(["00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000ff"])),
        ("shouldLogRequest", json!(true)),
        ("rotationEnabled", json!(true)),
    ] {
        assert_eq!(key[field], expect, "{field}");
    }
    let settings = get(&gateway, "/api/provider-settings").await;
    assert_eq!((settings.as_array().unwrap().len(), &settings[0]["name"]), (2, &json!("主要")));
    assert!(!settings.to_string().contains("sk-up"));
    assert_eq!(get(&gateway, "/api/custom/providers").await[0]["provider"], "own");
    assert_eq!(get(&gateway, "/api/routes").await[0]["path"], "/production/chat");
    // The stored digest is no credential, and a revoked key stays revoked.
    for refused in ["f3", "raw-key-two", "raw-key-four"] {
        assert_eq!(chat(&gateway, refused).await.status(), 401, "{refused}");
    }
    let again = import(&gateway, "bricksllm", &source, &[]).await;
    let table = String::from_utf8_lossy(&again.stdout).into_owned();
    let keys = table.lines().find(|line| line.starts_with("keys  ")).unwrap();
    assert_eq!(keys.split_whitespace().collect::<Vec<_>>(), ["keys", "5", "0", "0", "3", "0", "2"], "{table}");
}

#[tokio::test]
async fn what_a_later_import_brings_counts_for_a_key_in_use() {
    let (_upstream, gateway) = house().await;
    a_later_import_counts_at(&[gateway]).await;
}

#[tokio::test]
async fn over_postgres_it_counts_at_every_gateway_with_shared_counts_and_without() {
    let (postgres, redis) = servers_of_a_fleet().await;
    let upstream = Upstream::start(Options { keys: Vec::new(), ..Options::default() }).await.unwrap();
    let counters = format!("redis://127.0.0.1:{}/0", redis.port);
    for (database, counters) in [("alone", ""), ("shared", counters.as_str())] {
        postgres.sql(&format!("CREATE DATABASE {database}"));
        let setup = Setup::default()
            .env("ADMIN_API_KEY", BOOT)
            .env("TOLLGATE_MASTER_KEY", MASTER_KEY)
            .env("TOLLGATE_STORE_URL", &postgres.url(database))
            .env("TOLLGATE_COUNTERS_URL", counters);
        a_later_import_counts_at(&[setup.clone().start(&upstream).await, setup.start(&upstream).await]).await;
    }
}

/// A key is taken over and used at each of them; then its old home has spent more, and is asked again.
async fn a_later_import_counts_at(gateways: &[Gateway]) {
    let source = source(BRICKSLLM).await;
    let limits = "UPDATE keys SET cost_limit_in_usd = 5, cost_limit_in_usd_over_time = 0, rate_limit_over_time = 0, \
                  allowed_paths = NULL, ttl = '' WHERE key_id LIKE '%c1'";
    sql(&source, limits).await;
    import(&gateways[0], "bricksllm", &source, &[]).await;
    for gateway in gateways {
        eventually("the key is loaded", || async { chat(gateway, "raw-key-one").await.status() == 200 }).await;
    }
    let more = format!(
        "INSERT INTO events (event_id, created_at, key_id, cost_in_usd, provider, model, status_code) \
         VALUES ('00000000-0000-4000-8000-0000000000e9', 1700000009, '{KEY}', 5, 'openai', 'gpt-4o', 200)"
    );
    sql(&source, &more).await;
    import(&gateways[0], "bricksllm", &source, &[]).await;
    for gateway in gateways {
        eventually("what was spent elsewhere counts", || async { chat(gateway, "raw-key-one").await.status() == 401 })
            .await;
    }
}

#[tokio::test]
async fn balances_and_totals_of_a_running_gateway_refuse_and_admit() {
    let (_upstream, gateway) = house().await;
    let bricks = source(BRICKSLLM).await;
    // It has spent 1.3 already.
    sql(&bricks, "UPDATE keys SET cost_limit_in_usd = 1.2, ttl = '', allowed_paths = NULL WHERE key_id LIKE '%c1'")
        .await;
    import(&gateway, "bricksllm", &bricks, &[]).await;
    eventually("the key is known and spent", || async {
        let answer = chat(&gateway, "raw-key-one").await;
        answer.status() == 401
            && get(&gateway, &format!("/api/key-management/keys?keyIds={KEY}")).await[0]["revoked"] == true
    })
    .await;

    let source = source(BRCONNECTOR).await;
    sql(&source, "UPDATE eiai_key SET month_fee = month_quota, balance = 0, updated_at = now() WHERE id = 3").await;
    let done = import(&gateway, "brconnector", &source, &[]).await;
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let list = get(&gateway, "/admin/api-key/list?limit=100").await;
    let key = list["data"]["items"].as_array().unwrap().iter().find(|key| key["name"] == "管理员").unwrap().clone();
    // Its number was given to a key of the other product.
    assert_ne!(key["id"], json!(3));
    assert_eq!(key["total_fee"], json!("12.3456789012"));
    assert_eq!((&key["month_quota"], &key["balance"]), (&json!("20.0000000000"), &json!("0.0000000000")));
    let admin = "br-00000000000000000000000000001";
    let body = json!({"model": "模型", "messages": [{"role": "user", "content": "hello"}]});
    let ask =
        || gateway.http.post(format!("{}/v1/chat/completions", gateway.proxy)).bearer_auth(admin).json(&body).send();
    eventually("its quota is known", || async { ask().await.unwrap().status() == 402 }).await;
}
