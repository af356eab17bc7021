//! Promises about what makes a key a user: number, membership, secret, and the lists of them.

use super::configuration::feed;
use super::models::{group, model};
use super::samples::{ODD_TEXTS, digest, event, key, key_id, plain_key, seconds};
use crate::domain::{GroupId, Key, KeyId, Membership, ModelId, Money, QuotaRule, Role, UnixMillis};
use crate::snapshot::{Point, Snapshot};
use crate::store::{
    Books, Change, Changes, GrantAction, Grantee, KeyFilter, KeySort, Order, Paging, SharedStore, StoreError,
};
use std::sync::Arc;

pub(crate) async fn a_membership_comes_back_as_it_was_stored(store: SharedStore) {
    let group = store.insert_group(&group(1, |_| {})).await.unwrap();
    let one = store.insert_model(&model(1, |_| {})).await.unwrap();
    let two = store.insert_model(&model(2, |_| {})).await.unwrap();
    let full = Membership {
        email: Some("Ann@Example.test".into()),
        role: Role::Admin,
        group: Some(group),
        models: [two, one].into(),
        quota: Some(Money::from_units(3)),
    };
    let part = |change: &dyn Fn(&mut Membership)| {
        let mut part = Membership::default();
        change(&mut part);
        part
    };
    let parts = [
        part(&|m| m.email = Some("".into())),
        part(&|m| m.role = Role::Admin),
        part(&|m| m.group = Some(group)),
        part(&|m| m.models = [one].into()),
        part(&|m| m.quota = Some(Money::ZERO)),
    ];
    for (n, membership) in (1..).zip([full].into_iter().chain(parts)) {
        let original = key(n, |k| k.membership = Some(Box::new(membership.clone())));
        store.insert_key(&original).await.unwrap();
        assert_eq!(store.key(original.id).await.unwrap(), Some(original.clone()));
        let (_, changes) = feed(&store, 0).await;
        assert!(changes.iter().any(|c| matches!(c, Change::Key(k) if **k == original)), "{membership:?}");
    }
    // Defaults in every field are no membership.
    store.insert_key(&key(7, |k| k.membership = Some(Box::default()))).await.unwrap();
    assert_eq!(store.key(key_id(7)).await.unwrap().unwrap().membership, None);
    // The same model twice is granted once.
    store.insert_key(&key(8, |k| k.member().models = [two, two, one].into())).await.unwrap();
    assert_eq!(store.key(key_id(8)).await.unwrap().unwrap().models(), [two, one]);
}

pub(crate) async fn an_update_replaces_a_membership_but_not_its_grants(store: SharedStore) {
    let group = store.insert_group(&group(1, |_| {})).await.unwrap();
    let one = store.insert_model(&model(1, |_| {})).await.unwrap();
    store.insert_key(&key(1, |k| k.member().models = [one].into())).await.unwrap();
    let members = |k: &mut Key| {
        *k.member() = Membership {
            email: Some("a@b".into()),
            role: Role::Admin,
            group: Some(group),
            models: Box::default(),
            quota: Some(Money::from_units(7)),
        };
    };
    store.update_key(&key(1, members)).await.unwrap();
    let mut expect = key(1, members);
    expect.member().models = [one].into();
    expect.revision = 2;
    assert_eq!(store.key(key_id(1)).await.unwrap(), Some(expect));
    store.update_key(&key(1, |k| k.revision = 2)).await.unwrap();
    let left = store.key(key_id(1)).await.unwrap().unwrap().membership;
    assert_eq!(left.as_deref(), Some(&Membership { models: [one].into(), ..Membership::default() }));
}

