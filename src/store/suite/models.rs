//! Promises about models, groups and grants.

use super::configuration::feed;
use super::samples::{ODD_TEXTS, key, key_id, plain_key};
use crate::domain::{GrantId, Group, GroupId, Model, ModelId, Money, Secret, UnixMillis};
use crate::store::loader::Loader;
use crate::store::{
    Change, FirstModels, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, KeyFilter, ModelFilter, Order,
    Paging, SharedStore, StoreError,
};
use std::sync::Arc;

const AT: UnixMillis = UnixMillis(1_700_000_000_900);
const COUNTED: Paging = Paging { limit: 0, offset: 0, count: true };

/// A model with something in every field.
pub(crate) fn model(n: i64, change: impl FnOnce(&mut Model)) -> Model {
    let mut model = Model {
        id: ModelId(n),
        revision: 1,
        name: format!("model {n}").into(),
        provider: "bedrock-converse".into(),
        multiple: true,
        price_in: Money::from_units(30_000),
        price_out: Money::from_units(150_000),
        config: Secret::new(r#"{"modelId":"m-1","apiKey":"sk-upstream-credential-1"}"#),
        created_at: UnixMillis(1_700_000_000_000 + n),
        updated_at: UnixMillis(1_700_000_000_500),
    };
    change(&mut model);
    model
}

/// A group with something in every field but its grants.
pub(crate) fn group(n: i64, change: impl FnOnce(&mut Group)) -> Group {
    let mut group = Group {
        id: GroupId(n),
        revision: 1,
        name: format!("group {n}").into(),
        code: Some("code".into()),
        models: Box::default(),
        created_at: UnixMillis(1_700_000_000_000 + n),
        updated_at: UnixMillis(1_700_000_000_500),
    };
    change(&mut group);
    group
}

pub(crate) const fn all_grants(kind: GranteeKind) -> GrantFilter {
    GrantFilter { kind, grantee: None, model: None, text: None, paging: COUNTED }
}

async fn insert_models(store: &SharedStore, n: i64) {
    for n in 1..=n {
        assert_eq!(store.insert_model(&model(n, |_| {})).await.unwrap(), ModelId(n));
    }
}

fn first() -> FirstModels {
    FirstModels { group: group(9, |g| g.name = "first".into()), models: vec![model(5, |_| {}), model(6, |_| {})] }
}

pub(crate) async fn a_model_comes_back_as_it_was_stored(store: SharedStore) {
    let plain = model(2, |m| {
        m.multiple = false;
        m.price_in = Money::ZERO;
        m.price_out = Money::ZERO;
        m.config = Secret::new("{}");
    });
    for original in [model(1, |_| {}), plain] {
        // The id is chosen by the store.
        let given = Model { id: ModelId(77), revision: 77, ..original.clone() };
        assert_eq!(store.insert_model(&given).await.unwrap(), original.id);
        assert_eq!(store.model(original.id).await.unwrap().as_ref(), Some(&original));
        assert_eq!(store.model_named(&original.name).await.unwrap().as_ref(), Some(&original));
        let (_, changes) = feed(&store, 0).await;
        assert!(matches!(changes.last(), Some(Change::Model(m)) if **m == original));
    }
    assert_eq!(store.model(ModelId(3)).await.unwrap(), None);
    assert_eq!(store.model_named("MODEL 1").await.unwrap(), None);
}

pub(crate) async fn a_model_update_follows_the_revision(store: SharedStore) {
    insert_models(&store, 2).await;
    let change = |m: &mut Model| {
        m.name = "new".into();
        m.provider = "other".into();
        m.multiple = false;
        m.price_in = Money::from_units(1);
        m.price_out = Money::from_units(2);
        m.config = Secret::new("{\"a\":1}");
        m.created_at = UnixMillis(1);
        m.updated_at = UnixMillis(2);
    };
    store.update_model(&model(1, change)).await.unwrap();
    let expect = Model { revision: 2, created_at: model(1, |_| {}).created_at, ..model(1, change) };
    assert_eq!(store.model(ModelId(1)).await.unwrap(), Some(expect));
    let (position, _) = feed(&store, 0).await;
    assert!(matches!(store.update_model(&model(1, change)).await, Err(StoreError::Conflict)));
    assert!(matches!(store.update_model(&model(3, |_| {})).await, Err(StoreError::NotFound)));
    let twin = model(2, |m| m.name = "new".into());
    assert!(matches!(store.update_model(&twin).await, Err(StoreError::DuplicateName)));
    assert!(matches!(store.insert_model(&twin).await, Err(StoreError::DuplicateName)));
    assert_eq!(feed(&store, position).await.0, position);
    // Its own name is no other's, and what was the name of another is free.
    store.update_model(&model(2, |m| m.name = "model 1".into())).await.unwrap();
    let loader = Loader::new(Arc::clone(&store) as _);
    loader.refresh().await.unwrap();
    assert_eq!(loader.current().models().named("model 1").unwrap().row.id, ModelId(2));
    assert_eq!(loader.current().models().named("new").unwrap().row.id, ModelId(1));
    assert!(loader.current().models().named("model 2").is_none());
}

pub(crate) async fn models_are_listed_by_id_and_filtered(store: SharedStore) {
    for (n, text) in (1..).zip(ODD_TEXTS) {
        let provider = if n % 2 == 0 { "even" } else { "odd" };
        let odd = model(n, |m| {
            m.name = format!("Name<{text}>").into();
            m.provider = provider.into();
        });
        store.insert_model(&odd).await.unwrap();
    }
    let ids = async |filter: ModelFilter| {
        let page = store.list_models(&filter).await.unwrap();
        (page.rows.iter().map(|m| m.id.0).collect::<Vec<_>>(), page.count)
    };
    for (n, text) in (1..).zip(ODD_TEXTS) {
        let name = Some(format!("name<{}>", text.to_uppercase()));
        assert_eq!(ids(ModelFilter { name, paging: COUNTED, ..ModelFilter::default() }).await, (vec![n], 1), "{text}");
    }
    let name = Some("a%b".to_owned());
    assert_eq!(ids(ModelFilter { name, ..ModelFilter::default() }).await.0, Vec::<i64>::new());
    let even = ModelFilter { provider: Some("even".into()), ..ModelFilter::default() };
    assert_eq!(ids(even.clone()).await, (vec![12, 10, 8, 6, 4, 2], 0));
    let paging = Paging { limit: 2, offset: 1, count: true };
    assert_eq!(ids(ModelFilter { order: Order::Ascending, paging, ..even }).await, (vec![4, 6], 6));
    let rows = store.list_models(&ModelFilter::default()).await.unwrap().rows;
    assert_eq!(rows[11].config, model(1, |_| {}).config);
}

pub(crate) async fn a_group_comes_back_as_it_was_stored(store: SharedStore) {
    for original in [group(1, |_| {}), group(2, |g| g.code = None)] {
        let given = Group { id: GroupId(77), revision: 77, models: [ModelId(9)].into(), ..original.clone() };
        assert_eq!(store.insert_group(&given).await.unwrap(), original.id);
        assert_eq!(store.group(original.id).await.unwrap().as_ref(), Some(&original));
        let (_, changes) = feed(&store, 0).await;
        assert!(matches!(changes.last(), Some(Change::Group(g)) if **g == original));
    }
    assert_eq!(store.group(GroupId(3)).await.unwrap(), None);
    assert!(matches!(store.insert_group(&group(1, |_| {})).await, Err(StoreError::DuplicateName)));
}

pub(crate) async fn a_group_update_follows_the_revision_and_keeps_grants(store: SharedStore) {
    insert_models(&store, 1).await;
    for n in 1..=2 {
        store.insert_group(&group(n, |_| {})).await.unwrap();
    }
    store.grant(Grantee::Group(GroupId(1)), ModelId(1), GrantAction::Bind, AT).await.unwrap();
    let change = |g: &mut Group| {
        g.name = "new".into();
        g.code = None;
        g.created_at = UnixMillis(1);
        g.updated_at = UnixMillis(2);
    };
    // The grant was a write of the group.
    assert!(matches!(store.update_group(&group(1, change)).await, Err(StoreError::Conflict)));
    let read = Group { revision: 2, ..group(1, change) };
    store.update_group(&read).await.unwrap();
    let created_at = group(1, |_| {}).created_at;
    let expect = Group { revision: 3, created_at, models: [ModelId(1)].into(), ..read };
    assert_eq!(store.group(GroupId(1)).await.unwrap(), Some(expect));
    assert!(matches!(store.update_group(&group(3, |_| {})).await, Err(StoreError::NotFound)));
    let twin = group(2, |g| g.name = "new".into());
    assert!(matches!(store.update_group(&twin).await, Err(StoreError::DuplicateName)));
    store.update_group(&group(2, |g| g.code = Some("".into()))).await.unwrap();
}

pub(crate) async fn groups_are_listed_by_id_and_name(store: SharedStore) {
    insert_models(&store, 2).await;
    for (n, name) in [(1, "Straße"), (2, "100%"), (3, "strasse 2")] {
        store.insert_group(&group(n, |g| g.name = name.into())).await.unwrap();
    }
    for model in [2, 1] {
        store.grant(Grantee::Group(GroupId(1)), ModelId(model), GrantAction::Bind, AT).await.unwrap();
    }
    let ids = async |name: Option<&str>, paging| {
        let page = store.list_groups(name, paging).await.unwrap();
        (page.rows.iter().map(|g| g.id.0).collect::<Vec<_>>(), page.count)
    };
    assert_eq!(ids(None, Paging::default()).await, (vec![1, 2, 3], 0));
    assert_eq!(ids(Some("STRASSE"), COUNTED).await, (vec![1, 3], 2));
    assert_eq!(ids(Some("%"), COUNTED).await, (vec![2], 1));
    assert_eq!(ids(None, Paging { limit: 1, offset: 1, count: true }).await, (vec![2], 3));
    // In the order in which they were granted.
    let rows = store.list_groups(None, Paging::default()).await.unwrap().rows;
    assert_eq!(*rows[0].models, [ModelId(2), ModelId(1)]);
}

pub(crate) async fn grants_are_toggled_bound_and_unbound(store: SharedStore) {
    insert_models(&store, 2).await;
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.insert_group(&group(1, |_| {})).await.unwrap();
    let granted = async |grantee| match grantee {
        Grantee::Key(id) => store.key(id).await.unwrap().unwrap().models().contains(&ModelId(1)),
        Grantee::Group(id) => store.group(id).await.unwrap().unwrap().models.contains(&ModelId(1)),
    };
    for grantee in [Grantee::Key(key_id(1)), Grantee::Group(GroupId(1))] {
        // Another grant of the same one stays as it is.
        store.grant(grantee, ModelId(2), GrantAction::Bind, AT).await.unwrap();
        for (action, expect, changes) in [
            (GrantAction::Unbind, Granted::No, false),
            (GrantAction::Toggle, Granted::Yes, true),
            (GrantAction::Bind, Granted::Yes, false),
            (GrantAction::Toggle, Granted::No, true),
            (GrantAction::Bind, Granted::Yes, true),
            (GrantAction::Bind, Granted::Yes, false),
            (GrantAction::Unbind, Granted::No, true),
            (GrantAction::Unbind, Granted::No, false),
        ] {
            let (position, _) = feed(&store, 0).await;
            assert_eq!(store.grant(grantee, ModelId(1), action, AT).await.unwrap(), expect, "{action:?}");
            assert_eq!(granted(grantee).await, expect == Granted::Yes, "{action:?}");
            let (_, news) = feed(&store, position).await;
            assert_eq!(news.len(), usize::from(changes), "{action:?}: {news:?}");
        }
        for unknown in [ModelId(9), ModelId(0)] {
            let refused = store.grant(grantee, unknown, GrantAction::Unbind, AT).await;
            assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
        }
    }
    for unknown in [Grantee::Key(key_id(9)), Grantee::Group(GroupId(9))] {
        let refused = store.grant(unknown, ModelId(1), GrantAction::Toggle, AT).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    }
    assert_eq!(store.key(key_id(1)).await.unwrap().unwrap().models(), [ModelId(2)]);
    assert_eq!(*store.group(GroupId(1)).await.unwrap().unwrap().models, [ModelId(2)]);
}

pub(crate) async fn racing_grants_end_as_if_one_came_after_the_other(store: SharedStore) {
    insert_models(&store, 30).await;
    store.insert_key(&key(1, |_| {})).await.unwrap();
    store.insert_group(&group(1, |_| {})).await.unwrap();
    for grantee in [Grantee::Key(key_id(1)), Grantee::Group(GroupId(1))] {
        // An odd number of toggles of one model, and one binding of each other.
        let tasks = (1..=59).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (model, action) = if n <= 30 { (n, GrantAction::Bind) } else { (1, GrantAction::Toggle) };
                store.grant(grantee, ModelId(model), action, AT).await.unwrap()
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let kind = if matches!(grantee, Grantee::Key(_)) { GranteeKind::Key } else { GranteeKind::Group };
        let rows = store.list_grants(&all_grants(kind)).await.unwrap().rows;
        let granted: Vec<_> = rows.iter().map(|g| g.model.id).collect();
        let repeated = match grantee {
            Grantee::Key(id) => store.key(id).await.unwrap().unwrap().models().to_vec(),
            Grantee::Group(id) => store.group(id).await.unwrap().unwrap().models.to_vec(),
        };
        assert_eq!(granted, repeated);
        let mut others: Vec<_> = granted.into_iter().filter(|id| *id != ModelId(1)).map(|id| id.0).collect();
        others.sort_unstable();
        assert_eq!(others, (2..=30).collect::<Vec<_>>());
    }
}

pub(crate) async fn grants_are_listed_and_filtered(store: SharedStore) {
    insert_models(&store, 2).await;
    store.insert_key(&key(5, |k| k.name = "Ann_".into())).await.unwrap();
    store.insert_key(&key(6, |k| k.name = "bob".into())).await.unwrap();
    store.insert_group(&group(1, |g| g.name = "Team".into())).await.unwrap();
    for (grantee, model) in [
        (Grantee::Key(key_id(6)), 1),
        (Grantee::Key(key_id(5)), 2),
        (Grantee::Key(key_id(5)), 1),
        (Grantee::Group(GroupId(1)), 1),
    ] {
        store.grant(grantee, ModelId(model), GrantAction::Bind, AT).await.unwrap();
    }
    let of_keys = all_grants(GranteeKind::Key);
    let rows = store.list_grants(&of_keys).await.unwrap().rows;
    let shown = |g: &crate::store::Grant| (g.id.0, g.grantee, g.grantee_name.to_string(), g.model.id.0);
    let (one, two, three) = ((1, 2, "bob".to_owned(), 1), (2, 1, "Ann_".to_owned(), 2), (3, 1, "Ann_".to_owned(), 1));
    assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), [one.clone(), two.clone(), three.clone()]);
    assert_eq!((rows[0].created_at, &rows[0].model), (AT, &model(1, |_| {})));
    let filtered = async |change: &dyn Fn(&mut GrantFilter)| {
        let mut filter = of_keys.clone();
        change(&mut filter);
        let page = store.list_grants(&filter).await.unwrap();
        (page.rows.iter().map(shown).collect::<Vec<_>>(), page.count)
    };
    assert_eq!(filtered(&|f| f.grantee = Some(1)).await, (vec![two.clone(), three.clone()], 2));
    assert_eq!(filtered(&|f| f.model = Some(ModelId(1))).await, (vec![one.clone(), three.clone()], 2));
    assert_eq!(filtered(&|f| f.text = Some("NN_".into())).await, (vec![two.clone(), three.clone()], 2));
    assert_eq!(filtered(&|f| f.text = Some("EL 2".into())).await, (vec![two.clone()], 1));
    assert_eq!(filtered(&|f| f.text = Some("b_b".into())).await, (vec![], 0));
    let paging = Paging { limit: 1, offset: 1, count: true };
    assert_eq!(filtered(&|f| f.paging = paging).await, (vec![two], 3));
    let of_groups = store.list_grants(&all_grants(GranteeKind::Group)).await.unwrap().rows;
    assert_eq!(of_groups.iter().map(shown).collect::<Vec<_>>(), [(1, 1, "Team".to_owned(), 1)]);
}

