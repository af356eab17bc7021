//! Promises about keys, settings and the change feed.

use super::samples::{ODD_TEXTS, custom_provider, digest, key, key_id, plain_key, seconds, setting, setting_id};
use crate::domain::{CustomProvider, Key, KeyId, Secret, UnixMillis};
use crate::store::loader::Loader;
use crate::store::{Change, KeyFilter, Order, Paging, Point, SharedStore, StoreError};
use std::sync::Arc;

async fn ids(store: &SharedStore, filter: KeyFilter) -> Vec<KeyId> {
    store.list_keys(&filter).await.unwrap().rows.iter().map(|k| k.id).collect()
}

/// Everything after `position`, page after page, and the position to ask from next.
pub(super) async fn feed(store: &SharedStore, mut position: i64) -> (i64, Vec<Change>) {
    let mut all = Vec::new();
    loop {
        let page = store.changes_since(Point::at(position)).await.unwrap();
        if page.changes.is_empty() {
            assert_eq!(page.point.position, position, "an empty answer moved the position");
            return (position, all);
        }
        assert!(page.point.position > position);
        position = page.point.position;
        all.extend(page.changes);
    }
}

fn names(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Key(key) => format!("key {} r{}", key.id, key.revision),
        Change::KeyGone { id, .. } => format!("gone {id}"),
        Change::Setting(setting) => format!("setting {} r{}", setting.id, setting.revision),
        Change::CustomProvider(provider) => format!("custom {} r{}", provider.id, provider.revision),
        other => format!("{other:?}"),
    };
    changes.iter().map(name).collect()
}

pub(crate) async fn a_key_comes_back_as_it_was_stored(store: SharedStore) {
    for original in [key(1, |_| {}), plain_key(2, |_| {})] {
        store.insert_key(&Key { revision: 77, ..original.clone() }).await.unwrap();
        assert_eq!(store.key(original.id).await.unwrap(), Some(original));
    }
}

pub(crate) async fn a_second_key_with_the_same_value_is_refused(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let twin = key(2, |k| k.digest = digest(1));
    assert!(matches!(store.insert_key(&twin).await, Err(StoreError::DuplicateKey)));
    assert_eq!(store.key(twin.id).await.unwrap(), None);
}

pub(crate) async fn many_keys_are_stored_together_or_not_at_all(store: SharedStore) {
    store.insert_keys(&[]).await.unwrap();
    assert_eq!(feed(&store, 0).await.0, 0);
    let keys: Vec<_> = (1..=50).map(|n| key(n, |k| k.revision = 77)).collect();
    store.insert_keys(&keys).await.unwrap();
    let (position, changes) = feed(&store, 0).await;
    assert_eq!(names(&changes), (1..=50).map(|n| format!("key {} r1", key_id(n))).collect::<Vec<_>>());
    // The value of a stored key, or the same one twice, is refused with everything beside it.
    for twin in [digest(7), digest(101)] {
        let refused = [key(101, |_| {}), key(102, |k| k.digest = twin), key(103, |_| {})];
        assert!(matches!(store.insert_keys(&refused).await, Err(StoreError::DuplicateKey)));
    }
    assert_eq!(feed(&store, position).await.0, position);
    assert_eq!(store.list_keys(&KeyFilter::default()).await.unwrap().rows.len(), 50);
}

pub(crate) async fn an_update_replaces_all_but_value_and_creation(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let changed = plain_key(1, |k| {
        k.digest = digest(99);
        k.created_at = UnixMillis(1);
        k.updated_at = UnixMillis(2);
        k.revoked = true;
        k.revoked_reason = "expired".into();
        k.name = "new".into();
        k.single_setting = true;
        k.log_request = false;
        k.log_response = true;
        k.rotation = false;
        k.hint = "sk-cd...uvw".into();
    });
    store.update_key(&changed).await.unwrap();
    let original = key(1, |_| {});
    let expect = Key { digest: original.digest, created_at: original.created_at, revision: 2, ..changed };
    assert_eq!(store.key(expect.id).await.unwrap(), Some(expect));
}

