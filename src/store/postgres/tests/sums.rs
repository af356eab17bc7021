//! Reports, lists and sums: what they tell equals the events, however many there are and whatever is in them.

use super::by_hand::{Dice, T, by_hand, matches, near, random_events, random_filter};
use super::opened;
use crate::domain::{Event, InstanceId, KeyId, MadeObject, Money, ObjectChanges, UnixMillis};
use crate::limits::{SharedLedger, Since};
use crate::store::postgres::PostgresStore;
use crate::store::suite::samples::{event, key_id};
use crate::store::{
    EventFilter, EventOrder, EventStore, GroupBy, ObjectStore, Paging, ReportFilter, StoreError, TopKeysFilter,
};
use std::collections::BTreeMap;

async fn check_against(store: &PostgresStore, events: &[Event], dice: &mut Dice, reports: usize) {
    for _ in 0..reports {
        let filter = random_filter(dice);
        let (found, expect) = (store.report(&filter).await.unwrap(), by_hand(events, &filter));
        assert_eq!(found.points, expect.points, "{filter:?}");
        let requests: u64 = expect.points.iter().map(|point| point.requests).sum();
        let tolerance = if requests > 1_000 { 0.01 } else { 0.0 };
        assert!(near(found.latency_median_ms, expect.latency_median_ms, tolerance), "{filter:?} {found:?} {expect:?}");
        assert!(near(found.latency_p99_ms, expect.latency_p99_ms, tolerance), "{filter:?} {found:?} {expect:?}");

        let counted = EventFilter {
            key_ids: filter.key_ids.clone(),
            tags: filter.tags.clone(),
            custom_ids: filter.custom_ids.clone(),
            user_ids: filter.user_ids.clone(),
            start: Some(filter.start),
            end: Some(filter.end - 1),
            paging: Paging { limit: 1, offset: 0, count: true },
            ..EventFilter::default()
        };
        assert_eq!(store.list_events(&counted).await.unwrap().count, requests, "{filter:?}");

        let mut spent: BTreeMap<KeyId, Money> = BTreeMap::new();
        let plain = ReportFilter { custom_ids: Vec::new(), user_ids: Vec::new(), ..filter.clone() };
        for event in events.iter().filter(|event| matches(event, &plain)) {
            if let Some(key) = event.key_id {
                let sum = spent.entry(key).or_default();
                *sum = sum.saturating_add(event.cost);
            }
        }
        let (start, end) = (filter.start, filter.end);
        let top = TopKeysFilter { start, end, tags: filter.tags, key_ids: filter.key_ids, ..TopKeysFilter::default() };
        let top: BTreeMap<_, _> = store.top_keys(&top).await.unwrap().iter().map(|s| (s.key_id, s.total)).collect();
        assert_eq!(top, spent);

        let since = UnixMillis(filter.start * 1000 + dice.signed(1000));
        let mut admitted: BTreeMap<KeyId, u64> = BTreeMap::new();
        let mut later: BTreeMap<KeyId, Money> = BTreeMap::new();
        for event in events {
            let Some(key) = event.key_id else { continue };
            if event.id.made_at_millis().unwrap() >= since.0 && crate::store::counts_as_admission(event) {
                *admitted.entry(key).or_default() += 1;
            }
            if event.created_at >= since {
                let sum = later.entry(key).or_default();
                *sum = sum.saturating_add(event.cost);
            }
        }
        let found: BTreeMap<_, _> = store.admissions_by_key_since(since).await.unwrap().into_iter().collect();
        assert_eq!(found, admitted);
        let found: BTreeMap<_, _> =
            store.spends_since(since).await.unwrap().iter().map(|s| (s.key_id, s.total)).collect();
        assert_eq!(found, later);
        for key in (0..4).map(key_id) {
            let standing = store.standing(key, Since { rate: Some(since), window: Some(since) }).await.unwrap();
            assert_eq!(standing.window_spent, later.get(&key).copied().unwrap_or_default());
            let count: u64 = standing.admitted.iter().map(|(_, count)| count).sum();
            assert_eq!(count, admitted.get(&key).copied().unwrap_or_default());
            assert_eq!(store.admissions_since(key, since).await.unwrap(), count);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_equal_their_events() {
    let (store, _database) = opened().await;
    let mut dice = Dice(7);
    let events = random_events(&mut dice, 900);
    let other = store.booking_as(InstanceId(2));
    for (n, batch) in events.chunks(100).enumerate() {
        let store = if n % 2 == 0 { &store } else { &other };
        assert_eq!(store.insert_events(batch).await.unwrap(), batch.len());
    }
    check_against(&store, &events, &mut dice, 40).await;
    // What is deleted is in no sum any more.
    let mut left = events;
    left.sort_unstable_by_key(|event| event.created_at);
    let before = UnixMillis(left[333].created_at.0 + 1);
    while store.delete_events_before(before, 50).await.unwrap() > 0 {}
    left.retain(|event| event.created_at >= before);
    check_against(&store, &left, &mut dice, 20).await;
    let connection = store.connection().await.unwrap();
    let empty = "SELECT count(*) FROM usage_by_time WHERE requests = 0 AND admitted = 0 AND start < $1";
    assert_eq!(connection.query_one(empty, &[&before.0]).await.unwrap().get::<_, i64>(0), 0);
    // Made anew from the events they are what they were.
    store.rebuild_sums().await.unwrap();
    check_against(&store, &left, &mut dice, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percentiles_of_many_events_are_within_one_percent() {
    let (store, _database) = opened().await;
    let mut dice = Dice(11);
    let events = random_events(&mut dice, 6_000);
    store.insert_events(&events).await.unwrap();
    let filter =
        ReportFilter { start: T / 1000, end: T / 1000 + 4 * 86_400, increment: 86_400, ..ReportFilter::default() };
    let of_keys = ReportFilter { key_ids: vec![key_id(1), key_id(2)], ..filter.clone() };
    for filter in [filter, of_keys] {
        let (found, expect) = (store.report(&filter).await.unwrap(), by_hand(&events, &filter));
        assert!(expect.points.iter().map(|point| point.requests).sum::<u64>() > 1_000);
        assert_eq!(found.points, expect.points);
        for (found, expect) in
            [(found.latency_median_ms, expect.latency_median_ms), (found.latency_p99_ms, expect.latency_p99_ms)]
        {
            assert!(near(found, expect, 0.01), "{found} {expect}");
        }
    }
}

#[tokio::test]
async fn every_latency_is_near_what_stands_for_its_bucket() {
    let (store, _database) = opened().await;
    let mut dice = Dice(3);
    let edges = (0..63).flat_map(|bit| [(1i64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    let all: Vec<i64> = edges.chain((0..2000).map(|n| dice.signed(1 << (7 + n % 40)))).chain([i64::MAX]).collect();
    let connection = store.connection().await.unwrap();
    let sql = "SELECT latency, latency_bucket(latency) FROM unnest($1::bigint[]) AS given (latency)";
    for row in connection.query(sql, &[&all]).await.unwrap() {
        let (latency, bucket): (i64, i16) = (row.get(0), row.get(1));
        let stands = i128::from(crate::store::postgres::fold::latency_of(bucket));
        let off = (stands - i128::from(latency)).abs();
        assert!(off * 128 <= i128::from(latency), "{latency} is counted as {stands}");
    }
}

#[tokio::test]
async fn texts_that_no_index_can_hold_are_found_and_come_back() {
    let (store, _database) = opened().await;
    let mut dice = Dice(5);
    // Nothing that compresses.
    let mut long = |beginning: &str| -> String {
        let noise = (0..1 << 20).map(|_| char::from(b'!' + u8::try_from(dice.roll(90)).unwrap()));
        beginning.chars().chain(noise).collect()
    };
    let texts = [long("same"), long("same"), long("ä\"\\{,}"), "a\0b".to_owned(), "x".repeat(500), "x".repeat(501)];
    let events: Vec<_> = (1..)
        .zip(&texts)
        .map(|(n, text)| {
            event(n, UnixMillis(T), |e| {
                e.custom_id = text.as_str().into();
                e.user_id = text.as_str().into();
                e.model = text.as_str().into();
                e.tags = vec![text.as_str().into(), "all".into()];
                e.path = text.as_str().into();
                e.request_id = text.as_str().into();
                let made = vec![MadeObject { id: text.as_str().into(), kind: "f\0".into(), charged_as: None }];
                e.objects = Some(Box::new(ObjectChanges { made, charged: vec![text.as_str().into()] }));
                e.request = Some(serde_json::value::to_raw_value(text).unwrap());
            })
        })
        .collect();
    assert_eq!(store.insert_events(&events).await.unwrap(), 6);
    assert_eq!(store.insert_events(&events).await.unwrap(), 0);
    let readable = |text: &str| text.replace('\0', "\u{fffd}");
    for (event, text) in events.iter().zip(&texts) {
        let asked = || vec![text.clone()];
        for filter in [
            EventFilter { custom_ids: asked(), ..EventFilter::default() },
            EventFilter { user_ids: asked(), ..EventFilter::default() },
            EventFilter { tags: asked(), ..EventFilter::default() },
        ] {
            let rows = store.list_events(&filter).await.unwrap().rows;
            let [row] = &rows[..] else { panic!("{} rows", rows.len()) };
            assert_eq!(row.id, event.id);
            let whole = readable(text);
            assert!(
                [&row.custom_id, &row.user_id, &row.model, &row.path, &row.request_id].iter().all(|t| ***t == *whole)
            );
            assert!(*row.tags[0] == *whole && &*row.tags[1] == "all");
            assert_eq!(row.request.as_deref().map(|r| r.get()), event.request.as_deref().map(|r| r.get()));
        }
        let object = store.objects("openai", &[text.as_str().into()]).await.unwrap();
        assert_eq!(object.len(), 1);
        assert!(*object[0].id == **text);
        assert_eq!(store.charged("openai", &[text.as_str().into()]).await.unwrap().len(), 1);
    }
    let mut expect: Vec<_> = texts.iter().map(|text| readable(text)).collect();
    expect.sort_unstable();
    assert!(store.custom_ids(key_id(1)).await.unwrap() == expect && store.user_ids(key_id(1)).await.unwrap() == expect);
    let group_by = GroupBy { model: true, user_id: true, ..GroupBy::default() };
    for group_by in [group_by, GroupBy { user_id: false, ..group_by }] {
        let filter =
            ReportFilter { start: T / 1000, end: T / 1000 + 1, increment: 1, group_by, ..ReportFilter::default() };
        let points = store.report(&filter).await.unwrap().points;
        assert!(points.iter().map(|point| &point.model).eq(&expect));
    }
}

#[tokio::test]
async fn distinct_texts_are_found_among_many_events() {
    let (store, _database) = opened().await;
    let events: Vec<_> = (0..5000u64)
        .map(|n| {
            event(n, UnixMillis(T), |e| {
                e.custom_id = format!("c{:04}", n % 2500).into();
                e.user_id = format!("u{}", n / 2400).into();
            })
        })
        .collect();
    store.insert_events(&events).await.unwrap();
    let expect: Vec<_> = (0..2500).map(|n| format!("c{n:04}")).collect();
    assert_eq!(store.custom_ids(key_id(1)).await.unwrap(), expect);
    assert_eq!(store.user_ids(key_id(1)).await.unwrap(), ["u0", "u1", "u2"]);
}

#[tokio::test]
async fn a_report_with_too_many_points_is_refused() {
    let (store, _database) = opened().await;
    let events: Vec<_> =
        (0..1001u64).map(|n| event(n, UnixMillis(T), |e| e.custom_id = format!("c{n}").into())).collect();
    store.insert_events(&events).await.unwrap();
    let group_by = GroupBy { custom_id: true, ..GroupBy::default() };
    let filter = |group_by| ReportFilter {
        start: T / 1000,
        end: T / 1000 + 1,
        increment: 1,
        group_by,
        ..ReportFilter::default()
    };
    assert!(matches!(store.report(&filter(group_by)).await, Err(StoreError::TooLarge)));
    assert_eq!(store.report(&filter(GroupBy::default())).await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_rare_and_of_frequent_tags_are_listed_alike() {
    let (store, _database) = opened().await;
    let mut dice = Dice(23);
    let mut events = random_events(&mut dice, 200);
    for event in events.iter_mut().step_by(70) {
        event.tags.push("rare".into());
    }
    store.insert_events(&events).await.unwrap();
    type Compare = fn(&Event, &Event) -> std::cmp::Ordering;
    let orders: [(EventOrder, Compare); 4] = [
        (EventOrder::OldestFirst, |a, b| (a.created_at, a.id).cmp(&(b.created_at, b.id))),
        (EventOrder::NewestFirst, |a, b| (b.created_at, b.id).cmp(&(a.created_at, a.id))),
        (EventOrder::CheapestFirst, |a, b| (a.cost, a.created_at, a.id).cmp(&(b.cost, b.created_at, b.id))),
        (EventOrder::DearestFirst, |a, b| (b.cost, b.created_at, b.id).cmp(&(a.cost, a.created_at, a.id))),
    ];
    for (tag, many) in [("rare", 3), ("t1", 100), ("nobody", 0)] {
        for (order, compare) in orders {
            let mut expect: Vec<_> =
                events.iter().filter(|event| event.tags.iter().any(|has| &**has == tag)).cloned().collect();
            assert!(if many > 3 { expect.len() > many } else { expect.len() == many }, "{} of {tag}", expect.len());
            expect.sort_unstable_by(compare);
            for count in [true, false] {
                let paging = Paging { limit: 2, offset: 1, count };
                let filter = EventFilter { tags: vec![tag.into()], order, paging, ..EventFilter::default() };
                let page = store.list_events(&filter).await.unwrap();
                let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
                let rest = expect.get(1..).unwrap_or_default();
                assert_eq!(ids(&page.rows), ids(&rest[..rest.len().min(2)]), "{tag}, {order:?}");
                assert_eq!(page.count, if count { expect.len() as u64 } else { 0 });
            }
        }
    }
}
