//! A disk that is full, fails, or tears a write.

use super::{closed, drained, id, opened, quick, small};
use crate::journal::append::{Create, FileJournal};
use crate::journal::segment::Tape;
use crate::journal::{Drainer, Stats};
use crate::ledger::{Journal, JournalError, Position};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How the disk behaves just now.
#[derive(Default)]
struct Fault {
    /// Writes take this many bytes and then fail; `usize::MAX` = none do.
    tear_after: AtomicUsize,
    failing: AtomicBool,
    sync_fails: AtomicBool,
    syncs: AtomicUsize,
    truncate_fails: AtomicBool,
}

struct FaultyTape {
    file: File,
    fault: Arc<Fault>,
}

impl Tape for FaultyTape {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if !self.fault.failing.load(Ordering::SeqCst) {
            return Tape::write_at(&self.file, bytes, offset);
        }
        let takes = self.fault.tear_after.swap(0, Ordering::SeqCst).min(bytes.len());
        if takes == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Tape::write_at(&self.file, &bytes[..takes], offset)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        if self.fault.truncate_fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::Other.into());
        }
        Tape::set_len(&self.file, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.fault.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fault.sync_fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::Other.into());
        }
        Tape::sync(&self.file)
    }
}

fn faulty() -> (Arc<Fault>, Create) {
    let fault = Arc::new(Fault::default());
    let inner = fault.clone();
    let create = move |path: &Path| -> io::Result<Arc<dyn Tape>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Arc::new(FaultyTape { file, fault: inner.clone() }))
    };
    (fault, Box::new(create))
}

fn becomes(journal: &FileJournal, what: &str, condition: impl Fn(Stats) -> bool) {
    let deadline = Instant::now() + super::SOON;
    while !condition(journal.stats()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", journal.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn full_journal_refuses_new_requests_and_ends_running_ones() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    let mut running = 0;
    let refused = loop {
        match journal.open(&opened(running)) {
            Ok(()) => running += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Full));
    assert!(!journal.writable());
    assert!(running > 100, "{running}");
    for n in 0..running {
        journal.close(&closed(n)).unwrap();
    }
    let stats = journal.stats();
    assert!(stats.bytes <= 1 << 20, "ends fit into what was reserved: {stats:?}");
    assert!(!stats.writable || stats.bytes < 1 << 20);

    let store = drained(journal).await;
    assert_eq!(store.ids().len() as u64, running);
    assert!(FileJournal::open(small(directory.path())).unwrap().writable(), "drained, it takes requests again");
}

#[tokio::test]
async fn full_journal_leaves_bodies_out_before_bills() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    for n in 0..20 {
        journal.open(&opened(n)).unwrap();
        let mut event = closed(n);
        event.response = Some(serde_json::value::to_raw_value(&"x".repeat(100_000)).unwrap());
        journal.close(&event).unwrap();
        assert!(journal.stats().bytes <= 1 << 20);
    }
    let store = drained(journal).await;
    assert_eq!(store.ids().len(), 20);
    assert!(store.row(0).response.is_some() && store.row(19).response.is_none());
}

#[tokio::test]
async fn failed_write_leaves_no_trace_and_closes_the_journal_for_a_while() {
    for (tear, truncate_fails) in [(0, false), (1, false), (60, false), (60, true)] {
        let directory = tempfile::tempdir().unwrap();
        let (fault, create) = faulty();
        let journal = FileJournal::open_on(small(directory.path()), create).unwrap();
        for n in 0..4 {
            journal.open(&opened(n)).unwrap();
        }
        journal.close(&closed(0)).unwrap();

        fault.tear_after.store(tear, Ordering::SeqCst);
        fault.truncate_fails.store(truncate_fails, Ordering::SeqCst);
        fault.failing.store(true, Ordering::SeqCst);
        assert!(matches!(journal.open(&opened(10)), Err(JournalError::Io(_))));
        assert!(!journal.writable());
        assert!(matches!(journal.open(&opened(11)), Err(JournalError::Io(_))));
        // Running requests end: the event waits for the disk.
        assert!(matches!(journal.close(&closed(1)), Err(JournalError::Io(_))));
        assert_eq!((journal.stats().unwritten, journal.depth()), (1, 1));
        if !truncate_fails {
            let file = directory.path().join("0000000000.journal");
            assert_eq!(file.metadata().unwrap().len(), journal.stats().bytes, "nothing of it stays");
        }

        fault.truncate_fails.store(false, Ordering::SeqCst);
        fault.failing.store(false, Ordering::SeqCst);
        becomes(&journal, "writable again", |s| s.writable && s.unwritten == 0);
        journal.close(&closed(2)).unwrap();
        journal.open(&opened(12)).unwrap();
        journal.close(&closed(12)).unwrap();
        drop(journal);

        let journal = FileJournal::open(small(directory.path())).unwrap();
        assert_eq!((journal.recovery().closed, journal.recovery().aborted), (4, 1), "torn after {tear}");
        let store = drained(journal).await;
        let mut ids = store.ids();
        ids.sort();
        assert_eq!(ids, [0, 1, 2, 3, 12].map(id));
        assert_eq!(store.row(1).status, 200);
        assert_eq!(store.row(3).status, 499);
    }
}