pub(crate) async fn a_key_cannot_name_what_is_not_there(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    let in_group = key(2, |k| k.member().group = Some(GroupId(9)));
    let with_model = key(2, |k| k.member().models = [ModelId(9)].into());
    for unknown in [&in_group, &with_model] {
        let refused = store.insert_keys(&[key(3, |_| {}), unknown.clone()]).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    }
    let refused = store.update_key(&key(1, |k| k.member().group = Some(GroupId(9)))).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    assert_eq!(feed(&store, position).await.0, position);
    assert_eq!(store.list_keys(&KeyFilter::default()).await.unwrap().rows, [key(1, |_| {})]);
}

pub(crate) async fn numbers_count_up_and_never_come_again(store: SharedStore) {
    store.insert_keys(&[key(5, |_| {}), key(1, |_| {}), key(3, |k| k.number = 77)]).await.unwrap();
    let number = async |n: u64| store.key(key_id(n)).await.unwrap().unwrap().number;
    assert_eq!([number(5).await, number(1).await, number(3).await], [1, 2, 3]);
    store.delete_key(key_id(3)).await.unwrap();
    store.insert_keys(&[key(4, |_| {}), key(6, |_| {})]).await.unwrap();
    assert_eq!([number(4).await, number(6).await], [4, 5]);
    // Also the very last one, and when none is left.
    for n in [5, 1, 4, 6] {
        store.delete_key(key_id(n)).await.unwrap();
    }
    let one = store.insert_model(&model(1, |_| {})).await.unwrap();
    store.insert_keys(&[key(7, |k| k.member().models = [one].into()), key(8, |_| {})]).await.unwrap();
    assert_eq!([number(7).await, number(8).await], [6, 7]);
    assert_eq!(store.key(key_id(7)).await.unwrap().unwrap().models(), [one]);
    // A number stays with its key.
    store.update_key(&key(8, |k| k.number = 1)).await.unwrap();
    assert_eq!(number(8).await, 7);
}

pub(crate) async fn a_key_is_found_by_its_number_and_its_digest(store: SharedStore) {
    store.insert_keys(&[key(1, |_| {}), key(2, |_| {})]).await.unwrap();
    assert_eq!(store.key_numbered(2).await.unwrap(), Some(key(2, |_| {})));
    assert_eq!(store.key_with_digest(&digest(2)).await.unwrap(), Some(key(2, |_| {})));
    for nothing in [0, -1, 3, i64::MAX] {
        assert_eq!(store.key_numbered(nothing).await.unwrap(), None);
    }
    assert_eq!(store.key_with_digest(&digest(3)).await.unwrap(), None);
}

/// What a gateway knows that took in `changes` on top of what it knew.
async fn catch_up(store: &SharedStore, known: &Snapshot) -> Snapshot {
    let (position, changes) = feed(store, known.position()).await;
    known.apply(Changes { point: Point::at(position), changes })
}

pub(crate) async fn a_replaced_secret_is_forgotten_by_everybody(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    // A gateway for each of the secrets, which hears nothing until the end.
    let mut gateways = vec![catch_up(&store, &Snapshot::default()).await];
    for (revision, n) in (1..).zip([11, 12, 13]) {
        store.replace_digest(key_id(1), revision, digest(n), "sk-ne...w01", UnixMillis(9)).await.unwrap();
        gateways.push(catch_up(&store, &gateways[0]).await);
    }
    let stored = key(1, |k| {
        k.digest = digest(13);
        k.hint = "sk-ne...w01".into();
        k.updated_at = UnixMillis(9);
        k.revision = 4;
    });
    assert_eq!(store.key(key_id(1)).await.unwrap().as_ref(), Some(&stored));
    assert_eq!(store.key_with_digest(&digest(1)).await.unwrap(), None);
    gateways.push(Snapshot::default());
    for gateway in &gateways {
        let now = catch_up(&store, gateway).await;
        assert_eq!(now.keys(), 1);
        assert_eq!(now.key(&digest(13)).map(|k| (**k).clone()).as_ref(), Some(&stored));
        // Its settings are still those of one key.
        assert!(stored.setting_ids.iter().all(|s| now.is_exclusive(*s)));
    }
    // Deleted: nobody knows any of them.
    store.delete_key(key_id(1)).await.unwrap();
    for gateway in &gateways {
        assert_eq!(catch_up(&store, gateway).await.keys(), 0);
    }
}

