//! Events through the port, as gateways book them.

use std::time::Instant;
use tollgate::domain::{Event, EventId, InstanceId, Money, SettingId, UnixMillis, Usage};
use tollgate::store::EventStore as _;
use tollgate::store::postgres::PostgresStore;
use uuid::Uuid;

use super::cpu::Server;
use super::key;

/// What one is like; the first `keys` keys take turns.
pub(super) fn event(n: u64, millis: i64, keys: u64) -> Event {
    let made = u128::try_from(millis).unwrap_or(0) << 80 | 7 << 76 | 1 << 63 | u128::from(n);
    Event {
        id: EventId::from_uuid(Uuid::from_u128(made)),
        created_at: UnixMillis(millis + 812),
        key_id: Some(key(n % keys)),
        setting_id: Some(SettingId::from_uuid(Uuid::from_u128(5))),
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

pub(super) async fn insert(store: &PostgresStore, server: Server, now: i64) {
    println!("\n| Batches | Keys | Gateways | Events a second | Of the server, ms an event |\n|---|---|---|---|---|");
    // Not what another table has inserted.
    let mut next = 1 << 40;
    for (batch, keys, gateways) in
        [(100u64, 20, 1), (500, 20, 1), (1000, 20, 1), (500, 1000, 1), (1000, 1000, 1), (500, 20, 2), (500, 1000, 2)]
    {
        let each = 60 * batch;
        let first = next;
        next += each * gateways;
        let (began, before) = (Instant::now(), server.worked());
        let tasks: Vec<_> = (0..gateways)
            .map(|gateway| {
                let store = store.booking_as(InstanceId(10 + i32::try_from(gateway).unwrap_or(0)));
                tokio::spawn(async move {
                    for part in (0..each).step_by(usize::try_from(batch).unwrap_or(1)) {
                        let millis = |n: u64| now * 1000 + i64::try_from(n / 20).unwrap_or(0);
                        let events: Vec<_> =
                            (part..part + batch).map(|n| event(first + gateway * each + n, millis(n), keys)).collect();
                        store.insert_events(&events).await.expect("inserted");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a gateway");
        }
        let rate = (each * gateways) as f64 / began.elapsed().as_secs_f64();
        let worked = (server.worked() - before) as f64 / (each * gateways) as f64;
        println!("| {batch} | {keys} | {gateways} | {rate:.0} | {worked:.2} |");
    }
}
