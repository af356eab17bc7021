//! To the store: in order, once, through outages, and around the one event it will not take.

use super::{DrainSettings, FakeStore, SOON, closed, drained, id, opened, quick, rejected, reopened, small, until};
use crate::journal::{Drainer, FileJournal};
use crate::ledger::Journal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::test]
async fn event_is_in_the_store_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), DrainSettings::default());
    // Idle first: a sleeping drainer must wake.
    assert!(drainer.caught_up(SOON).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    journal.open(&opened(1)).unwrap();
    journal.close(&closed(1)).unwrap();
    assert!(drainer.caught_up(SOON).await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(store.ids(), [id(1)]);
}

#[tokio::test]
async fn order_of_completion_is_kept_over_many_files() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), DrainSettings { batch: 13, ..quick() });
    for n in 0..500 {
        journal.open(&opened(n)).unwrap();
        journal.close(&closed(n)).unwrap();
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(drainer.stop(SOON).await);
    assert_eq!(store.ids(), (0..500).map(id).collect::<Vec<_>>());
    assert!(store.largest.load(Ordering::SeqCst) <= 13);
    assert_eq!(journal.stats().files, 0, "everything drained is deleted");
}

#[tokio::test]
async fn outage_loses_nothing_and_blames_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), DrainSettings { batch: 10, ..quick() });
    for n in 0..60 {
        // Down from the 20th on; at first it even panics.
        store.set_down(n >= 20);
        store.panics.store(n >= 20, Ordering::SeqCst);
        journal.open(&opened(n)).unwrap();
        journal.close(&closed(n)).unwrap();
        if n == 19 {
            assert!(drainer.caught_up(SOON).await);
        }
    }
    let calls = || store.calls.load(Ordering::SeqCst);
    let before = calls();
    until("a panic", || calls() > before).await;
    store.panics.store(false, Ordering::SeqCst);
    let before = calls();
    until("several retries", || calls() > before + 30).await;
    assert_eq!((journal.depth(), store.ids().len()), (40, 20));
    store.set_down(false);
    assert!(drainer.caught_up(SOON).await);
    let mut ids = store.ids();
    ids.sort();
    assert_eq!(ids, (0..60).map(id).collect::<Vec<_>>());
    assert!(rejected(directory.path()).is_empty(), "an outage is nobody's fault");
}

#[tokio::test]
async fn short_outage_keeps_the_order() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.set_down(true);
    for n in 0..60 {
        journal.close(&closed(n)).unwrap();
    }
    // The pause is long enough for the store to be back at the second try.
    let settings = DrainSettings { batch: 7, retry_first: Duration::from_millis(300), ..quick() };
    let drainer = Drainer::start(journal, store.clone(), DrainSettings { retry_most: SOON, ..settings });
    until("a failure", || store.calls.load(Ordering::SeqCst) > 0).await;
    store.set_down(false);
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(store.ids(), (0..60).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_comes_and_goes_refuses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.flaps.store(true, Ordering::SeqCst);
    store.poison.lock().insert(id(7));
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    for n in 0..60 {
        journal.close(&closed(n)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let set_aside: Vec<_> =
        rejected(directory.path()).iter().map(|e| e.id).filter(|set_aside| *set_aside != id(7)).collect();
    assert!(set_aside.is_empty(), "{set_aside:?} were well");
    store.flaps.store(false, Ordering::SeqCst);
    assert!(drainer.caught_up(SOON).await);
    let mut ids = store.ids();
    ids.sort();
    assert_eq!(ids, (0..60).filter(|n| *n != 7).map(id).collect::<Vec<_>>());
    assert_eq!(rejected(directory.path()).iter().map(|e| e.id).collect::<Vec<_>>(), [id(7)]);
}

#[tokio::test]
async fn event_the_store_refuses_is_set_aside_alone() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.poison.lock().extend([id(3), id(30), id(31)]);
    for n in 0..60 {
        journal.close(&closed(n)).unwrap();
    }
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(store.ids(), (0..60).filter(|n| ![3, 30, 31].contains(n)).map(id).collect::<Vec<_>>());
    assert_eq!(rejected(directory.path()).iter().map(|e| e.id).collect::<Vec<_>>(), [3, 30, 31].map(id));
    assert_eq!(journal.stats().rejected, 3);
    assert!(drainer.stop(SOON).await);
    assert_eq!(journal.stats().files, 0);
}

#[tokio::test]
async fn a_lone_event_is_set_aside_once_the_store_is_seen_to_be_well() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.set_down(true);
    store.poison.lock().insert(id(1));
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    journal.close(&closed(1)).unwrap();
    until("many tries", || store.calls.load(Ordering::SeqCst) > 40).await;
    assert!(rejected(directory.path()).is_empty() && journal.depth() > 0, "it may still be the store's fault");
    store.set_down(false);
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(rejected(directory.path()).iter().map(|e| e.id).collect::<Vec<_>>(), [id(1)]);
    assert!(store.ids().is_empty(), "nothing of a rehearsal stays");
}

