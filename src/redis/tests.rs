//! The link on real servers: what it is told of them, and how callers fare while they fail.

use super::*;
use crate::domain::Secret;
use crate::servers::{Redis, RedisCluster};
use redis::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A call that is not sent is refused within this, on a busy machine, too.
const AT_ONCE: Duration = Duration::from_millis(50);

fn node(port: u16) -> Node {
    Node { host: "127.0.0.1".into(), port }
}

fn settings(port: u16) -> LinkSettings {
    LinkSettings {
        nodes: vec![node(port)],
        user: None,
        password: None,
        database: 0,
        tls: None,
        timeout: Duration::from_millis(250),
        connect_timeout: Duration::from_secs(2),
        prefix: "tollgate".into(),
    }
}

fn secured(server: &Redis) -> LinkSettings {
    LinkSettings {
        user: Some(Redis::USER.into()),
        password: Some(Secret::new(Redis::PASSWORD)),
        tls: Some(TlsSettings { ca: Some(server.authority()) }),
        ..settings(server.port)
    }
}

/// Until the link stands as wanted.
async fn await_state(link: &Link, wanted: impl Fn(&State) -> bool) -> State {
    let mut state = link.state();
    let found = tokio::time::timeout(Duration::from_secs(30), state.wait_for(|state| wanted(state))).await;
    match found {
        Ok(state) => state.expect("the link is there").clone(),
        Err(_) => panic!("the link stands otherwise: {:?}", *link.state().borrow()),
    }
}

fn is_up(state: &State) -> bool {
    matches!(state, State::Up { .. })
}

/// The generation that it is up with.
async fn up(link: &Link) -> u64 {
    match await_state(link, is_up).await {
        State::Up { generation, .. } => generation,
        State::Down { .. } => unreachable!("it is up"),
    }
}

/// Up, with a later generation than this one.
async fn up_after(link: &Link, former: u64) -> u64 {
    match await_state(link, |state| matches!(state, State::Up { generation, .. } if *generation > former)).await {
        State::Up { generation, .. } => generation,
        State::Down { .. } => unreachable!("it is up"),
    }
}

async fn settled(link: &Link) {
    await_state(link, |state| matches!(state, State::Up { settled: true, .. })).await;
}

/// Why it is down.
async fn down(link: &Link) -> String {
    match await_state(link, |state| !is_up(state)).await {
        State::Down { why } => why.to_string(),
        State::Up { .. } => unreachable!("it is down"),
    }
}

/// Down, for a reason that contains this.
async fn down_because(link: &Link, part: &str) {
    await_state(link, |state| matches!(state, State::Down { why } if why.contains(part))).await;
}

async fn ping(link: &Link) -> Result<Value, LinkError> {
    let mut command = redis::cmd("SET");
    link.command(command.arg("tollgate:ping").arg("x")).await
}

fn increment() -> Script {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])")
}

#[tokio::test]
async fn a_script_runs_also_after_the_server_has_forgotten_it() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    up(&link).await;
    let script = increment();
    for expected in [5, 10] {
        assert_eq!(link.run(&script, &[b"n"], &[b"5"]).await, Ok(Value::Int(expected)));
    }
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(link.run(&script, &[b"n"], &[b"5"]).await, Ok(Value::Int(15)));
    assert_eq!(link.run(&script, &[b"n"], &[b"1"]).await, Ok(Value::Int(16)));
}

#[tokio::test]
async fn a_link_opens_without_a_server_and_finds_it_when_it_comes() {
    let mut server = Redis::start();
    server.kill();
    let link = Link::open(settings(server.port));
    let began = Instant::now();
    assert!(matches!(ping(&link).await, Err(LinkError::Down { .. })));
    assert!(began.elapsed() < AT_ONCE);
    down_because(&link, &format!("127.0.0.1:{}", server.port)).await;
    server.restart();
    assert_eq!(up(&link).await, 1);
    assert_eq!(ping(&link).await, Ok(Value::Okay));
}

