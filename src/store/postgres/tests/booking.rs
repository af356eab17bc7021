//! The ledger beyond what any engine promises: gateways that race, sums that equal their events, months, crashes.

use super::open;
use crate::domain::{
    Event, EventFlag, EventId, InstanceId, KeyId, MadeObject, Money, ObjectChanges, QuotaRule, UnixMillis, Usage,
};
use crate::limits::{SharedLedger, Since};
use crate::servers::{Database, Postgres, database};
use crate::store::percentile::Latencies;
use crate::store::postgres::{PostgresSettings, PostgresStore};
use crate::store::seal::{MasterKey, Sealer};
use crate::store::suite::samples::{event, event_id, key_id, plain_key, seconds};
use crate::store::{
    EventFilter, EventStore, GroupBy, KeyStore, ObjectStore, Paging, Report, ReportFilter, ReportPoint, StoreError,
    TopKeysFilter,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Half an hour before the end of a day.
const T: i64 = 19_675 * DAY - HOUR / 2;

fn sealer() -> Sealer {
    Sealer::new(vec![MasterKey::parse_base64(&format!("{}=", "A".repeat(43))).unwrap()]).unwrap()
}

async fn at(url: &str) -> PostgresStore {
    PostgresStore::open(PostgresSettings::from_url(url).unwrap(), sealer()).await.unwrap()
}

async fn stores() -> (PostgresStore, Database) {
    let database = database();
    (at(database.url()).await, database)
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
    fn signed(&mut self, sides: i64) -> i64 {
        i64::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }
    fn one<'l, V>(&mut self, list: &'l [V]) -> &'l V {
        &list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

/// Events of some days that differ in all that reports tell.
fn random_events(dice: &mut Dice, count: u64) -> Vec<Event> {
    (0..count)
        .map(|n| {
            let at = T + dice.signed(4 * DAY);
            let at = if dice.roll(10) == 0 { at / HOUR * HOUR } else { at };
            let took = dice.signed(2 * HOUR);
            event(n, UnixMillis(at), |e| {
                e.id = event_id(n, UnixMillis(at - took));
                e.key_id = (dice.roll(5) != 0).then(|| key_id(dice.roll(4)));
                e.model = (*dice.one(&["a", "b", "c", ""])).into();
                e.custom_id = (*dice.one(&["", "", "x", "y"])).into();
                e.user_id = (*dice.one(&["", "", "u", "v"])).into();
                e.tags = dice.one(&[vec![], vec!["t1".into()], vec!["t1".into(), "t2".into()]]).clone();
                e.status = *dice.one(&[200, 200, 429, 500]);
                e.flags = if dice.roll(6) == 0 { vec![EventFlag::Refused] } else { Vec::new() };
                e.cost = Money::from_units(dice.signed(1 << 40));
                e.latency_ms = if dice.roll(3) == 0 { dice.roll(100) } else { dice.roll(200_000) };
                e.usage = Usage { in_text: dice.roll(1000), out_text: dice.roll(1000), ..Usage::default() };
            })
        })
        .collect()
}

fn matches(event: &Event, filter: &ReportFilter) -> bool {
    let one_of = |list: &[String], text: &str| list.is_empty() || list.iter().any(|wanted| wanted == text);
    event.created_at.0 >= filter.start * 1000
        && event.created_at.0 < filter.end * 1000
        && (filter.key_ids.is_empty() || event.key_id.is_some_and(|key| filter.key_ids.contains(&key)))
        && one_of(&filter.custom_ids, &event.custom_id)
        && one_of(&filter.user_ids, &event.user_id)
        && filter.tags.iter().all(|tag| event.tags.iter().any(|has| **has == **tag))
}

/// A report as one would work it out by hand.
fn by_hand(events: &[Event], filter: &ReportFilter) -> Report {
    let mut points: BTreeMap<(i64, [String; 4]), ReportPoint> = BTreeMap::new();
    let mut latencies = Latencies::default();
    for event in events.iter().filter(|event| matches(event, filter)) {
        let number = (event.created_at.0.div_euclid(1000) - filter.start).div_euclid(filter.increment);
        let at = filter.start + number * filter.increment;
        let by = filter.group_by;
        let text = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
        let key = event.key_id.map(|key| key.to_string()).unwrap_or_default();
        let group = [
            text(by.model, &event.model),
            text(by.key, &key),
            text(by.custom_id, &event.custom_id),
            text(by.user_id, &event.user_id),
        ];
        let [model, key_id, custom_id, user_id] = group.clone();
        let empty = ReportPoint { at, model, key_id, custom_id, user_id, ..ReportPoint::default() };
        let point = points.entry((at, group)).or_insert(empty);
        point.requests += 1;
        point.successes += u64::from(event.status == 200);
        point.cost = point.cost.saturating_add(event.cost);
        point.latency_ms += event.latency_ms;
        point.prompt_tokens += event.usage.prompt_tokens();
        point.completion_tokens += event.usage.completion_tokens();
        latencies.add(event.latency_ms);
    }
    Report {
        points: points.into_values().collect(),
        latency_median_ms: latencies.percentile(0.5),
        latency_p99_ms: latencies.percentile(0.99),
    }
}

fn random_filter(dice: &mut Dice) -> ReportFilter {
    let mut start = (T + dice.signed(5 * DAY) - DAY / 2) / 1000;
    let mut long = 1 + dice.signed(4 * DAY / 1000);
    let mut increment = *dice.one(&[1800, 3600, 4000, 7200, 9001, 86_400, 100_000, 1_000_000]);
    if dice.roll(3) == 0 {
        (start, long, increment) = (start / 86_400 * 86_400, 3 * 86_400, 86_400);
    }
    let texts = |dice: &mut Dice, list: &[&str]| {
        if dice.roll(6) == 0 { vec![(*dice.one(list)).to_owned()] } else { Vec::new() }
    };
    ReportFilter {
        start,
        end: start + long,
        increment,
        key_ids: if dice.roll(2) == 0 { vec![key_id(dice.roll(4)), key_id(dice.roll(5))] } else { Vec::new() },
        tags: texts(dice, &["t1", "t2", "t3"]),
        custom_ids: texts(dice, &["x", "", "z"]),
        user_ids: texts(dice, &["u", "", "w"]),
        group_by: GroupBy {
            model: dice.roll(2) == 0,
            key: dice.roll(2) == 0,
            custom_id: dice.roll(6) == 0,
            user_id: dice.roll(6) == 0,
        },
    }
}

#[expect(clippy::float_arithmetic, reason = "compares with a tolerance")]
fn near(found: f64, expect: f64, tolerance: f64) -> bool {
    (found - expect).abs() <= expect * tolerance + 1e-6
}

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
    let (store, _database) = stores().await;
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
    let (store, _database) = stores().await;
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
    let (store, _database) = stores().await;
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

fn charge(n: u64, key: u64, instance: u64) -> Event {
    event(n, seconds(T / 1000), |e| {
        e.key_id = Some(key_id(key));
        e.cost = Money::from_units(1000);
        e.quota = Some(QuotaRule { quota: Money::from_units(5_000), month: UnixMillis(1) });
        let made = vec![MadeObject { id: format!("file-{}", n % 5).into(), kind: "file".into(), charged_as: None }];
        let charged = vec![format!("job-{n}").into(), format!("shared-{}", (n + instance) % 3).into()];
        e.objects = n.is_multiple_of(4).then(|| Box::new(ObjectChanges { made, charged }));
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_drain_at_once_count_every_event_once() {
    let (store, database) = stores().await;
    store.insert_keys(&(0..5).map(|n| plain_key(n, |_| {})).collect::<Vec<_>>()).await.unwrap();
    let tasks: Vec<_> = (0..4u64)
        .map(|gateway| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let store = at(&url).await.booking_as(InstanceId(i32::try_from(gateway).unwrap()));
                let mut new = 0;
                for round in 0..12 {
                    // A third is everybody's, as when one takes over from another; each in an order of its own.
                    let shared = (0..20).map(|n| round * 20 + n);
                    let own = (0..40).map(|n| 10_000 * (gateway + 1) + round * 40 + n);
                    let mut batch: Vec<_> = shared.chain(own).map(|n| charge(n, n % 5, 0)).collect();
                    batch.rotate_left(usize::try_from(gateway * 13).unwrap());
                    if gateway % 2 == 1 {
                        batch.reverse();
                    }
                    new += store.insert_events(&batch).await.unwrap();
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.unwrap();
    }
    assert_eq!(new, 12 * 20 + 4 * 12 * 40);
    let events = store.list_events(&EventFilter::default()).await.unwrap().rows;
    assert_eq!(events.len(), new);
    let mut expect: BTreeMap<KeyId, Money> = BTreeMap::new();
    for event in &events {
        let sum = expect.entry(event.key_id.unwrap()).or_default();
        *sum = sum.saturating_add(event.cost);
    }
    let spends: BTreeMap<_, _> = store.spends().await.unwrap().iter().map(|s| (s.key_id, s.total)).collect();
    assert_eq!(spends, expect);
    // Each piece of work is borne by one event, and what bears none that another bears costs what it costs.
    let free = events.iter().filter(|event| event.cost.is_zero()).count();
    let with_work = events.iter().filter(|event| {
        let number = u64::from_be_bytes(event.id.as_bytes()[8..].try_into().unwrap()) & !(1 << 63);
        number % 4 == 0
    });
    let with_work = with_work.count();
    assert!(free >= with_work - 3 && free < with_work, "{free} of {with_work}");
    for (key, total) in expect {
        let account = store.books(&[key]).await.unwrap()[0].1.account;
        assert_eq!(account.month_fee, Money::from_units(5_000));
        assert_eq!(account.balance, Money::from_units(5_000).saturating_sub(total));
        let standing =
            store.standing(key, Since { rate: Some(UnixMillis(0)), window: Some(UnixMillis(0)) }).await.unwrap();
        assert_eq!(standing.spent.iter().map(|(_, money)| *money).sum::<Money>(), total);
        assert_eq!((standing.window_spent, standing.account), (total, account));
    }
    let mut booked = 0;
    for gateway in 0..4 {
        let of_one = store.spent_by(InstanceId(gateway)).await.unwrap();
        assert_eq!(of_one.len(), 5, "every gateway booked of every key");
        booked += of_one.iter().map(|(_, money)| money.units()).sum::<i64>();
    }
    assert_eq!(booked, spends.values().map(|money| money.units()).sum::<i64>());
}

#[tokio::test]
async fn a_standing_says_who_booked_what() {
    let (store, _database) = stores().await;
    store.insert_keys(&[plain_key(1, |_| {})]).await.unwrap();
    let nothing = store.standing(key_id(1), Since::default()).await.unwrap();
    assert_eq!(nothing, crate::limits::Standing::default());
    let at = |n: u64, millis| event(n, UnixMillis(T + millis), |e| e.cost = Money::from_units(1 << n));
    store.booking_as(InstanceId(7)).insert_events(&[at(1, 0), at(2, 5_000)]).await.unwrap();
    store.booking_as(InstanceId(8)).insert_events(&[at(3, 10_000)]).await.unwrap();
    store.credit(key_id(1), Money::from_units(100)).await.unwrap();
    store.credit(key_id(1), Money::from_units(11)).await.unwrap();
    let since = Since { rate: Some(UnixMillis(T + 4_500)), window: Some(UnixMillis(T + 5_001)) };
    let standing = store.standing(key_id(1), since).await.unwrap();
    assert_eq!(standing.spent, [(InstanceId(7), Money::from_units(6)), (InstanceId(8), Money::from_units(8))]);
    assert_eq!(standing.admitted, [(InstanceId(7), 1), (InstanceId(8), 1)]);
    assert_eq!(standing.window_spent, Money::from_units(8));
    assert_eq!((standing.account.balance, standing.credited), (Money::from_units(111), Money::from_units(111)));
    let unasked = store.standing(key_id(1), Since::default()).await.unwrap();
    assert_eq!((unasked.admitted, unasked.window_spent), (Vec::new(), Money::ZERO));
    assert_eq!(store.spent_by(InstanceId(8)).await.unwrap(), [(key_id(1), Money::from_units(8))]);
    assert_eq!(store.spent_by(InstanceId(9)).await.unwrap(), []);
}

#[tokio::test]
async fn texts_that_no_index_can_hold_are_found_and_come_back() {
    let (store, _database) = stores().await;
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
    let (store, _database) = stores().await;
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
    let (store, _database) = stores().await;
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
            tokio::spawn(async move { at(&url).await })
        })
        .collect();
    for start in starts {
        assert_eq!(months(&start.await.unwrap()).await.len(), 6);
    }
}

#[tokio::test]
async fn a_month_of_which_nothing_is_kept_is_dropped() {
    let (store, _database) = stores().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_has_all_of_a_batch_or_nothing() {
    let mut server = Postgres::start();
    let store = at(&server.url("postgres")).await;
    store.insert_keys(&[plain_key(1, |_| {})]).await.unwrap();
    let batches: Vec<Vec<Event>> =
        (0..40).map(|batch| (0..250).map(|n| charge(batch * 250 + n, 1, 0)).collect()).collect();
    let task = {
        let (store, batches) = (store.clone(), batches.clone());
        tokio::spawn(async move {
            for batch in &batches {
                // As the journal does: until it is in.
                while store.insert_events(batch).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        })
    };
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        server.restart();
        let found = loop {
            match store.list_events(&EventFilter::default()).await {
                Ok(page) => break page.rows.len(),
                Err(StoreError::Engine(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(found % 250, 0);
    }
    tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
    let events = store.list_events(&EventFilter::default()).await.unwrap().rows;
    assert_eq!(events.len(), 10_000);
    let total: Money = events.iter().map(|event| event.cost).sum();
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(total));
    assert_eq!(store.spends_since(UnixMillis(0)).await.unwrap()[0].total, total);
    let account = store.books(&[key_id(1)]).await.unwrap()[0].1.account;
    assert_eq!(account.balance, Money::from_units(5_000).saturating_sub(total));
}

#[tokio::test]
async fn a_report_with_too_many_points_is_refused() {
    let (store, _database) = open().await;
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