#[tokio::test]
async fn refused_event_among_known_ones_does_not_block_what_follows() {
    // After a kill the store knows most of the batch already.
    let directory = tempfile::tempdir().unwrap();
    let store = FakeStore::new();
    store.poison.lock().insert(id(2));
    let journal = FileJournal::open(small(directory.path())).unwrap();
    for n in 0..5 {
        journal.close(&closed(n)).unwrap();
        if n != 2 {
            crate::store::EventStore::insert_events(&*store, &[closed(n)]).await.unwrap();
        }
    }
    let drainer = Drainer::start(Arc::new(journal), store.clone(), DrainSettings { batch: 5, ..quick() });
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(rejected(directory.path()).iter().map(|e| e.id).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(store.ids(), [0, 1, 3, 4].map(id));
}

#[tokio::test]
async fn refused_event_that_fills_a_batch_does_not_block_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.poison.lock().insert(id(1));
    for n in 0..5 {
        journal.close(&closed(n)).unwrap();
    }
    let drainer = Drainer::start(journal.clone(), store.clone(), DrainSettings { batch_bytes: 1, ..quick() });
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(rejected(directory.path()).len(), 1);
    assert_eq!(store.ids(), [0, 2, 3, 4].map(id));
}

#[tokio::test]
async fn second_drainer_leaves_the_first_alone() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let (store, other) = (FakeStore::new(), FakeStore::new());
    let first = Drainer::start(journal.clone(), store.clone(), quick());
    let second = Drainer::start(journal.clone(), other.clone(), quick());
    journal.close(&closed(1)).unwrap();
    assert!(first.caught_up(SOON).await);
    assert!(second.stop(SOON).await && other.ids().is_empty());
    assert_eq!(store.ids(), [id(1)]);
}

#[tokio::test]
async fn one_event_closed_twice_is_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    journal.close(&closed(1)).unwrap();
    journal.close(&closed(1)).unwrap();
    assert_eq!(journal.depth(), 2);
    assert_eq!(drained(journal).await.ids(), [id(1)]);
}

#[tokio::test]
async fn close_may_come_before_its_open_is_drained_and_long_after() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    journal.open(&opened(0)).unwrap();
    for n in 1..10 {
        journal.open(&opened(n)).unwrap();
        journal.close(&closed(n)).unwrap();
    }
    assert!(drainer.caught_up(SOON).await);
    assert_eq!((store.ids().len(), journal.stats().running), (9, 1));
    journal.close(&closed(0)).unwrap();
    assert!(drainer.stop(SOON).await);
    assert_eq!(store.row(0).status, 200);
}

#[tokio::test]
async fn stop_hands_over_what_there_is_or_leaves_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    store.set_down(true);
    // A linger that stop must cut short.
    let settings = DrainSettings { linger: Duration::from_secs(3_600), ..quick() };
    let drainer = Drainer::start(journal.clone(), store.clone(), settings);
    journal.close(&closed(1)).unwrap();
    journal.open(&opened(2)).unwrap();
    assert!(!drainer.stop(Duration::from_millis(100)).await);
    drop(journal);

    let journal = Arc::new(reopened(directory.path()).await);
    store.set_down(false);
    let drainer =
        Drainer::start(journal, store.clone(), DrainSettings { linger: Duration::from_secs(3_600), ..quick() });
    let begun = Instant::now();
    assert!(drainer.stop(SOON).await);
    assert!(begun.elapsed() < SOON);
    assert_eq!(store.ids().len(), 2);
}

#[tokio::test]
async fn refusals_ride_along_and_are_dropped_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = small(directory.path());
    settings.notes = 10;
    let journal = Arc::new(FileJournal::open(settings).unwrap());
    for n in 0..25 {
        journal.note(closed(1_000 + n));
    }
    assert_eq!((journal.stats().dropped_notes, journal.stats().bytes), (15, 0));
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    until("the notes", || store.ids().len() == 10).await;

    // They never stand in the way of a bill, and do not pile up while the store is away.
    store.set_down(true);
    journal.note(closed(2_000));
    until("given up", || journal.stats().dropped_notes == 16).await;
    journal.close(&closed(1)).unwrap();
    journal.note(closed(2_001));
    store.set_down(false);
    assert!(drainer.stop(SOON).await);
    assert_eq!(store.row(1).status, 200);
    assert!(store.rows.lock().contains_key(&id(2_001)));
}
