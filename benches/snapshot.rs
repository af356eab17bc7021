//! What a large key table costs: bytes per key in the snapshot, time to load it at start, to change one key in it, to
//! look one up; and what the ledger costs per event.
//!
//! `SNAPSHOT_KEYS` (default 100000) and `SNAPSHOT_EVENTS` (default 100000) set the sizes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "results are for people")]

use anyhow::{Context as _, Result};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tollgate::domain::{
    Event, EventId, Key, KeyDigest, KeyId, Money, RateLimit, SettingId, UnixMillis, Usage, UsageSource, Window,
};
use tollgate::snapshot::{Change, Changes, Point};
use tollgate::store::loader::Loader;
use tollgate::store::seal::{MasterKey, Sealer};
use tollgate::store::sqlite::SqliteStore;
use tollgate::store::{ChangeFeed, EventStore, KeyStore};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY_BATCH: usize = 10_000;
const LOOKUPS: u64 = 2_000_000;
const BATCH: u64 = 500;

fn main() -> Result<()> {
    let keys = size("SNAPSHOT_KEYS", 100_000)?;
    let events = size("SNAPSHOT_EVENTS", 100_000)?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(keys, events))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration")]
fn size(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().context("a size must be a number"))
}

async fn run(keys: u64, events: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let store =
        Arc::new(SqliteStore::open(&path, Sealer::new(vec![MasterKey::load_or_create(&folder.path().join("key"))?])?)?);

    let mut took = Duration::ZERO;
    for n in (0..keys).step_by(KEY_BATCH) {
        let batch: Vec<_> = (n..keys.min(n + KEY_BATCH as u64)).map(key).collect();
        let began = Instant::now();
        store.insert_keys(&batch).await?;
        took += began.elapsed();
    }
    report("insert a key, in batches", took, keys);

    // Includes what SQLite caches and the last page of the feed: an upper bound, close for many keys.
    let before = resident_bytes()?;
    let loader = Loader::new(Arc::clone(&store) as Arc<dyn ChangeFeed>);
    let began = Instant::now();
    loader.refresh().await?;
    let took = began.elapsed();
    let grown = resident_bytes()?.saturating_sub(before);
    anyhow::ensure!(loader.current().keys() as u64 == keys, "not every key was loaded");
    println!("{:<28} {:>10.2} s for {keys} keys", "load at start", took.as_secs_f64());
    println!("{:<28} {:>10.0} bytes", "snapshot, per key", grown as f64 / keys as f64);
    println!("{:<28} {:>10.0} MiB", "resident in all", resident_bytes()? as f64 / f64::from(1 << 20));

    let snapshot = loader.current();
    let began = Instant::now();
    for n in 0..LOOKUPS {
        black_box(snapshot.key(&digest(black_box(n.wrapping_mul(7919) % keys))));
    }
    report("look a key up", began.elapsed(), LOOKUPS);
    let began = Instant::now();
    for n in 0..LOOKUPS {
        black_box(snapshot.key(&digest(black_box(keys + n))));
    }
    report("look an unknown key up", began.elapsed(), LOOKUPS);

    let rounds = 1000;
    let mut current = snapshot.as_ref().clone();
    let mut took = Duration::ZERO;
    for n in 0..rounds {
        let change = Change::Key(Box::new(key(n % keys)));
        let changes = Changes { point: Point::at(current.position() + 1), changes: vec![change] };
        let began = Instant::now();
        current = black_box(current.apply(changes));
        took += began.elapsed();
    }
    report("apply one change", took, rounds);

    let mut took = Duration::ZERO;
    for n in 0..events.div_ceil(BATCH) {
        let batch: Vec<_> = (n * BATCH..(n + 1) * BATCH).map(|n| event(n, keys)).collect();
        let began = Instant::now();
        store.insert_events(&batch).await?;
        took += began.elapsed();
    }
    report("book an event, batches of 500", took, events.div_ceil(BATCH) * BATCH);
    Ok(())
}

fn report(what: &str, took: Duration, times: u64) {
    println!("{what:<28} {:>10.3} us", took.as_secs_f64() * 1e6 / times as f64);
}

/// Second field of `statm`: resident pages.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("unknown form of statm")?.parse()?;
    Ok(pages * 4096)
}

/// Spread like a real digest: multiplying by an odd number and swapping halves mixes enough.
fn digest(n: u64) -> KeyDigest {
    let mut bytes = [0; 32];
    for (word, salt) in bytes.chunks_exact_mut(8).zip([1u64, 3, 5, 7]) {
        let mixed = n.wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        word.copy_from_slice(&(mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes());
    }
    KeyDigest::from_bytes(bytes)
}

/// Spread like a real id, so that indexes are read as they are in life.
fn key_id(n: u64) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)))
}

/// A typical key: two tags, one setting, a rate and a budget.
fn key(n: u64) -> Key {
    Key {
        id: key_id(n),
        number: 0,
        revision: 1,
        digest: digest(n),
        hint: "sk-ab...xyz".into(),
        name: format!("customer {n}").into(),
        tags: ["production".into(), "team-checkout".into()].into(),
        created_at: UnixMillis(1_700_000_000_000),
        updated_at: UnixMillis(1_700_000_000_000),
        revoked: false,
        revoked_reason: "".into(),
        single_setting: false,
        setting_ids: [SettingId::from_uuid(Uuid::from_u64_pair(n % 10, 2))].into(),
        rotation: false,
        allowed_paths: Box::default(),
        ttl: "".into(),
        rate: Some(RateLimit { limit: 100, window: Window::Minute }),
        total_budget: Some(Money::from_units(1_000_000_000_000)),
        window_budget: None,
        budget_mode: None,
        log_request: false,
        log_response: false,
        policy_id: "".into(),
        is_key_not_hashed: false,
        membership: None,
    }
}

/// A typical event: a thousand keys take turns.
fn event(n: u64, keys: u64) -> Event {
    let at = 1_700_000_000_000 + n;
    Event {
        id: EventId::from_uuid(Uuid::from_u64_pair((at << 16) | 0x7000, n | 1 << 63)),
        created_at: UnixMillis(at.cast_signed() + 400),
        key_id: Some(key_id(n.wrapping_mul(7919) % keys.clamp(1, 1000))),
        setting_id: Some(SettingId::from_uuid(Uuid::from_u64_pair(n % 10, 2))),
        tags: vec!["production".into(), "team-checkout".into()],
        provider: "openai".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
        status: 200,
        method: "POST".into(),
        path: "/api/providers/openai/v1/chat/completions".into(),
        latency_ms: 400 + n % 100,
        cost: Money::from_units(9_300_000),
        usage: Usage {
            in_text: 900,
            cache_read_text: 100,
            out_text: 110,
            source: UsageSource::Upstream,
            ..Usage::default()
        },
        flags: Vec::new(),
        custom_id: format!("order-{n}").into(),
        user_id: "".into(),
        request_id: Uuid::from_u64_pair(n, 3).to_string().into(),
        upstream_request_id: "req_0123456789abcdef0123456789abcdef".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}