#[tokio::test]
async fn drain_reads_past_a_torn_write_that_could_not_be_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let (fault, create) = faulty();
    let journal = Arc::new(FileJournal::open_on(small(directory.path()), create).unwrap());
    journal.close(&closed(1)).unwrap();
    fault.tear_after.store(50, Ordering::SeqCst);
    fault.truncate_fails.store(true, Ordering::SeqCst);
    fault.failing.store(true, Ordering::SeqCst);
    assert!(journal.close(&closed(2)).is_err());
    fault.failing.store(false, Ordering::SeqCst);
    fault.truncate_fails.store(false, Ordering::SeqCst);
    becomes(&journal, "written", |s| s.unwritten == 0);
    journal.close(&closed(3)).unwrap();
    let store = super::FakeStore::new();
    let drainer = Drainer::start(journal, store.clone(), quick());
    assert!(drainer.caught_up(super::SOON).await);
    assert_eq!(store.ids(), [1, 2, 3].map(id));
}

#[tokio::test]
async fn disk_that_fails_at_start_does_not_lose_the_leftovers() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    journal.open(&opened(1)).unwrap();
    drop(journal);
    let (fault, create) = faulty();
    fault.failing.store(true, Ordering::SeqCst);
    let journal = FileJournal::open_on(small(directory.path()), create).unwrap();
    assert!(!journal.writable());
    fault.failing.store(false, Ordering::SeqCst);
    becomes(&journal, "writable", |s| s.writable && s.pending == 1);
    let store = drained(journal).await;
    assert_eq!(store.ids(), [id(1)]);
}

#[tokio::test]
async fn synced_means_on_disk_or_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (fault, create) = faulty();
    let mut settings = small(directory.path());
    settings.sync_interval = Duration::from_secs(3_600);
    let journal = FileJournal::open_on(settings, create).unwrap();
    let first = journal.close(&closed(1)).unwrap();
    journal.synced(first).await.unwrap();
    assert_eq!(journal.stats().unsynced_bytes, 0);
    journal.synced(Position(0)).await.unwrap();

    fault.sync_fails.store(true, Ordering::SeqCst);
    let second = journal.close(&closed(2)).unwrap();
    assert!(second > first);
    assert!(matches!(journal.synced(second).await, Err(JournalError::Io(_))));
    // Writes alone would work: a probe is not fooled.
    let syncs = || fault.syncs.load(Ordering::SeqCst);
    let before = syncs();
    becomes(&journal, "probed", |s| {
        assert!(!s.writable);
        syncs() > before + 2
    });

    fault.sync_fails.store(false, Ordering::SeqCst);
    becomes(&journal, "writable", |s| s.writable);
    let third = journal.close(&closed(3)).unwrap();
    journal.synced(third).await.unwrap();
    journal.synced(first).await.unwrap();
    assert!(journal.synced(second).await.is_err(), "what was lost stays lost");
    assert_eq!(drained(journal).await.ids(), [1, 2, 3].map(id));
}

#[tokio::test]
async fn refused_opening_alone_makes_the_journal_look_after_its_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (fault, create) = faulty();
    let journal = FileJournal::open_on(small(directory.path()), create).unwrap();
    journal.open(&opened(1)).unwrap();
    becomes(&journal, "synced", |s| s.unsynced_bytes == 0);
    fault.failing.store(true, Ordering::SeqCst);
    assert!(journal.open(&opened(2)).is_err() && !journal.writable());
    fault.failing.store(false, Ordering::SeqCst);
    becomes(&journal, "writable", |s| s.writable);
    journal.open(&opened(2)).unwrap();
}

#[tokio::test]
async fn waiting_for_the_disk_does_not_wait_for_the_interval() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = small(directory.path());
    settings.sync_interval = Duration::from_secs(3_600);
    let journal = FileJournal::open(settings).unwrap();
    for n in 0..3 {
        let position = journal.close(&closed(n)).unwrap();
        journal.synced(position).await.unwrap();
        assert_eq!(journal.stats().unsynced_bytes, 0);
    }
}

#[tokio::test]
async fn journal_is_on_disk_within_the_interval() {
    let directory = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    for n in 0..100 {
        journal.close(&closed(n)).unwrap();
    }
    becomes(&journal, "synced", |s| s.unsynced_bytes == 0);
    journal.close(&closed(100)).unwrap();
    becomes(&journal, "synced again", |s| s.unsynced_bytes == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_disk_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let position = journal.close(&closed(n)).unwrap();
                journal.synced(position).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(journal.stats().unsynced_bytes, 0);
}
