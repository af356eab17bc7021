//! How rows get to the server: as arrays of one statement, which is what the store does, or copied into a temporary
//! table first. What follows, sums included, is the same statement.

use std::collections::HashMap;
use std::time::Instant;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};
use tollgate::domain::Event;
use uuid::Uuid;

use super::cpu::Server;
use super::fold::{FOLDED, Way, fold};
use super::{connect, insert};

const COLUMNS: &str = "id, created_at, cost, latency_ms, prompt_tokens, completion_tokens, status, admitted, key_id, \
    setting_id, model, user_id, tags, provider, method, path, usage, request_id, upstream_request_id";
const TYPES: [Type; 19] = [
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::BOOL,
    Type::UUID,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT_ARRAY,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
];
/// Of each way, taken in turns.
const ROUNDS: usize = 5;
const BATCHES: u64 = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Arrays,
    Copied,
}

/// A connection with its prepared statements.
struct Line {
    client: Client,
    known: HashMap<String, Statement>,
}

impl Line {
    async fn prepared(&mut self, sql: &str) -> Statement {
        if let Some(statement) = self.known.get(sql) {
            return statement.clone();
        }
        let statement = self.client.prepare(sql).await.expect("a statement");
        self.known.insert(sql.to_owned(), statement.clone());
        statement
    }
}

pub(super) async fn compare(url: &str, server: Server, now: i64) {
    println!(
        "\n| Batches | Written | As arrays, events a second | Copied first | | As arrays, ms of the server an event | Copied first |\n|---|---|---|---|---|---|---|"
    );
    let mut line = Line { client: connect(url).await, known: HashMap::new() };
    line.client
        .batch_execute("CREATE TEMPORARY TABLE arriving (LIKE events) ON COMMIT DELETE ROWS")
        .await
        .expect("a temporary table");
    let mut next = 0;
    for (batch, sums) in [(100, true), (500, true), (1000, true), (100, false), (1000, false)] {
        let mut rates = [Vec::new(), Vec::new()];
        let mut worked = [0; 2];
        for _ in 0..ROUNDS {
            let ways = [Arrival::Arrays, Arrival::Copied].into_iter().zip(&mut rates).zip(&mut worked);
            for ((way, rates), worked) in ways {
                let before = server.worked();
                rates.push(rate(&mut line, way, (batch, sums), (&mut next, now)).await);
                *worked += server.worked() - before;
            }
        }
        let [arrays, copied] = rates.map(|mut rates| {
            rates.sort_unstable_by(f64::total_cmp);
            rates.get(ROUNDS / 2).copied().unwrap_or_default()
        });
        let what = if sums { "events and sums" } else { "events only" };
        let more = (copied / arrays - 1.0) * 100.0;
        let [worked, worked_copied] = worked.map(|ms: u64| ms as f64 / (ROUNDS as u64 * BATCHES * batch) as f64);
        println!("| {batch} | {what} | {arrays:.0} | {copied:.0} | {more:+.0} % | {worked:.2} | {worked_copied:.2} |");
    }
}

async fn rate(line: &mut Line, way: Arrival, (batch, sums): (u64, bool), (next, now): (&mut u64, i64)) -> f64 {
    let batches: Vec<Vec<Event>> = (0..BATCHES)
        .map(|_| {
            let first = *next;
            *next += batch;
            (first..*next).map(|n| insert::event(n, now * 1000 + i64::try_from(n / 20).unwrap_or(0), 1000)).collect()
        })
        .collect();
    let began = Instant::now();
    for events in &batches {
        let new = match way {
            Arrival::Arrays => as_arrays(line, events, sums).await,
            Arrival::Copied => copied(line, events, sums).await,
        };
        assert_eq!(new, events.len(), "every event is new");
    }
    (BATCHES * batch) as f64 / began.elapsed().as_secs_f64()
}

fn sql(from: &str, values: &str, sums: bool) -> String {
    let new = format!(
        "WITH new AS (INSERT INTO events (instance, {COLUMNS}) SELECT 9, {values} FROM {from} \
         ON CONFLICT (id) DO NOTHING RETURNING {FOLDED})"
    );
    if !sums {
        return format!("{new} SELECT id FROM new");
    }
    format!(
        "{new}, {}, spent AS (INSERT INTO key_spend AS old (key_id, instance, total) \
         SELECT key_id, instance, sum(cost)::bigint FROM new GROUP BY 1, 2 ORDER BY 1, 2 \
         ON CONFLICT (key_id, instance) DO UPDATE SET total = old.total + excluded.total) SELECT id FROM new",
        fold("new", Way::Add)
    )
}