pub(crate) async fn an_update_of_a_stale_revision_is_a_conflict(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.update_key(&key(1, |k| k.name = "first".into())).await.unwrap();
    let late = store.update_key(&key(1, |k| k.name = "second".into())).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    assert_eq!(&*store.key(key_id(1)).await.unwrap().unwrap().name, "first");
}

pub(crate) async fn a_missing_key_is_not_found(store: SharedStore) {
    assert!(matches!(store.update_key(&key(1, |_| {})).await, Err(StoreError::NotFound)));
    assert!(matches!(store.delete_key(key_id(1)).await, Err(StoreError::NotFound)));
    assert_eq!(store.key(key_id(1)).await.unwrap(), None);
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.delete_key(key_id(1)).await.unwrap();
    assert!(matches!(store.delete_key(key_id(1)).await, Err(StoreError::NotFound)));
    assert_eq!(store.key(key_id(1)).await.unwrap(), None);
}

pub(crate) async fn a_deleted_value_may_be_used_again(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.delete_key(key_id(1)).await.unwrap();
    store.insert_key(&key(2, |k| k.digest = digest(1))).await.unwrap();
    let loader = Loader::new(store);
    loader.refresh().await.unwrap();
    assert_eq!(loader.current().key(&digest(1)).unwrap().id, key_id(2));
}

pub(crate) async fn keys_are_listed_by_creation_and_paged(store: SharedStore) {
    // Written in another order; 4 and 5 were made in the same moment, so the id decides.
    for n in [3, 1, 5, 2, 4] {
        store.insert_key(&key(n, |k| k.created_at = seconds(i64::try_from(n.min(4)).unwrap()))).await.unwrap();
    }
    let by = |numbers: &[u64]| numbers.iter().map(|n| key_id(*n)).collect::<Vec<_>>();
    let filter = KeyFilter::default();
    assert_eq!(ids(&store, filter.clone()).await, by(&[5, 4, 3, 2, 1]));
    let ascending = KeyFilter { order: Order::Ascending, ..filter.clone() };
    assert_eq!(ids(&store, ascending.clone()).await, by(&[1, 2, 3, 4, 5]));

    let page = |limit, offset, count| KeyFilter { paging: Paging { limit, offset, count }, ..ascending.clone() };
    assert_eq!(ids(&store, page(2, 1, false)).await, by(&[2, 3]));
    assert_eq!(ids(&store, page(0, 3, false)).await, by(&[4, 5]));
    assert_eq!(ids(&store, page(10, 5, false)).await, by(&[]));
    assert_eq!(store.list_keys(&page(2, 1, true)).await.unwrap().count, 5);
    assert_eq!(store.list_keys(&page(2, 1, false)).await.unwrap().count, 0);
}

pub(crate) async fn key_filters_combine(store: SharedStore) {
    store.insert_key(&key(1, |k| k.tags = ["a".into(), "b".into()].into())).await.unwrap();
    store.insert_key(&key(2, |k| k.tags = ["a".into()].into())).await.unwrap();
    store.insert_key(&plain_key(3, |k| k.revoked = true)).await.unwrap();
    let tags = |tags: &[&str]| KeyFilter { tags: tags.iter().map(|t| (*t).into()).collect(), ..KeyFilter::default() };
    assert_eq!(ids(&store, tags(&["a"])).await, [key_id(2), key_id(1)]);
    assert_eq!(ids(&store, tags(&["b", "a"])).await, [key_id(1)]);
    assert_eq!(ids(&store, tags(&["a", "c"])).await, []);
    assert_eq!(ids(&store, tags(&["A"])).await, []);
    let revoked = |revoked| KeyFilter { revoked: Some(revoked), ..KeyFilter::default() };
    assert_eq!(ids(&store, revoked(true)).await, [key_id(3)]);
    assert_eq!(ids(&store, revoked(false)).await, [key_id(2), key_id(1)]);
    let only = |ids: &[u64]| KeyFilter { ids: Some(ids.iter().map(|n| key_id(*n)).collect()), ..KeyFilter::default() };
    assert_eq!(ids(&store, only(&[3, 1, 9])).await, [key_id(3), key_id(1)]);
    assert_eq!(ids(&store, only(&[])).await, []);

    let mut all = KeyFilter { name: Some("KEY".into()), ..only(&[1, 2, 3]) };
    all.tags = vec!["a".into()];
    all.revoked = Some(false);
    all.paging = Paging { limit: 1, offset: 1, count: true };
    let page = store.list_keys(&all).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].id, page.count), (1, key_id(1), 2));
}

