//! Promises about quota and balance.

use super::samples::{event, key_id, plain_key, seconds};
use crate::domain::{Account, Event, Key, KeyId, Money, ObjectChanges, QuotaRule, UnixMillis};
use crate::store::{Books, SharedStore, StoreError};
use std::sync::Arc;

const LAST: UnixMillis = UnixMillis(1_704_067_200_000);
const THIS: UnixMillis = UnixMillis(1_706_745_600_000);
const NOW: UnixMillis = UnixMillis(1_707_000_000_000);

fn usd(text: &str) -> Money {
    Money::parse_usd(text).unwrap()
}

fn member(n: u64) -> Key {
    plain_key(n, |k| k.member().quota = Some(usd("1")))
}

/// An event of key `key` under a rule.
fn charge(n: u64, key: u64, cost: &str, quota: &str, month: UnixMillis) -> Event {
    event(n, NOW, |e| {
        e.key_id = Some(key_id(key));
        e.cost = usd(cost);
        e.quota = Some(QuotaRule { quota: usd(quota), month });
    })
}

async fn account(store: &SharedStore, key: u64) -> Option<Account> {
    let accounts = store.accounts().await.unwrap();
    let found = accounts.into_iter().find(|(id, _)| *id == key_id(key)).map(|(_, account)| account);
    let books = store.books(&[key_id(key)]).await.unwrap();
    assert_eq!(books.first().map(|(_, b)| b.account).filter(|a| *a != Account::default()), found);
    found
}

pub(crate) async fn a_cost_is_taken_from_quota_then_balance(store: SharedStore) {
    // Quota, used before, in which month, balance; then used and balance after a call of 0.0045.
    for (n, (quota, used, month, balance, used_after, balance_after)) in (1..).zip([
        ("20", "0", THIS, "0", "0.0045", "0"),
        ("1", "0.999", THIS, "0.5", "1", "0.4965"),
        ("1", "1", THIS, "0.001", "1", "-0.0035"),
        ("1", "1", LAST, "0", "0.0045", "0"),
        ("0", "0", THIS, "2", "0", "1.9955"),
    ]) {
        store.insert_key(&member(n)).await.unwrap();
        store.credit(key_id(n), usd(balance)).await.unwrap();
        store.insert_events(&[charge(n * 10, n, used, quota, month)]).await.unwrap();
        store.insert_events(&[charge(n * 10 + 1, n, "0.0045", quota, THIS)]).await.unwrap();
        let expect = Account { month: THIS, month_fee: usd(used_after), balance: usd(balance_after) };
        assert_eq!(account(&store, n).await, Some(expect), "{quota} {used} {balance}");
        let total = usd(used).saturating_add(usd("0.0045"));
        assert_eq!(store.books(&[key_id(n)]).await.unwrap(), [(key_id(n), Books { account: expect, total })]);
    }
    assert_eq!(store.accounts().await.unwrap().len(), 5);
}

pub(crate) async fn an_event_is_charged_once_however_often_it_is_written(store: SharedStore) {
    store.insert_key(&member(1)).await.unwrap();
    let batch = [charge(1, 1, "0.6", "1", THIS), charge(2, 1, "0.6", "1", THIS)];
    assert_eq!(store.insert_events(&batch).await.unwrap(), 2);
    let expect = Account { month: THIS, month_fee: usd("1"), balance: usd("-0.2") };
    assert_eq!(account(&store, 1).await, Some(expect));
    assert_eq!(store.insert_events(&batch).await.unwrap(), 0);
    // What is new in a batch is charged, what is not is not.
    let [first, second] = batch;
    let third = charge(3, 1, "0.1", "1", THIS);
    assert_eq!(store.insert_events(&[first, third.clone(), second, third]).await.unwrap(), 1);
    assert_eq!(account(&store, 1).await, Some(Account { balance: usd("-0.3"), ..expect }));
}