pub(crate) async fn ids_of_models_groups_and_grants_never_come_again(store: SharedStore) {
    insert_models(&store, 2).await;
    store.delete_model(ModelId(2)).await.unwrap();
    assert_eq!(store.insert_model(&model(2, |_| {})).await.unwrap(), ModelId(3));
    store.insert_group(&group(1, |_| {})).await.unwrap();
    store.delete_group(GroupId(1)).await.unwrap();
    assert_eq!(store.insert_group(&group(1, |_| {})).await.unwrap(), GroupId(2));
    store.insert_key(&key(1, |_| {})).await.unwrap();
    for (grantee, kind) in
        [(Grantee::Key(key_id(1)), GranteeKind::Key), (Grantee::Group(GroupId(2)), GranteeKind::Group)]
    {
        for action in [GrantAction::Bind, GrantAction::Unbind, GrantAction::Bind] {
            store.grant(grantee, ModelId(1), action, AT).await.unwrap();
        }
        let rows = store.list_grants(&all_grants(kind)).await.unwrap().rows;
        assert_eq!(rows.iter().map(|g| g.id).collect::<Vec<_>>(), [GrantId(2)]);
    }
}

pub(crate) async fn a_deleted_model_is_granted_to_nobody(store: SharedStore) {
    insert_models(&store, 2).await;
    store.insert_key(&key(1, |k| k.member().models = [ModelId(1), ModelId(2)].into())).await.unwrap();
    store.insert_key(&key(2, |_| {})).await.unwrap();
    store.insert_group(&group(1, |_| {})).await.unwrap();
    for model in [2, 1] {
        store.grant(Grantee::Group(GroupId(1)), ModelId(model), GrantAction::Bind, AT).await.unwrap();
    }
    let loader = Loader::new(Arc::clone(&store) as _);
    loader.refresh().await.unwrap();
    assert!(loader.current().models().named("model 1").is_some());
    let (position, _) = feed(&store, 0).await;
    store.delete_model(ModelId(1)).await.unwrap();
    assert_eq!(store.model(ModelId(1)).await.unwrap(), None);
    assert_eq!(store.model_named("model 1").await.unwrap(), None);
    assert_eq!(store.key(key_id(1)).await.unwrap().unwrap().models(), [ModelId(2)]);
    assert_eq!(*store.group(GroupId(1)).await.unwrap().unwrap().models, [ModelId(2)]);
    let (_, news) = feed(&store, position).await;
    assert!(
        matches!(&news[..], [Change::Key(k), Change::Group(g), Change::ModelGone(ModelId(1))]
            if k.models() == [ModelId(2)] && *g.models == [ModelId(2)]),
        "{news:?}"
    );
    loader.refresh().await.unwrap();
    assert!(loader.current().models().named("model 1").is_none());
    for kind in [GranteeKind::Key, GranteeKind::Group] {
        let rows = store.list_grants(&all_grants(kind)).await.unwrap().rows;
        assert_eq!(rows.iter().map(|g| g.model.id).collect::<Vec<_>>(), [ModelId(2)]);
    }
    assert!(matches!(store.delete_model(ModelId(1)).await, Err(StoreError::NotFound)));
    // The last one: no membership is left.
    store.delete_model(ModelId(2)).await.unwrap();
    assert_eq!(store.key(key_id(1)).await.unwrap().unwrap().membership, None);
}