pub(crate) async fn key_names_are_found_literally_in_any_case(store: SharedStore) {
    for (n, text) in (1..).zip(ODD_TEXTS) {
        let key = key(n, |k| {
            k.name = format!("Key<{text}>").into();
            k.tags = [text.into()].into();
        });
        store.insert_key(&key).await.unwrap();
    }
    for (n, text) in (1..).zip(ODD_TEXTS) {
        for part in [text.to_owned(), text.to_uppercase(), text.to_lowercase()] {
            let filter = KeyFilter { name: Some(format!("<{part}>")), ..KeyFilter::default() };
            assert_eq!(ids(&store, filter).await, [key_id(n)], "{part}");
        }
        let filter = KeyFilter { tags: vec![text.into()], ..KeyFilter::default() };
        assert_eq!(ids(&store, filter).await, [key_id(n)], "{text}");
    }
    for nothing in ["a%b", "under.score", "key%", "_ey"] {
        let filter = KeyFilter { name: Some(nothing.into()), ..KeyFilter::default() };
        assert_eq!(ids(&store, filter).await, [], "{nothing}");
    }
}

pub(crate) async fn keys_are_found_by_the_provider_of_their_settings(store: SharedStore) {
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    store.insert_setting(&setting(2, |_| {})).await.unwrap();
    store.insert_setting(&setting(3, |s| s.provider = "azure".into())).await.unwrap();
    // Two settings of one provider list the key once.
    store.insert_key(&key(1, |k| k.setting_ids = [setting_id(1), setting_id(2)].into())).await.unwrap();
    store.insert_key(&key(2, |k| k.setting_ids = [setting_id(2), setting_id(3)].into())).await.unwrap();
    store.insert_key(&plain_key(3, |_| {})).await.unwrap();
    let of = |provider: &str| KeyFilter { provider: Some(provider.into()), ..KeyFilter::default() };
    assert_eq!(ids(&store, of("openai")).await, [key_id(2), key_id(1)]);
    assert_eq!(ids(&store, of("azure")).await, [key_id(2)]);
    assert_eq!(ids(&store, of("anthropic")).await, []);
}

pub(crate) async fn a_setting_comes_back_as_it_was_stored(store: SharedStore) {
    let rich = setting(1, |_| {});
    let plain = setting(2, |s| {
        s.allowed_models = Box::default();
        s.parameters.clear();
        s.secrets.clear();
        s.cost_map = None;
    });
    for original in [rich, plain] {
        store.insert_setting(&original).await.unwrap();
        assert_eq!(store.setting(original.id).await.unwrap(), Some(original.clone()));
        assert!(matches!(store.insert_setting(&original).await, Err(StoreError::Conflict)));
    }
    assert_eq!(store.setting(setting_id(3)).await.unwrap(), None);
}

pub(crate) async fn a_setting_update_follows_the_revision(store: SharedStore) {
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    let change = |s: &mut crate::domain::Setting| {
        s.secrets.insert("apikey".into(), Secret::new("sk-new"));
        s.created_at = UnixMillis(3);
        s.name = "renamed".into();
        s.cost_map = None;
    };
    store.update_setting(&setting(1, change)).await.unwrap();
    let mut expect = setting(1, change);
    expect.created_at = setting(1, |_| {}).created_at;
    expect.revision = 2;
    assert_eq!(store.setting(setting_id(1)).await.unwrap(), Some(expect));
    assert!(matches!(store.update_setting(&setting(1, |_| {})).await, Err(StoreError::Conflict)));
    assert!(matches!(store.update_setting(&setting(2, |_| {})).await, Err(StoreError::NotFound)));
}