pub(crate) async fn an_old_secret_may_be_used_again(store: SharedStore) {
    let owner = |gateway: &Snapshot, n| gateway.key(&digest(n)).map(|k| k.id);
    let replace = async |n, revision, to| {
        store.replace_digest(key_id(n), revision, digest(to), "hint", UnixMillis(9)).await.unwrap();
    };
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let early = catch_up(&store, &Snapshot::default()).await;
    // By the key itself.
    replace(1, 1, 11).await;
    let between = catch_up(&store, &early).await;
    replace(1, 2, 1).await;
    for gateway in [&Snapshot::default(), &early, &between] {
        let now = catch_up(&store, gateway).await;
        assert_eq!((owner(&now, 1), owner(&now, 11), now.keys()), (Some(key_id(1)), None, 1));
    }
    // By another, which gives it up in its turn: two keys had it, and both are told.
    replace(1, 3, 12).await;
    store.insert_key(&key(2, |k| k.digest = digest(1))).await.unwrap();
    let later = catch_up(&store, &between).await;
    assert_eq!((owner(&later, 1), owner(&later, 12)), (Some(key_id(2)), Some(key_id(1))));
    replace(2, 1, 22).await;
    for gateway in [&Snapshot::default(), &early, &between, &later] {
        let now = catch_up(&store, gateway).await;
        assert_eq!((owner(&now, 1), owner(&now, 11), now.keys()), (None, None, 2));
        assert_eq!((owner(&now, 12), owner(&now, 22)), (Some(key_id(1)), Some(key_id(2))));
    }
}

pub(crate) async fn a_secret_is_replaced_under_the_rules_of_updates(store: SharedStore) {
    store.insert_keys(&[key(1, |_| {}), key(2, |_| {})]).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    let replace =
        async |n, revision, to| store.replace_digest(key_id(n), revision, digest(to), "hint", UnixMillis(9)).await;
    assert!(matches!(replace(3, 1, 11).await, Err(StoreError::NotFound)));
    assert!(matches!(replace(1, 2, 11).await, Err(StoreError::Conflict)));
    assert!(matches!(replace(1, 1, 2).await, Err(StoreError::DuplicateKey)));
    assert_eq!(feed(&store, position).await.0, position);
    replace(1, 1, 1).await.unwrap();
    assert_eq!(store.key(key_id(1)).await.unwrap().unwrap().revision, 2);
    let now = catch_up(&store, &Snapshot::default()).await;
    assert_eq!(now.key(&digest(1)).unwrap().revision, 2);
}

pub(crate) async fn racing_resets_leave_one_secret(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let tasks = (100..120).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.replace_digest(key_id(1), 1, digest(n), "h", UnixMillis(9)).await })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(()) => done += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error}"),
        }
    }
    assert_eq!((done, catch_up(&store, &Snapshot::default()).await.keys()), (1, 1));
}

async fn listed(store: &SharedStore, filter: KeyFilter) -> Vec<KeyId> {
    let paging = Paging { count: true, ..Paging::default() };
    let page = store.list_keys(&KeyFilter { paging, order: Order::Ascending, ..filter }).await.unwrap();
    assert_eq!(page.count, page.rows.len() as u64);
    page.rows.iter().map(|k| k.id).collect()
}

