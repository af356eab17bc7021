//! Tables of months: made ahead, shared by gateways that start at once, dropped when nothing of them is kept.

use super::by_hand::{DAY, Dice, HOUR, T, by_hand, random_events};
use super::{opened, opened_at};
use crate::domain::{Event, EventId, UnixMillis};
use crate::servers::database;
use crate::store::postgres::PostgresStore;
use crate::store::suite::samples::{event, event_id};
use crate::store::{EventStore, ReportFilter};
use std::collections::{BTreeSet, HashMap};

/// Of the partition that each event is in.
async fn places(store: &PostgresStore) -> HashMap<EventId, String> {
    let connection = store.connection().await.unwrap();
    let rows = connection.query("SELECT id, tableoid::regclass::text FROM events", &[]).await.unwrap();
    rows.iter().map(|row| (EventId::from_uuid(row.get(0)), row.get(1))).collect()
}

async fn months(store: &PostgresStore) -> BTreeSet<String> {
    let connection = store.connection().await.unwrap();
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass";
    connection.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn now(store: &PostgresStore) -> i64 {
    let connection = store.connection().await.unwrap();
    let sql = "SELECT (extract(epoch FROM now()) * 1000)::bigint";
    connection.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn months_are_made_ahead_and_take_what_came_before_them() {
    let (store, _database) = opened().await;
    let made = months(&store).await;
    assert_eq!(made.len(), 6, "last month, this one, three more, and the one for all else: {made:?}");
    let now = now(&store).await;
    let this = event(1, UnixMillis(now), |_| {});
    let next = event(2, UnixMillis(now + 31 * DAY), |_| {});
    let old = event(3, UnixMillis(T), |_| {});
    store.insert_events(&[this.clone(), next.clone(), old.clone()]).await.unwrap();
    let before = places(&store).await;
    assert_eq!(before[&old.id], "events_other");
    assert!(before[&this.id] != before[&next.id] && before[&this.id] != "events_other", "{before:?}");

    // A month that nobody made.
    let connection = store.connection().await.unwrap();
    connection.batch_execute(&format!("DROP TABLE {}", before[&next.id])).await.unwrap();
    assert_eq!(store.insert_events(std::slice::from_ref(&next)).await.unwrap(), 1);
    assert_eq!(places(&store).await[&next.id], "events_other");
    store.make_months().await.unwrap();
    assert_eq!(months(&store).await, made);
    assert_eq!(places(&store).await, before);
    assert_eq!(store.insert_events(&[this, next, old]).await.unwrap(), 0, "each is known wherever it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_at_once_make_the_same_months() {
    let database = database();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { opened_at(&url).await })
        })
        .collect();
    for start in starts {
        assert_eq!(months(&start.await.unwrap()).await.len(), 6);
    }
}

#[tokio::test]
async fn a_month_of_which_nothing_is_kept_is_dropped() {
    let (store, _database) = opened().await;
    let now = now(&store).await;
    let mut dice = Dice(13);
    let mut events = random_events(&mut dice, 300);
    // In the month before this one and in this one.
    let current = crate::domain::Window::Month.bounds(UnixMillis(now)).0.0;
    for (n, event) in (0u64..).zip(&mut events) {
        let moved = event.created_at.0 - T - 2 * DAY + current;
        event.created_at = UnixMillis(moved);
        event.id = event_id(n, UnixMillis(moved - dice.signed(HOUR)));
    }
    store.insert_events(&events).await.unwrap();
    let there = months(&store).await.len();
    assert_eq!(store.drop_events_before(UnixMillis(current - 1)).await.unwrap(), 0);
    let before_it = |event: &&Event| event.id.made_at_millis().unwrap() < current;
    let last = events.iter().filter(before_it).map(|event| event.created_at.0).max().unwrap();
    assert!(last > current, "one ended after the month in which it was admitted");
    assert_eq!(store.drop_events_before(UnixMillis(last)).await.unwrap(), 0);
    let gone = events.iter().filter(before_it).count() as u64;
    assert_eq!(store.drop_events_before(UnixMillis(last + 1)).await.unwrap(), gone);
    assert_eq!(months(&store).await.len(), there - 1);
    events.retain(|event| !before_it(&event));
    for (start, end) in [(current - 5 * DAY, current + 5 * DAY), (current - HOUR, current + HOUR)] {
        let filter =
            ReportFilter { start: start / 1000, end: end / 1000, increment: 86_400, ..ReportFilter::default() };
        assert_eq!(store.report(&filter).await.unwrap(), by_hand(&events, &filter));
    }
}
