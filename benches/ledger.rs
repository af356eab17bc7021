//! How fast the ledger on Postgres is when it is large: events in, and every report and list out.
//!
//! Starts a server of its own, makes events in it (`--events N`, 2 million unless told) and prints a table.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench stops where it cannot go on, and prints")]
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a bench divides counts by seconds")]

#[path = "../tests/servers/mod.rs"]
mod servers;

use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use tollgate::domain::{Event, EventId, InstanceId, KeyId, Money, UnixMillis, Usage};
use tollgate::limits::{SharedLedger as _, Since};
use tollgate::store::postgres::{PostgresSettings, PostgresStore};
use tollgate::store::seal::{MasterKey, Sealer};
use tollgate::store::{EventFilter, EventOrder, EventStore, GroupBy, Paging, ReportFilter, TopKeysFilter};
use uuid::Uuid;

const DAY: i64 = 86_400;
/// Events are spread over so many days up to now.
const DAYS: i64 = 90;
const KEYS: i64 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--events").skip(1);
    let events = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(2_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = servers::Postgres::start();
    for setting in
        ["shared_buffers = '2GB'", "work_mem = '64MB'", "maintenance_work_mem = '512MB'", "max_wal_size = '8GB'"]
    {
        server.sql(&format!("ALTER SYSTEM SET {setting}"));
    }
    server.kill();
    server.restart();
    runtime.block_on(run(&server.url("postgres"), events));
}

