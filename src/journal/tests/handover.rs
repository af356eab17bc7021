//! Two processes and one journal: who gets which directory, and what one reads of the other.

use super::{FakeStore, SOON, closed, id, is_recovered, opened, quick, small, until};
use crate::domain::{Event, EventId, Money, UnixMillis};
use crate::journal::segment::list;
use crate::journal::{Drainer, Estate, FileJournal, Former, OpenError, Standing};
use crate::ledger::{Journal, JournalError};
use crate::limits::Held;
use parking_lot::Mutex;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

fn beside(directory: &Path, upgrade: bool) -> Result<(FileJournal, Option<Former>), OpenError> {
    FileJournal::open_beside(&small(directory), upgrade)
}

/// The one that serves and the one that takes over.
fn pair(directory: &Path) -> (FileJournal, FileJournal, Former) {
    let (old, former) = beside(directory, false).unwrap();
    assert!(former.is_none());
    let (new, former) = beside(directory, true).unwrap();
    (old, new, former.expect("the old one is seen"))
}

fn sorted(mut ids: Vec<EventId>) -> Vec<EventId> {
    ids.sort_unstable();
    ids
}

fn ids(events: &[Event]) -> Vec<EventId> {
    sorted(events.iter().map(|event| event.id).collect())
}

const HELD: Held = Held { event: EventId::from_uuid(uuid::Uuid::nil()), amount: Money::ZERO, expires: UnixMillis(9) };

#[test]
fn there_is_one_directory_for_each_of_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    let in_use = |upgrade| matches!(beside(directory.path(), upgrade), Err(OpenError::InUse(_)));
    let (old, new, mut former) = pair(directory.path());
    assert_eq!(former.standing().unwrap(), Standing::Serving);
    assert!(in_use(false), "it serves");
    assert!(matches!(beside(directory.path(), true), Err(OpenError::Upgrading(_))), "no third");

    assert!(!old.has_heir(), "not before it is ready");
    former.announce().unwrap();
    assert!(old.has_heir());
    let offer = old.offer().unwrap();
    assert_eq!(former.standing().unwrap(), Standing::Leaving);
    drop(offer);
    assert_eq!(former.standing().unwrap(), Standing::Serving, "taken back");
    let _left = old.leave(&[]).unwrap();
    assert_eq!(former.standing().unwrap(), Standing::Left);
    drop(old);
    assert_eq!(former.standing().unwrap(), Standing::Ended);

    // The second directory is as good as the first.
    assert!(in_use(false));
    drop(former);
    let (third, former) = beside(directory.path(), true).unwrap();
    assert_eq!(former.unwrap().standing().unwrap(), Standing::Serving);
    drop((new, third));
    assert!(beside(directory.path(), false).unwrap().1.is_none(), "nothing is left of them");
}

#[test]
fn beside_a_process_that_admits_nothing_more_another_may_serve() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _) = beside(directory.path(), false).unwrap();
    old.open(&opened(1)).unwrap();
    let _left = old.leave(&[]).unwrap();
    let (_new, former) = beside(directory.path(), false).unwrap();
    assert_eq!(former.unwrap().standing().unwrap(), Standing::Left);
}

#[test]
fn one_that_leaves_opens_nothing_and_closes_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _) = beside(directory.path(), false).unwrap();
    old.open(&opened(1)).unwrap();
    old.stop_opening();
    assert!(matches!(old.open(&opened(2)), Err(JournalError::Full)));
    assert!(!old.writable());
    old.close(&closed(1)).unwrap();
    assert_eq!(old.depth(), 1);
}

#[tokio::test]
async fn leftovers_in_the_other_directory_are_booked_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new, former) = pair(directory.path());
    new.open(&opened(1)).unwrap();
    new.open(&opened(2)).unwrap();
    new.close(&closed(1)).unwrap();
    drop((old, new, former));
    let (_next, former) = beside(directory.path(), false).unwrap();
    let former = former.expect("the second directory has something");
    assert_eq!(former.standing().unwrap(), Standing::Ended);
    let store = FakeStore::new();
    let recovery = former.book(store.clone(), SOON).await.unwrap().expect("in time");
    assert_eq!((recovery.closed, recovery.aborted), (1, 1));
    assert_eq!(sorted(store.ids()), [id(1), id(2)]);
    assert!(is_recovered(&store.row(2)));
}