async fn as_arrays(line: &mut Line, events: &[Event], sums: bool) -> usize {
    let values = COLUMNS.replace("tags", "tags::text[]");
    let places: Vec<_> = TYPES
        .iter()
        .enumerate()
        // There are no arrays of arrays of different lengths.
        .map(|(n, of)| format!("${}::{}[]", n + 1, if *of == Type::TEXT_ARRAY { "text" } else { of.name() }))
        .collect();
    let sql = sql(&format!("unnest({}) AS given ({COLUMNS})", places.join(", ")), &values, sums);
    let numbers = |of: fn(&Event) -> i64| events.iter().map(of).collect::<Vec<_>>();
    let texts = |of: fn(&Event) -> String| events.iter().map(of).collect::<Vec<_>>();
    let ids = |of: fn(&Event) -> Uuid| events.iter().map(of).collect::<Vec<_>>();
    let statuses: Vec<_> = events.iter().map(|event| i32::from(event.status)).collect();
    let columns: [&(dyn ToSql + Sync); 19] = [
        &ids(|event| *event.id.as_uuid()),
        &numbers(|event| event.created_at.0),
        &numbers(|event| event.cost.units()),
        &numbers(|event| i64::try_from(event.latency_ms).unwrap_or(0)),
        &numbers(|event| i64::try_from(event.usage.prompt_tokens()).unwrap_or(0)),
        &numbers(|event| i64::try_from(event.usage.completion_tokens()).unwrap_or(0)),
        &statuses,
        &vec![true; events.len()],
        &ids(key_of),
        &ids(setting_of),
        &texts(|event| event.model.to_string()),
        &texts(|event| event.user_id.to_string()),
        &texts(|event| format!("{{{}}}", event.tags.join(","))),
        &texts(|event| event.provider.to_string()),
        &texts(|event| event.method.to_string()),
        &texts(|event| event.path.to_string()),
        &texts(usage_of),
        &texts(|event| event.request_id.to_string()),
        &texts(|event| event.upstream_request_id.to_string()),
    ];
    let statement = line.prepared(&sql).await;
    let tx = line.client.transaction().await.expect("a transaction");
    let new = tx.query(&statement, &columns).await.expect("inserted").len();
    tx.commit().await.expect("a commit");
    new
}

async fn copied(line: &mut Line, events: &[Event], sums: bool) -> usize {
    let copy = line.prepared(&format!("COPY arriving (instance, {COLUMNS}) FROM STDIN BINARY")).await;
    let statement = line.prepared(&sql("arriving", COLUMNS, sums)).await;
    let tx = line.client.transaction().await.expect("a transaction");
    let sink = tx.copy_in(&copy).await.expect("a copy");
    let types: Vec<Type> = std::iter::once(Type::INT4).chain(TYPES).collect();
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
    for event in events {
        let tags: Vec<&str> = event.tags.iter().map(|tag| &**tag).collect();
        let values: [&(dyn ToSql + Sync); 20] = [
            &9i32,
            event.id.as_uuid(),
            &event.created_at.0,
            &event.cost.units(),
            &i64::try_from(event.latency_ms).unwrap_or(0),
            &i64::try_from(event.usage.prompt_tokens()).unwrap_or(0),
            &i64::try_from(event.usage.completion_tokens()).unwrap_or(0),
            &i32::from(event.status),
            &true,
            &key_of(event),
            &setting_of(event),
            &&*event.model,
            &&*event.user_id,
            &tags,
            &&*event.provider,
            &&*event.method,
            &&*event.path,
            &usage_of(event),
            &&*event.request_id,
            &&*event.upstream_request_id,
        ];
        writer.as_mut().write(&values).await.expect("a row");
    }
    writer.finish().await.expect("a copy");
    let new = tx.query(&statement, &[]).await.expect("inserted").len();
    tx.commit().await.expect("a commit");
    new
}

fn key_of(event: &Event) -> Uuid {
    event.key_id.as_ref().map(|key| *key.as_uuid()).unwrap_or_default()
}

fn setting_of(event: &Event) -> Uuid {
    event.setting_id.as_ref().map(|setting| *setting.as_uuid()).unwrap_or_default()
}

fn usage_of(event: &Event) -> String {
    serde_json::to_string(&event.usage).expect("JSON")
}