async fn run(url: &str, events: i64) {
    let sealer = Sealer::new(vec![MasterKey::parse_base64(&format!("{}=", "A".repeat(43))).expect("a key")]);
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    let mut settings = PostgresSettings::from_url(url).expect("a URL");
    (settings.read_timeout, settings.write_timeout) = (Duration::from_secs(600), Duration::from_secs(600));
    let store = PostgresStore::open(settings, sealer.expect("a sealer")).await.expect("a store");
    let (client, connection) = config.connect(NoTls).await.expect("a connection");
    tokio::spawn(async move { drop(connection.await) });
    let now: i64 = client.query_one("SELECT extract(epoch FROM now())::bigint", &[]).await.expect("now").get(0);

    println!("{events} events of {KEYS} keys over {DAYS} days");
    months(&client, now).await;
    let began = Instant::now();
    generate(&client, now, events).await;
    println!("made in {:.0} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    store.rebuild_sums().await.expect("sums");
    client.batch_execute("VACUUM ANALYZE").await.expect("vacuum");
    println!("summed up and analysed in {:.0} s", began.elapsed().as_secs_f64());
    sizes(&client).await;
    insert(&store, now).await;
    ask(&store, now).await;
}

/// As the store would have made them in time.
async fn months(client: &tokio_postgres::Client, now: i64) {
    let sql = "SELECT extract(epoch FROM m)::bigint, extract(epoch FROM m + interval '1 month')::bigint FROM \
        generate_series(date_trunc('month', to_timestamp($1::bigint) AT TIME ZONE 'UTC'), to_timestamp($2::bigint) AT TIME ZONE 'UTC', '1 month') AS m";
    for row in client.query(sql, &[&(now - DAYS * DAY), &now]).await.expect("months") {
        let (from, to): (i64, i64) = (row.get(0), row.get(1));
        let id = |seconds: i64| Uuid::from_u128(u128::try_from(seconds * 1000).unwrap_or(0) << 80);
        client
            .batch_execute(&format!(
                "CREATE TABLE IF NOT EXISTS events_from_{} PARTITION OF events FOR VALUES FROM ('{}') TO ('{}')",
                from / 3600,
                id(from),
                id(to)
            ))
            .await
            .expect("a month");
    }
}

/// The busiest key has a tenth of all; half carry a user, a tenth an id of the caller.
async fn generate(client: &tokio_postgres::Client, now: i64, events: i64) {
    let keys = "INSERT INTO keys (id, number, revision, digest, hint, name, name_folded, tags, created_at, updated_at, revoked, \
        revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, log_request, log_response, policy_id, \
        is_key_not_hashed) SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n, 1, \
        sha256(n::text::bytea), '', 'key ' || n, 'key ' || n, '{}', n, n, false, '', false, '{}', false, '[]', '', false, \
        false, '', false FROM generate_series(0, $1::bigint - 1) AS n";
    client.execute(keys, &[&KEYS]).await.expect("keys");
    let sql = "INSERT INTO events (id, created_at, cost, latency_ms, prompt_tokens, completion_tokens, instance, status, \
            admitted, key_id, model, custom_id, user_id, tags, provider, method, path, usage, request_id) \
        SELECT (lpad(to_hex(at), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid, \
            at + latency, (random() * 1e8)::bigint, latency, (random() * 4000)::bigint, (random() * 800)::bigint, 1, \
            CASE WHEN random() < 0.02 THEN 429 ELSE 200 END, true, \
            ('00000000-0000-4000-8000-' || lpad(to_hex(CASE WHEN n % 10 = 0 THEN 0 ELSE (power(random(), 2) * ($3::bigint - 1))::bigint END), 12, '0'))::uuid, \
            (ARRAY['gpt-4o', 'gpt-4o-mini', 'claude-sonnet', 'o3'])[1 + (random() * 3)::int], \
            CASE WHEN n % 10 = 1 THEN 'run-' || (n / 100) END, CASE WHEN n % 2 = 0 THEN 'user-' || (random() * 20000)::int END, \
            CASE WHEN n % 4 = 0 THEN ARRAY['prod', 'team-' || (n % 37)] WHEN n % 4 = 1 THEN ARRAY['dev'] END, \
            'openai', 'POST', '/api/providers/openai/v1/chat/completions', \
            '{\"in_text\":1000,\"out_text\":300,\"source\":\"upstream\"}', 'req-' || n \
        FROM (SELECT n, $1::bigint * 1000 + (n::float8 / $4::float8 * ($2::bigint - $1) * 1000)::bigint AS at, \
            (exp(random() * 8))::bigint AS latency FROM generate_series($5::bigint, $6::bigint) AS n) AS made";
    const STEP: i64 = 1_000_000;
    for first in (0..events).step_by(1_000_000) {
        let last = (first + STEP).min(events) - 1;
        client
            .execute(sql, &[&(now - DAYS * DAY), &now, &KEYS, &(events as f64), &first, &last])
            .await
            .expect("events");
    }
    let spend = "INSERT INTO key_spend SELECT key_id, instance, sum(cost)::bigint FROM events GROUP BY 1, 2";
    client.execute(spend, &[]).await.expect("spend");
}

async fn sizes(client: &tokio_postgres::Client) {
    let sql = "SELECT what, pg_size_pretty(sum(bytes)), sum(rows)::bigint FROM (\
        SELECT 'events, rows' AS what, pg_table_size(oid) AS bytes, reltuples AS rows FROM pg_class WHERE relname LIKE 'events\\_%' AND relkind = 'r' \
        UNION ALL SELECT regexp_replace(indexrelid::regclass::text, '^events_(from_[0-9]+|other)', 'events, index'), pg_table_size(indexrelid), 0 \
            FROM pg_index WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass) \
        UNION ALL SELECT relname, pg_total_relation_size(oid), reltuples FROM pg_class WHERE relname IN ('usage_by_time', 'latency_by_time', 'key_spend')\
        ) AS parts GROUP BY 1 ORDER BY sum(bytes) DESC";
    for row in client.query(sql, &[]).await.expect("sizes") {
        println!("| {} | {} | {} rows |", row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, i64>(2));
    }
}

fn event(n: u64, millis: i64, keys: u64) -> Event {
    let made = u128::try_from(millis).unwrap_or(0) << 80 | 7 << 76 | 1 << 63 | u128::from(n);
    Event {
        id: EventId::from_uuid(Uuid::from_u128(made)),
        created_at: UnixMillis(millis + 812),
        key_id: Some(key(n % keys)),
        setting_id: Some(tollgate::domain::SettingId::from_uuid(Uuid::from_u128(5))),
        tags: vec!["prod".into(), "team-a".into()],
        provider: "openai".into(),
        model: "gpt-4o".into(),
        status: 200,
        method: "POST".into(),
        path: "/api/providers/openai/v1/chat/completions".into(),
        latency_ms: 100 + n % 3000,
        cost: Money::from_units(9_300_000),
        usage: Usage { in_text: 120, out_text: 340, ..Usage::default() },
        flags: Vec::new(),
        custom_id: "".into(),
        user_id: format!("user-{}", n % 5000).into(),
        request_id: format!("01890a5d-ac96-774b-bcce-{n:012}").into(),
        upstream_request_id: "req_0123456789abcdef".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}

fn key(n: u64) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(0x4000_8000_0000_0000_0000 | u128::from(n)))
}

