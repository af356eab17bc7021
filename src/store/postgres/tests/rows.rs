//! Configuration beyond the suite: what is at rest, odd texts, what is rolled back, two gateways on one database.

use crate::domain::{
    Account, CustomProvider, GroupId, Key, KeyId, Model, ModelId, Money, Route, Secret, Setting, UnixMillis,
};
use crate::servers::{self, Database};
use crate::store::postgres::{PostgresSettings, PostgresStore};
use crate::store::seal::{MasterKey, Sealer};
use crate::store::suite::models::{group, model};
use crate::store::suite::routes::route;
use crate::store::suite::samples::{custom_provider, digest, key, key_id, plain_key, setting, setting_id};
use crate::store::{
    Books, CustomProviderStore, FirstModels, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, KeyFilter,
    KeySort, KeyStore, ModelFilter, ModelStore, Order, Paging, RouteStore, SettingStore, StoreError,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

const AT: UnixMillis = UnixMillis(1_700_000_000_900);

fn sealer(keys: &[u8]) -> Sealer {
    let key = |byte: &u8| MasterKey::parse_base64(&STANDARD.encode([*byte; 32])).unwrap();
    Sealer::new(keys.iter().map(key).collect()).unwrap()
}

async fn open_as(database: &Database, sealer: Sealer) -> PostgresStore {
    let settings = PostgresSettings::from_url(database.url()).unwrap();
    PostgresStore::open(settings, sealer).await.unwrap()
}

async fn open() -> (PostgresStore, Database) {
    let database = servers::database();
    (open_as(&database, sealer(&[1])).await, database)
}

/// Two gateways.
async fn open_twice() -> ([Arc<PostgresStore>; 2], Database) {
    let (one, database) = open().await;
    let two = open_as(&database, sealer(&[1])).await;
    ([Arc::new(one), Arc::new(two)], database)
}

async fn sql(store: &PostgresStore, statements: &str) {
    store.connection().await.unwrap().batch_execute(statements).await.unwrap();
}

/// Every row of every table, as text.
async fn dump(store: &PostgresStore) -> String {
    let connection = store.connection().await.unwrap();
    let tables = "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'";
    let mut all = String::new();
    for table in connection.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let rows = format!("SELECT coalesce(string_agg(r::text, E'\\n'), '') FROM {table} AS r");
        all.push_str(&connection.query_one(&rows, &[]).await.unwrap().get::<_, String>(0));
    }
    all
}

#[tokio::test]
async fn no_table_contains_a_secret() {
    let (store, _database) = open().await;
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    let with_config = |text: &str| model(1, |m| m.config = Secret::new(format!("{{\"apiKey\":\"{text}\"}}")));
    store.insert_model(&with_config("sk-upstream-credential-1")).await.unwrap();
    store.update_model(&with_config("another-upstream-credential")).await.unwrap();
    let rows = dump(&store).await;
    assert!(rows.contains("setting 1") && rows.contains("model 1"), "nothing written? {rows}");
    let whole = setting(1, |_| {}).api_key().unwrap().expose().to_owned();
    for secret in [whole.as_str(), "upstream-credential"] {
        for form in [secret.to_owned(), STANDARD.encode(secret), hex::encode(secret)] {
            assert!(!rows.contains(&form), "{form} in {rows}");
        }
    }
}

#[tokio::test]
async fn without_the_master_key_settings_stay_shut() {
    let (store, database) = open().await;
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    store.insert_model(&model(1, |_| {})).await.unwrap();
    let store = open_as(&database, sealer(&[2])).await;
    assert!(matches!(store.setting(setting_id(1)).await, Err(StoreError::Unsealable)));
    assert!(matches!(store.list_settings(None).await, Err(StoreError::Unsealable)));
    assert!(matches!(store.list_models(&ModelFilter::default()).await, Err(StoreError::Unsealable)));
}

#[tokio::test]
async fn a_secret_moved_between_rows_is_noticed() {
    let (store, _database) = open().await;
    store.insert_setting(&setting(1, |_| {})).await.unwrap();
    store.insert_setting(&setting(2, |_| {})).await.unwrap();
    let from = setting_id(1);
    sql(
        &store,
        &format!("UPDATE provider_settings SET secrets = (SELECT secrets FROM provider_settings WHERE id = '{from}')"),
    )
    .await;
    assert!(store.setting(setting_id(1)).await.is_ok());
    assert!(matches!(store.setting(setting_id(2)).await, Err(StoreError::Unsealable)));
}