pub(crate) async fn settings_are_listed_oldest_first(store: SharedStore) {
    for n in [2, 3, 1] {
        store.insert_setting(&setting(n, |_| {})).await.unwrap();
    }
    let listed =
        async |ids: Option<&[_]>| store.list_settings(ids).await.unwrap().iter().map(|s| s.id).collect::<Vec<_>>();
    assert_eq!(listed(None).await, [setting_id(1), setting_id(2), setting_id(3)]);
    assert_eq!(listed(Some(&[setting_id(3), setting_id(9), setting_id(1)])).await, [setting_id(1), setting_id(3)]);
    assert_eq!(listed(Some(&[])).await, []);
}

pub(crate) async fn a_custom_provider_comes_back_as_it_was_stored(store: SharedStore) {
    let (second, first) = (custom_provider(2, |p| p.authentication_param = "".into()), custom_provider(1, |_| {}));
    for original in [&second, &first] {
        store.insert_custom_provider(&CustomProvider { revision: 77, ..original.clone() }).await.unwrap();
        assert_eq!(store.custom_provider(original.id).await.unwrap().as_ref(), Some(original));
        assert_eq!(store.custom_provider_named(&original.name).await.unwrap().as_ref(), Some(original));
    }
    assert_eq!(store.list_custom_providers().await.unwrap(), [first, second]);
    assert_eq!(store.custom_provider(custom_provider(3, |_| {}).id).await.unwrap(), None);
    assert_eq!(store.custom_provider_named("nobody").await.unwrap(), None);
}

pub(crate) async fn custom_providers_have_names_of_their_own(store: SharedStore) {
    let first = custom_provider(1, |_| {});
    store.insert_custom_provider(&first).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    let twin = custom_provider(2, |p| p.name = first.name.clone());
    assert!(matches!(store.insert_custom_provider(&twin).await, Err(StoreError::DuplicateName)));
    assert!(matches!(store.insert_custom_provider(&first).await, Err(StoreError::Conflict)));
    assert!(feed(&store, position).await.1.is_empty(), "nothing was written");
}

pub(crate) async fn a_custom_provider_update_follows_the_revision(store: SharedStore) {
    let original = custom_provider(1, |_| {});
    assert!(matches!(store.update_custom_provider(&original).await, Err(StoreError::NotFound)));
    store.insert_custom_provider(&original).await.unwrap();
    let changed = custom_provider(1, |p| {
        p.name = "other".into();
        p.created_at = UnixMillis(1);
        p.updated_at = UnixMillis(2);
        p.routes.reverse();
        p.authentication_param = "new".into();
    });
    store.update_custom_provider(&changed).await.unwrap();
    assert!(matches!(store.update_custom_provider(&changed).await, Err(StoreError::Conflict)));
    let expect = CustomProvider { revision: 2, name: original.name, created_at: original.created_at, ..changed };
    assert_eq!(store.custom_provider(expect.id).await.unwrap().as_ref(), Some(&expect));
    let (_, changes) = feed(&store, 0).await;
    assert_eq!(names(&changes), [format!("custom {} r2", expect.id)]);
    let loader = Loader::new(store);
    loader.refresh().await.unwrap();
    assert_eq!(loader.current().custom_provider(&expect.name).unwrap().name(), &*expect.name);
    assert!(loader.current().custom_provider("other").is_none());
}

pub(crate) async fn the_feed_tells_each_row_once_in_order(store: SharedStore) {
    assert_eq!(feed(&store, 0).await.0, 0);
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    store.insert_key(&key(2, |_| {})).await.unwrap();
    let (first, changes) = feed(&store, 0).await;
    let (one, two, three) = (key_id(1), setting_id(1), key_id(2));
    assert_eq!(names(&changes), [format!("key {one} r1"), format!("setting {two} r1"), format!("key {three} r1")]);
    assert!(matches!(&changes[0], Change::Key(k) if **k == key(1, |_| {})));
    assert!(matches!(&changes[1], Change::Setting(s) if **s == setting(1, |_| {})));

    // Two changes of one row are told once, as the last one.
    store.update_key(&key(1, |_| {})).await.unwrap();
    store.update_setting(&setting(1, |_| {})).await.unwrap();
    store.update_key(&key(1, |k| k.revision = 2)).await.unwrap();
    let (second, changes) = feed(&store, first).await;
    let expect = [format!("setting {two} r2"), format!("key {one} r3")];
    assert_eq!(names(&changes), expect);
    assert!(second > first);
    assert_eq!(feed(&store, second).await.1.len(), 0);
    let (_, everything) = feed(&store, 0).await;
    assert_eq!(names(&everything), [&[format!("key {three} r1")], &expect[..]].concat());
}