pub(crate) async fn members_are_filtered(store: SharedStore) {
    let one = store.insert_group(&group(1, |_| {})).await.unwrap();
    let two = store.insert_group(&group(2, |_| {})).await.unwrap();
    let keys = [
        key(1, |k| {
            k.name = "Ann".into();
            *k.member() = Membership { email: Some("x@y".into()), role: Role::Admin, ..Membership::default() };
        }),
        key(2, |k| {
            k.name = "ann".into();
            k.member().group = Some(one);
        }),
        key(3, |k| {
            k.name = "bob".into();
            *k.member() = Membership { email: Some("ANN@b".into()), group: Some(two), ..Membership::default() };
        }),
    ];
    store.insert_keys(&keys).await.unwrap();
    let of = |change: &dyn Fn(&mut KeyFilter)| {
        let mut filter = KeyFilter::default();
        change(&mut filter);
        filter
    };
    let by = |numbers: &[u64]| numbers.iter().map(|n| key_id(*n)).collect::<Vec<_>>();
    for (filter, expect) in [
        (of(&|f| f.text = Some("aNN".into())), by(&[1, 2, 3])),
        (of(&|f| f.text = Some("@".into())), by(&[1, 3])),
        (of(&|f| f.text = Some("annx".into())), by(&[])),
        (of(&|f| f.exact_name = Some("ann".into())), by(&[2])),
        (of(&|f| f.exact_name = Some("an".into())), by(&[])),
        (of(&|f| f.group = Some(Some(one))), by(&[2])),
        (of(&|f| f.group = Some(None)), by(&[1])),
        (of(&|f| f.group = Some(Some(GroupId(99)))), by(&[])),
        (of(&|f| f.role = Some(Role::Admin)), by(&[1])),
        (of(&|f| f.role = Some(Role::User)), by(&[2, 3])),
        (
            of(&|f| {
                f.role = Some(Role::User);
                f.text = Some("ann".into());
                f.group = Some(Some(two));
            }),
            by(&[3]),
        ),
    ] {
        assert_eq!(listed(&store, filter.clone()).await, expect, "{filter:?}");
    }
}

pub(crate) async fn members_are_found_by_text_taken_literally(store: SharedStore) {
    for (n, text) in (1..).zip(ODD_TEXTS) {
        let odd = plain_key(n, |k| {
            k.name = format!("Name<{text}>").into();
            k.member().email = Some(format!("Mail<{text}>").into());
        });
        store.insert_key(&odd).await.unwrap();
    }
    for (n, text) in (1..).zip(ODD_TEXTS) {
        for part in [format!("name<{}>", text.to_uppercase()), format!("mail<{text}>")] {
            let filter = KeyFilter { text: Some(part.clone()), ..KeyFilter::default() };
            assert_eq!(listed(&store, filter).await, [key_id(n)], "{part}");
        }
        let exact = KeyFilter { exact_name: Some(format!("Name<{text}>")), ..KeyFilter::default() };
        assert_eq!(listed(&store, exact).await, [key_id(n)]);
    }
    for nothing in ["a%b", "under.score", "mail%", "_ail"] {
        let filter = KeyFilter { text: Some(nothing.into()), ..KeyFilter::default() };
        assert_eq!(listed(&store, filter).await, [], "{nothing}");
    }
}

