//! What survives a process that ends without a word. Dropping a journal writes nothing, so it stands for a kill;
//! one test kills a real process.

use super::{FakeStore, SOON, closed, drained, id, is_recovered, opened, quick, reopened, small, until};
use crate::domain::{Event, EventFlag, KeyId, Money, UnixMillis};
use crate::journal::segment::{FIRST, MAGIC};
use crate::journal::{Drainer, FileJournal, JournalSettings, OpenError, Recovery};
use crate::ledger::{Booking, Journal, JournalError, Position, Settle};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "journal"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_admitted_request_ends_in_one_event() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    let of_key =
        |n: u64| Event { key_id: Some(KeyId::from_uuid(uuid::Uuid::from_u128(u128::from(n % 5)))), ..opened(n) };
    for n in 0..200 {
        journal.open(&of_key(n)).unwrap();
    }
    for n in (0..200).filter(|n| n % 3 != 0) {
        journal.close(&closed(n)).unwrap();
    }
    drop(journal);

    let journal = FileJournal::open(small(directory.path())).unwrap();
    let Recovery { closed, aborted, damaged_bytes, ref keys } = *journal.recovery();
    assert_eq!((closed, aborted, damaged_bytes), (133, 67, 0));
    assert_eq!(keys.len(), 5, "{keys:?}");
    let store = drained(journal).await;
    assert_eq!(store.ids().len(), 200);
    for n in 0..200 {
        let event = store.row(n);
        if n % 3 != 0 {
            assert_eq!((event.status, event.cost, is_recovered(&event)), (200, Money::from_units(11), false));
        } else {
            assert_eq!((event.status, event.cost, is_recovered(&event)), (499, Money::from_units(5), true));
            assert!(event.has(EventFlag::Estimated));
            // It ended about when the journal did, not when it was found.
            assert_eq!(event.created_at, UnixMillis(1_199));
        }
    }
    assert!(files(directory.path()).is_empty(), "nothing is left to drain");
}

#[tokio::test]
async fn kill_during_recovery_books_once() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    for n in 0..50 {
        journal.open(&opened(n)).unwrap();
    }
    drop(journal);
    for _ in 0..3 {
        let journal = FileJournal::open(small(directory.path())).unwrap();
        assert_eq!((journal.depth(), journal.stats().running), (50, 0));
    }
    // The store has got some of them before the next kill.
    let store = FakeStore::new();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let drainer = Drainer::start(journal.clone(), store.clone(), super::DrainSettings { batch: 7, ..quick() });
    until("a first batch", || !store.ids().is_empty()).await;
    drop(drainer);
    drop(journal);
    let journal = Arc::new(reopened(directory.path()).await);
    let drainer = Drainer::start(journal, store.clone(), quick());
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(store.ids().len(), 50);
}

#[tokio::test]
async fn torn_tail_keeps_what_was_whole() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(JournalSettings::new(directory.path())).unwrap();
    let mut ends = vec![];
    for n in 0..2 {
        journal.open(&opened(n)).unwrap();
        ends.push(fs::metadata(&files(directory.path())[0]).unwrap().len());
        journal.close(&closed(n)).unwrap();
        ends.push(fs::metadata(&files(directory.path())[0]).unwrap().len());
    }
    drop(journal);
    let whole = fs::read(&files(directory.path())[0]).unwrap();
    // Every byte around the seams; the reader's own test takes every byte there is.
    let near =
        |length: usize| ends.iter().chain(&[FIRST]).any(|end| length.abs_diff(usize::try_from(*end).unwrap()) <= 12);
    for length in (0..=whole.len()).filter(|length| length % 97 == 0 || near(*length)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("0000000000.journal"), &whole[..length]).unwrap();
        let journal = FileJournal::open(JournalSettings::new(directory.path())).unwrap();
        let records = ends.iter().filter(|end| **end <= length as u64).count() as u64;
        let recovery = journal.recovery();
        assert_eq!((recovery.closed, recovery.aborted), (records / 2, records % 2), "{length} bytes");
        // The torn part is gone, and appending goes on behind it.
        journal.open(&opened(9)).unwrap();
        journal.close(&closed(9)).unwrap();
        drop(journal);
        let journal = FileJournal::open(JournalSettings::new(directory.path())).unwrap();
        let Recovery { closed, aborted, damaged_bytes, .. } = *journal.recovery();
        assert_eq!((closed, aborted, damaged_bytes), (records.div_ceil(2) + 1, 0, 0), "{length} bytes");
    }
}