/// Through the port, as gateways do.
async fn insert(store: &PostgresStore, now: i64) {
    println!("\n| Batches | Keys | Gateways | Events a second |\n|---|---|---|---|");
    let mut next = 0u64;
    for (batch, keys, gateways) in [(100u64, 20, 1), (1000, 20, 1), (1000, 1000, 1), (1000, 20, 2), (1000, 1000, 2)] {
        let each = (60 * batch).min(30_000);
        let first = next;
        next += each * gateways;
        let began = Instant::now();
        let tasks: Vec<_> = (0..gateways)
            .map(|gateway| {
                let store = store.booking_as(InstanceId(10 + i32::try_from(gateway).unwrap_or(0)));
                tokio::spawn(async move {
                    for part in (0..each).step_by(usize::try_from(batch).unwrap_or(1)) {
                        let numbers = part..part + batch;
                        let millis = |n: u64| now * 1000 + i64::try_from(n / 20).unwrap_or(0);
                        let events: Vec<_> =
                            numbers.map(|n| event(first + gateway * each + n, millis(n), keys)).collect();
                        store.insert_events(&events).await.expect("inserted");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a gateway");
        }
        let rate = (each * gateways) as f64 / began.elapsed().as_secs_f64();
        println!("| {batch} | {keys} | {gateways} | {rate:.0} |");
    }
}

async fn time<T>(what: &str, mut ask: impl AsyncFnMut() -> T) {
    let mut best = Duration::MAX;
    let mut first = None;
    for _ in 0..3 {
        let began = Instant::now();
        drop(ask().await);
        let took = began.elapsed();
        first.get_or_insert(took);
        best = best.min(took);
    }
    let millis = |took: Duration| took.as_secs_f64() * 1000.0;
    println!("| {what} | {:.1} | {:.1} |", first.map_or(0.0, millis), millis(best));
}

async fn ask(store: &PostgresStore, now: i64) {
    println!("\n| Question | First, ms | Best of three, ms |\n|---|---|---|");
    let busy = key(0);
    let report = |days: i64, increment: i64| ReportFilter {
        start: now - days * DAY - 1234,
        end: now,
        increment,
        ..ReportFilter::default()
    };
    let by = GroupBy { model: true, key: true, ..GroupBy::default() };
    let by_user = GroupBy { user_id: true, ..GroupBy::default() };
    let text = |text: &str| vec![text.to_owned()];
    for (what, filter) in [
        ("report: an hour, by minutes", ReportFilter { start: now - 3600, ..report(1, 60) }),
        ("report: a day, by hours", report(1, 3600)),
        ("report: 30 days, by days", report(30, DAY)),
        ("report: 90 days, by days", report(90, DAY)),
        ("report: 90 days, by days, model and key", ReportFilter { group_by: by, ..report(90, DAY) }),
        ("report: 90 days, busiest key", ReportFilter { key_ids: vec![busy], ..report(90, DAY) }),
        ("report: 30 days, small key", ReportFilter { key_ids: vec![key(777)], ..report(30, DAY) }),
        ("report: a day, of a tag", ReportFilter { tags: text("team-4"), ..report(1, 3600) }),
        ("report: 30 days, of a user", ReportFilter { user_ids: text("user-17"), ..report(30, DAY) }),
        ("report: a day, by user", ReportFilter { group_by: by_user, ..report(1, DAY) }),
    ] {
        time(what, async || store.report(&filter).await.expect("a report")).await;
    }
    let list = |order, key_ids: Vec<KeyId>| EventFilter {
        key_ids,
        start: Some(now - 7 * DAY),
        end: Some(now),
        order,
        paging: Paging { limit: 100, offset: 0, count: true },
        ..EventFilter::default()
    };
    let newest = EventOrder::NewestFirst;
    for (what, filter) in [
        ("list: newest of a week, counted", list(newest, vec![])),
        ("list: oldest of a week, counted", list(EventOrder::OldestFirst, vec![])),
        (
            "list: page 100 of the newest",
            EventFilter { paging: Paging { offset: 10_000, ..list(newest, vec![]).paging }, ..list(newest, vec![]) },
        ),
        ("list: newest of all time", EventFilter { start: None, end: None, ..list(newest, vec![]) }),
        ("list: newest of a key", list(newest, vec![busy])),
        ("list: newest of a small key", list(newest, vec![key(777)])),
        ("list: dearest of a week", list(EventOrder::DearestFirst, vec![])),
        ("list: dearest of a key", list(EventOrder::DearestFirst, vec![busy])),
        ("list: of a status", EventFilter { status: Some(429), ..list(newest, vec![]) }),
        ("list: of a tag", EventFilter { tags: text("team-4"), ..list(newest, vec![]) }),
        ("list: of a custom id", EventFilter { custom_ids: text("run-4711"), ..list(newest, vec![]) }),
        ("list: of a user", EventFilter { user_ids: text("user-17"), ..list(newest, vec![]) }),
    ] {
        time(what, async || store.list_events(&filter).await.expect("a list")).await;
    }
    let top =
        |days: i64, tags| TopKeysFilter { start: now - days * DAY - 77, end: now, tags, ..TopKeysFilter::default() };
    time("top keys: a day", async || store.top_keys(&top(1, vec![])).await.expect("keys")).await;
    time("top keys: 90 days", async || store.top_keys(&top(90, vec![])).await.expect("keys")).await;
    time("top keys: a day, of a tag", async || store.top_keys(&top(1, text("team-4"))).await.expect("keys")).await;
    time("custom ids of the busiest key", async || store.custom_ids(busy).await.expect("ids")).await;
    time("custom ids of a key", async || store.custom_ids(key(777)).await.expect("ids")).await;
    time("user ids of the busiest key", async || store.user_ids(busy).await.expect("ids")).await;
    let since = |days: i64| UnixMillis((now - days * DAY) * 1000 - 1_234_567);
    time("spend of all keys since a month", async || store.spends_since(since(30)).await.expect("spends")).await;
    time("admissions of all keys since a month", async || {
        store.admissions_by_key_since(since(30)).await.expect("admissions")
    })
    .await;
    time("spend of all keys ever", async || store.spends().await.expect("spends")).await;
    for (what, key, days) in [
        ("standing: busiest key, a month", busy, 30),
        ("standing: busiest key, an hour", busy, 0),
        ("standing: small key, a month", key(777), 30),
    ] {
        let since = Since { rate: Some(since(days)), window: Some(since(days)) };
        time(what, async || store.standing(key, since).await.expect("a standing")).await;
    }
    let minute = UnixMillis(now * 1000 - 30_000);
    let since = Since { rate: Some(minute), window: Some(UnixMillis(now / DAY * DAY * 1000)) };
    time("standing: rate of a minute, budget of a day", async || {
        store.standing(busy, since).await.expect("a standing")
    })
    .await;
}