#[tokio::test]
async fn after_resealing_the_old_master_key_may_go() {
    let (store, database) = open().await;
    for n in 1..=3 {
        store.insert_setting(&setting(n, |_| {})).await.unwrap();
    }
    store.insert_model(&model(1, |_| {})).await.unwrap();
    let rotated = open_as(&database, sealer(&[2, 1])).await;
    assert_eq!(rotated.reseal().await.unwrap(), 4);
    assert_eq!(rotated.reseal().await.unwrap(), 0);
    let store = open_as(&database, sealer(&[2])).await;
    assert_eq!(store.list_settings(None).await.unwrap(), [1, 2, 3].map(|n| setting(n, |_| {})));
    assert_eq!(store.model(ModelId(1)).await.unwrap(), Some(model(1, |_| {})));
}

/// What callers might send, with what comes back. Postgres has no NUL.
fn odd_texts() -> Vec<(String, String)> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let large = "Größe 🦀 \"'\\ ".repeat(1 << 16);
    assert!(large.len() > 1 << 20);
    vec![
        ("nul \0 and \0".to_owned(), "nul \u{fffd} and \u{fffd}".to_owned()),
        same("it's \"quoted\" \\x41 \\N \\. {a,NULL} $1 %s ?"),
        same("NULL"),
        same("\t\r\n\u{1}\u{7f}\u{feff}🦀👩‍👩‍👧"),
        same(&large),
    ]
}

#[tokio::test]
async fn any_text_is_kept() {
    let (store, _database) = open().await;
    for (n, (text, kept)) in (1..).zip(odd_texts()) {
        let boxed = |text: &str| Box::<str>::from(text);
        let with = |text: &str| {
            key(n, |k| {
                k.hint = boxed(text);
                k.name = boxed(text);
                k.tags = [boxed(text), "plain".into()].into();
                k.revoked_reason = boxed(text);
                k.ttl = boxed(text);
                k.policy_id = boxed(text);
                k.member().email = Some(boxed(text));
            })
        };
        // JSON keeps even what the engine has no text for.
        let in_json = |k: &mut Key| k.allowed_paths[0].path.clone_from(&text);
        let (mut sent, mut back) = (with(&text), with(&kept));
        in_json(&mut sent);
        in_json(&mut back);
        store.insert_key(&sent).await.unwrap();
        assert_eq!(store.key(sent.id).await.unwrap(), Some(back.clone()));
        store.update_key(&sent).await.unwrap();
        assert_eq!(store.key(sent.id).await.unwrap(), Some(Key { revision: 2, ..back }));
        for filter in [
            KeyFilter { exact_name: Some(text.clone()), ..KeyFilter::default() },
            KeyFilter { name: Some(text.clone()), ..KeyFilter::default() },
            KeyFilter { text: Some(text.clone()), ..KeyFilter::default() },
            KeyFilter { tags: vec![text.clone()], ..KeyFilter::default() },
        ] {
            let found = store.list_keys(&filter).await.unwrap().rows;
            assert!(found.iter().any(|k| k.id == sent.id), "{n}");
        }

        let with = |name: &str| {
            setting(n, |s| {
                s.name = boxed(name);
                s.allowed_models = [boxed(&text)].into();
                s.parameters = [(boxed(&text), boxed(&text))].into();
                s.secrets = [(boxed(&text), Secret::new(text.clone()))].into();
            })
        };
        store.insert_setting(&with(&text)).await.unwrap();
        assert_eq!(store.setting(setting_id(n)).await.unwrap(), Some(with(&kept)));
        let provider = |text: &str| custom_provider(n, |p| p.authentication_param = boxed(text));
        store.insert_custom_provider(&provider(&text)).await.unwrap();
        let found: Option<CustomProvider> = store.custom_provider(provider("").id).await.unwrap();
        assert_eq!(found, Some(provider(&kept)));
        let named = |text: &str| route(n, |r| r.name = boxed(text));
        store.insert_route(&named(&text)).await.unwrap();
        let found: Option<Route> = store.route(named("").id).await.unwrap();
        assert_eq!(found, Some(named(&kept)));
        let number = i64::try_from(n).unwrap();
        let coded = |text: &str| group(number, |g| g.code = Some(boxed(text)));
        store.insert_group(&coded(&text)).await.unwrap();
        assert_eq!(store.group(GroupId(number)).await.unwrap(), Some(coded(&kept)));
        let configured = model(number, |m| m.config = Secret::new(text.clone()));
        store.insert_model(&configured).await.unwrap();
        assert_eq!(store.model(ModelId(number)).await.unwrap(), Some(configured));
    }
    // Names that are looked up are looked up as they were stored.
    let (named, called) = (model(90, |m| m.name = "a\0b".into()), custom_provider(90, |p| p.name = "c\0d".into()));
    store.insert_model(&named).await.unwrap();
    store.insert_custom_provider(&called).await.unwrap();
    assert!(store.model_named("a\0b").await.unwrap().is_some());
    assert!(store.custom_provider_named("c\0d").await.unwrap().is_some());
    assert!(matches!(store.insert_model(&named).await, Err(StoreError::DuplicateName)));
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_named() {
    let (store, _database) = open().await;
    store.insert_key(&plain_key(1, |_| {})).await.unwrap();
    let statements =
        [("role", "UPDATE keys SET role = 'nobody'"), ("allowed_paths", "UPDATE keys SET allowed_paths = '{'")];
    for (column, statement) in statements {
        sql(&store, statement).await;
        let error = store.key(key_id(1)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("column {column} ")), "{error}");
        sql(&store, "UPDATE keys SET role = NULL").await;
    }
}

