use super::*;
use crate::domain::{Event, KeyId, ModelId, Money, Secret, UnixMillis};
use crate::store::seal::MasterKey;
use crate::store::suite::{self, conformance, samples};
use crate::store::{
    ChangeFeed, EventFilter, EventStore, FirstModels, GroupBy, KeyStore, ModelStore, Point, ReportFilter, SettingStore,
    SharedStore,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::PathBuf;
use tempfile::TempDir;

fn sealer(keys: &[u8]) -> Sealer {
    let key = |byte: &u8| MasterKey::parse_base64(&STANDARD.encode([*byte; 32])).unwrap();
    Sealer::new(keys.iter().map(key).collect()).unwrap()
}

fn open() -> (SharedStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db"), sealer(&[1])).unwrap();
    (Arc::new(store), folder)
}

conformance!(open);

/// Every file of the database, with its log.
fn files(folder: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    std::fs::read_dir(folder.path()).unwrap().map(read).collect()
}

#[tokio::test]
async fn no_file_contains_a_secret() {
    let (store, folder) = open();
    let setting = samples::setting(1, |_| {});
    store.insert_setting(&setting).await.unwrap();
    let with_config =
        |text: &str| suite::models::model(1, |m| m.config = Secret::new(format!("{{\"apiKey\":\"{text}\"}}")));
    store.insert_model(&with_config("sk-upstream-credential-1")).await.unwrap();
    store.update_model(&with_config("another-upstream-credential")).await.unwrap();
    let secret = setting.api_key().unwrap().expose();
    let forms = [secret.to_owned(), STANDARD.encode(secret), hex::encode(secret), "upstream-credential".to_owned()];
    let check = |folder: &TempDir| {
        let files = files(folder);
        assert!(files.iter().any(|(_, bytes)| memchr::memmem::find(bytes, b"setting 1").is_some()), "nothing written?");
        for (path, bytes) in files {
            for form in &forms {
                assert!(memchr::memmem::find(&bytes, form.as_bytes()).is_none(), "{form} in {}", path.display());
            }
        }
    };
    check(&folder);
    drop(store);
    check(&folder);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (store, folder) = open();
    store.insert_key(&samples::key(1, |_| {})).await.unwrap();
    let files = files(&folder);
    assert_eq!(files.len(), 3, "database, log and shared memory");
    for (path, _) in files {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let (store, folder) = open();
    let path = folder.path().join("store.db");
    store.insert_key(&samples::key(1, |_| {})).await.unwrap();
    store.insert_key(&samples::key(2, |_| {})).await.unwrap();
    store.delete_key(samples::key_id(2)).await.unwrap();
    store.insert_setting(&samples::setting(1, |_| {})).await.unwrap();
    let event = samples::event(1, UnixMillis::from_seconds(1_700_000_000), |_| {});
    store.insert_events(std::slice::from_ref(&event)).await.unwrap();
    let before = store.changes_since(Point::default()).await.unwrap();
    let version = store.schema_version().await.unwrap();
    drop(store);

    let store = SqliteStore::open(&path, sealer(&[1])).unwrap();
    assert_eq!(store.key(samples::key_id(1)).await.unwrap(), Some(samples::key(1, |_| {})));
    assert_eq!(store.setting(samples::setting_id(1)).await.unwrap(), Some(samples::setting(1, |_| {})));
    assert_eq!(store.spend_of(samples::key_id(1)).await.unwrap(), Some(event.cost));
    assert_eq!(store.schema_version().await.unwrap(), version);
    let after = store.changes_since(Point::default()).await.unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    // Positions go on where they were, also past a deleted row.
    store.insert_key(&samples::key(3, |_| {})).await.unwrap();
    assert!(store.changes_since(before.point).await.unwrap().point.position > before.point.position);
    assert_eq!(store.insert_events(&[event]).await.unwrap(), 0);
}

#[tokio::test]
async fn without_the_master_key_settings_stay_shut() {
    let (store, folder) = open();
    let path = folder.path().join("store.db");
    store.insert_setting(&samples::setting(1, |_| {})).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, sealer(&[2])).unwrap();
    assert!(matches!(store.setting(samples::setting_id(1)).await, Err(StoreError::Unsealable)));
    assert!(matches!(store.list_settings(None).await, Err(StoreError::Unsealable)));
    assert!(matches!(store.changes_since(Point::default()).await, Err(StoreError::Unsealable)));
}

#[tokio::test]
async fn a_secret_moved_between_rows_is_noticed() {
    let (store, folder) = open();
    store.insert_setting(&samples::setting(1, |_| {})).await.unwrap();
    store.insert_setting(&samples::setting(2, |_| {})).await.unwrap();
    let outside = Connection::open(folder.path().join("store.db")).unwrap();
    outside
        .execute(
            "UPDATE provider_settings SET secrets = (SELECT secrets FROM provider_settings WHERE id = ?) WHERE id = ?",
            [samples::setting_id(1).as_bytes(), samples::setting_id(2).as_bytes()],
        )
        .unwrap();
    assert!(store.setting(samples::setting_id(1)).await.is_ok());
    assert!(matches!(store.setting(samples::setting_id(2)).await, Err(StoreError::Unsealable)));
}

#[tokio::test]
async fn after_resealing_the_old_master_key_may_go() {
    let (store, folder) = open();
    let path = folder.path().join("store.db");
    for n in 1..=3 {
        store.insert_setting(&samples::setting(n, |_| {})).await.unwrap();
    }
    store.insert_model(&suite::models::model(1, |_| {})).await.unwrap();
    drop(store);
    let rotated = SqliteStore::open(&path, sealer(&[2, 1])).unwrap();
    let position = rotated.changes_since(Point::default()).await.unwrap().point.position;
    assert_eq!(rotated.reseal().await.unwrap(), 4);
    assert_eq!(rotated.reseal().await.unwrap(), 0);
    assert_eq!(rotated.changes_since(Point::at(position)).await.unwrap().changes.len(), 0);
    drop(rotated);
    let store = SqliteStore::open(&path, sealer(&[2])).unwrap();
    assert_eq!(store.list_settings(None).await.unwrap(), [1, 2, 3].map(|n| samples::setting(n, |_| {})));
    assert_eq!(store.model(ModelId(1)).await.unwrap(), Some(suite::models::model(1, |_| {})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_share_the_file() {
    let (one, folder) = open();
    let two: SharedStore = Arc::new(SqliteStore::open(folder.path().join("store.db"), sealer(&[1])).unwrap());
    let write = |store: SharedStore, from: u64| {
        tokio::spawn(async move {
            for n in from..from + 50 {
                store.insert_key(&samples::key(n, |_| {})).await.unwrap();
                store.insert_events(&[samples::event(n, UnixMillis(1_700_000_000_000), |_| {})]).await.unwrap();
            }
        })
    };
    let (first, second) = (write(Arc::clone(&one), 0), write(Arc::clone(&two), 1000));
    first.await.unwrap();
    second.await.unwrap();
    for store in [one, two] {
        assert_eq!(store.changes_since(Point::default()).await.unwrap().changes.len(), 100);
        assert_eq!(store.spend_of(samples::key_id(1)).await.unwrap(), Some(Money::from_units(930_000_000)));
    }
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_behind() {
    let (store, folder) = open();
    let outside = Connection::open(folder.path().join("store.db")).unwrap();
    outside
        .execute_batch(
            "CREATE TRIGGER fail BEFORE INSERT ON events WHEN new.status = 599 BEGIN SELECT raise(ABORT, 'no'); END;",
        )
        .unwrap();
    let good = samples::event(1, UnixMillis(1_700_000_000_000), |_| {});
    let bad = samples::event(2, UnixMillis(1_700_000_000_000), |e| e.status = 599);
    let batch: [Event; 2] = [good.clone(), bad];
    assert!(matches!(store.insert_events(&batch).await, Err(StoreError::Engine(_))));
    assert_eq!(store.spends().await.unwrap(), []);
    assert_eq!(store.list_events(&EventFilter::default()).await.unwrap().rows.len(), 0);
    assert_eq!(store.insert_events(&[good]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_report_with_too_many_points_is_refused() {
    let (store, _folder) = open();
    let at = UnixMillis::from_seconds(1_700_000_000);
    let events: Vec<_> =
        (0..1001u64).map(|n| samples::event(n, at, |e| e.custom_id = format!("c{n}").into())).collect();
    store.insert_events(&events).await.unwrap();
    let group_by = GroupBy { custom_id: true, ..GroupBy::default() };
    let filter = |group_by| ReportFilter {
        start: at.seconds(),
        end: at.seconds() + 1,
        increment: 1,
        group_by,
        ..ReportFilter::default()
    };
    assert!(matches!(store.report(&filter(group_by)).await, Err(StoreError::TooLarge)));
    assert_eq!(store.report(&filter(GroupBy::default())).await.unwrap().points.len(), 1);
}

#[tokio::test]
async fn any_file_name_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a?mode=memory", "100%.db", "new/folder/store.db", ":memory:"] {
        let path = folder.path().join(name);
        SqliteStore::open(&path, sealer(&[1])).unwrap().insert_key(&samples::key(1, |_| {})).await.unwrap();
        let reopened = SqliteStore::open(&path, sealer(&[1])).unwrap();
        assert!(reopened.key(samples::key_id(1)).await.unwrap().is_some(), "{name}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "these are my notes, please do not overwrite them".repeat(40)).unwrap();
    assert!(SqliteStore::open(&path, sealer(&[1])).is_err());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("these are my notes"));
}

#[test]
fn a_newer_schema_is_refused() {
    let (store, folder) = open();
    drop(store);
    let path = folder.path().join("store.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
        )
        .unwrap();
    assert!(SqliteStore::open(&path, sealer(&[1])).is_err());
}

/// The plan of a query, one line per step.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let empty = vec![rusqlite::types::Value::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(empty), |row| row.get::<_, String>(3)).unwrap();
    steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_filters_of_the_api_use_their_index() {
    let (store, folder) = open();
    drop(store);
    let connection = Connection::open(folder.path().join("store.db")).unwrap();
    let check = |build: &dyn Fn(&mut filter::Conditions), index: &str| {
        let mut conditions = filter::Conditions::default();
        build(&mut conditions);
        let plan = plan(&connection, &format!("SELECT cost FROM events{} ORDER BY created_at, id", conditions.sql()));
        assert!(plan.contains(index), "{index} not in: {plan}");
    };
    let key: &[KeyId] = &[samples::key_id(1)];
    check(&|c| events::who(c, &[], &["x".into()], &[], &[]), "events_by_custom_id (custom_id=?");
    check(&|c| events::who(c, &[], &[], &["x".into()], &[]), "events_by_user_id (user_id=?");
    check(
        &|c| {
            c.within("created_at", 1, 2);
            events::who(c, key, &[], &[], &["tag".into()]);
        },
        "events_by_time (created_at>? AND created_at<?",
    );
    // A scan would look at everything that is kept, for every batch.
    let old = plan(&connection, retention::DELETE);
    assert!(!old.contains("SCAN events"), "{old}");
    let keys = plan(&connection, "SELECT name FROM keys ORDER BY created_at DESC, id DESC LIMIT 10");
    assert!(keys.contains("keys_by_creation") && !keys.contains("TEMP B-TREE"), "{keys}");
    // A group with few keys among a million is deleted without reading them all.
    let of_group = plan(&connection, "UPDATE keys SET group_id = NULL WHERE group_id = ?");
    assert!(of_group.contains("keys_by_group"), "{of_group}");
}

#[test]
fn a_feed_of_before_custom_providers_goes_on() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../../../migrations/sqlite/V1__keys_settings_events.sql")).unwrap();
    let note = "INSERT OR REPLACE INTO changes (kind, row_id, gone) VALUES (?, x'01', NULL)";
    for kind in ["key", "setting", "setting"] {
        connection.execute(note, [kind]).unwrap();
    }
    assert!(connection.execute(note, ["custom_provider"]).is_err());
    connection.execute_batch(include_str!("../../../migrations/sqlite/V3__custom_providers.sql")).unwrap();
    connection.execute(note, ["key"]).unwrap();
    connection.execute(note, ["custom_provider"]).unwrap();
    let mut statement = connection.prepare("SELECT position, kind FROM changes ORDER BY position").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
    let rows: Vec<_> = rows.map(|row| row.unwrap()).collect();
    assert_eq!(rows, [(3, "setting".into()), (4, "key".into()), (5, "custom_provider".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_starts_at_once_make_one_store() {
    // Several rounds: what races here is over in milliseconds.
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let first = FirstModels {
            group: suite::models::group(1, |_| {}),
            models: vec![suite::models::model(1, |_| {}), suite::models::model(2, |_| {})],
        };
        let starts: Vec<_> = (0..4)
            .map(|_| {
                let (path, first) = (folder.path().join("store.db"), first.clone());
                tokio::spawn(async move {
                    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(path, sealer(&[1])));
                    let store = opened.await.unwrap().unwrap();
                    store.seed_models(&first).await.unwrap()
                })
            })
            .collect();
        let mut seeded = 0;
        for start in starts {
            seeded += usize::from(start.await.unwrap());
        }
        assert_eq!(seeded, 1);
        let store = SqliteStore::open(folder.path().join("store.db"), sealer(&[1])).unwrap();
        let rows = store.list_models(&crate::store::ModelFilter::default()).await.unwrap().rows;
        assert_eq!(rows.iter().map(|m| m.id.0).collect::<Vec<_>>(), [2, 1]);
    }
}

#[tokio::test]
async fn no_number_comes_again_after_a_restart() {
    let (store, folder) = open();
    store.insert_keys(&[samples::key(1, |_| {}), samples::key(2, |_| {})]).await.unwrap();
    store.delete_key(samples::key_id(2)).await.unwrap();
    store.delete_key(samples::key_id(1)).await.unwrap();
    drop(store);
    let store = SqliteStore::open(folder.path().join("store.db"), sealer(&[1])).unwrap();
    store.insert_key(&samples::key(3, |_| {})).await.unwrap();
    assert_eq!(store.key(samples::key_id(3)).await.unwrap().unwrap().number, 3);
}

#[test]
fn a_former_version_goes_on_with_a_file_that_knows_models() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    connection.execute_batch(include_str!("../../../migrations/sqlite/V1__keys_settings_events.sql")).unwrap();
    let insert = |id: u8| {
        let sql = "INSERT INTO keys (id, revision, digest, hint, name, name_folded, tags, created_at, updated_at, \
            revoked, revoked_reason, single_setting, setting_ids, rotation, allowed_paths, ttl, log_request, \
            log_response, policy_id, is_key_not_hashed) \
            VALUES (?, 1, ?, '', '', '', '[]', 0, 0, 0, '', 0, '[]', 0, '[]', '', 0, 0, '', 0)";
        connection.execute(sql, rusqlite::params![[id; 16], [id; 32]]).unwrap();
    };
    let delete = |id: u8| assert_eq!(connection.execute("DELETE FROM keys WHERE id = ?", [[id; 16]]).unwrap(), 1);
    let numbers = || {
        let mut statement = connection.prepare("SELECT seq, hex(substr(id, 1, 1)) FROM keys ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
        rows.map(|row| row.unwrap()).map(|(seq, id)| format!("{seq}={id}")).collect::<Vec<_>>().join(" ")
    };
    insert(1);
    insert(2);
    connection.execute_batch(include_str!("../../../migrations/sqlite/V4__models_groups_accounts.sql")).unwrap();
    assert_eq!(numbers(), "1=01 2=02");
    connection
        .execute_batch(
            "INSERT INTO models VALUES (1, 1, 'm', 'm', 'p', 0, 0, 0, '', 0, 0);
             INSERT INTO key_grants (key_number, model_id, created_at) VALUES (2, 1, 0);
             INSERT INTO accounts SELECT id, 0, 0, 5 FROM keys WHERE seq = 2;",
        )
        .unwrap();
    delete(2);
    for table in ["key_grants", "accounts"] {
        let left: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
    insert(3);
    insert(4);
    assert_eq!(numbers(), "1=01 3=03 4=04");
}

#[tokio::test]
async fn changes_that_only_a_later_version_knows_are_passed_over() {
    let (store, folder) = open();
    store.insert_key(&samples::key(1, |_| {})).await.unwrap();
    let outside = Connection::open(folder.path().join("store.db")).unwrap();
    let later = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10001) \
                 INSERT INTO changes (kind, row_id, gone) SELECT 'of_a_later_version', CAST(n AS BLOB), NULL FROM n";
    // More than a page of them: what follows is told all the same.
    assert_eq!(outside.execute(later, []).unwrap(), 10_001);
    store.insert_key(&samples::key(2, |_| {})).await.unwrap();
    let loader = crate::store::loader::Loader::new(Arc::clone(&store) as _);
    loader.refresh().await.unwrap();
    assert_eq!(loader.current().keys(), 2);
    assert_eq!(store.changes_since(Point::default()).await.unwrap().changes.len(), 2);
}

#[tokio::test]
async fn an_event_of_a_former_version_came_by_no_route() {
    let (store, folder) = open();
    let outside = Connection::open(folder.path().join("store.db")).unwrap();
    // As versions write that know no routes.
    let former = "INSERT INTO events (id, created_at, key_id, cost, latency_ms, status, provider, model, custom_id, \
        user_id, tags, flags, setting_id, method, path, usage, request_id, upstream_request_id, metadata, \
        prompt_tokens, completion_tokens) \
        VALUES (?, 0, NULL, 0, 7, 200, 'p', 'm', NULL, NULL, NULL, NULL, NULL, 'POST', '/', NULL, 'r', NULL, '{}', 0, 0)";
    outside.execute(former, [[7u8; 16]]).unwrap();
    let rows = store.list_events(&EventFilter::default()).await.unwrap().rows;
    assert_eq!((rows.len(), &rows[0].route, rows[0].latency_ms), (1, &None, 7));
}
