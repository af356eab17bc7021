//! Events that gateways drain from their journals: each is booked once, whoever races or dies.

use super::by_hand::T;
use super::{opened, opened_at};
use crate::domain::{Event, InstanceId, KeyId, MadeObject, Money, ObjectChanges, QuotaRule, UnixMillis};
use crate::limits::{SharedLedger, Since};
use crate::servers::Postgres;
use crate::store::suite::samples::{event, key_id, plain_key, seconds};
use crate::store::{EventFilter, EventStore, KeyStore, StoreError};
use std::collections::BTreeMap;
use std::time::Duration;

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
    let (store, database) = opened().await;
    store.insert_keys(&(0..5).map(|n| plain_key(n, |_| {})).collect::<Vec<_>>()).await.unwrap();
    let tasks: Vec<_> = (0..4u64)
        .map(|gateway| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let store = opened_at(&url).await.booking_as(InstanceId(i32::try_from(gateway).unwrap()));
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
    let (store, _database) = opened().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_has_all_of_a_batch_or_nothing() {
    let mut server = Postgres::start();
    let store = opened_at(&server.url("postgres")).await;
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
                Err(StoreError::Engine(_) | StoreError::Away(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
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