pub(crate) async fn keys_are_sorted_by_what_is_asked_for(store: SharedStore) {
    let (last, this) = (seconds(1_704_067_200), seconds(1_706_745_600));
    // Key 4 is no member and never spent. Keys 2 and 3 are alike in most.
    let make = |n: u64, name: &str, quota: Option<i64>, made: i64, updated: i64| {
        plain_key(n, |k| {
            k.name = name.into();
            k.member().quota = quota.map(Money::from_units);
            k.created_at = UnixMillis(made);
            k.updated_at = UnixMillis(updated);
        })
    };
    let keys = [
        make(3, "bob", Some(100), 30, 5),
        make(1, "Émile", Some(100), 10, 7),
        make(2, "BOB", Some(50), 20, 5),
        make(4, "ann", None, 40, 6),
    ];
    store.insert_keys(&keys).await.unwrap();
    let spent = |n: u64, key: u64, cost: i64, month: UnixMillis| {
        event(n, this, |e| {
            e.key_id = Some(key_id(key));
            e.cost = Money::from_units(cost);
            e.quota = Some(QuotaRule { quota: Money::from_units(100), month });
        })
    };
    store.insert_events(&[spent(1, 1, 60, this), spent(2, 2, 90, last), spent(3, 3, 60, last)]).await.unwrap();
    store.credit(key_id(1), Money::from_units(5)).await.unwrap();
    store.credit(key_id(3), Money::from_units(7)).await.unwrap();

    let sorted = async |sort, order| {
        let filter = KeyFilter { sort, order, ..KeyFilter::default() };
        let rows = store.list_keys(&filter).await.unwrap().rows;
        rows.iter().map(|k| short(k.id)).collect::<String>()
    };
    for (sort, ascending) in [
        (KeySort::Created, "1234"),
        (KeySort::Number, "3124"),
        (KeySort::Name, "4321"),
        (KeySort::Total, "4312"),
        (KeySort::Month(this), "3241"),
        (KeySort::Month(last), "4312"),
        (KeySort::Quota, "4231"),
        (KeySort::Balance, "2413"),
        (KeySort::Updated, "3241"),
    ] {
        assert_eq!(sorted(sort, Order::Ascending).await, ascending, "{sort:?}");
        let descending: String = ascending.chars().rev().collect();
        assert_eq!(sorted(sort, Order::Descending).await, descending, "{sort:?}");
        let paging = Paging { limit: 2, offset: 1, count: true };
        let filter = KeyFilter { sort, order: Order::Ascending, paging, ..KeyFilter::default() };
        let page = store.list_keys(&filter).await.unwrap();
        let rows: String = page.rows.iter().map(|k| short(k.id)).collect();
        assert_eq!((rows.as_str(), page.count), (ascending.get(1..3).unwrap(), 4), "{sort:?}");
    }
}

/// The argument of [`key_id`], as a digit.
fn short(id: KeyId) -> char {
    (1..=9).find(|n| key_id(u64::from(*n)) == id).and_then(|n| char::from_digit(n, 10)).unwrap()
}

pub(crate) async fn deleting_a_key_takes_its_grants_and_account_but_not_its_history(store: SharedStore) {
    let one = store.insert_model(&model(1, |_| {})).await.unwrap();
    store.insert_key(&key(1, |k| k.member().models = [one].into())).await.unwrap();
    let rule = QuotaRule { quota: Money::ZERO, month: seconds(0) };
    let charged = event(1, seconds(1_706_745_600), |e| e.quota = Some(rule));
    store.insert_events(std::slice::from_ref(&charged)).await.unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 1);
    store.delete_key(key_id(1)).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), []);
    let filter = super::models::all_grants(crate::store::GranteeKind::Key);
    assert_eq!(store.list_grants(&filter).await.unwrap().rows, []);
    assert_eq!(store.spend_of(key_id(1)).await.unwrap(), Some(charged.cost));
    assert_eq!(store.list_events(&crate::store::EventFilter::default()).await.unwrap().rows.len(), 1);
    let granted = store.grant(Grantee::Key(key_id(1)), one, GrantAction::Bind, UnixMillis(1)).await;
    assert!(matches!(granted, Err(StoreError::NotFound)), "{granted:?}");
    // What was still under way when it was deleted makes no account either, nor does a late credit.
    store.insert_events(&[event(2, seconds(1_706_745_600), |e| e.quota = Some(rule))]).await.unwrap();
    assert!(matches!(store.credit(key_id(1), Money::from_units(1)).await, Err(StoreError::NotFound)));
    assert_eq!(store.accounts().await.unwrap(), []);
    let books = Books { total: charged.cost.saturating_add(charged.cost), ..Books::default() };
    assert_eq!(store.books(&[key_id(1)]).await.unwrap(), [(key_id(1), books)]);
}