pub(crate) async fn a_deleted_group_has_no_keys(store: SharedStore) {
    insert_models(&store, 1).await;
    for n in 1..=2 {
        store.insert_group(&group(n, |_| {})).await.unwrap();
        store.grant(Grantee::Group(GroupId(n)), ModelId(1), GrantAction::Bind, AT).await.unwrap();
    }
    let in_group = |n, g| plain_key(n, |k| k.member().group = Some(GroupId(g)));
    store.insert_keys(&[in_group(1, 1), in_group(2, 2), in_group(3, 1), plain_key(4, |_| {})]).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    store.delete_group(GroupId(1)).await.unwrap();
    assert_eq!(store.group(GroupId(1)).await.unwrap(), None);
    let (_, news) = feed(&store, position).await;
    let mut left: Vec<_> = news
        .iter()
        .filter_map(|c| if let Change::Key(k) = c { Some((k.id, k.group(), k.revision)) } else { None })
        .collect();
    left.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(left, [(key_id(1), None, 2), (key_id(3), None, 2)]);
    assert!(matches!(news.last(), Some(Change::GroupGone(GroupId(1)))), "{news:?}");
    assert_eq!(news.len(), 3);
    let filter = KeyFilter { group: Some(Some(GroupId(2))), ..KeyFilter::default() };
    assert_eq!(store.list_keys(&filter).await.unwrap().rows.len(), 1);
    assert_eq!(store.list_grants(&all_grants(GranteeKind::Group)).await.unwrap().rows.len(), 1);
    assert!(matches!(store.delete_group(GroupId(1)).await, Err(StoreError::NotFound)));
    // A key that was read before knows no better.
    let late = store.update_key(&in_group(1, 1)).await;
    assert!(matches!(late, Err(StoreError::Conflict | StoreError::NotFound)), "{late:?}");
}