#[tokio::test]
async fn files_of_another_format_are_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("0000000004.journal"), b"something else entirely").unwrap();
    fs::write(directory.path().join("0000000005.journal"), MAGIC).unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    journal.open(&opened(1)).unwrap();
    assert!(directory.path().join("0000000004.unknown").exists());
    assert_eq!(files(directory.path()).last().unwrap().file_name().unwrap(), "0000000006.journal");
    assert!(journal.stats().bytes > FIRST);
}

#[test]
fn two_journals_never_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = FileJournal::open(small(directory.path())).unwrap();
    assert!(matches!(FileJournal::open(small(directory.path())), Err(OpenError::InUse(_))));
    drop(first);
    assert!(FileJournal::open(small(directory.path())).is_ok());
}

/// The journal as the gateway's sink uses it.
struct Sink(Arc<FileJournal>);

impl Settle for Sink {
    fn open(&self, event: &Event) -> Result<(), JournalError> {
        self.0.open(event)
    }
    fn settle(&self, event: Event) -> Result<Position, JournalError> {
        self.0.close(&event)
    }
    fn now(&self) -> UnixMillis {
        UnixMillis(9_000)
    }
}

#[tokio::test]
async fn dropped_booking_reaches_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    drop(Booking::open(opened(1), Arc::new(Sink(journal.clone()))).unwrap());
    assert!(drainer.caught_up(SOON).await);
    let event = store.row(1);
    assert_eq!((event.status, event.created_at), (499, UnixMillis(9_000)));
    assert!(event.has(EventFlag::Aborted) && !event.has(EventFlag::Recovered));
}

const CHILD: &str = "TOLLGATE_TEST_JOURNAL_CHILD";

/// Opens and closes for ever; says each number once the call has returned.
fn be_killed(directory: &Path) -> ! {
    let journal = FileJournal::open(small(directory)).unwrap();
    let mut out = std::io::stdout();
    for n in 0.. {
        journal.open(&opened(n)).unwrap();
        writeln!(out, "open {n}").unwrap();
        if n % 5 != 0 {
            journal.close(&closed(n)).unwrap();
            writeln!(out, "close {n}").unwrap();
        }
        out.flush().unwrap();
    }
    std::process::exit(1)
}

#[tokio::test]
async fn killed_process_loses_nothing_it_was_told() {
    if let Some(directory) = std::env::var_os(CHILD) {
        be_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::tests::crash::killed_process_loses_nothing_it_was_told", "--nocapture"])
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < 900 {
        told.push(lines.next().expect("the child goes on").unwrap());
    }
    child.kill().unwrap();
    told.extend(lines.map_while(Result::ok));
    child.wait().unwrap();

    let store = drained(FileJournal::open(small(directory.path())).unwrap()).await;
    let mut checked = 0;
    for line in told {
        let Some((what, n)) = line.split_once(' ').and_then(|(w, n)| Some((w, n.parse::<u64>().ok()?))) else {
            continue;
        };
        match what {
            "open" => assert!(store.rows.lock().contains_key(&id(n)), "{line}"),
            "close" => assert!(!is_recovered(&store.row(n)), "{line}"),
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 800, "{checked}");
    assert!(is_recovered(&store.row(0)) && is_recovered(&store.row(5)));
}