#[tokio::test]
async fn a_server_that_comes_back_empty_is_another_generation_that_settles_later() {
    let mut server = Redis::start();
    let link = Link::open(settings(server.port));
    settled(&link).await;
    let former = up(&link).await;
    server.kill();
    down(&link).await;
    let began = Instant::now();
    assert!(matches!(ping(&link).await, Err(LinkError::Down { .. })));
    assert!(began.elapsed() < AT_ONCE);
    server.restart();
    let state = await_state(&link, is_up).await;
    assert_eq!(state, State::Up { generation: former + 1, settled: false });
    settled(&link).await;
    assert_eq!(*link.state().borrow(), State::Up { generation: former + 1, settled: true });
}

#[tokio::test]
async fn another_link_to_the_same_data_need_not_wait_until_it_settles() {
    let server = Redis::start();
    let first = Link::open(settings(server.port));
    settled(&first).await;
    let second = Link::open(settings(server.port));
    assert_eq!(await_state(&second, is_up).await, State::Up { generation: 1, settled: true });
}

#[tokio::test]
async fn a_server_that_forgets_without_a_word_is_noticed() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    settled(&link).await;
    let former = up(&link).await;
    server.cli(&["FLUSHALL"]);
    let state = await_state(&link, |state| matches!(state, State::Up { generation, .. } if *generation > former)).await;
    assert_eq!(state, State::Up { generation: former + 1, settled: false });
    settled(&link).await;
    // A value that is not an epoch is none.
    server.cli(&["SET", "tollgate:epoch", "something else"]);
    up_after(&link, former + 1).await;
}

