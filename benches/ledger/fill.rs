//! A ledger as it would be after some months, made by the server itself, a month at a time: each table is filled, then
//! indexed, then attached, in one transaction that needs no log.

use std::time::Instant;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::fold::{Way, fold};
use super::{DAY, DAYS, KEYS, connect};

/// The busiest key has a tenth of all; half carry a user, a tenth an id of the caller, half some tags.
const EVENTS: &str = "INSERT INTO TABLE_NAME (id, created_at, cost, latency_ms, prompt_tokens, completion_tokens, instance, \
        status, admitted, key_id, setting_id, model, custom_id, user_id, tags, provider, method, path, usage, request_id, \
        upstream_request_id) \
    SELECT (lpad(to_hex(at), 12, '0') || '7' || substr(mixed, 1, 3) || '8' || substr(mixed, 4, 15))::uuid, \
        at + latency, (random() * 1e8)::bigint, latency, (random() * 4000)::bigint, (random() * 800)::bigint, \
        1 + n % 2, CASE WHEN n % 53 = 0 THEN 429 ELSE 200 END, true, \
        ('00000000-0000-4000-8000-' || lpad(to_hex(CASE WHEN n % 10 = 0 THEN 0 ELSE (power(random(), 2) * (KEYS - 1))::bigint END), 12, '0'))::uuid, \
        '00000000-0000-4000-8000-0000000000ff', \
        (ARRAY['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4', 'o3'])[1 + (random() * 3)::int], \
        CASE WHEN n % 10 = 1 THEN 'run-' || (n / 100) END, CASE WHEN n % 2 = 0 THEN 'user-' || (random() * 20000)::int END, \
        CASE WHEN n % 4 = 0 THEN ARRAY['prod', 'team-' || (n % 37)] WHEN n % 4 = 1 THEN ARRAY['dev'] END, \
        'openai', 'POST', '/api/providers/openai/v1/chat/completions', \
        '{\"in_text\":1000,\"out_text\":300,\"source\":\"upstream\"}', mixed::uuid::text, 'req_' || substr(mixed, 1, 20) \
    FROM (SELECT n, md5(n::text) AS mixed, $1::bigint * 1000 + (n * $2::float8)::bigint AS at, \
        (exp(random() * 8))::bigint AS latency FROM generate_series($3::bigint, $4::bigint - 1) AS n) AS made";

/// A month, in seconds.
struct Month {
    from: i64,
    to: i64,
}

impl Month {
    /// As the store would have named it.
    fn table(&self) -> String {
        format!("events_from_{}", self.from / 3600)
    }
}

pub(super) async fn fill(url: &str, now: i64, events: i64) {
    let began = Instant::now();
    let client = connect(url).await;
    keys(&client).await;
    let indexes =
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'events'::regclass AND NOT indisprimary";
    let indexes: Vec<String> =
        client.query(indexes, &[]).await.expect("indexes").iter().map(|row| row.get(0)).collect();
    let mut months = months(&client, now).await;
    for month in &months {
        // Those that the store has made, empty.
        client.batch_execute(&format!("DROP TABLE IF EXISTS {}", month.table())).await.expect("dropped");
    }
    // The longest first, so that both hands end at about the same time.
    months.sort_by_key(|month| month.to.min(now) - month.from.max(now - DAYS * DAY));
    let months = std::sync::Arc::new(parking_lot::Mutex::new(months));
    let hands: Vec<_> = (0..2)
        .map(|_| {
            let (months, indexes, url) = (months.clone(), indexes.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut client = connect(&url).await;
                loop {
                    let Some(month) = months.lock().pop() else { return };
                    fill_month(&mut client, &month, &indexes, (now, events)).await;
                }
            })
        })
        .collect();
    for hand in hands {
        hand.await.expect("a month");
    }
    println!("made in {:.0} s", began.elapsed().as_secs_f64());
    let spend = "INSERT INTO key_spend SELECT key_id, instance, sum(cost)::bigint FROM events GROUP BY 1, 2";
    client.execute(spend, &[]).await.expect("spend");
}

async fn keys(client: &Client) {
    let keys = "INSERT INTO keys (id, number, revision, digest, hint, name, name_folded, tags, created_at, updated_at, revoked, \
        revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, log_request, log_response, policy_id, \
        is_key_not_hashed) SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n, 1, \
        sha256(n::text::bytea), '', 'key ' || n, 'key ' || n, '{}', n, n, false, '', false, '{}', false, '[]', '', false, \
        false, '', false FROM generate_series(0, $1::bigint - 1) AS n";
    client.execute(keys, &[&KEYS]).await.expect("keys");
}

async fn months(client: &Client, now: i64) -> Vec<Month> {
    let sql = "SELECT extract(epoch FROM m AT TIME ZONE 'UTC')::bigint, extract(epoch FROM (m + interval '1 month') AT TIME ZONE 'UTC')::bigint \
        FROM generate_series(date_trunc('month', to_timestamp($1::bigint) AT TIME ZONE 'UTC'), to_timestamp($2::bigint) AT TIME ZONE 'UTC', '1 month') AS m";
    let rows = client.query(sql, &[&(now - DAYS * DAY), &now]).await.expect("months");
    rows.iter().map(|row| Month { from: row.get(0), to: row.get(1) }).collect()
}