pub(crate) async fn a_loader_knows_who_is_granted_what(store: SharedStore) {
    insert_models(&store, 3).await;
    store.insert_group(&group(1, |_| {})).await.unwrap();
    store.insert_key(&key(1, |k| k.member().group = Some(GroupId(1)))).await.unwrap();
    let loader = Loader::new(Arc::clone(&store) as _);
    let granted = async || {
        loader.refresh().await.unwrap();
        let now = loader.current();
        let key = now.key(&super::samples::digest(1)).unwrap();
        now.models().granted_to(key).iter().map(|m| m.row.id.0).collect::<Vec<_>>()
    };
    assert_eq!(granted().await, Vec::<i64>::new());
    let (of_key, of_group) = (Grantee::Key(key_id(1)), Grantee::Group(GroupId(1)));
    for (grantee, model, expect) in [
        (of_key, 1, vec![1]),
        (of_group, 3, vec![3, 1]),
        (of_group, 1, vec![3, 1]),
        (of_key, 1, vec![3, 1]),
        (of_group, 1, vec![3]),
        (of_group, 3, vec![]),
    ] {
        store.grant(grantee, ModelId(model), GrantAction::Toggle, AT).await.unwrap();
        assert_eq!(granted().await, expect);
    }
}

pub(crate) async fn a_store_is_seeded_once(store: SharedStore) {
    assert!(store.seed_models(&first()).await.unwrap());
    let seeded = store.group(GroupId(1)).await.unwrap().unwrap();
    assert_eq!((&*seeded.name, &*seeded.models), ("first", &[ModelId(1), ModelId(2)][..]));
    let models = store.list_models(&ModelFilter { order: Order::Ascending, ..ModelFilter::default() }).await.unwrap();
    assert_eq!(models.rows.iter().map(|m| &*m.name).collect::<Vec<_>>(), ["model 5", "model 6"]);
    assert!(!store.seed_models(&first()).await.unwrap());
    // Whatever has become of it.
    store.delete_group(GroupId(1)).await.unwrap();
    for n in 1..=2 {
        store.delete_model(ModelId(n)).await.unwrap();
    }
    let (position, _) = feed(&store, 0).await;
    assert!(!store.seed_models(&first()).await.unwrap());
    assert_eq!(feed(&store, position).await.0, position);
}

pub(crate) async fn a_used_store_is_not_seeded(store: SharedStore) {
    insert_models(&store, 1).await;
    store.delete_model(ModelId(1)).await.unwrap();
    assert!(!store.seed_models(&first()).await.unwrap());
    assert_eq!(store.list_models(&ModelFilter::default()).await.unwrap().rows, []);
}

pub(crate) async fn racing_starts_seed_once(store: SharedStore) {
    let tasks = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.seed_models(&first()).await.unwrap() })
    });
    let mut seeded = 0;
    for task in tasks.collect::<Vec<_>>() {
        seeded += usize::from(task.await.unwrap());
    }
    assert_eq!((seeded, store.list_models(&ModelFilter::default()).await.unwrap().rows.len()), (1, 2));
}
