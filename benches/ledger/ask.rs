//! What the API and the counters ask, timed.

use std::time::{Duration, Instant};
use tollgate::domain::{KeyId, UnixMillis};
use tollgate::limits::{SharedLedger as _, Since};
use tollgate::store::postgres::PostgresStore;
use tollgate::store::{EventFilter, EventOrder, EventStore as _, GroupBy, Paging, ReportFilter, TopKeysFilter};

use super::cpu::Server;
use super::{DAY, key};

const HOUR: i64 = 3_600;

struct Clock(Server);

impl Clock {
    async fn time<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> T) {
        let (mut took, mut worked): (Vec<Duration>, Vec<u64>) = (Vec::new(), Vec::new());
        // What takes minutes is asked once.
        while took.len() < 3 && took.first().is_none_or(|first| *first < Duration::from_secs(10)) {
            let (began, before) = (Instant::now(), self.0.worked());
            drop(ask().await);
            took.push(began.elapsed());
            worked.push(self.0.worked() - before);
        }
        let millis = |took: Option<&Duration>| took.map_or(0.0, |took| took.as_secs_f64() * 1000.0);
        let (first, best, worked) = (millis(took.first()), millis(took.iter().min()), worked.iter().min());
        println!("| {what} | {first:.0} | {best:.1} | {} |", worked.copied().unwrap_or(0));
    }
}

