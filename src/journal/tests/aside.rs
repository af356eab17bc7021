//! What the store would not take is tried again at the next start, and is in one place or the other whatever happens.

use super::{FakeStore, SOON, closed, drained, id, is_recovered, opened, quick, rejected, small};
use crate::domain::{Event, KeyId};
use crate::journal::payload;
use crate::journal::record::{Kind, encode_payload};
use crate::journal::segment::{MAGIC, path_of};
use crate::journal::{Drainer, FileJournal, JournalSettings};
use crate::ledger::Journal;
use serde_json::value::RawValue;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn key() -> KeyId {
    KeyId::from_uuid(uuid::Uuid::from_u128(7))
}

/// Of a key, with a body of several lines.
fn event(n: u64) -> Event {
    let body = RawValue::from_string("{\n  \"a\": \"b\\n\",\r\n  \"ü\": [1,\n2]\n}".to_owned()).unwrap();
    Event { key_id: Some(key()), request: Some(body.clone()), metadata: Some(body), ..closed(n) }
}

/// A process that closes these at a store that refuses those of `bad`; how many are set aside at its end.
async fn refused(directory: &Path, events: impl IntoIterator<Item = Event>, bad: &[u64]) -> u64 {
    let journal = Arc::new(FileJournal::open(small(directory)).unwrap());
    let store = FakeStore::new();
    store.poison.lock().extend(bad.iter().map(|n| id(*n)));
    let drainer = Drainer::start(journal.clone(), store, quick());
    for event in events {
        journal.close(&event).unwrap();
    }
    assert!(drainer.caught_up(SOON).await);
    assert!(drainer.stop(SOON).await);
    journal.stats().rejected
}

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join("events.rejected")
}

fn lines(directory: &Path) -> usize {
    fs::read_to_string(file(directory)).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn the_next_start_brings_it_to_the_store() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refused(directory.path(), (0..9).map(event), &[3, 5]).await, 2);
    assert_eq!(rejected(directory.path()).iter().map(|e| e.id).collect::<Vec<_>>(), [3, 5].map(id));

    let journal = FileJournal::open(small(directory.path())).unwrap();
    assert!(!file(directory.path()).exists());
    assert_eq!((journal.stats().rejected, journal.recovery().closed), (0, 2));
    assert_eq!(journal.recovery().keys, [key()], "its counts are made again");
    let store = drained(journal).await;
    assert_eq!(store.ids(), [3, 5].map(id));
    let compact = |event: &Event| serde_json::to_value(event).unwrap();
    assert_eq!(compact(&store.row(3)), compact(&event(3)), "whole");
}

#[tokio::test]
async fn refused_again_it_is_set_aside_again_and_once() {
    let directory = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let new = (start == 0).then(|| event(3));
        assert_eq!(refused(directory.path(), new, &[3]).await, 1);
        assert_eq!(lines(directory.path()), 1, "start {start}");
    }
    let journal = FileJournal::open(small(directory.path())).unwrap();
    assert_eq!(drained(journal).await.ids(), [id(3)]);
}

#[tokio::test]
async fn a_kill_in_between_books_once() {
    let directory = tempfile::tempdir().unwrap();
    refused(directory.path(), [event(3)], &[3]).await;
    let line = fs::read(file(directory.path())).unwrap();
    // Killed before the journal's new file had its name, and before the old one went.
    fs::write(path_of(directory.path(), 900).with_added_extension("new"), &MAGIC[..5]).unwrap();
    drop(FileJournal::open(small(directory.path())).unwrap());
    fs::write(file(directory.path()), &line).unwrap();
    assert_eq!(refused(directory.path(), [], &[3]).await, 1);
    assert_eq!(lines(directory.path()), 1, "the journal had it twice");
    drop(FileJournal::open(small(directory.path())).unwrap());
    fs::write(file(directory.path()), &line).unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    assert_eq!(journal.depth(), 2);
    assert_eq!(drained(journal).await.ids(), [id(3)]);
    assert!(!file(directory.path()).exists());
}

#[tokio::test]
async fn what_nobody_can_read_stays_aside_and_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    refused(directory.path(), [event(3)], &[3]).await;
    let mut text = fs::read_to_string(file(directory.path())).unwrap();
    text.push_str("{\"id\": \"torn");
    fs::write(file(directory.path()), &text).unwrap();
    for _ in 0..2 {
        let journal = FileJournal::open(small(directory.path())).unwrap();
        assert_eq!(journal.stats().rejected, 1);
        drained(journal).await;
        assert_eq!(fs::read_to_string(file(directory.path())).unwrap(), "{\"id\": \"torn\n");
    }
}

#[tokio::test]
async fn payloads_of_another_version_wait_for_one_that_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = MAGIC.to_vec();
    // Versions begin the payload.
    for kind in [Kind::Open, Kind::Close] {
        bytes.extend(encode_payload(kind, b"\xffa later version").unwrap());
    }
    fs::write(path_of(directory.path(), 1), bytes).unwrap();
    for start in 0..2 {
        assert_eq!(refused(directory.path(), [], &[]).await, 2, "start {start}");
        assert_eq!(lines(directory.path()), 2);
    }
    // As that version would have set aside what this one reads.
    let mut payloads = [Vec::new(), Vec::new()];
    payload::write(&opened(1), &mut payloads[0]);
    payload::write(&closed(2), &mut payloads[1]);
    let text = fs::read_to_string(file(directory.path())).unwrap();
    let later = base64(b"\xffa later version");
    let mut now = payloads.iter().map(|payload| base64(payload));
    let text: String = text.lines().map(|line| line.replace(&later, &now.next().unwrap()) + "\n").collect();
    fs::write(file(directory.path()), text).unwrap();
    let store = drained(FileJournal::open(small(directory.path())).unwrap()).await;
    assert_eq!(store.ids().len(), 2);
    assert!(is_recovered(&store.row(1)), "its request was never ended");
    assert!(!is_recovered(&store.row(2)));
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn more_than_the_journal_has_room_for_is_left_and_told() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refused(directory.path(), (0..9).map(event), &[3, 5]).await, 2);
    let line = fs::read_to_string(file(directory.path())).unwrap();
    let many = 1 + (1 << 17) / line.len();
    fs::write(file(directory.path()), line.repeat(many)).unwrap();
    let settings = JournalSettings { max_bytes: 1 << 20, ..small(directory.path()) };
    let journal = FileJournal::open(settings).unwrap();
    assert_eq!((journal.depth(), journal.stats().rejected), (0, 2 * many as u64));
    assert_eq!(lines(directory.path()), 2 * many);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_nobody_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refused(directory.path(), (0..9).map(event), &[3]).await, 1);
    // No file can be made of that name.
    let in_the_way = file(directory.path()).with_added_extension("new");
    fs::create_dir(&in_the_way).unwrap();
    let journal = FileJournal::open(small(directory.path())).unwrap();
    assert_eq!((journal.depth(), journal.stats().rejected, lines(directory.path())), (0, 1, 1));
    drop(journal);
    fs::remove_dir(in_the_way).unwrap();
    assert_eq!(drained(FileJournal::open(small(directory.path())).unwrap()).await.ids(), [id(3)]);
}
