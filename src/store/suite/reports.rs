//! Promises about reports and the list of top keys.

use super::routes::route_id;
use super::samples::{event, key, key_id, plain_key, seconds};
use crate::domain::{Event, Money, Routed, Try, UnixMillis};
use crate::store::{GroupBy, KeySpend, Order, Paging, ReportFilter, ReportPoint, SharedStore, TopKeysFilter};

const T: i64 = 1_700_000_000;

fn range(start: i64, end: i64, increment: i64) -> ReportFilter {
    ReportFilter { start, end, increment, ..ReportFilter::default() }
}

async fn points(store: &SharedStore, filter: ReportFilter) -> Vec<ReportPoint> {
    store.report(&filter).await.unwrap().points
}

pub(crate) async fn a_range_shorter_than_its_bucket_is_one_point(store: SharedStore) {
    store.insert_events(&[event(1, seconds(T + 1), |_| {}), event(2, seconds(T + 9), |_| {})]).await.unwrap();
    let expect = ReportPoint {
        at: T,
        requests: 2,
        cost: Money::from_units(18_600_000),
        latency_ms: 820,
        prompt_tokens: 18,
        completion_tokens: 22,
        successes: 2,
        ..ReportPoint::default()
    };
    assert_eq!(points(&store, range(T, T + 10, 20)).await, [expect]);
}

pub(crate) async fn events_fall_into_their_bucket(store: SharedStore) {
    let at = |n, millis| event(n, UnixMillis(millis), |_| {});
    let inside = [T * 1000, T * 1000 + 59_999, T * 1000 + 60_000, T * 1000 + 179_999];
    let outside = [T * 1000 - 1, T * 1000 + 180_000];
    let events: Vec<_> = (1..).zip(inside.into_iter().chain(outside)).map(|(n, millis)| at(n, millis)).collect();
    store.insert_events(&events).await.unwrap();
    let counts = |points: Vec<ReportPoint>| points.iter().map(|p| (p.at - T, p.requests)).collect::<Vec<_>>();
    assert_eq!(counts(points(&store, range(T, T + 180, 60)).await), [(0, 2), (60, 1), (120, 1)]);
    // Buckets start at the start of the range, wherever that lies.
    assert_eq!(counts(points(&store, range(T - 1, T + 180, 60)).await), [(-1, 2), (59, 2), (179, 1)]);
    assert_eq!(counts(points(&store, range(T, T + 180, 3600)).await), [(0, 4)]);
    assert_eq!(counts(points(&store, range(T, T, 60)).await), []);
    assert_eq!(counts(points(&store, range(1, i64::MAX, i64::MAX)).await), [(1 - T, 6)]);
}

pub(crate) async fn groups_get_a_point_each_and_sum_to_the_events(store: SharedStore) {
    let events: Vec<Event> = (0..48u64)
        .map(|n| {
            event(n, seconds(T + i64::try_from(n).unwrap()), |e| {
                e.model = if n % 2 == 0 { "gpt-4" } else { "gpt-4o" }.into();
                e.key_id = (n % 3 != 0).then(|| key_id(n % 3));
                e.custom_id = if n % 4 == 0 { "c" } else { "" }.into();
                e.user_id = if n % 8 == 0 { "u" } else { "" }.into();
                e.status = if n % 5 == 0 { 500 } else { 200 };
                e.cost = Money::from_units(i64::try_from(n).unwrap());
            })
        })
        .collect();
    store.insert_events(&events).await.unwrap();
    let group_by = GroupBy { model: true, key: true, custom_id: true, user_id: true };
    let found = points(&store, ReportFilter { group_by, ..range(T, T + 48, 24) }).await;
    for point in &found {
        let mine = |e: &&Event| {
            (e.created_at.seconds() - T) / 24 == (point.at - T) / 24
                && *e.model == *point.model
                && e.key_id.map(|k| k.to_string()).unwrap_or_default() == point.key_id
                && *e.custom_id == *point.custom_id
                && *e.user_id == *point.user_id
        };
        let of_group: Vec<_> = events.iter().filter(mine).collect();
        assert!(!of_group.is_empty(), "{point:?}");
        assert_eq!(point.requests, of_group.len() as u64, "{point:?}");
        assert_eq!(point.cost, of_group.iter().map(|e| e.cost).sum(), "{point:?}");
        assert_eq!(point.successes, of_group.iter().filter(|e| e.status == 200).count() as u64, "{point:?}");
    }
    assert_eq!(found.iter().map(|p| p.requests).sum::<u64>(), 48);
    assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let by_model = ReportFilter { group_by: GroupBy { model: true, ..GroupBy::default() }, ..range(T, T + 48, 48) };
    let by_model = points(&store, by_model).await;
    let models: Vec<_> = by_model.iter().map(|p| (&*p.model, &*p.key_id, p.requests)).collect();
    assert_eq!(models, [("gpt-4", "", 24), ("gpt-4o", "", 24)]);
}

