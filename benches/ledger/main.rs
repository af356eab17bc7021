//! How fast the ledger on Postgres is when it is large: events in, and every report and list out.
//!
//! Starts a server of its own, makes events in it (`--events N`, 2 million unless told) and prints tables. With `--stay`
//! the server runs on until the input ends; with `--at URL` such a server is asked again, and nothing is made.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench stops where it cannot go on, and prints")]
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a bench divides counts by seconds")]

mod arrive;
mod ask;
mod cpu;
mod fill;
// What every way of inserting does beside it.
#[path = "../../src/store/postgres/fold.rs"]
#[expect(dead_code, reason = "the library uses all of it")]
mod fold;
mod insert;
#[path = "../../tests/servers/mod.rs"]
mod servers;

use clap::Parser;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};
use tollgate::domain::{KeyId, UnixMillis};
use tollgate::store::EventStore as _;
use tollgate::store::postgres::{PostgresSettings, PostgresStore};
use tollgate::store::seal::{MasterKey, Sealer};
use uuid::Uuid;

const DAY: i64 = 86_400;
/// Events are spread over so many days up to now.
const DAYS: i64 = 90;
const KEYS: i64 = 1_000;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 2_000_000)]
    events: i64,
    /// Leaves the server running until the input ends.
    #[arg(long)]
    stay: bool,
    /// A database that another run has left.
    #[arg(long)]
    at: Option<String>,
    /// With `--at`: makes the sums anew.
    #[arg(long)]
    sums: bool,
    /// Only the tables whose names begin with this: sizes, ask, arrive, insert, retention.
    #[arg(long, default_value = "")]
    only: String,
}

/// As a server of that size would be set; the last two let the fill go past the log.
const SETTINGS: [&str; 12] = [
    // Inserts wait for the disk, as they do where money is counted.
    "fsync=on",
    "shared_buffers=3GB",
    "effective_cache_size=10GB",
    "work_mem=64MB",
    "maintenance_work_mem=768MB",
    "max_wal_size=4GB",
    "random_page_cost=1.1",
    "checkpoint_timeout=15min",
    "max_parallel_maintenance_workers=1",
    "wal_compression=lz4",
    "wal_level=minimal",
    "max_wal_senders=0",
];

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Some(url) = &args.at {
        runtime.block_on(run(url, &args));
        return;
    }
    let server = servers::Postgres::start_with(&SETTINGS);
    let url = server.url("postgres");
    println!("{url}");
    runtime.block_on(run(&url, &args));
    if args.stay {
        println!("it stays until the input ends");
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("an input");
    }
}

async fn run(url: &str, args: &Args) {
    let mut settings = PostgresSettings::from_url(url).expect("a URL");
    (settings.read_timeout, settings.write_timeout) = (Duration::from_secs(1200), Duration::from_secs(1200));
    let store = open(settings).await;
    let client = connect(url).await;
    let now: i64 = client.query_one("SELECT extract(epoch FROM now())::bigint", &[]).await.expect("now").get(0);
    if args.at.is_none() {
        println!("{} events of {KEYS} keys over {DAYS} days", args.events);
        fill::fill(url, now, args.events).await;
    }
    if args.at.is_none() || args.sums {
        fill::sum_up(url).await;
        let began = Instant::now();
        client.batch_execute("VACUUM ANALYZE").await.expect("vacuum");
        client.batch_execute("CHECKPOINT").await.expect("checkpoint");
        println!("analysed in {:.0} s", began.elapsed().as_secs_f64());
    }
    let server = cpu::Server::of(&client).await;
    let wanted = |table: &str| table.starts_with(&args.only);
    if wanted("sizes") {
        fill::sizes(&client).await;
    }
    if wanted("ask") {
        ask::ask(&store, server, now).await;
    }
    // Last: what they insert is all of one kind.
    if wanted("arrive") {
        arrive::compare(url, server, now).await;
    }
    if wanted("insert") {
        insert::insert(&store, server, now).await;
    }
    // As a gateway does it, and as long as it would wait for an answer.
    if wanted("retention") {
        let store = open(PostgresSettings::from_url(url).expect("a URL")).await;
        let began = Instant::now();
        let gone = store.drop_events_before(UnixMillis((now - (DAYS - 31) * DAY) * 1000)).await.expect("dropped");
        println!("\nmonths with {gone} events dropped in {:.0} s", began.elapsed().as_secs_f64());
    }
}

async fn open(settings: PostgresSettings) -> PostgresStore {
    let sealer = Sealer::new(vec![MasterKey::parse_base64(&format!("{}=", "A".repeat(43))).expect("a key")]);
    PostgresStore::open(settings, sealer.expect("a sealer")).await.expect("a store")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn key(n: u64) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(0x4000_8000_0000_0000_0000 | u128::from(n)))
}
