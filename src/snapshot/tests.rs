use super::*;
use crate::domain::{KeyId, UnixMillis};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

fn digest(seed: u64) -> KeyDigest {
    // Multiplying by an odd number is a bijection: different seeds, well spread digests.
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(spread.iter().cycle()) {
        *to = *from;
    }
    KeyDigest::from_bytes(bytes)
}

fn key_with(digest: KeyDigest, id: u128, revision: i64) -> Key {
    Key {
        number: 0,
        id: KeyId::from_uuid(Uuid::from_u128(id)),
        revision,
        digest,
        hint: "".into(),
        name: "".into(),
        tags: Box::default(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        revoked: false,
        revoked_reason: "".into(),
        single_setting: false,
        setting_ids: Box::default(),
        rotation: false,
        allowed_paths: Box::default(),
        ttl: "".into(),
        rate: None,
        total_budget: None,
        window_budget: None,
        budget_mode: None,
        log_request: false,
        log_response: false,
        policy_id: "".into(),
        is_key_not_hashed: false,
        membership: None,
    }
}

fn key(seed: u64, revision: i64) -> Key {
    key_with(digest(seed), u128::from(seed), revision)
}

fn setting(seed: u128, name: &str) -> Setting {
    Setting {
        id: SettingId::from_uuid(Uuid::from_u128(seed)),
        revision: 1,
        provider: "openai".into(),
        name: name.into(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        allowed_models: Box::default(),
        parameters: BTreeMap::new(),
        secrets: BTreeMap::new(),
        cost_map: None,
    }
}

fn changes(position: i64, changes: Vec<Change>) -> Changes {
    Changes { point: Point::at(position), changes }
}

fn put(seed: u64, revision: i64) -> Change {
    Change::Key(Box::new(key(seed, revision)))
}

fn gone(seed: u64) -> Change {
    Change::KeyGone { id: key(seed, 0).id, digest: digest(seed) }
}

#[test]
fn an_older_picture_does_not_see_a_newer_change() {
    let first = Snapshot::default().apply(changes(2, vec![put(1, 1), put(2, 1)]));
    let second = first.apply(changes(4, vec![put(1, 2), gone(2)]));
    assert_eq!((first.keys(), second.keys()), (2, 1));
    assert_eq!(first.key(&digest(1)).unwrap().revision, 1);
    assert_eq!(second.key(&digest(1)).unwrap().revision, 2);
    assert!(first.key(&digest(2)).is_some() && second.key(&digest(2)).is_none());
    assert_eq!((first.position(), second.position()), (2, 4));
}

#[test]
fn what_did_not_change_is_shared() {
    let first = Snapshot::default().apply(changes(1000, (0..1000).map(|n| put(n, 1)).collect()));
    let second = first.apply(changes(1001, vec![put(7, 2)]));
    let shared = (0..1000).filter(|n| Arc::ptr_eq(first.key(&digest(*n)).unwrap(), second.key(&digest(*n)).unwrap()));
    assert_eq!(shared.count(), 999);
}

#[test]
fn deleting_a_key_spares_the_one_that_took_its_value() {
    let old = key_with(digest(5), 1, 1);
    let new = key_with(digest(5), 2, 1);
    let late = Change::KeyGone { id: old.id, digest: old.digest };
    let snapshot =
        Snapshot::default().apply(changes(3, vec![Change::Key(old.into()), Change::Key(new.clone().into()), late]));
    assert_eq!(snapshot.key(&digest(5)).unwrap().id, new.id);
    assert_eq!(snapshot.keys(), 1);
}

#[test]
fn an_unknown_deletion_changes_nothing() {
    let first = Snapshot::default().apply(changes(1, vec![put(1, 1)]));
    let second = first.apply(changes(2, vec![gone(99)]));
    assert_eq!((second.keys(), second.position()), (1, 2));
}

#[test]
fn digests_that_share_their_first_bytes_stay_apart() {
    let mut one = [7; 32];
    let mut two = [7; 32];
    one[31] = 1;
    two[31] = 2;
    let (one, two) = (KeyDigest::from_bytes(one), KeyDigest::from_bytes(two));
    let both = vec![Change::Key(key_with(one, 1, 1).into()), Change::Key(key_with(two, 2, 1).into())];
    let snapshot = Snapshot::default().apply(changes(2, both));
    assert_eq!(snapshot.keys(), 2);
    assert_ne!(snapshot.key(&one).unwrap().id, snapshot.key(&two).unwrap().id);
    assert!(snapshot.key(&KeyDigest::from_bytes([7; 32])).is_none());
    let snapshot = snapshot.apply(changes(3, vec![Change::KeyGone { id: key_with(one, 1, 1).id, digest: one }]));
    assert!(snapshot.key(&one).is_none() && snapshot.key(&two).is_some());
}

#[test]
fn settings_are_found_by_id_and_replaced() {
    let first = Snapshot::default().apply(changes(1, vec![Change::Setting(setting(9, "a").into())]));
    let second = first.apply(changes(2, vec![Change::Setting(setting(9, "b").into())]));
    assert_eq!(&*second.setting(setting(9, "").id).unwrap().name, "b");
    assert_eq!((second.settings(), second.keys()), (1, 0));
    assert!(second.setting(setting(8, "").id).is_none());
}

proptest! {
    #[test]
    fn any_history_in_any_pages_ends_like_a_plain_map(
        steps in prop::collection::vec((0u64..40, any::<bool>()), 0..200),
        page in 1usize..50,
    ) {
        let mut model: HashMap<KeyDigest, i64> = HashMap::new();
        let mut snapshot = Snapshot::default();
        let mut position = 0i64;
        for steps in steps.chunks(page) {
            let mut batch = Vec::new();
            for (seed, alive) in steps {
                position += 1;
                if *alive {
                    model.insert(digest(*seed), position);
                    batch.push(put(*seed, position));
                } else {
                    model.remove(&digest(*seed));
                    batch.push(gone(*seed));
                }
            }
            let before = snapshot.clone();
            let seen: Vec<i64> = before.iter_keys().map(|k| k.revision).collect();
            snapshot = snapshot.apply(changes(position, batch));
            prop_assert_eq!(seen, before.iter_keys().map(|k| k.revision).collect::<Vec<_>>());
        }
        prop_assert_eq!(snapshot.keys(), model.len());
        prop_assert_eq!(snapshot.iter_keys().count(), model.len());
        for (digest, revision) in model {
            prop_assert_eq!(snapshot.key(&digest).map(|k| k.revision), Some(revision));
        }
    }
}

#[test]
fn a_setting_of_two_keys_is_nobodys_own() {
    let shared = SettingId::from_uuid(Uuid::from_u128(7));
    let uses = |seed: u64, settings: &[SettingId]| {
        let mut key = key(seed, 1);
        key.setting_ids = settings.into();
        Change::Key(Box::new(key))
    };
    let mut snapshot = Snapshot::default();
    let mut check = |change: Change, exclusive: bool| {
        snapshot = snapshot.apply(changes(snapshot.position() + 1, vec![change]));
        assert_eq!(snapshot.is_exclusive(shared), exclusive);
    };
    check(uses(1, &[shared]), true);
    check(uses(1, &[shared]), true);
    check(uses(2, &[]), true);
    check(uses(2, &[shared]), false);
    check(uses(2, &[]), true);
    check(uses(2, &[shared]), false);
    check(Change::KeyGone { id: key(1, 1).id, digest: digest(1) }, true);
}

mod routes {
    use super::*;
    use crate::domain::{RequestFormat, RetryStrategy, Route, RouteCache, RouteId};

    fn id(n: u8) -> RouteId {
        RouteId::from_uuid(Uuid::from_u128(n.into()))
    }

    fn put(n: u8, path: &str) -> Change {
        Change::Route(Box::new(Route {
            id: id(n),
            revision: 1,
            name: "".into(),
            path: path.into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            key_ids: Vec::new(),
            steps: Vec::new(),
            cache: RouteCache::default(),
            retry_strategy: RetryStrategy::Unset,
            request_format: RequestFormat::Chat,
        }))
    }

    fn after(before: &Snapshot, news: Vec<Change>) -> Snapshot {
        before.apply(changes(before.position() + 1, news))
    }

    /// Every path of `paths`, with the route that answers there.
    fn at<const N: usize>(snapshot: &Snapshot, paths: [&str; N]) -> [Option<RouteId>; N] {
        paths.map(|path| snapshot.routes().at(path).map(|route| route.id))
    }

    #[test]
    fn a_route_is_found_by_its_very_path_and_by_id() {
        let snapshot = after(&Snapshot::default(), vec![put(1, "/a"), put(2, "/a/b")]);
        let paths = ["/a", "/a/b", "/A", "/a/", "a", "/a/b/c", ""];
        assert_eq!(at(&snapshot, paths), [Some(id(1)), Some(id(2)), None, None, None, None, None]);
        assert_eq!(snapshot.routes().get(id(2)).map(|route| &*route.path), Some("/a/b"));
        assert!(snapshot.routes().get(id(3)).is_none());
        assert_eq!(snapshot.routes().iter().count(), 2);
    }

    #[test]
    fn a_route_that_moves_leaves_its_path() {
        let first = after(&Snapshot::default(), vec![put(1, "/a")]);
        let second = after(&first, vec![put(1, "/b")]);
        assert_eq!(at(&second, ["/a", "/b"]), [None, Some(id(1))]);
        assert_eq!(at(&first, ["/a", "/b"]), [Some(id(1)), None], "an older picture does not see it");
        assert!(!Arc::ptr_eq(&first.routes, &second.routes));
        assert!(Arc::ptr_eq(&second.routes, &after(&second, vec![super::put(1, 1)]).routes), "a key changes no route");
    }

    #[test]
    fn paths_go_from_route_to_route_in_any_order_that_is_told() {
        let first = after(&Snapshot::default(), vec![put(1, "/a"), put(2, "/b")]);
        // They changed places by way of a third path; the feed tells the last state of each, in either order.
        for swap in [vec![put(1, "/b"), put(2, "/a")], vec![put(2, "/a"), put(1, "/b")]] {
            let swapped = after(&first, swap);
            assert_eq!(at(&swapped, ["/a", "/b"]), [Some(id(2)), Some(id(1))]);
            assert_eq!(swapped.routes().iter().count(), 2);
        }
        // The path's new route is told before the old one moved or went.
        let moved = after(&first, vec![put(3, "/a"), put(1, "/c")]);
        assert_eq!(at(&moved, ["/a", "/b", "/c"]), [Some(id(3)), Some(id(2)), Some(id(1))]);
        let gone = after(&first, vec![put(3, "/a"), Change::RouteGone(id(1))]);
        assert_eq!(at(&gone, ["/a", "/b"]), [Some(id(3)), Some(id(2))]);
        assert!(gone.routes().get(id(1)).is_none());
    }

    #[test]
    fn a_deleted_route_is_gone_with_its_path() {
        let first = after(&Snapshot::default(), vec![put(1, "/a"), put(2, "/b")]);
        let second = after(&first, vec![Change::RouteGone(id(1)), Change::RouteGone(id(9))]);
        assert_eq!(at(&second, ["/a", "/b"]), [None, Some(id(2))]);
        assert!(second.routes().get(id(1)).is_none());
        assert_eq!((second.routes().iter().count(), first.routes().iter().count()), (1, 2));
        let again = after(&second, vec![put(1, "/a")]);
        assert_eq!(at(&again, ["/a"]), [Some(id(1))]);
    }
}