pub(crate) async fn the_feed_tells_deletions(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.insert_key(&key(2, |_| {})).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    store.delete_key(key_id(1)).await.unwrap();
    let (_, changes) = feed(&store, position).await;
    let [Change::KeyGone { id, digest: gone }] = changes[..] else { panic!("{changes:?}") };
    assert_eq!((id, gone), (key_id(1), digest(1)));
    let (_, everything) = feed(&store, 0).await;
    assert_eq!(names(&everything), [format!("key {} r1", key_id(2)), format!("gone {}", key_id(1))]);
}

pub(crate) async fn refused_writes_are_not_in_the_feed(store: SharedStore) {
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    store.insert_key(&key(2, |k| k.digest = digest(1))).await.unwrap_err();
    store.update_key(&key(1, |k| k.revision = 9)).await.unwrap_err();
    store.update_key(&key(3, |_| {})).await.unwrap_err();
    store.delete_key(key_id(3)).await.unwrap_err();
    store.update_setting(&setting(1, |_| {})).await.unwrap_err();
    assert_eq!(feed(&store, position).await.0, position);
}

pub(crate) async fn a_loader_sees_every_committed_write(store: SharedStore) {
    let loader = Arc::new(Loader::new(Arc::clone(&store) as _));
    loader.refresh().await.unwrap();
    assert_eq!(loader.current().keys(), 0);
    let writers = (1..=20u64).map(|n| {
        let (store, loader) = (Arc::clone(&store), Arc::clone(&loader));
        tokio::spawn(async move {
            store.insert_setting(&setting(n, |_| {})).await.unwrap();
            store.insert_key(&key(n, |_| {})).await.unwrap();
            loader.refresh().await.unwrap();
            let seen = loader.current();
            let stored = seen.key(&digest(n)).unwrap();
            assert_eq!(**stored, key(n, |k| k.number = stored.number));
            assert!(seen.setting(setting_id(n)).is_some());
            store.delete_key(key_id(n)).await.unwrap();
            loader.refresh().await.unwrap();
            assert!(loader.current().key(&digest(n)).is_none());
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!((loader.current().keys(), loader.current().settings()), (0, 20));
}

pub(crate) async fn a_long_feed_comes_in_pages(store: SharedStore) {
    // Longer than one page of the engines here.
    const ROWS: u64 = 10_100;
    store.insert_keys(&(0..ROWS).map(|n| plain_key(n, |_| {})).collect::<Vec<_>>()).await.unwrap();
    let (_, changes) = feed(&store, 0).await;
    assert_eq!(changes.len() as u64, ROWS);
    let loader = Loader::new(store);
    loader.refresh().await.unwrap();
    let seen = loader.current();
    assert_eq!(seen.keys() as u64, ROWS);
    assert!((0..ROWS).all(|n| seen.key(&digest(n)).is_some_and(|k| k.id == key_id(n))));
}

pub(crate) async fn racing_updates_lose_nothing(store: SharedStore) {
    store.insert_key(&plain_key(1, |k| k.tags = Box::default())).await.unwrap();
    let add = |n: u64| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let mut key = store.key(key_id(1)).await.unwrap().unwrap();
                key.tags = key.tags.iter().cloned().chain([format!("{n}").into()]).collect();
                match store.update_key(&key).await {
                    Ok(()) => return,
                    Err(StoreError::Conflict) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    for task in (0..10).map(add).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let key = store.key(key_id(1)).await.unwrap().unwrap();
    assert_eq!((key.tags.len(), key.revision), (10, 11));
}

pub(crate) async fn the_store_answers_and_knows_its_schema(store: SharedStore) {
    store.ping().await.unwrap();
    assert!(store.schema_version().await.unwrap() >= 1);
}
