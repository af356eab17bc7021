//! What the journal costs a request: its `open` and its `close`, by one thread and by two.

use divan::Bencher;
use std::sync::atomic::{AtomicU64, Ordering};
use tollgate::domain::{Event, EventId, Money, UnixMillis, Usage};
use tollgate::journal::{FileJournal, JournalSettings};
use tollgate::ledger::Journal;
use uuid::Uuid;

fn main() {
    divan::main();
}

fn event(n: u64) -> Event {
    Event {
        id: EventId::from_uuid(Uuid::from_u64_pair(n, n)),
        created_at: UnixMillis(1_706_745_615_000),
        key_id: None,
        setting_id: None,
        tags: vec!["team-a".into()],
        provider: "openai".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
        status: 200,
        method: "POST".into(),
        path: "/api/providers/openai/v1/chat/completions".into(),
        latency_ms: 812,
        cost: Money::from_units(9_300_000),
        usage: Usage { in_text: 120, out_text: 340, ..Usage::default() },
        flags: vec![],
        custom_id: "".into(),
        user_id: "user-17".into(),
        request_id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        upstream_request_id: "req_0123456789abcdef".into(),
        metadata: None,
        request: None,
        response: None,
        objects: None,
        quota: None,
        route: None,
    }
}

#[expect(clippy::expect_used, reason = "a bench without a disk has nothing to say")]
#[divan::bench(threads = [1, 2], sample_count = 50, sample_size = 500)]
fn open_and_close(bencher: Bencher) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal = FileJournal::open(JournalSettings::new(directory.path())).expect("a journal");
    let next = AtomicU64::new(1);
    bencher.bench(|| {
        let event = event(next.fetch_add(1, Ordering::Relaxed));
        journal.open(&event).expect("opened");
        journal.close(&event).expect("closed")
    });
}