#[tokio::test]
async fn what_is_rolled_back_spends_no_number() {
    let (store, _database) = open().await;
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let twin = key(9, |k| k.digest = digest(1));
    assert!(matches!(store.insert_keys(&[key(8, |_| {}), twin]).await, Err(StoreError::DuplicateKey)));
    let ungrouped = plain_key(8, |k| k.member().group = Some(GroupId(7)));
    assert!(matches!(store.insert_key(&ungrouped).await, Err(StoreError::NotFound)));
    store.insert_key(&key(2, |_| {})).await.unwrap();
    assert_eq!(store.key(key_id(2)).await.unwrap().unwrap().number, 2);
    // Nor is a store used in which a first start failed in the middle of its seeding.
    let first = |second: &str| FirstModels {
        group: group(1, |_| {}),
        models: vec![model(1, |m| m.name = "one".into()), model(2, |m| m.name = second.into())],
    };
    assert!(matches!(store.seed_models(&first("one")).await, Err(StoreError::DuplicateName)));
    assert!(store.seed_models(&first("two")).await.unwrap());
    assert_eq!(*store.group(GroupId(1)).await.unwrap().unwrap().models, [ModelId(1), ModelId(2)]);
}

#[tokio::test]
async fn thousands_of_keys_come_with_their_grants() {
    let (store, _database) = open().await;
    let models =
        [store.insert_model(&model(1, |_| {})).await.unwrap(), store.insert_model(&model(2, |_| {})).await.unwrap()];
    let granted = |n: u64| if n.is_multiple_of(2) { vec![models[1], models[0], models[1]] } else { Vec::new() };
    let keys: Vec<_> = (1..=5000).map(|n| key(n, |k| k.member().models = granted(n).into())).collect();
    store.insert_keys(&keys).await.unwrap();
    for n in [1, 2, 2500, 4999, 5000] {
        let found = store.key(key_id(n)).await.unwrap().unwrap();
        assert_eq!(found.number, i64::try_from(n).unwrap());
        let expect = if n % 2 == 0 { vec![models[1], models[0]] } else { Vec::new() };
        assert_eq!(found.models(), expect);
    }
    let filter = GrantFilter {
        kind: GranteeKind::Key,
        grantee: Some(4000),
        model: None,
        text: None,
        paging: Paging { count: true, ..Paging::default() },
    };
    let grants = store.list_grants(&filter).await.unwrap();
    assert_eq!(grants.rows.iter().map(|g| g.model.id).collect::<Vec<_>>(), [models[1], models[0]]);
    store.delete_model(models[1]).await.unwrap();
    assert_eq!(store.key(key_id(5000)).await.unwrap().unwrap().models(), [models[0]]);
    let unknown = key(6000, |k| k.member().models = [ModelId(9)].into());
    assert!(matches!(store.insert_key(&unknown).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn spend_of_every_instance_counts() {
    let (store, _database) = open().await;
    store.insert_keys(&(1..=4).map(|n| plain_key(n, |_| {})).collect::<Vec<_>>()).await.unwrap();
    let spent = |n: u64, instance: i32, total: i64| {
        format!("INSERT INTO key_spend VALUES ('{}', {instance}, {total});", key_id(n))
    };
    sql(&store, &[spent(1, 0, 5), spent(1, 1, 7), spent(2, 3, 11), spent(9, 1, 2)].concat()).await;
    sql(&store, &[spent(3, 1, i64::MAX), spent(3, 2, i64::MAX)].concat()).await;
    let charged = Account { month: AT, month_fee: Money::from_units(3), balance: Money::from_units(-4) };
    sql(&store, &format!("INSERT INTO accounts VALUES ('{}', {}, 3, -4, 0)", key_id(4), AT.0)).await;
    let books = |total, account| Books { account, total };
    let none = Account::default();
    assert_eq!(
        store.books(&[9, 4, 8, 3, 2, 1].map(key_id)).await.unwrap(),
        [
            (key_id(9), books(Money::from_units(2), none)),
            (key_id(4), books(Money::ZERO, charged)),
            (key_id(3), books(Money::MAX, none)),
            (key_id(2), books(Money::from_units(11), none)),
            (key_id(1), books(Money::from_units(12), none)),
        ]
    );
    let sorted = async |sort, order| {
        let filter = KeyFilter { sort, order, ..KeyFilter::default() };
        store.list_keys(&filter).await.unwrap().rows.iter().map(|k| k.number).collect::<Vec<_>>()
    };
    assert_eq!(sorted(KeySort::Total, Order::Ascending).await, [4, 2, 1, 3]);
    assert_eq!(sorted(KeySort::Total, Order::Descending).await, [3, 1, 2, 4]);
    assert_eq!(sorted(KeySort::Balance, Order::Ascending).await, [4, 1, 2, 3]);
    assert_eq!(sorted(KeySort::Month(AT), Order::Descending).await, [4, 3, 2, 1]);
    assert_eq!(sorted(KeySort::Month(UnixMillis(AT.0 + 1)), Order::Descending).await, [4, 3, 2, 1]);
    // A credit is added to what is there, and remembered.
    assert_eq!(store.credit(key_id(4), Money::from_units(10)).await.unwrap().balance, Money::from_units(6));
    let row = store.connection().await.unwrap();
    let credited: i64 = row.query_one("SELECT credited FROM accounts", &[]).await.unwrap().get(0);
    assert_eq!(credited, 10);
    store.delete_key(key_id(4)).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), []);
    assert_eq!(store.books(&[key_id(4)]).await.unwrap(), []);
}

/// Runs `work` many times on two gateways at once; how often each outcome came.
async fn race<T: Send + 'static, F>(
    stores: &[Arc<PostgresStore>; 2],
    times: u64,
    work: impl Fn(Arc<PostgresStore>, u64) -> F,
) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks = (0..times).map(|n| tokio::spawn(work(Arc::clone(&stores[usize::from(n % 2 == 1)]), n)));
    let mut outcomes = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_race_over_one_key() {
    let (stores, _database) = open_twice().await;
    // Twenty that store one secret: one does.
    let stored =
        race(&stores, 20, |store, n| async move { store.insert_key(&key(n + 1, |k| k.digest = digest(77))).await });
    let stored = stored.await;
    assert_eq!(stored.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(stored.iter().flat_map(|done| done.as_ref().err()).all(|e| matches!(e, StoreError::DuplicateKey)));
    let [one, two] = &stores;
    let winner = one.key_with_digest(&digest(77)).await.unwrap().unwrap();
    assert_eq!(two.key(winner.id).await.unwrap().as_ref(), Some(&winner));
    // Twenty that change what they read: one does, the others are told.
    let updated = race(&stores, 20, |store, n| {
        let changed = Key { name: format!("name {n}").into(), ..winner.clone() };
        async move { (n, store.update_key(&changed).await) }
    });
    let updated = updated.await;
    let won: Vec<_> = updated.iter().filter(|(_, done)| done.is_ok()).map(|(n, _)| *n).collect();
    assert_eq!(won.len(), 1);
    assert!(updated.iter().filter_map(|(_, done)| done.as_ref().err()).all(|e| matches!(e, StoreError::Conflict)));
    let now = one.key(winner.id).await.unwrap().unwrap();
    assert_eq!((now.revision, now.name), (2, format!("name {}", won[0]).into()));
    // Twenty that read again and retry: nothing is lost.
    let tagged = race(&stores, 20, |store, n| async move {
        loop {
            let mut key = store.key(winner.id).await.unwrap().unwrap();
            key.tags = key.tags.iter().cloned().chain([format!("t{n}").into()]).collect();
            match store.update_key(&key).await {
                Err(StoreError::Conflict) => {}
                done => return done.unwrap(),
            }
        }
    });
    tagged.await;
    assert_eq!(two.key(winner.id).await.unwrap().unwrap().tags.len(), winner.tags.len() + 20);
    // Credits, and then a deletion in the middle of them.
    let credited = race(&stores, 40, |store, n| async move {
        if n == 20 {
            store.delete_key(winner.id).await.unwrap();
        }
        store.credit(winner.id, Money::from_units(1)).await
    });
    let credited = credited.await;
    assert!(credited.iter().flat_map(|done| done.as_ref().err()).all(|e| matches!(e, StoreError::NotFound)));
    assert!(credited.iter().any(Result::is_err));
    assert_eq!(one.accounts().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_race_over_one_grant() {
    let (stores, _database) = open_twice().await;
    let [one, two] = &stores;
    one.insert_model(&model(1, |_| {})).await.unwrap();
    one.insert_key(&plain_key(1, |_| {})).await.unwrap();
    one.insert_group(&group(1, |_| {})).await.unwrap();
    for grantee in [Grantee::Key(key_id(1)), Grantee::Group(GroupId(1))] {
        let granted = race(&stores, 21, |store, _| async move {
            store.grant(grantee, ModelId(1), GrantAction::Toggle, AT).await.unwrap()
        });
        assert_eq!(granted.await.iter().filter(|granted| **granted == Granted::Yes).count(), 11);
        let bound = race(&stores, 20, |store, _| async move {
            store.grant(grantee, ModelId(1), GrantAction::Bind, AT).await.unwrap()
        });
        assert!(bound.await.iter().all(|granted| *granted == Granted::Yes));
    }
    assert_eq!(two.key(key_id(1)).await.unwrap().unwrap().models(), [ModelId(1)]);
    assert_eq!(*two.group(GroupId(1)).await.unwrap().unwrap().models, [ModelId(1)]);
    // A model that is deleted while it is granted is granted to nobody.
    let keys: Vec<_> = (2..=21).map(|n| plain_key(n, |_| {})).collect();
    one.insert_keys(&keys).await.unwrap();
    race(&stores, 20, |store, n| async move {
        if n == 10 {
            return store.delete_model(ModelId(1)).await;
        }
        match store.grant(Grantee::Key(key_id(n + 2)), ModelId(1), GrantAction::Bind, AT).await {
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    })
    .await
    .into_iter()
    .for_each(Result::unwrap);
    let rows = two.list_keys(&KeyFilter::default()).await.unwrap().rows;
    assert!(rows.iter().all(|k| k.models().is_empty() && k.membership.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_seed_one_store_once() {
    let (stores, _database) = open_twice().await;
    let first = FirstModels { group: group(9, |_| {}), models: vec![model(8, |_| {}), model(7, |_| {})] };
    let seeded = race(&stores, 10, |store, _| {
        let first = first.clone();
        async move { store.seed_models(&first).await.unwrap() }
    });
    assert_eq!(seeded.await.iter().filter(|seeded| **seeded).count(), 1);
    let listed: Vec<Model> = stores[1].list_models(&ModelFilter::default()).await.unwrap().rows;
    assert_eq!(listed.iter().map(|m| m.id.0).collect::<Vec<_>>(), [2, 1]);
    // Names stay unique between them, ids in a row.
    let inserted = race(&stores, 20, |store, n| async move {
        store.insert_model(&model(1, |m| m.name = format!("raced {}", n % 10).into())).await
    });
    let inserted = inserted.await;
    let mut ids: Vec<i64> = inserted.iter().flatten().map(|id| id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (3..=12).collect::<Vec<_>>());
    assert!(inserted.iter().flat_map(|done| done.as_ref().err()).all(|e| matches!(e, StoreError::DuplicateName)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_change_one_setting_one_after_the_other() {
    let (stores, _database) = open_twice().await;
    stores[0].insert_setting(&setting(1, |_| {})).await.unwrap();
    let changed = race(&stores, 10, |store, n| {
        let changed: Setting = setting(1, |s| s.name = format!("name {n}").into());
        async move { store.update_setting(&changed).await }
    });
    let changed = changed.await;
    assert_eq!(changed.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(changed.iter().flat_map(|done| done.as_ref().err()).all(|e| matches!(e, StoreError::Conflict)));
    assert_eq!(stores[1].setting(setting_id(1)).await.unwrap().unwrap().revision, 2);
    let ids: Vec<KeyId> = Vec::new();
    assert_eq!(stores[1].books(&ids).await.unwrap(), []);
}