pub(crate) async fn racing_writers_charge_every_event_once(store: SharedStore) {
    store.insert_key(&member(1)).await.unwrap();
    let events: Vec<_> = (0..100).map(|n| charge(n, 1, "0.01", "0.25", THIS)).collect();
    let tasks = (0..4).map(|_| {
        let (store, events) = (Arc::clone(&store), events.clone());
        tokio::spawn(async move {
            for batch in events.chunks(7) {
                store.insert_events(batch).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let expect = Account { month: THIS, month_fee: usd("0.25"), balance: usd("-0.75") };
    assert_eq!(account(&store, 1).await, Some(expect));
}

pub(crate) async fn events_of_a_key_are_charged_in_order(store: SharedStore) {
    store.insert_keys(&[member(1), member(2)]).await.unwrap();
    // The quota was lowered between the two of key 1; key 2 comes in between.
    let batch = [
        charge(1, 1, "3", "5", THIS),
        charge(2, 2, "1", "5", THIS),
        charge(3, 1, "1", "2", THIS),
        charge(4, 2, "2", "5", THIS),
        // Late, of a month that is over.
        charge(5, 2, "3", "5", LAST),
    ];
    store.insert_events(&batch).await.unwrap();
    assert_eq!(account(&store, 1).await, Some(Account { month: THIS, month_fee: usd("3"), balance: usd("-1") }));
    assert_eq!(account(&store, 2).await, Some(Account { month: THIS, month_fee: usd("5"), balance: usd("-1") }));
}

pub(crate) async fn what_has_no_rule_or_cost_charges_nothing(store: SharedStore) {
    store.insert_key(&member(1)).await.unwrap();
    let free = charge(1, 1, "0", "1", THIS);
    let ruleless = Event { quota: None, ..charge(2, 1, "1", "1", THIS) };
    let nobodys = Event { key_id: None, ..charge(3, 1, "1", "1", THIS) };
    let unknown = charge(4, 99, "1", "1", THIS);
    assert_eq!(store.insert_events(&[free, ruleless, nobodys, unknown]).await.unwrap(), 4);
    assert_eq!(store.accounts().await.unwrap(), []);
    assert_eq!(store.spend_of(key_id(99)).await.unwrap(), Some(usd("1")));
    let books = Books { total: usd("1"), ..Books::default() };
    assert_eq!(store.books(&[key_id(1)]).await.unwrap(), [(key_id(1), books)]);
}

pub(crate) async fn work_that_another_event_bears_is_not_charged(store: SharedStore) {
    store.insert_key(&member(1)).await.unwrap();
    let of_job = |n| Event {
        objects: Some(Box::new(ObjectChanges { charged: vec!["job-1".into()], ..ObjectChanges::default() })),
        ..charge(n, 1, "0.4", "1", THIS)
    };
    assert_eq!(store.insert_events(&[of_job(1), of_job(2)]).await.unwrap(), 2);
    assert_eq!(store.insert_events(&[of_job(3)]).await.unwrap(), 1);
    assert_eq!(account(&store, 1).await.unwrap().month_fee, usd("0.4"));
}

pub(crate) async fn credits_add_up(store: SharedStore) {
    store.insert_keys(&[member(1), plain_key(2, |_| {})]).await.unwrap();
    let tasks = (0..50).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.credit(key_id(1), usd("0.01")).await.unwrap().balance })
    });
    let mut seen = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), seen.last().copied()), (50, Some(usd("0.5"))));
    assert_eq!(account(&store, 1).await, Some(Account { balance: usd("0.5"), ..Account::default() }));
    // Also to a key without a quota; what is negative adds nothing; what is too much saturates.
    let balance = async |amount| store.credit(key_id(2), amount).await.unwrap().balance;
    assert_eq!(balance(usd("2")).await, usd("2"));
    assert_eq!(balance(Money::from_units(-1)).await, usd("2"));
    assert_eq!(balance(Money::MAX).await, Money::MAX);
    assert_eq!(balance(Money::MAX).await, Money::MAX);
    assert!(matches!(store.credit(key_id(3), usd("1")).await, Err(StoreError::NotFound)));
    assert_eq!(store.accounts().await.unwrap().len(), 2);
}

pub(crate) async fn books_are_of_those_that_spent_or_were_credited(store: SharedStore) {
    store.insert_keys(&(1..=4).map(member).collect::<Vec<_>>()).await.unwrap();
    store.credit(key_id(1), usd("1")).await.unwrap();
    let spent = event(1, seconds(1_707_000_000), |e| {
        e.key_id = Some(key_id(2));
        e.cost = usd("2");
    });
    store.insert_events(&[spent, charge(2, 3, "0.5", "1", THIS)]).await.unwrap();
    let ids: Vec<KeyId> = [4, 3, 9, 2, 1].map(key_id).into();
    let credited = Books { account: Account { balance: usd("1"), ..Account::default() }, total: Money::ZERO };
    let spent = Books { account: Account::default(), total: usd("2") };
    let account = Account { month: THIS, month_fee: usd("0.5"), balance: Money::ZERO };
    let charged = Books { account, total: usd("0.5") };
    let mut books = store.books(&ids).await.unwrap();
    books.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(books, [(key_id(1), credited), (key_id(2), spent), (key_id(3), charged)]);
    assert_eq!(store.books(&[]).await.unwrap(), []);
    assert_eq!(store.accounts().await.unwrap(), [(key_id(1), credited.account), (key_id(3), account)]);
}
