//! Databases and Redis servers that cannot be used as they are, on real servers: `check` names what is wrong in one line,
//! tells no secret, and fails.

use super::{Exit, run_with};
use crate::servers::{Postgres, Redis, RedisCluster, free_port};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// In every password here.
const SECRET: &str = "hunter2";

/// The only complaint of a command that fails, which contains all parts.
fn complaint(command: &str, environment: &[(&str, &str)], parts: &[&str]) -> String {
    let environment = [environment, &[("TOLLGATE_MASTER_KEY", KEY), ("ADMIN_PASS", "unrelated")]].concat();
    let (exit, out, err) = run_with(&[command], &environment, None);
    assert_eq!(exit, Exit::Failed, "{out}{err}");
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    for part in parts {
        assert!(err.contains(part), "{part} is not in: {err}");
    }
    err
}

fn store(url: &str, parts: &[&str]) {
    let told = complaint("check", &[("TOLLGATE_STORE_URL", url)], parts);
    assert!(told.starts_with("tollgate: store: "), "{told}");
}

/// What `check` says on standard error of what can be used all the same.
fn warned(environment: &[(&str, &str)]) -> String {
    let environment = [environment, &[("TOLLGATE_MASTER_KEY", KEY), ("ADMIN_PASS", "unrelated")]].concat();
    let (exit, _, err) = run_with(&["check"], &environment, None);
    assert_eq!(exit, Exit::Good, "{err}");
    err
}

#[test]
fn a_database_that_lets_nobody_in() {
    let server = Postgres::start();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{SECRET}'"));
    let at = |user: &str, password: &str, database: &str| {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", server.port)
    };
    store(&at("app", "hunter2-wrong", "postgres"), &["password authentication failed for user \"app\"", "28P01"]);
    store(&at("nobody", SECRET, "postgres"), &["password authentication failed for user \"nobody\""]);
    store(&at("app", SECRET, "none"), &["database \"none\" does not exist", "3D000"]);
    server.sql("ALTER ROLE app CONNECTION LIMIT 0");
    store(&at("app", SECRET, "postgres"), &["too many connections", "53300"]);
    let port = free_port();
    store(&format!("postgres://app:{SECRET}@127.0.0.1:{port}/d"), &[&format!("127.0.0.1:{port}"), "refused"]);
}

#[test]
fn a_database_that_is_not_fit_for_the_ledger() {
    let server = Postgres::start();
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    store(&server.url("latin"), &["encoded in LATIN1", "UTF8"]);
    server.sql("CREATE DATABASE archive");
    server.sql("ALTER DATABASE archive SET default_transaction_read_only = on");
    store(&server.url("archive"), &["takes no writes", "default_transaction_read_only"]);
    let standby = server.standby();
    store(&standby.url("postgres"), &["takes no writes", "standby"]);
    let old = old_server("9.6.24");
    store(&format!("postgres://app:{SECRET}@127.0.0.1:{old}/d?sslmode=disable"), &["version 9.6.24 is too old", "14"]);
}

#[test]
fn a_user_who_may_not_make_tables_is_told_which_right_is_missing() {
    let server = Postgres::start();
    server.sql(&format!("CREATE ROLE \"Some App\" LOGIN PASSWORD '{SECRET}'"));
    let url = format!("postgres://Some%20App:{SECRET}@127.0.0.1:{}/postgres", server.port);
    let right = "GRANT CREATE ON SCHEMA public TO \"Some App\"";
    store(&url, &["the tables cannot be made", right]);
    complaint("migrate", &[("TOLLGATE_STORE_URL", &url)], &[right]);
    assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // Somebody else has made them: it can be used, but for the months to come.
    let whole = warned(&[("TOLLGATE_STORE_URL", &server.url("postgres"))]);
    assert_eq!(whole, "");
    assert_eq!(
        run_with(&["migrate"], &[("TOLLGATE_STORE_URL", &server.url("postgres")), ("TOLLGATE_MASTER_KEY", KEY)], None)
            .0,
        Exit::Good
    );
    server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"Some App\"");
    let told = warned(&[("TOLLGATE_STORE_URL", &url)]);
    assert!(told.starts_with("tollgate: warning: store: events of coming months") && told.contains(right), "{told}");
    server.sql("DROP SCHEMA public CASCADE");
    store(&url, &["no schema of the search_path"]);
}

#[test]
fn a_redis_that_cannot_count() {
    let server = Redis::start();
    server.cli(&["ACL", "SETUSER", "reader", "on", &format!(">{SECRET}"), "~tollgate*", "+@read", "+info"]);
    server.cli(&["ACL", "SETUSER", "other", "on", &format!(">{SECRET}"), "~other*", "+@all"]);
    let replica = Redis::replica_of(&server);
    let cluster = RedisCluster::start(3, 0);
    for node in &cluster.nodes {
        node.cli(&["CLUSTER", "DELSLOTSRANGE", "100", "200"]);
    }
    let postgres = Postgres::start();
    let database = postgres.url("postgres");
    let (port, one) = (server.port, cluster.nodes[0].port);
    let cases: [(String, &[&str]); 6] = [
        (format!("redis://nobody:{SECRET}@127.0.0.1:{port}"), &["refuses the user or the password"]),
        (format!("redis://reader:{SECRET}@127.0.0.1:{port}"), &["NOPERM", "evalsha"]),
        (format!("redis://other:{SECRET}@127.0.0.1:{port}"), &["NOPERM", "keys"]),
        (format!("redis://127.0.0.1:{}", replica.port), &["is a replica, which takes no writes"]),
        (format!("redis://127.0.0.1:{one}"), &["no node of the cluster has slots 100-200"]),
        (format!("redis://127.0.0.1:{one}/3"), &["cluster"]),
    ];
    for (url, parts) in cases {
        let told = complaint("check", &[("TOLLGATE_STORE_URL", &database), ("TOLLGATE_COUNTERS_URL", &url)], parts);
        assert!(told.starts_with("tollgate: counters: "), "{told}");
    }
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let told = warned(&[("TOLLGATE_STORE_URL", &database), ("TOLLGATE_COUNTERS_URL", &server.url())]);
    assert!(told.starts_with("tollgate: warning: counters: maxmemory-policy is allkeys-lru"), "{told}");
    assert!(told.contains("set it to noeviction") && told.lines().count() == 1, "{told}");
}

/// The port of what lets everybody in and says that it is this version.
fn old_server(version: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            // The client's first message, which says who it is.
            let mut startup = [0; 512];
            let _ = client.read(&mut startup).unwrap();
            let mut answer = Vec::new();
            let mut message = |kind: u8, body: &[u8]| {
                answer.push(kind);
                answer.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
                answer.extend_from_slice(body);
            };
            message(b'R', &0_u32.to_be_bytes());
            message(b'S', format!("server_version\0{version}\0").as_bytes());
            message(b'S', b"server_encoding\0UTF8\0");
            message(b'Z', b"I");
            client.write_all(&answer).unwrap();
        }
    });
    port
}