#[expect(clippy::float_arithmetic, reason = "compares with a tolerance")]
pub(crate) async fn percentiles_are_continuous_over_the_same_events(store: SharedStore) {
    let events = [
        event(1, seconds(T), |e| e.latency_ms = 412),
        event(2, seconds(T + 59), |e| e.latency_ms = 408),
        // Not in range, not of the key: must not move the percentiles.
        event(3, seconds(T + 60), |e| e.latency_ms = 90_000),
        event(4, seconds(T + 5), |e| {
            e.latency_ms = 80_000;
            e.key_id = Some(key_id(2));
        }),
    ];
    store.insert_events(&events).await.unwrap();
    let filter = ReportFilter { key_ids: vec![key_id(1)], ..range(T, T + 60, 60) };
    let report = store.report(&filter).await.unwrap();
    assert!((report.latency_median_ms - 410.0).abs() < 1e-9, "{report:?}");
    assert!((report.latency_p99_ms - 411.96).abs() < 1e-9, "{report:?}");
    assert_eq!(report.points[0].latency_ms, 820);
}

pub(crate) async fn a_report_of_nothing_is_empty(store: SharedStore) {
    let report = store.report(&range(T, T + 60, 60)).await.unwrap();
    assert!(report.points.is_empty());
    assert!(report.latency_median_ms.abs() < 1e-9 && report.latency_p99_ms.abs() < 1e-9);
}

pub(crate) async fn report_filters_are_those_of_events(store: SharedStore) {
    let events = [
        event(1, seconds(T), |e| e.custom_id = "a,b".into()),
        event(2, seconds(T), |e| e.user_id = "o'neil".into()),
        event(3, seconds(T), |e| e.tags = vec!["100%".into(), "x".into()]),
        event(4, seconds(T), |e| e.key_id = Some(key_id(2))),
    ];
    store.insert_events(&events).await.unwrap();
    let all = || range(T, T + 1, 1);
    for filter in [
        ReportFilter { custom_ids: vec!["a,b".into()], ..all() },
        ReportFilter { user_ids: vec!["o'neil".into()], ..all() },
        ReportFilter { tags: vec!["x".into(), "100%".into()], ..all() },
        ReportFilter { key_ids: vec![key_id(2)], ..all() },
    ] {
        let found = points(&store, filter.clone()).await;
        assert_eq!(found.iter().map(|p| p.requests).collect::<Vec<_>>(), [1], "{filter:?}");
    }
    let nothing = ReportFilter { custom_ids: vec!["a,b".into()], user_ids: vec!["o'neil".into()], ..all() };
    assert_eq!(points(&store, nothing).await, []);
    assert_eq!(points(&store, all()).await[0].requests, 4);
}

fn spent(n: u64, units: i64) -> KeySpend {
    KeySpend { key_id: key_id(n), total: Money::from_units(units) }
}

