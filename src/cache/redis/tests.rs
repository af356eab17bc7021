//! Two gateways' caches on a real Redis.

use super::*;
use crate::domain::Usage;
use crate::redis::{LinkSettings, Node, State};
use crate::servers::{Redis, RedisCluster};
use bytes::Bytes;
use std::time::{Duration, Instant};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const ENTRY: usize = 16 << 10;

async fn cache(server: &Redis) -> RedisCache {
    let cache = unconnected(server);
    let up = async |state: &mut tokio::sync::watch::Receiver<State>| {
        state.wait_for(|state| matches!(state, State::Up { .. })).await.map(drop)
    };
    let mut state = cache.link.state();
    tokio::time::timeout(Duration::from_secs(30), up(&mut state)).await.expect("Redis is there").unwrap();
    cache
}

fn unconnected(server: &Redis) -> RedisCache {
    let link = Link::open(LinkSettings {
        nodes: vec![Node { host: "127.0.0.1".into(), port: server.port }],
        user: None,
        password: None,
        database: 0,
        tls: None,
        timeout: Duration::from_millis(250),
        connect_timeout: Duration::from_secs(2),
        prefix: "tollgate".into(),
    });
    RedisCache::new(link, ENTRY)
}

fn key(n: u8) -> CacheKey {
    CacheKey::new([n; 32])
}

fn answer(body: impl Into<Bytes>) -> Arc<CachedAnswer> {
    Arc::new(CachedAnswer {
        form: AnswerForm::Whole,
        content_type: "application/json".into(),
        body: body.into(),
        provider: "p".into(),
        model: "m".into(),
        step: 1,
        usage: Usage { in_text: 7, ..Usage::default() },
        stored_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(60)),
    })
}

