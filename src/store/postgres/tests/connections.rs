//! Which server is used, with how much TLS, and what happens when it goes away.

use super::super::*;
use super::{opened, opened_at, sealer};
use crate::servers::{self, PgBouncer, Postgres};
use crate::store::suite::samples::{key, key_id};
use crate::store::{KeyStore, Store};
use std::time::Instant;

const SECRET: &str = "not-the-pass-word";

fn settings(url: &str) -> PostgresSettings {
    PostgresSettings::from_url(url).unwrap()
}

/// Whether the session has TLS, as the server sees it too; the error if there is none.
async fn reached(settings: PostgresSettings) -> std::result::Result<bool, String> {
    probe(settings).await.map(|probe| probe.tls).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_modes_mean_what_libpq_says() {
    let (server, plain) = (Postgres::start_with_tls(), Postgres::start());
    let other = tempfile::NamedTempFile::new().unwrap();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=somebody else", "-keyout", "/dev/null", "-out"])
        .arg(other.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    let (own, other) = (server.authority(), other.path().to_owned());
    let by_name = |parameters: &str| {
        let url = server.url("postgres").replace("127.0.0.1", "localhost");
        settings(&format!("{url}?{parameters}"))
    };
    let by_address = |parameters: &str| settings(&format!("{}?{parameters}", server.url("postgres")));
    let root = |mode: &str, path: &std::path::Path| format!("sslmode={mode}&sslrootcert={}", path.display());
    for (parameters, tls) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=allow".to_owned(), false),
        ("sslmode=prefer".to_owned(), true),
        (String::new(), true),
        ("sslmode=require".to_owned(), true),
        (root("require", &own), true),
        (root("verify-ca", &own), true),
        (root("verify-full", &own), true),
    ] {
        assert_eq!(reached(by_name(&parameters)).await, Ok(tls), "{parameters}");
    }
    // A name that the certificate is not for.
    assert_eq!(reached(by_address(&root("verify-ca", &own))).await, Ok(true));
    assert_eq!(reached(by_address(&root("require", &own))).await, Ok(true));
    assert!(reached(by_address(&root("verify-full", &own))).await.unwrap_err().contains("127.0.0.1"));
    // A root that is not its own; and those that the host trusts.
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = reached(by_name(&root(mode, &other))).await.unwrap_err();
        assert!(error.contains("with TLS"), "{error}");
    }
    assert!(reached(by_name("sslmode=verify-full")).await.is_err());
    // A server that speaks no TLS.
    let plainly = |mode: &str| settings(&format!("{}?sslmode={mode}", plain.url("postgres")));
    assert_eq!(reached(plainly("prefer")).await, Ok(false));
    assert_eq!(reached(plainly("allow")).await, Ok(false));
    assert!(reached(plainly("require")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_tls_gets_it_on_the_second_attempt() {
    let server = Postgres::start_with_tls();
    server.sql("ALTER SYSTEM SET password_encryption = 'scram-sha-256'");
    server.only_with_tls();
    let url = server.url("postgres");
    assert_eq!(reached(settings(&format!("{url}?sslmode=allow"))).await, Ok(true));
    assert_eq!(reached(settings(&format!("{url}?sslmode=prefer"))).await, Ok(true));
    assert!(reached(settings(&format!("{url}?sslmode=disable"))).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_server_that_takes_writes_is_used() {
    let (standby, primary) = (Postgres::start_with(&["default_transaction_read_only=on"]), Postgres::start());
    let dead = free_port();
    let hosts =
        [format!("127.0.0.1:{dead}"), format!("127.0.0.1:{}", standby.port), format!("127.0.0.1:{}", primary.port)];
    let password = crate::domain::Secret::new("test-password");
    let through = |hosts: &[String]| PostgresSettings::new(hosts, 1, "postgres", "postgres", &password).unwrap();
    let found = probe(through(&hosts)).await.unwrap();
    assert_eq!(found.server, hosts[2]);
    assert!(found.takes_writes);
    let error = probe(through(&hosts[..2])).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{}: takes no writes", hosts[1])), "{error}");
    assert!(error.contains(&hosts[0]) && error.contains("refused"), "{error}");
    let anything = format!("{}?target_session_attrs=any", standby.url("postgres"));
    assert_eq!(probe(settings(&anything)).await.unwrap().server, hosts[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_next_server_is_used() {
    let (mut first, second) = (Postgres::start(), Postgres::start());
    let url = format!("postgres://postgres:test-password@127.0.0.1:{},127.0.0.1:{}/postgres", first.port, second.port);
    migrate(settings(&second.url("postgres"))).await.unwrap();
    let store = PostgresStore::open(settings(&url), sealer()).await.unwrap();
    store.insert_key(&key(1, |_| {})).await.unwrap();
    assert!(store.key(key_id(1)).await.unwrap().is_some());
    first.kill();
    // The other one never heard of it: a real one would be its copy.
    assert!(store.key(key_id(1)).await.unwrap().is_none());
    store.insert_key(&key(2, |_| {})).await.unwrap();
    assert!(store.key(key_id(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_survive_a_restart_of_the_server() {
    let mut server = Postgres::start();
    let store = PostgresStore::open(settings(&server.url("postgres")), sealer()).await.unwrap();
    store.insert_key(&key(1, |_| {})).await.unwrap();
    // Several connections that will all be broken.
    let reads = (0..8).map(|_| store.key(key_id(1)));
    assert!(futures_util::future::join_all(reads).await.iter().all(std::result::Result::is_ok));
    server.kill();
    let begun = Instant::now();
    assert!(store.key(key_id(1)).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(5), "a refused connection is told at once");
    server.restart();
    let reads = (0..8).map(|_| store.key(key_id(1)));
    for read in futures_util::future::join_all(reads).await {
        assert!(read.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_on_a_connection_that_was_cut_is_repeated() {
    let (store, database) = opened().await;
    store.insert_key(&key(1, |_| {})).await.unwrap();
    for _ in 0..5 {
        assert!(store.key(key_id(1)).await.unwrap().is_some());
        servers::Postgres::cut(&database);
        assert!(store.key(key_id(1)).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let server = Postgres::start();
    let mut settings = settings(&server.url("postgres"));
    settings.read_timeout = Duration::from_millis(200);
    settings.connect_timeout = Duration::from_secs(1);
    let store = PostgresStore::open(settings, sealer()).await.unwrap();
    store.ping().await.unwrap();
    server.freeze();
    let begun = Instant::now();
    assert!(store.ping().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    server.thaw();
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_has_its_time() {
    let database = servers::database();
    let mut settings = settings(database.url());
    settings.read_timeout = Duration::from_millis(200);
    let store = PostgresStore::open(settings, sealer()).await.unwrap();
    let scan = store.scan_connection().await.unwrap();
    let error = StoreError::from(scan.simple_query("SELECT pg_sleep(5)").await.unwrap_err());
    assert!(error.to_string().contains("57014"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kind_of_work_waits_for_another() {
    let (store, _database) = opened().await;
    let (mut held, mut scans) = (Vec::new(), 0);
    while let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_millis(500), store.scan_connection()).await {
        scans += 1;
        held.push(connection);
    }
    assert!(scans >= 2);
    store.ping().await.unwrap();
    store.insert_key(&key(1, |_| {})).await.unwrap();
    assert!(store.drain_connection().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_shows_a_password() {
    let server = Postgres::start();
    let url = server.url("postgres").replace("test-password", SECRET);
    let error = probe(settings(&url)).await.unwrap_err();
    assert!(error.to_string().contains("28P01"), "{error}");
    for shown in [error.to_string(), format!("{error:?}"), format!("{:?}", settings(&url)), settings(&url).hosts()] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let dead = format!("postgres://postgres:{SECRET}@127.0.0.1:{}/postgres", free_port());
    let error = PostgresStore::open(settings(&dead), sealer()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_migrations_are_made_once() {
    let database = servers::database();
    assert_eq!(probe(settings(database.url())).await.unwrap().schema, None, "looking changes nothing");
    let racing = (0..5).map(|_| tokio::spawn(migrate(settings(database.url()))));
    let done = futures_util::future::join_all(racing).await;
    let versions: Vec<i64> = done.into_iter().map(|version| version.unwrap().unwrap()).collect();
    assert!(versions[0] >= 3 && versions.iter().all(|version| *version == versions[0]), "{versions:?}");
    assert_eq!(probe(settings(database.url())).await.unwrap().schema, Some(versions[0]));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_has_to_give_out_whole_sessions() {
    let server = Postgres::start();
    for mode in ["transaction", "statement"] {
        let pooler = PgBouncer::start(&server, mode);
        let url = server.url_at(pooler.port, "postgres");
        let refused = [
            reached(settings(&url)).await.unwrap_err(),
            migrate(settings(&url)).await.unwrap_err().to_string(),
            PostgresStore::open(settings(&url), sealer()).await.unwrap_err().to_string(),
        ];
        for why in refused {
            assert!(why.contains("pool_mode = session"), "{mode}: {why}");
        }
    }
    let pooler = PgBouncer::start(&server, "session");
    let url = server.url_at(pooler.port, "postgres");
    let (one, other) = (opened_at(&url).await, opened_at(&url).await);
    // The first wake is the listener's own, once it hears.
    tokio::time::timeout(Duration::from_secs(20), other.heard.changed.notified()).await.unwrap();
    one.insert_key(&key(1, |_| {})).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), other.heard.changed.notified()).await.unwrap();
    assert!(other.key(key_id(1)).await.unwrap().is_some());
}