async fn fill_month(client: &mut Client, month: &Month, indexes: &[String], (now, events): (i64, i64)) {
    let table = month.table();
    let id = |seconds: i64| Uuid::from_u128(u128::try_from(seconds * 1000).unwrap_or(0) << 80);
    let start = now - DAYS * DAY;
    // Milliseconds from one event to the next, and the first event of a moment.
    let apart = (DAYS * DAY * 1000) as f64 / events as f64;
    #[expect(clippy::cast_possible_truncation, reason = "below the number of events")]
    let first = |seconds: i64| (((seconds - start).max(0) * 1000) as f64 / apart).ceil() as i64;
    let began = Instant::now();
    let tx = client.transaction().await.expect("a transaction");
    tx.batch_execute(&format!(
        "SET LOCAL synchronous_commit = off; \
         CREATE TABLE {table} (LIKE events INCLUDING ALL EXCLUDING INDEXES)"
    ))
    .await
    .expect("a table");
    let sql = EVENTS.replace("TABLE_NAME", &table).replace("KEYS", &KEYS.to_string());
    // Rounded, an event may be a millisecond before its month.
    let (from, to) = (first(month.from) + i64::from(month.from > start), first(month.to).min(events));
    let made = tx.execute(&sql, &[&start, &apart, &from, &to]).await.expect("events");
    let filled = began.elapsed();
    tx.batch_execute(&format!("ALTER TABLE {table} ADD PRIMARY KEY (id)")).await.expect("an index");
    for index in indexes {
        let (_, what) = index.split_once(" ON ONLY public.events ").expect("an index of the parent");
        tx.batch_execute(&format!("CREATE INDEX ON {table} {what}")).await.expect("an index");
    }
    tx.batch_execute(&format!(
        "ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ('{}') TO ('{}')",
        id(month.from),
        id(month.to)
    ))
    .await
    .expect("a month");
    tx.commit().await.expect("a commit");
    println!(
        "{table}: {made} in {:.0} s, indexed in {:.0} s",
        filled.as_secs_f64(),
        (began.elapsed() - filled).as_secs_f64()
    );
}

/// What the store sums up as events come, without its care for rows that are there already, and indexed at last.
pub(super) async fn sum_up(url: &str) {
    let began = Instant::now();
    let tables = fold("events", Way::Add);
    let hands: Vec<_> = ["usage_by_time", "latency_by_time"]
        .map(|table| {
            let (_, insert) = tables.split_once(&format!("(INSERT INTO {table} ")).expect("its insert");
            let (insert, _) = insert.split_once(" ON CONFLICT").expect("its end");
            let insert = format!("INSERT INTO {table} {insert}");
            let url = url.to_owned();
            tokio::spawn(async move {
                let mut client = connect(&url).await;
                let tx = client.transaction().await.expect("a transaction");
                let indexes = "SELECT pg_get_indexdef(indexrelid), indexrelid::regclass::text, indisprimary FROM pg_index \
                    WHERE indrelid = $1::text::regclass";
                let indexes = tx.query(indexes, &[&table]).await.expect("indexes");
                tx.batch_execute(&format!("SET LOCAL work_mem = '512MB'; TRUNCATE {table}")).await.expect("emptied");
                let named = |row: &Row| (row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, bool>(2));
                for (_, name, primary) in indexes.iter().map(named) {
                    let drop = if primary {
                        format!("ALTER TABLE {table} DROP CONSTRAINT {name}")
                    } else {
                        format!("DROP INDEX {name}")
                    };
                    tx.batch_execute(&drop).await.expect("dropped");
                }
                tx.execute(&insert, &[]).await.expect("sums");
                println!("{table} in {:.0} s", began.elapsed().as_secs_f64());
                for (definition, name, primary) in indexes.iter().map(named) {
                    tx.batch_execute(&definition).await.expect("an index");
                    if primary {
                        let named = format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}");
                        tx.batch_execute(&named).await.expect("a key");
                    }
                }
                tx.commit().await.expect("a commit");
            })
        })
        .into();
    for hand in hands {
        hand.await.expect("sums");
    }
    println!("summed up in {:.0} s", began.elapsed().as_secs_f64());
}

/// What is on the disk, and how much of it for each event.
pub(super) async fn sizes(client: &Client) {
    let sql = "SELECT what, sum(bytes)::bigint, sum(rows)::bigint FROM (\
        SELECT 'events' AS what, pg_table_size(oid) AS bytes, greatest(reltuples, 0) AS rows FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass) \
        UNION ALL SELECT 'index on ' || regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', ''), pg_table_size(indexrelid), 0 \
            FROM pg_index WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass) \
        UNION ALL SELECT relname, pg_table_size(oid), reltuples FROM pg_class WHERE relname IN ('usage_by_time', 'latency_by_time', 'key_spend') \
        UNION ALL SELECT 'indexes of ' || relname, pg_indexes_size(oid), 0 FROM pg_class WHERE relname IN ('usage_by_time', 'latency_by_time')\
        ) AS parts GROUP BY 1 ORDER BY 2 DESC";
    let all: i64 = client.query_one("SELECT sum(reltuples)::bigint FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass) AND reltuples > 0", &[]).await.expect("a count").get(0);
    println!("\n| What | MB | Rows | Bytes an event |\n|---|---|---|---|");
    let mut sum = 0;
    for row in client.query(sql, &[]).await.expect("sizes") {
        let (what, bytes, rows): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        sum += bytes;
        println!("| {what} | {} | {rows} | {:.1} |", bytes >> 20, bytes as f64 / all as f64);
    }
    println!("| all | {} | {all} | {:.1} |", sum >> 20, sum as f64 / all as f64);
}