#[tokio::test]
async fn each_end_in_the_old_process_is_told_once_and_each_event_is_in_the_store_once() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _new, mut former) = pair(directory.path());
    let store = FakeStore::new();
    let old = Arc::new(old);
    // Several files, some of them drained and gone by the time of the hand-over.
    for n in 0..200 {
        old.open(&opened(n)).unwrap();
    }
    let drainer = Drainer::start(old.clone(), store.clone(), quick());
    for n in 0..100 {
        old.close(&closed(n)).unwrap();
    }
    assert!(drainer.stop(SOON).await);
    // Nobody drains these.
    for n in 100..120 {
        old.close(&closed(n)).unwrap();
    }
    old.stop_opening();
    let left = old.leave(&[Held { event: id(150), ..HELD }]).unwrap();

    let Estate { running, holds, uncounted } = former.estate(&*store).await.unwrap();
    assert_eq!(sorted(store.ids()), (0..120).map(id).collect::<Vec<_>>(), "all that ended before");
    assert_eq!(ids(&running), (120..200).map(id).collect::<Vec<_>>());
    assert_eq!(holds, Some(vec![Held { event: id(150), ..HELD }]));
    assert!(uncounted.is_empty());

    let told = Arc::new(Mutex::new(Vec::new()));
    let following = {
        let (told, store) = (told.clone(), store.clone());
        tokio::spawn(former.follow(store, move |event| told.lock().push((event.id, event.cost))))
    };
    for n in 120..180 {
        old.close(&closed(n)).unwrap();
    }
    until("what ends is told while the old process lives", || told.lock().len() == 60).await;
    until("and is in the store", || store.ids().len() == 180).await;
    drop((old, left));
    let recovery = following.await.unwrap();
    assert_eq!(recovery.aborted, 20);
    let told = std::mem::take(&mut *told.lock());
    assert_eq!(sorted(told.iter().map(|t| t.0).collect()), (120..200).map(id).collect::<Vec<_>>());
    for (event, cost) in told {
        let killed = event >= id(180);
        assert_eq!(cost, Money::from_units(if killed { 5 } else { 11 }));
    }
    assert_eq!(sorted(store.ids()), (0..200).map(id).collect::<Vec<_>>());
    assert!(list(directory.path()).unwrap().is_empty(), "no file is left of it");
}

#[tokio::test]
async fn a_record_that_is_half_written_is_read_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _new, mut former) = pair(directory.path());
    old.open(&opened(1)).unwrap();
    let file = directory.path().join("0000000000.journal");
    let record = {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = FileJournal::open(small(elsewhere.path())).unwrap();
        other.close(&closed(1)).unwrap();
        std::fs::read(elsewhere.path().join("0000000000.journal")).unwrap().split_off(8)
    };
    let store = FakeStore::new();
    let mut end = OpenOptions::new().append(true).open(file).unwrap();
    for piece in [&record[..5], &record[5..50]] {
        end.write_all(piece).unwrap();
        assert_eq!(former.estate(&*store).await.unwrap().running.len(), 1);
        assert_eq!(store.ids(), []);
    }
    end.write_all(&record[50..]).unwrap();
    assert_eq!(former.estate(&*store).await.unwrap().running.len(), 0);
    assert_eq!(store.ids(), [id(1)]);
}

#[tokio::test]
async fn what_the_store_refuses_is_not_counted_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _new, mut former) = pair(directory.path());
    for n in 1..=3 {
        old.open(&opened(n)).unwrap();
        old.close(&closed(n)).unwrap();
    }
    let store = FakeStore::new();
    store.poison.lock().insert(id(2));
    let estate = former.estate(&*store).await.unwrap();
    assert_eq!(ids(&estate.uncounted), [id(2)], "in no sum of the store");
    assert_eq!(sorted(store.ids()), [id(1), id(3)]);
    // A second attempt, after something else failed, finds the store well.
    store.poison.lock().clear();
    assert!(former.estate(&*store).await.unwrap().uncounted.is_empty());
    assert_eq!(sorted(store.ids()), [id(1), id(2), id(3)]);
}

#[tokio::test]
async fn a_list_of_holds_that_cannot_be_read_is_no_list() {
    let directory = tempfile::tempdir().unwrap();
    let (old, _new, mut former) = pair(directory.path());
    let left = old.leave(&[HELD]).unwrap();
    let store = FakeStore::new();
    assert_eq!(former.estate(&*store).await.unwrap().holds, Some(vec![HELD]));
    std::fs::write(directory.path().join("holds.json"), "[{").unwrap();
    assert_eq!(former.estate(&*store).await.unwrap().holds, None);
    drop((old, left));
    former.follow(store, |_| ()).await;
    assert!(!directory.path().join("holds.json").exists(), "nobody takes it for a newer one");
}
