//! Several gateways on one database: their numbers, what they hear of each other, what they wait for.

use super::super::*;
use super::{opened, sealer};
use crate::servers::{self, Database, Postgres};
use crate::store::loader::Loader;
use crate::store::suite::samples::{key, key_id, setting};
use crate::store::{ChangeFeed, KeyStore, Peers, Point, SettingStore};
use std::collections::BTreeSet;
use std::time::Instant;

async fn another(database: &Database) -> PostgresStore {
    PostgresStore::open(PostgresSettings::from_url(database.url()).unwrap(), sealer()).await.unwrap()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_gateways_get_a_number_each() {
    let (store, _database) = opened().await;
    let directories: Vec<_> = (0..10).map(|_| tempfile::tempdir().unwrap()).collect();
    let racing = directories.iter().map(|directory| store.join(directory.path()));
    let instances = futures_util::future::join_all(racing).await;
    let ids: BTreeSet<i32> = instances.iter().map(|instance| instance.as_ref().unwrap().id().0).collect();
    assert_eq!(ids, (1..=10).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_belongs_to_a_journal_until_that_is_empty() {
    let (store, _database) = opened().await;
    let [first, second, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let one = store.join(first.path()).await.unwrap();
    let two = store.join(second.path()).await.unwrap();
    assert_eq!((one.id().0, two.id().0), (1, 2));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(first.path().join("instance")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Killed, or stopped with something left.
    drop(one);
    two.leave(false).await.unwrap();
    assert_eq!(store.join(first.path()).await.unwrap().id().0, 1);
    assert_eq!(store.booking_for(second.path()).await.unwrap().instance.0, 2);
    let two = store.join(second.path()).await.unwrap();
    assert_eq!(two.id().0, 2);
    assert_eq!(store.join(third.path()).await.unwrap().id().0, 3);
    // Stopped with nothing left.
    two.leave(true).await.unwrap();
    assert!(!second.path().join("instance").exists());
    let fourth = tempfile::tempdir().unwrap();
    assert_eq!(store.join(fourth.path()).await.unwrap().id().0, 2);
    assert_eq!(store.join(second.path()).await.unwrap().id().0, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_store_does_not_know_is_not_believed() {
    let (store, _database) = opened().await;
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let one = store.join(first.path()).await.unwrap();
    for text in ["1 5b2c4f8e-0000-4000-8000-000000000000\n", "1", "", "one two", "99999999999 x"] {
        std::fs::write(second.path().join("instance"), text).unwrap();
        let two = store.join(second.path()).await.unwrap();
        assert_ne!(two.id(), one.id(), "{text}");
        two.leave(true).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_one_number_notice_each_other() {
    let (store, _database) = opened().await;
    let [first, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let one = store.join(first.path()).await.unwrap();
    assert_eq!(one.fault(), None);
    std::fs::copy(first.path().join("instance"), copy.path().join("instance")).unwrap();
    let two = store.join(copy.path()).await.unwrap();
    assert_eq!(one.id(), two.id());
    until("they do not notice each other", async || one.fault().is_some() && two.fault().is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_the_store_forgot_is_taken_back() {
    let (store, _database) = opened().await;
    let directory = tempfile::tempdir().unwrap();
    let instance = store.join(directory.path()).await.unwrap();
    let connection = store.connection().await.unwrap();
    connection.execute("DELETE FROM instances", &[]).await.unwrap();
    until("it is not there again", async || {
        let row = connection.query_one("SELECT count(*) FROM instances WHERE id = 1", &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
    assert_eq!(instance.fault(), None);
    let sql = "UPDATE instances SET token = gen_random_uuid()";
    connection.execute(sql, &[]).await.unwrap();
    until("a number that was given away is not noticed", async || instance.fault().is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_heard_at_once_and_waited_for() {
    let (here, database) = opened().await;
    let there = another(&database).await;
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let writer = here.join(directories[0].path()).await.unwrap();
    let reader = there.join(directories[1].path()).await.unwrap();
    let loader = Arc::new(Loader::new(Arc::new(there.clone())));
    loader.refresh().await.unwrap();
    reader.shows(loader.current().point()).await;
    // What was announced by its own start.
    let _ = tokio::time::timeout(Duration::from_millis(500), there.changed()).await.is_ok();
    let task = tokio::spawn({
        let (loader, reader) = (loader.clone(), reader.clone());
        async move {
            loop {
                reader.changed().await;
                loader.refresh().await.unwrap();
                reader.shows(loader.current().point()).await;
            }
        }
    });
    let mut waits = Vec::new();
    for n in 1..=20 {
        let begun = Instant::now();
        here.insert_key(&key(n, |_| {})).await.unwrap();
        let position = here.changes_since(Point::default()).await.unwrap().point.position;
        writer.await_shown(position).await;
        // Where the machine is so busy that the second was over, or that the reader had not been seen for three of them,
        // nothing was promised.
        let (waited, shown) = (begun.elapsed(), loader.current().position() >= position);
        if !shown && waited < Duration::from_millis(900) {
            let sql =
                "SELECT count(*) FROM instances WHERE seen_at > extract(epoch FROM clock_timestamp()) * 1000 - 2900";
            let row = here.connection().await.unwrap().query_one(sql, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), 1, "answered before everybody shows it");
        }
        waits.push(waited);
    }
    waits.sort();
    assert!(waits[10] < Duration::from_millis(500), "at once, not by the look that comes each second: {waits:?}");
    // One that does not follow costs a second and no more.
    task.abort();
    let _ = task.await.is_err();
    here.insert_key(&key(21, |_| {})).await.unwrap();
    let position = here.changes_since(Point::default()).await.unwrap().point.position;
    let begun = Instant::now();
    writer.await_shown(position).await;
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    // One that has left costs nothing.
    reader.leave(false).await.unwrap();
    let begun = Instant::now();
    writer.await_shown(position).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_gone_is_not_waited_for() {
    let (here, database) = opened().await;
    let there = another(&database).await;
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let writer = here.join(directories[0].path()).await.unwrap();
    let killed = there.join(directories[1].path()).await.unwrap();
    killed.shows(Point::at(1)).await;
    drop(killed);
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let begun = Instant::now();
    writer.await_shown(1_000_000).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_although_its_notification_was_lost() {
    let (here, database) = opened().await;
    let there = another(&database).await;
    // What was announced by its own start.
    tokio::time::timeout(Duration::from_secs(5), there.changed()).await.unwrap();
    for n in 1..=3 {
        Postgres::cut(&database);
        here.insert_setting(&setting(n, |_| {})).await.unwrap();
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_secs(2), there.changed()).await.expect("heard within two seconds");
        tracing::debug!(after = ?begun.elapsed(), "heard");
        // The connection stands again: one more wake may have come with it.
        let _ = tokio::time::timeout(Duration::from_millis(300), there.changed()).await.is_ok();
    }
}

/// The server fell back by three commits, and then others got their positions. Dump and restore keep every sequence
/// where it was, as a crash does that lost what was not flushed.
async fn fall_back(database: &Database, store: &PostgresStore, lost: impl AsyncFnOnce()) {
    let tables = ["keys", "changes", "numbers", "commits", "instances"];
    let connection = store.connection().await.unwrap();
    let copy = tables.map(|table| format!("CREATE TABLE kept_{table} AS SELECT * FROM {table};")).concat();
    connection.batch_execute(&copy).await.unwrap();
    lost().await;
    let restore = tables.map(|table| {
        format!("DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table};")
    });
    let sequences = ["changes", "commits"].map(|table| {
        let column = if table == "changes" { "position" } else { "number" };
        format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT max({column}) FROM {table}));")
    });
    let sql = format!("BEGIN; {} {} COMMIT", restore.concat(), sequences.concat());
    connection.batch_execute(&sql).await.unwrap();
    drop(connection);
    Postgres::cut(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_fell_back_is_read_again_and_changes_wait_for_that() {
    let (here, database) = opened().await;
    let there = another(&database).await;
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let writer = here.join(directories[0].path()).await.unwrap();
    let reader = there.join(directories[1].path()).await.unwrap();
    let loader = Loader::new(Arc::new(there.clone()));
    for n in 1..=5 {
        here.insert_key(&key(n, |_| {})).await.unwrap();
    }
    loader.refresh().await.unwrap();
    reader.shows(loader.current().point()).await;
    fall_back(&database, &here, async || {
        for n in 6..=8 {
            here.insert_key(&key(n, |_| {})).await.unwrap();
        }
        loader.refresh().await.unwrap();
        reader.shows(loader.current().point()).await;
    })
    .await;
    assert_eq!((loader.current().keys(), loader.current().position()), (8, 8));
    // As many as were lost: the new position is the one that was seen.
    for n in 9..=11 {
        here.insert_key(&key(n, |_| {})).await.unwrap();
    }
    let position = here.changes_since(Point::default()).await.unwrap().point.position;
    assert_eq!(position, 8);
    // Twice, so that at least one sign of life came in between.
    for _ in 0..2 {
        let begun = Instant::now();
        writer.await_shown(position).await;
        assert!(begun.elapsed() > Duration::from_millis(900), "what it shows is of no worth: {:?}", begun.elapsed());
    }
    loader.refresh().await.unwrap();
    let mut ids: Vec<_> = loader.current().iter_keys().map(|key| key.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 9, 10, 11].map(key_id));
    reader.shows(loader.current().point()).await;
    let begun = Instant::now();
    writer.await_shown(position).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_away_for_many_commits_reads_everything_again() {
    let (store, _database) = opened().await;
    store.insert_key(&key(1, |_| {})).await.unwrap();
    let seen = store.changes_since(Point::default()).await.unwrap().point;
    let connection = store.connection().await.unwrap();
    let sql = "INSERT INTO commits (number) OVERRIDING SYSTEM VALUE SELECT n FROM generate_series(10, 20000) AS n; \
               SELECT setval(pg_get_serial_sequence('commits', 'number'), 20000)";
    connection.batch_execute(sql).await.unwrap();
    assert!(store.changes_since(seen).await.is_ok(), "nothing was forgotten yet");
    store.insert_key(&key(2, |_| {})).await.unwrap();
    let kept: i64 = connection.query_one("SELECT count(*) FROM commits", &[]).await.unwrap().get(0);
    assert!((10_000..10_010).contains(&kept), "{kept}");
    assert!(matches!(store.changes_since(seen).await, Err(crate::store::StoreError::OtherHistory)));
}

/// A reader that is always at the newest position misses nothing that racing writers on two gateways commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_in_the_order_of_commits() {
    let (here, database) = opened().await;
    let there = another(&database).await;
    let writers = (0..8u64).map(|writer| {
        let store = if writer % 2 == 0 { here.clone() } else { there.clone() };
        tokio::spawn(async move {
            for n in 0..20 {
                store.insert_key(&key(1 + writer * 100 + n, |_| {})).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut position, mut seen) = (0, BTreeSet::new());
    while seen.len() < 160 {
        let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let page = here.changes_since(Point::at(position)).await.unwrap();
        let before = seen.len();
        for change in &page.changes {
            if let crate::store::Change::Key(key) = change {
                assert!(seen.insert(key.id), "told twice");
            }
        }
        assert!(!done || seen.len() > before, "{} of 160 were told", seen.len());
        position = page.point.position;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(seen.contains(&key_id(1)) && here.key(key_id(1)).await.unwrap().is_some());
    let _ = servers::database;
}