#[tokio::test]
async fn nobody_waits_for_a_frozen_server_after_the_first() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    up(&link).await;
    server.freeze();
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let link = link.clone();
        calls.spawn(async move { ping(&link).await });
    }
    for answer in calls.join_all().await {
        assert!(matches!(answer, Err(LinkError::Lost { .. } | LinkError::Down { .. })), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
    for _ in 0..20 {
        let began = Instant::now();
        assert!(matches!(ping(&link).await, Err(LinkError::Down { .. })));
        assert!(began.elapsed() < AT_ONCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.thaw();
    up(&link).await;
    assert_eq!(ping(&link).await, Ok(Value::Okay));
}

#[tokio::test]
async fn a_short_silence_costs_no_generation() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    settled(&link).await;
    let former = up(&link).await;
    server.cli(&["CLIENT", "PAUSE", "500", "ALL"]);
    assert!(ping(&link).await.is_err());
    assert_eq!(up(&link).await, former);
    assert_eq!(ping(&link).await, Ok(Value::Okay));
}

#[tokio::test]
async fn a_server_that_answers_looks_but_not_calls_is_spared_for_a_while() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    up(&link).await;
    // Blocks its own answer only: the probes share the connection, so each is late by what is left of it.
    let mut blocks = redis::cmd("BLPOP");
    let blocks = blocks.arg("nothing").arg("0.3").clone();
    for _ in 0..3 {
        up(&link).await;
        assert!(matches!(link.command(&blocks).await, Err(LinkError::Lost { .. })));
    }
    let began = Instant::now();
    up(&link).await;
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_answered() {
    let server = Redis::start();
    let link = Link::open(LinkSettings { timeout: Duration::from_secs(10), ..settings(server.port) });
    up(&link).await;
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let link = link.clone();
        calls.spawn(async move { link.run(&increment(), &[b"n"], &[b"1"]).await });
    }
    let mut seen: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .map(|answer| match answer {
            Ok(Value::Int(n)) => n,
            other => panic!("{other:?}"),
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
    // Its own client, the probe's included.
    assert!(server.cli(&["CLIENT", "LIST"]).lines().count() <= 2);
}

#[tokio::test]
async fn a_call_that_is_wrong_is_refused_and_the_link_stays() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    let generation = up(&link).await;
    let wrong = Script::new("return redis.error_reply('MINE no such thing')");
    let answer = link.run(&wrong, &[b"n"], &[]).await;
    assert_eq!(answer, Err(LinkError::Refused { why: "MINE no such thing".into() }));
    server.cli(&["RPUSH", "list", "x"]);
    let answer = link.run(&increment(), &[b"list"], &[b"1"]).await;
    assert!(matches!(&answer, Err(LinkError::Refused { why }) if why.starts_with("WRONGTYPE")), "{answer:?}");
    assert!(matches!(link.command(&redis::cmd("NOSUCH")).await, Err(LinkError::Refused { .. })));
    assert_eq!(up(&link).await, generation);
}

#[tokio::test]
async fn a_server_without_memory_is_down_until_it_has_some() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    let generation = up(&link).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    down_because(&link, "OOM").await;
    assert!(matches!(ping(&link).await, Err(LinkError::Down { .. })));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    up_after(&link, generation).await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_and_no_secret() {
    let server = Redis::start_with(&["--requirepass", "right"]);
    for (password, part) in [(None, "NOAUTH"), (Some("wrong-one"), "refuses the user or the password")] {
        let settings = LinkSettings { password: password.map(Secret::new), ..settings(server.port) };
        assert!(!format!("{settings:?}").contains("wrong-one"));
        let link = Link::open(settings.clone());
        down_because(&link, part).await;
        assert!(!format!("{link:?} {:?}", ping(&link).await).contains("wrong-one"));
        assert!(check(&settings).await.unwrap_err().contains(part));
    }
    let link = Link::open(LinkSettings { password: Some(Secret::new("right")), ..settings(server.port) });
    up(&link).await;
}

#[tokio::test]
async fn tls_and_a_user_with_few_rights() {
    let server = Redis::secured();
    let good = secured(&server);
    let link = Link::open(good.clone());
    let generation = up(&link).await;
    assert_eq!(ping(&link).await, Ok(Value::Okay));
    assert_eq!(link.run(&increment(), &[b"tollgate:n"], &[b"2"]).await, Ok(Value::Int(2)));
    let foreign = link.run(&increment(), &[b"others"], &[b"2"]).await;
    assert!(matches!(&foreign, Err(LinkError::Refused { why }) if why.contains("NOPERM")), "{foreign:?}");
    assert_eq!(up(&link).await, generation);

    let line = check(&good).await.unwrap().answer;
    for part in ["Redis 7", "single server", "TLS", "user gateway", "no eviction", "us"] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    let other = Redis::secured();
    for wrong in [
        LinkSettings { tls: Some(TlsSettings { ca: Some(other.authority()) }), ..good.clone() },
        LinkSettings { tls: Some(TlsSettings { ca: None }), ..good.clone() },
        LinkSettings { tls: None, ..good.clone() },
        LinkSettings { tls: Some(TlsSettings { ca: Some("/no/such/file".into()) }), ..good.clone() },
    ] {
        let why = check(&wrong).await.unwrap_err();
        assert!(!why.contains(Redis::PASSWORD), "{why}");
    }
    assert!(check(&settings(1)).await.unwrap_err().contains("127.0.0.1:1"));
}

#[tokio::test]
async fn of_several_servers_the_one_that_is_no_replica_is_used() {
    let mut master = Redis::start();
    let replica = Redis::replica_of(&master);
    let alone = Link::open(settings(replica.port));
    down_because(&alone, "is a replica").await;
    let both = LinkSettings { nodes: vec![node(replica.port), node(master.port)], ..settings(1) };
    let link = Link::open(both);
    let generation = up(&link).await;
    assert_eq!(ping(&link).await, Ok(Value::Okay));

    master.kill();
    down(&link).await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    let generation = up_after(&link, generation).await;
    assert_eq!(ping(&link).await, Ok(Value::Okay));
    up(&alone).await;

    // The former master comes back, and the one in use becomes its replica with connections left alone.
    master.restart();
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    up_after(&link, generation).await;
    assert_eq!(ping(&link).await, Ok(Value::Okay));
    down_because(&alone, "is a replica").await;
}

#[tokio::test]
async fn the_epochs_of_a_cluster_are_in_all_parts_of_it() {
    let cluster = RedisCluster::start(3, 0);
    for part in 0..32 {
        let tag = super::epoch::PARTS[part];
        let slot: usize = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", &format!("x:{{{tag}}}")]).parse().unwrap();
        assert_eq!(slot / 512, part, "{tag}");
    }
}

#[tokio::test]
async fn a_cluster_is_found_by_one_of_its_nodes_and_serves_every_key() {
    let cluster = RedisCluster::start(3, 0);
    let link = Link::open(settings(cluster.nodes[1].port));
    settled(&link).await;
    let script = increment();
    for n in 0..200 {
        let (key, other) = (format!("{{{n}}}:a"), format!("{{{n}}}:b"));
        let answer = link.run(&script, &[key.as_bytes(), other.as_bytes()], &[b"1"]).await;
        assert_eq!(answer, Ok(Value::Int(1)), "{key}");
    }
    for node in &cluster.nodes {
        let keys: u32 = node.cli(&["DBSIZE"]).parse().unwrap();
        assert!(keys > 20, "{keys}");
        node.cli(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(link.run(&script, &[b"{7}:a"], &[b"1"]).await, Ok(Value::Int(2)));
    assert!(check(&settings(cluster.nodes[2].port)).await.unwrap().answer.contains("cluster"));
    let numbered = LinkSettings { database: 1, ..settings(cluster.nodes[0].port) };
    assert!(check(&numbered).await.is_err());

    // A node that forgets is another generation, whichever it is.
    for node in &cluster.nodes {
        let former = up(&link).await;
        node.cli(&["FLUSHALL"]);
        up_after(&link, former).await;
    }
}

#[tokio::test]
async fn a_slot_on_its_way_to_another_node_is_served() {
    let cluster = RedisCluster::start(3, 0);
    let link = Link::open(settings(cluster.nodes[0].port));
    up(&link).await;
    let script = increment();
    let key = "{7}:moving";
    let slot = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]);
    let at: usize = (0..3).find(|n| cluster.nodes[*n].cli(&["GET", key]).is_empty()).unwrap();
    let (from, to) = (&cluster.nodes[at], &cluster.nodes[(at + 1) % 3]);
    let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
    to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    // Not there any more: the node says who to ask.
    assert_eq!(link.run(&script, &[key.as_bytes()], &[b"1"]).await, Ok(Value::Int(1)));
    for node in [to, from] {
        node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    for expected in 2..10 {
        assert_eq!(link.run(&script, &[key.as_bytes()], &[b"1"]).await, Ok(Value::Int(expected)));
    }
}

#[tokio::test]
async fn a_cluster_that_lost_a_node_is_down_until_a_replica_takes_its_place() {
    let mut cluster = RedisCluster::start(3, 1);
    // Only the one that will die is configured: the others are known from it.
    let link = Link::open(settings(cluster.nodes[0].port));
    settled(&link).await;
    let former = up(&link).await;
    cluster.nodes[0].kill();
    let why = down(&link).await;
    assert!(!why.is_empty());
    up_after(&link, former).await;
    for n in 0..100 {
        let key = format!("{{{n}}}:a");
        assert_eq!(link.run(&increment(), &[key.as_bytes()], &[b"1"]).await, Ok(Value::Int(1)));
    }
}

#[tokio::test]
async fn a_link_that_is_dropped_lets_its_server_go() {
    let server = Redis::start();
    let link = Link::open(settings(server.port));
    up(&link).await;
    drop(link);
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.cli(&["CLIENT", "LIST"]).lines().count() > 1 {
        assert!(Instant::now() < deadline, "it is still connected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
