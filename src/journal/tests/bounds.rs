//! Files and memory stay within their bounds, whatever runs long.

use super::{FakeStore, SOON, closed, id, is_recovered, opened, quick, reopened, small};
use crate::journal::{Drainer, FileJournal, JournalSettings};
use crate::ledger::Journal;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn on_disk(directory: &Path) -> u64 {
    fs::read_dir(directory).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn long_requests_do_not_keep_old_files() {
    // Many times what the journal may hold passes by, with a few requests running all the while.
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(FileJournal::open(small(directory.path())).unwrap());
    let store = FakeStore::new();
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    let long: Vec<u64> = (0..5).collect();
    for n in &long {
        journal.open(&opened(*n)).unwrap();
    }
    let mut most = 0;
    let mut passed = 0;
    for n in 1_000..31_000 {
        journal.open(&opened(n)).unwrap();
        passed += journal.close(&closed(n)).unwrap().0 - passed;
        if n % 100 == 0 {
            assert!(drainer.caught_up(SOON).await);
            most = most.max(on_disk(directory.path()));
        }
    }
    assert!(passed > 3 << 20, "{passed}");
    assert!(most < 400 << 10, "{most}");
    assert_eq!(journal.stats().running, 5);

    // Killed now, the long ones are still known.
    assert!(drainer.caught_up(SOON).await);
    drop(drainer);
    journal.close(&closed(0)).unwrap();
    drop(journal);
    let journal = Arc::new(reopened(directory.path()).await);
    assert_eq!(journal.recovery().aborted, 4);
    let drainer = Drainer::start(journal, store.clone(), quick());
    assert!(drainer.stop(SOON).await);
    assert_eq!(store.ids().len(), 30_005);
    assert!(!is_recovered(&store.row(0)) && (1..5).all(|n| is_recovered(&store.row(n))));
}

/// Says to this test's own process that it is the one that measures.
const ALONE: &str = "JOURNAL_TEST_ALONE";

#[test]
fn million_appends_leave_nothing_in_memory() {
    if std::env::var_os(ALONE).is_none() {
        // Memory is the process's, and other tests run in this one.
        let name = "journal::tests::bounds::million_appends_leave_nothing_in_memory";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let settings = JournalSettings { max_bytes: 4 << 30, ..JournalSettings::new(directory.path()) };
    let journal = FileJournal::open(settings).unwrap();
    let record = vec![b'x'; 24];
    let resident = || -> u64 {
        let text = fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    for n in 0..500_000 {
        // As `open` and `close` do, without the time that JSON takes in a debug build.
        let mut state = journal.shared.state.lock();
        let at = journal.shared.append(&mut state, &record).unwrap();
        state.note_open(id(n), crate::journal::state::Place { at, size: 24 });
        journal.shared.append(&mut state, &record).unwrap();
        state.note_close(id(n));
    }
    let stats = journal.stats();
    assert_eq!((stats.pending, stats.running, stats.unwritten), (500_000, 0, 0));
    assert!(stats.bytes > 1_000_000 * 24);
    // A list of ids would be 100 MB.
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown}");
    let state = journal.shared.state.lock();
    assert!(state.opens.capacity() < 100 && state.unwritten.capacity() < 100 && state.segments.len() < 10);
}

#[tokio::test]
async fn backlog_of_an_outage_is_read_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = small(directory.path());
    settings.max_bytes = 64 << 20;
    let journal = Arc::new(FileJournal::open(settings).unwrap());
    let store = FakeStore::new();
    store.set_down(true);
    let drainer = Drainer::start(journal.clone(), store.clone(), quick());
    for n in 0..5_000 {
        journal.close(&closed(n)).unwrap();
    }
    store.set_down(false);
    assert!(drainer.caught_up(SOON).await);
    assert_eq!(store.ids(), (0..5_000).map(id).collect::<Vec<_>>());
    assert!(store.largest.load(std::sync::atomic::Ordering::SeqCst) <= 500);
}