/// Keys 1 (spent in range), 2 (made in range, unspent), 3 (made before, unspent), 4 (spent, then deleted).
async fn four_keys(store: &SharedStore) {
    store.insert_key(&key(1, |k| k.created_at = seconds(T - 100))).await.unwrap();
    store
        .insert_key(&plain_key(2, |k| {
            k.created_at = seconds(T + 5);
            k.revoked = true;
            k.name = "Fresh".into();
        }))
        .await
        .unwrap();
    store.insert_key(&key(3, |k| k.created_at = seconds(T - 100))).await.unwrap();
    let cost = |n, at, key, units| {
        event(n, seconds(at), |e| {
            e.key_id = key;
            e.cost = Money::from_units(units);
        })
    };
    let events = [
        cost(1, T, Some(key_id(1)), 10),
        cost(2, T + 9, Some(key_id(1)), 20),
        cost(3, T + 10, Some(key_id(1)), 400),
        cost(4, T - 1, Some(key_id(3)), 400),
        cost(5, T + 3, Some(key_id(4)), 70),
        cost(6, T + 3, None, 900),
    ];
    store.insert_events(&events).await.unwrap();
}

pub(crate) async fn top_keys_are_spend_plus_new_keys(store: SharedStore) {
    four_keys(&store).await;
    let filter = TopKeysFilter { start: T, end: T + 10, ..TopKeysFilter::default() };
    assert_eq!(store.top_keys(&filter).await.unwrap(), [spent(4, 70), spent(1, 30), spent(2, 0)]);
}

pub(crate) async fn top_keys_follow_their_filters_order_and_page(store: SharedStore) {
    four_keys(&store).await;
    let all = || TopKeysFilter { start: T, end: T + 10, ..TopKeysFilter::default() };
    let paging = |limit, offset| Paging { limit, offset, count: false };
    for (filter, expect) in [
        (TopKeysFilter { order: Order::Ascending, ..all() }, vec![spent(2, 0), spent(1, 30), spent(4, 70)]),
        (TopKeysFilter { paging: paging(1, 1), ..all() }, vec![spent(1, 30)]),
        (TopKeysFilter { paging: paging(0, 2), ..all() }, vec![spent(2, 0)]),
        (TopKeysFilter { key_ids: vec![key_id(1), key_id(2)], ..all() }, vec![spent(1, 30), spent(2, 0)]),
        (TopKeysFilter { tags: vec!["prod".into()], ..all() }, vec![spent(4, 70), spent(1, 30)]),
        (TopKeysFilter { name: Some("KEY 1".into()), ..all() }, vec![spent(1, 30)]),
        (TopKeysFilter { name: Some("fresh".into()), ..all() }, vec![spent(2, 0)]),
        (TopKeysFilter { name: Some("%".into()), ..all() }, vec![]),
        (TopKeysFilter { revoked: Some(true), ..all() }, vec![spent(2, 0)]),
        (TopKeysFilter { revoked: Some(false), ..all() }, vec![spent(1, 30)]),
        (TopKeysFilter { name: Some("key".into()), revoked: Some(true), ..all() }, vec![]),
    ] {
        assert_eq!(store.top_keys(&filter).await.unwrap(), expect, "{filter:?}");
    }
}

pub(crate) async fn a_request_counts_once_however_many_tries_it_took(store: SharedStore) {
    let failed =
        Try { step: 1, provider: "p".into(), model: "m".into(), status: 500, failure: "x".into(), latency_ms: 1000 };
    let by_route =
        |tries| event(1, seconds(T + 1), |e| e.route = Some(Routed { route: route_id(1), step: 2, tries }.into()));
    let group_by = GroupBy { model: true, ..GroupBy::default() };
    let filter = || ReportFilter { group_by, ..range(T, T + 10, 10) };
    store.insert_events(&[by_route(vec![failed.clone(), failed])]).await.unwrap();
    let [point] = &points(&store, filter()).await[..] else { panic!("one model answered") };
    let plain = event(1, seconds(T + 1), |_| {});
    assert_eq!((point.requests, point.successes, point.latency_ms), (1, 1, plain.latency_ms));
    assert_eq!((point.cost, &*point.model), (plain.cost, &*plain.model));
    assert_eq!(store.admissions_since(key_id(1), UnixMillis(0)).await.unwrap(), 1);
}
