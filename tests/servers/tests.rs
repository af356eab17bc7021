//! The servers themselves: a test that relies on them must be able to.

use super::directory::Directory;
use super::process::{Process, apart};
use super::{Postgres, Proxy, Redis, Said, database};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn soon(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn postgres_keeps_its_data_over_a_kill_and_leaves_nothing_behind() {
    let mut server = Postgres::start();
    server.sql("CREATE TABLE t AS SELECT 1 AS a");
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    server.restart();
    assert_eq!(server.sql("SELECT a FROM t"), "1");
    let directory = server.directory();
    server.freeze();
    drop(server);
    assert!(!directory.exists());
}

#[test]
fn databases_of_the_shared_server_are_apart() {
    let (one, two) = (database(), database());
    assert_ne!(one.url(), two.url());
}

#[test]
fn a_standby_has_what_was_committed_and_takes_over() {
    let mut first = Postgres::start();
    let second = first.standby();
    first.sql("CREATE TABLE t AS SELECT 7 AS a");
    first.kill();
    second.promote();
    assert_eq!(second.sql("SELECT a FROM t"), "7");
    second.sql("INSERT INTO t VALUES (8)");
}

#[test]
fn redis_forgets_with_its_process() {
    let mut server = Redis::start();
    server.cli(&["SET", "a", "1"]);
    server.kill();
    server.restart();
    assert_eq!(server.cli(&["EXISTS", "a"]), "0");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let directory = Directory::new();
    let log = directory.path().join("log");
    let command = ["redis-server", "--port", "1", "--nonsense"].map(str::to_owned);
    let process = Process::start(&command, directory.path(), &log);
    let why = process.answer(&log, || false).unwrap_err();
    assert!(why.contains("nonsense"), "{why}");
}

/// Whoever held the leash was killed, so that nothing was dropped: the system closes the pipes, here as there.
#[test]
fn when_the_holder_of_the_leash_dies_server_and_directory_go() {
    let held = Directory::new();
    let log = held.path().join("log");
    let process = Process::start(&["sleep", "1000"].map(str::to_owned), held.path(), &log);
    let (pid, path) = (process.pid(), held.path().to_owned());
    assert!(process.runs());
    // As the system does it with a process that ends: no destructor, all descriptors closed.
    process.let_go();
    held.let_go();
    soon("the server is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    soon("the directory is gone", || !path.exists());
}

#[test]
fn a_signal_to_the_whole_group_does_not_reach_the_leash() {
    let mut leash = apart("sleep").arg("5").stdin(Stdio::null()).spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", leash.id())).unwrap();
    let group = stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned();
    assert_eq!(group, leash.id().to_string());
    leash.kill().unwrap();
    leash.wait().unwrap();
}

#[test]
fn the_proxy_tells_what_was_asked_and_delays_and_cuts() {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port);
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut ask = |request: &[u8], length: usize| {
        let began = Instant::now();
        client.write_all(request)?;
        let mut reply = vec![0; length];
        client.read_exact(&mut reply)?;
        std::io::Result::Ok((reply, began.elapsed()))
    };
    proxy.record();
    // The second request comes in two pieces with the first.
    let (reply, _) = ask(b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\necho\r\n$2\r\nhi\r\n", 7 + 8).unwrap();
    assert_eq!(reply, b"+PONG\r\n$2\r\nhi\r\n");
    let said: Vec<Said> = proxy.recorded().into_iter().map(|frame| frame.said).collect();
    assert_eq!(said, [Said::Request("PING".into()), Said::Request("ECHO".into()), Said::Reply, Said::Reply]);

    proxy.delay(Duration::from_millis(50));
    let (_, took) = ask(b"*1\r\n$4\r\nPING\r\n", 7).unwrap();
    assert!(took >= Duration::from_millis(100), "{took:?}");
    proxy.delay(Duration::ZERO);

    proxy.stall();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(80));
            proxy.flow();
        });
        let (_, took) = ask(b"*1\r\n$4\r\nPING\r\n", 7).unwrap();
        assert!(took >= Duration::from_millis(70), "{took:?}");
    });

    proxy.cut();
    assert!(ask(b"*1\r\n$4\r\nPING\r\n", 7).is_err());
    let mut late = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    assert_eq!(late.read(&mut [0; 1]).unwrap_or(0), 0, "nobody is let in");
    proxy.mend();
    let mut again = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    again.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    assert_eq!(again.read(&mut [0; 16]).unwrap(), 7);
}