pub(super) async fn ask(store: &PostgresStore, server: Server, now: i64) {
    let clock = Clock(server);
    println!("\n| Question | First, ms | Best of three, ms | Of that the server worked, ms |\n|---|---|---|---|");
    let busy = key(0);
    let report = |days: i64, increment: i64| ReportFilter {
        start: now - days * DAY - 1234,
        end: now,
        increment,
        ..ReportFilter::default()
    };
    // Buckets that are whole hours and days.
    let even = |days: i64, increment: i64| {
        let end = now / increment * increment;
        ReportFilter { start: end - days * DAY, end, increment, ..ReportFilter::default() }
    };
    let by = GroupBy { model: true, key: true, ..GroupBy::default() };
    let by_model = GroupBy { model: true, ..GroupBy::default() };
    let by_key = GroupBy { key: true, ..GroupBy::default() };
    let by_user = GroupBy { user_id: true, ..GroupBy::default() };
    let by_custom_id = GroupBy { custom_id: true, ..GroupBy::default() };
    let text = |text: &str| vec![text.to_owned()];
    for (what, filter) in [
        ("report: an hour, by minutes", ReportFilter { start: now - 3600, ..report(1, 60) }),
        ("report: a day, by minutes", report(1, 60)),
        ("report: a day, by hours", report(1, HOUR)),
        ("report: a day, by whole hours", even(1, HOUR)),
        ("report: a week, by hours", report(7, HOUR)),
        ("report: a week, by whole hours", even(7, HOUR)),
        ("report: a week, by days", report(7, DAY)),
        ("report: 90 days, by hours", report(90, HOUR)),
        ("report: 90 days, by whole hours", even(90, HOUR)),
        ("report: 90 days, by days", report(90, DAY)),
        ("report: 90 days, by whole days", even(90, DAY)),
        ("report: 90 days, by days, model and key", ReportFilter { group_by: by, ..report(90, DAY) }),
        ("report: 90 days, by whole days, model and key", ReportFilter { group_by: by, ..even(90, DAY) }),
        ("report: 90 days, by whole days and model", ReportFilter { group_by: by_model, ..even(90, DAY) }),
        ("report: a week, by whole hours and key", ReportFilter { group_by: by_key, ..even(7, HOUR) }),
        ("report: a week, by days, busiest key", ReportFilter { key_ids: vec![busy], ..report(7, DAY) }),
        ("report: 90 days, by days, busiest key", ReportFilter { key_ids: vec![busy], ..report(90, DAY) }),
        ("report: 90 days, by whole days, busiest key", ReportFilter { key_ids: vec![busy], ..even(90, DAY) }),
        ("report: a week, by days, small key", ReportFilter { key_ids: vec![key(777)], ..report(7, DAY) }),
        ("report: 90 days, by days, small key", ReportFilter { key_ids: vec![key(777)], ..report(90, DAY) }),
        ("report: a day, of a rare tag", ReportFilter { tags: text("team-4"), ..report(1, HOUR) }),
        ("report: a week, of a rare tag", ReportFilter { tags: text("team-4"), ..report(7, DAY) }),
        ("report: a day, of a frequent tag", ReportFilter { tags: text("prod"), ..report(1, HOUR) }),
        ("report: a week, of a frequent tag", ReportFilter { tags: text("prod"), ..report(7, DAY) }),
        ("report: 90 days, of a frequent tag", ReportFilter { tags: text("prod"), ..report(90, DAY) }),
        ("report: 90 days, of a custom id", ReportFilter { custom_ids: text("run-4711"), ..report(90, DAY) }),
        ("report: 90 days, of a user", ReportFilter { user_ids: text("user-17"), ..report(90, DAY) }),
        ("report: a day, by user", ReportFilter { group_by: by_user, ..report(1, DAY) }),
        ("report: a week, by user", ReportFilter { group_by: by_user, ..report(7, 7 * DAY) }),
        ("report: a day, by custom id", ReportFilter { group_by: by_custom_id, ..report(1, DAY) }),
        (
            "report: a week, by user, of a small key",
            ReportFilter { group_by: by_user, key_ids: vec![key(777)], ..report(7, DAY) },
        ),
    ] {
        clock.time(what, async || store.report(&filter).await.expect("a report")).await;
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
    let from =
        |offset, count, filter: EventFilter| EventFilter { paging: Paging { limit: 100, offset, count }, ..filter };
    let ever = |filter: EventFilter| EventFilter { start: None, end: None, ..filter };
    for (what, filter) in [
        ("list: newest of a week, counted", list(newest, vec![])),
        ("list: oldest of a week, counted", list(EventOrder::OldestFirst, vec![])),
        ("list: page 100 of the newest of a week", from(10_000, true, list(newest, vec![]))),
        ("list: page 5 000 of the newest of a week", from(500_000, true, list(newest, vec![]))),
        ("list: newest of all time, counted", ever(list(newest, vec![]))),
        ("list: newest of a busy key", list(newest, vec![busy])),
        ("list: page 1 000 of a busy key", from(100_000, true, list(newest, vec![busy]))),
        ("list: newest of a small key", list(newest, vec![key(777)])),
        ("list: newest of all time of a small key", ever(list(newest, vec![key(777)]))),
        ("list: dearest of a day", EventFilter { start: Some(now - DAY), ..list(EventOrder::DearestFirst, vec![]) }),
        ("list: dearest of a week", list(EventOrder::DearestFirst, vec![])),
        ("list: dearest of a week of a busy key", list(EventOrder::DearestFirst, vec![busy])),
        ("list: of a status, not counted", from(0, false, EventFilter { status: Some(429), ..list(newest, vec![]) })),
        ("list: of a status, counted", EventFilter { status: Some(429), ..list(newest, vec![]) }),
        (
            "list: of a status that never was, not counted",
            from(0, false, EventFilter { status: Some(418), ..list(newest, vec![]) }),
        ),
        (
            "list: of a frequent tag, not counted",
            from(0, false, EventFilter { tags: text("prod"), ..list(newest, vec![]) }),
        ),
        ("list: of a frequent tag, counted", EventFilter { tags: text("prod"), ..list(newest, vec![]) }),
        (
            "list: of a rare tag, not counted",
            from(0, false, EventFilter { tags: text("team-4"), ..list(newest, vec![]) }),
        ),
        ("list: of a rare tag, counted", EventFilter { tags: text("team-4"), ..list(newest, vec![]) }),
        (
            "list: of a rare tag of all time, not counted",
            from(0, false, ever(EventFilter { tags: text("team-4"), ..list(newest, vec![]) })),
        ),
        ("list: of a tag that never was, all time", ever(EventFilter { tags: text("nobody"), ..list(newest, vec![]) })),
        ("list: of a custom id, all time", ever(EventFilter { custom_ids: text("run-4711"), ..list(newest, vec![]) })),
        ("list: of a user", EventFilter { user_ids: text("user-17"), ..list(newest, vec![]) }),
        ("list: of a user, all time", ever(EventFilter { user_ids: text("user-17"), ..list(newest, vec![]) })),
    ] {
        clock.time(what, async || store.list_events(&filter).await.expect("a list")).await;
    }
    let top =
        |days: i64, tags| TopKeysFilter { start: now - days * DAY - 77, end: now, tags, ..TopKeysFilter::default() };
    clock.time("top keys: a day", async || store.top_keys(&top(1, vec![])).await.expect("keys")).await;
    clock.time("top keys: 90 days", async || store.top_keys(&top(90, vec![])).await.expect("keys")).await;
    clock
        .time("top keys: a day, of a tag", async || store.top_keys(&top(1, text("team-4"))).await.expect("keys"))
        .await;
    clock
        .time("top keys: a week, of a frequent tag", async || {
            store.top_keys(&top(7, text("prod"))).await.expect("keys")
        })
        .await;
    clock.time("custom ids of the busiest key", async || store.custom_ids(busy).await.expect("ids")).await;
    clock.time("custom ids of a key", async || store.custom_ids(key(777)).await.expect("ids")).await;
    clock.time("user ids of the busiest key", async || store.user_ids(busy).await.expect("ids")).await;
    let since = |days: i64| UnixMillis((now - days * DAY) * 1000 - 1_234_567);
    clock.time("spend of all keys since a month", async || store.spends_since(since(30)).await.expect("spends")).await;
    clock
        .time("admissions of all keys since a month", async || {
            store.admissions_by_key_since(since(30)).await.expect("admissions")
        })
        .await;
    clock.time("spend of a key ever", async || store.spend_of(busy).await.expect("a spend")).await;
    clock.time("spend of all keys ever", async || store.spends().await.expect("spends")).await;
    for (what, key, days) in [
        ("standing: busiest key, a month", busy, 30),
        ("standing: busiest key, an hour", busy, 0),
        ("standing: small key, a month", key(777), 30),
    ] {
        let since = Since { rate: Some(since(days)), window: Some(since(days)) };
        clock.time(what, async || store.standing(key, since).await.expect("a standing")).await;
    }
    let minute = UnixMillis(now * 1000 - 30_000);
    let since = Since { rate: Some(minute), window: Some(UnixMillis(now / DAY * DAY * 1000)) };
    clock
        .time("standing: rate of a minute, budget of a day", async || {
            store.standing(busy, since).await.expect("a standing")
        })
        .await;
}