/// Until it is kept.
async fn found(cache: &RedisCache, key: &CacheKey, form: AnswerForm) -> Arc<CachedAnswer> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = cache.get(key, form, NOW).await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it is never kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_one_gateway_keeps_another_finds_until_it_expires() {
    let server = Redis::start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    assert_eq!(other.get(&key(1), AnswerForm::Whole, NOW).await, None);
    one.put(&key(1), answer("a")).await;
    assert_eq!(found(&other, &key(1), AnswerForm::Whole).await, answer("a"));
    assert_eq!(other.get(&key(1), AnswerForm::Stream, NOW).await, Some(answer("a")), "there is no other");
    assert_eq!(other.get(&key(2), AnswerForm::Whole, NOW).await, None);
    assert_eq!(other.get(&key(1), AnswerForm::Whole, NOW.plus(Duration::from_secs(60))).await, None);
    let stream = Arc::new(CachedAnswer { form: AnswerForm::Stream, ..CachedAnswer::clone(&answer("s")) });
    other.put(&key(1), stream.clone()).await;
    while found(&one, &key(1), AnswerForm::Stream).await != stream {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(found(&one, &key(1), AnswerForm::Whole).await, answer("a"));
    let ttl: i64 = server.cli(&["PTTL", &one.name(&key(1), AnswerForm::Whole)]).parse().unwrap();
    assert!((1..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn the_server_forgets_what_has_expired() {
    let server = Redis::start();
    let cache = cache(&server).await;
    let short = CachedAnswer { expires_at: NOW.plus(Duration::from_millis(300)), ..CachedAnswer::clone(&answer("x")) };
    cache.put(&key(1), Arc::new(short)).await;
    found(&cache, &key(1), AnswerForm::Whole).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.cli(&["EXISTS", &cache.name(&key(1), AnswerForm::Whole)]) != "0" {
        assert!(Instant::now() < deadline, "it never goes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let dead = CachedAnswer { expires_at: NOW, ..CachedAnswer::clone(&answer("x")) };
    cache.put(&key(2), Arc::new(dead)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.cli(&["EXISTS", &cache.name(&key(2), AnswerForm::Whole)]), "0");
}

#[tokio::test]
async fn damaged_foreign_and_other_answers_are_misses() {
    let server = Redis::start();
    let cache = cache(&server).await;
    cache.put(&key(1), answer("a")).await;
    found(&cache, &key(1), AnswerForm::Whole).await;
    let (name, other) = (cache.name(&key(1), AnswerForm::Whole), cache.name(&key(2), AnswerForm::Whole));
    server.cli(&["COPY", &name, &other]);
    assert_eq!(cache.get(&key(2), AnswerForm::Whole, NOW).await, None, "another's answer");
    server.cli(&["SETRANGE", &name, "20", "#"]);
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None, "a damaged one");
    server.cli(&["SET", &name, "hello"]);
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None, "a text");
    server.cli(&["DEL", &name]);
    server.cli(&["RPUSH", &name, "x"]);
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None, "a list");
    let stream = Arc::new(CachedAnswer { form: AnswerForm::Stream, ..CachedAnswer::clone(&answer("s")) });
    cache.put(&key(1), stream.clone()).await;
    assert_eq!(found(&cache, &key(1), AnswerForm::Whole).await, stream, "beside a list");
    server.cli(&["DEL", &cache.name(&key(1), AnswerForm::Stream)]);
    // None of these is an outage, and the next answer takes their place.
    cache.put(&key(1), answer("b")).await;
    assert_eq!(found(&cache, &key(1), AnswerForm::Whole).await, answer("b"));
}

#[tokio::test]
async fn an_answer_above_the_limit_is_neither_kept_nor_fetched() {
    let server = Redis::start();
    let cache = cache(&server).await;
    let beside = entry::write(&key(1), &answer("")).unwrap().len();
    cache.put(&key(1), answer(vec![b'x'; ENTRY - beside])).await;
    assert_eq!(found(&cache, &key(1), AnswerForm::Whole).await.body.len(), ENTRY - beside);
    cache.put(&key(2), answer(vec![b'x'; ENTRY - beside + 1])).await;
    cache.put(&key(3), answer(vec![b'x'; ENTRY * 100])).await;
    cache.put(&key(4), answer("last")).await;
    found(&cache, &key(4), AnswerForm::Whole).await;
    assert_eq!(cache.get(&key(2), AnswerForm::Whole, NOW).await, None);
    assert_eq!(cache.get(&key(3), AnswerForm::Whole, NOW).await, None);
    // Kept by a gateway that allows more.
    let wide = RedisCache::new(cache.link.clone(), ENTRY * 2);
    wide.put(&key(2), answer(vec![b'x'; ENTRY])).await;
    found(&wide, &key(2), AnswerForm::Whole).await;
    assert_eq!(cache.get(&key(2), AnswerForm::Whole, NOW).await, None);
}

#[tokio::test]
async fn while_redis_is_away_or_silent_it_is_a_miss_soon() {
    let mut server = Redis::start();
    let cache = cache(&server).await;
    server.freeze();
    let began = Instant::now();
    cache.put(&key(1), answer("a")).await;
    assert!(began.elapsed() < Duration::from_millis(50), "an answer waits for its being kept");
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None);
    assert!(began.elapsed() < Duration::from_millis(500));
    let began = Instant::now();
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None);
    assert!(began.elapsed() < Duration::from_millis(50));
    server.thaw();
    server.kill();
    assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None);
    server.restart();
    let deadline = Instant::now() + Duration::from_secs(20);
    while cache.get(&key(2), AnswerForm::Whole, NOW).await.is_none() {
        assert!(Instant::now() < deadline, "it never keeps again");
        cache.put(&key(2), answer("b")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let never = unconnected(&server);
    assert_eq!(never.get(&key(2), AnswerForm::Whole, NOW).await, None, "not connected yet");
}

#[tokio::test]
async fn what_is_on_its_way_has_a_bound() {
    let server = Redis::start();
    let cache = cache(&server).await;
    let big = RedisCache::new(cache.link.clone(), 8 << 20);
    let all = big.room.available_permits();
    // No task runs before this one waits.
    for n in 0..20 {
        big.put(&key(n), answer(vec![b'x'; 7 << 20])).await;
        assert!(big.room.available_permits() <= all);
    }
    assert!(big.room.available_permits() < (7 << 20) / UNIT, "room for one more");
    let deadline = Instant::now() + Duration::from_secs(20);
    while big.room.available_permits() < all {
        assert!(Instant::now() < deadline, "room is never given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_cluster_spreads_the_answers() {
    let cluster = RedisCluster::start(3, 0);
    let cache = cache(&cluster.nodes[0]).await;
    for n in 0..60 {
        cache.put(&key(n), answer(vec![n; 100])).await;
    }
    for n in 0..60 {
        assert_eq!(found(&cache, &key(n), AnswerForm::Whole).await.body, vec![n; 100]);
    }
    for node in &cluster.nodes {
        let answers = node.cli(&["KEYS", "tollgate:answer:*"]).lines().count();
        assert!(answers >= 5, "{answers}");
    }
}
