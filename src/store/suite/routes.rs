//! Promises about routes.

use super::configuration::feed;
use super::samples::{ODD_TEXTS, key_id, setting_id};
use crate::domain::{RequestFormat, RequestParam, RetryStrategy, Route, RouteCache, RouteId, Step, UnixMillis};
use crate::store::loader::Loader;
use crate::store::{Change, SharedStore, StoreError};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(crate) fn route_id(n: u64) -> RouteId {
    RouteId::from_uuid(Uuid::from_u64_pair(n, 0x8000_0000_0000_0004))
}

fn param(name: &str, json: &str) -> RequestParam {
    RequestParam { name: name.into(), value: RawValue::from_string(json.to_owned()).unwrap() }
}

/// A step with nothing that may be absent.
fn plain_step() -> Step {
    Step {
        provider: "openai".into(),
        model: "gpt-4o".into(),
        retries: 0,
        retry_interval: None,
        timeout: Duration::from_secs(300),
        first_byte_timeout: None,
        params: [].into(),
        request_params: Vec::new(),
        weight: None,
    }
}

/// A route with something in every field.
pub(crate) fn route(n: u64, change: impl FnOnce(&mut Route)) -> Route {
    let rich = Step {
        provider: "azure".into(),
        model: "gpt-4o".into(),
        retries: 3,
        retry_interval: Some(Duration::from_millis(1500)),
        timeout: Duration::new(90, 1),
        first_byte_timeout: Some(Duration::from_nanos(1)),
        params: [
            ("deploymentId".into(), "d-1".into()),
            ("apiVersion".into(), "2024-10-21".into()),
            (Step::SETTING.into(), setting_id(1).to_string().into()),
        ]
        .into(),
        request_params: vec![param("temperature", "1e-1"), param("stop", r#"{"a" : [null, 12345678901234567890]}"#)],
        weight: Some(0),
    };
    let mut route = Route {
        id: route_id(n),
        revision: 1,
        name: format!("route {n}").into(),
        path: format!("/path/{n}").into(),
        created_at: UnixMillis(1_700_000_000_000 + i64::try_from(n).unwrap()),
        updated_at: UnixMillis(1_700_000_000_500),
        key_ids: vec![key_id(2), key_id(1)],
        steps: vec![rich, plain_step()],
        cache: RouteCache { enabled: true, ttl: Duration::from_hours(168), shared: true },
        retry_strategy: RetryStrategy::Exponential,
        request_format: RequestFormat::Embeddings,
    };
    change(&mut route);
    route
}

/// A route with nothing that may be absent.
fn plain_route(n: u64) -> Route {
    route(n, |route| {
        route.key_ids.clear();
        route.steps = vec![plain_step()];
        route.cache = RouteCache::default();
        route.retry_strategy = RetryStrategy::Unset;
        route.request_format = RequestFormat::Chat;
    })
}

fn told(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Route(route) => format!("{} r{} {}", route.id, route.revision, route.path),
        Change::RouteGone(id) => format!("gone {id}"),
        other => panic!("{other:?}"),
    };
    changes.iter().map(name).collect()
}

pub(crate) async fn a_route_comes_back_as_it_was_stored(store: SharedStore) {
    let constant = route(3, |route| route.retry_strategy = RetryStrategy::Constant);
    let all = [route(1, |_| {}), plain_route(2), constant];
    // Written in another order than they were made in.
    for original in all.iter().rev() {
        store.insert_route(&Route { revision: 77, ..original.clone() }).await.unwrap();
        assert_eq!(store.route(original.id).await.unwrap().as_ref(), Some(original));
        let (_, changes) = feed(&store, 0).await;
        assert!(matches!(changes.last(), Some(Change::Route(told)) if **told == *original));
    }
    assert_eq!(store.list_routes().await.unwrap(), all);
    assert_eq!(store.route(route_id(4)).await.unwrap(), None);
}

pub(crate) async fn texts_of_routes_are_taken_literally(store: SharedStore) {
    let mut all = Vec::new();
    for (n, text) in (1..).zip(ODD_TEXTS) {
        let odd = route(n, |route| {
            route.name = text.into();
            route.path = format!("/{text}").into();
            let step = &mut route.steps[0];
            step.provider = text.into();
            step.model = text.into();
            step.params = [(text.into(), text.into())].into();
            step.request_params = vec![param(text, &serde_json::to_string(text).unwrap())];
        });
        store.insert_route(&odd).await.unwrap();
        all.push(odd);
    }
    assert_eq!(store.list_routes().await.unwrap(), all);
    // A path differs by every letter's case, and by what folds or trims to the same.
    for (n, path) in (100..).zip(["/a", "/A", "/a/", "/ä", "/a\u{308}", "/a ", "/A,B"]) {
        store.insert_route(&route(n, |route| route.path = path.into())).await.unwrap();
    }
}

pub(crate) async fn routes_have_paths_of_their_own(store: SharedStore) {
    let (first, second) = (route(1, |_| {}), route(2, |_| {}));
    store.insert_route(&first).await.unwrap();
    store.insert_route(&second).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    let twin = route(3, |route| route.path = first.path.clone());
    assert!(matches!(store.insert_route(&twin).await, Err(StoreError::DuplicateName)));
    let known = route(1, |route| route.path = "/new".into());
    assert!(matches!(store.insert_route(&known).await, Err(StoreError::Conflict)));
    let taken = route(2, |route| route.path = first.path.clone());
    assert!(matches!(store.update_route(&taken).await, Err(StoreError::DuplicateName)));
    assert_eq!(store.list_routes().await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(feed(&store, position).await.0, position, "nothing was written");

    // A path that was given up is anybody's; two routes can change places by way of a third.
    let moves = [(1, 1, "/between"), (2, 1, "/path/1"), (1, 2, "/path/2")];
    for (n, revision, path) in moves {
        let moved = route(n, |route| {
            route.revision = revision;
            route.path = path.into();
        });
        store.update_route(&moved).await.unwrap();
    }
    let paths: Vec<_> = store.list_routes().await.unwrap().into_iter().map(|route| route.path).collect();
    assert_eq!(paths, ["/path/2", "/path/1"].map(Box::from));
}

pub(crate) async fn a_route_update_follows_the_revision(store: SharedStore) {
    let original = route(1, |_| {});
    assert!(matches!(store.update_route(&original).await, Err(StoreError::NotFound)));
    store.insert_route(&original).await.unwrap();
    let changed = Route {
        name: "new".into(),
        path: "/new".into(),
        created_at: UnixMillis(1),
        updated_at: UnixMillis(2),
        ..plain_route(1)
    };
    store.update_route(&changed).await.unwrap();
    // Whose revision is stale is told so, also when its path is another's.
    store.insert_route(&route(2, |_| {})).await.unwrap();
    let late = route(1, |route| route.path = "/path/2".into());
    assert!(matches!(store.update_route(&late).await, Err(StoreError::Conflict)));
    let expect = Route { revision: 2, created_at: original.created_at, ..changed };
    assert_eq!(store.route(expect.id).await.unwrap().as_ref(), Some(&expect));
    // Its own path is not another's.
    store.update_route(&expect).await.unwrap();
    assert_eq!(store.route(expect.id).await.unwrap().unwrap().revision, 3);
}

pub(crate) async fn racing_updates_of_a_route_lose_nothing(store: SharedStore) {
    store.insert_route(&plain_route(1)).await.unwrap();
    let add = |n: u64| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let mut route = store.route(route_id(1)).await.unwrap().unwrap();
                route.key_ids.push(key_id(n));
                match store.update_route(&route).await {
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
    let route = store.route(route_id(1)).await.unwrap().unwrap();
    assert_eq!((route.key_ids.len(), route.revision), (10, 11));
}

pub(crate) async fn a_deleted_route_is_gone_and_its_path_free(store: SharedStore) {
    assert!(matches!(store.delete_route(route_id(1)).await, Err(StoreError::NotFound)));
    store.insert_route(&route(1, |_| {})).await.unwrap();
    store.insert_route(&route(2, |_| {})).await.unwrap();
    store.delete_route(route_id(1)).await.unwrap();
    let (position, _) = feed(&store, 0).await;
    assert!(matches!(store.delete_route(route_id(1)).await, Err(StoreError::NotFound)));
    assert!(matches!(store.update_route(&route(1, |_| {})).await, Err(StoreError::NotFound)));
    assert_eq!(feed(&store, position).await.0, position, "nothing was written");
    assert_eq!(store.route(route_id(1)).await.unwrap(), None);
    assert_eq!(store.list_routes().await.unwrap(), [route(2, |_| {})]);
    store.insert_route(&route(3, |route| route.path = "/path/1".into())).await.unwrap();
}

pub(crate) async fn the_feed_tells_routes_and_their_deletion(store: SharedStore) {
    store.insert_route(&route(1, |_| {})).await.unwrap();
    store.insert_route(&route(2, |_| {})).await.unwrap();
    store.update_route(&route(1, |route| route.path = "/new".into())).await.unwrap();
    let (position, changes) = feed(&store, 0).await;
    let (one, two) = (route_id(1), route_id(2));
    assert_eq!(told(&changes), [format!("{two} r1 /path/2"), format!("{one} r2 /new")]);
    store.delete_route(two).await.unwrap();
    let (_, changes) = feed(&store, position).await;
    assert_eq!(told(&changes), [format!("gone {two}")]);
    let (_, everything) = feed(&store, 0).await;
    assert_eq!(told(&everything), [format!("{one} r2 /new"), format!("gone {two}")]);
}

pub(crate) async fn a_loader_serves_routes_at_once_and_until_they_are_deleted(store: SharedStore) {
    let loader = Loader::new(Arc::clone(&store) as _);
    let at = async |path: &str| {
        loader.refresh().await.unwrap();
        loader.current().routes().at(path).map(|route| (route.id, route.revision))
    };
    store.insert_route(&route(1, |_| {})).await.unwrap();
    assert_eq!(at("/path/1").await, Some((route_id(1), 1)));
    store.update_route(&route(1, |route| route.path = "/moved".into())).await.unwrap();
    assert_eq!((at("/path/1").await, at("/moved").await), (None, Some((route_id(1), 2))));
    store.insert_route(&route(2, |route| route.path = "/path/1".into())).await.unwrap();
    assert_eq!(at("/path/1").await, Some((route_id(2), 1)));
    store.delete_route(route_id(1)).await.unwrap();
    assert_eq!((at("/moved").await, at("/path/1").await), (None, Some((route_id(2), 1))));
    // Deleted and made anew between two looks.
    store.delete_route(route_id(2)).await.unwrap();
    store.insert_route(&route(3, |route| route.path = "/path/1".into())).await.unwrap();
    assert_eq!(at("/path/1").await, Some((route_id(3), 1)));
    assert_eq!(loader.current().routes().iter().count(), 1);
}
