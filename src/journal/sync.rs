//! The thread that makes the journal durable: one `fdatasync` for everything that was appended since the last,
//! every interval or as soon as somebody waits for it. While the disk fails it asks now and then whether that is over.

use super::append::Shared;
use super::segment::Tape;
use super::state::State;
use parking_lot::MutexGuard;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROBE_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(shared: &Shared) {
    let mut probed = Instant::now();
    loop {
        let (stop, failed) = wait(shared);
        sync_once(shared);
        if stop {
            return;
        }
        if failed && probed.elapsed() >= PROBE_EVERY {
            shared.probe();
            probed = Instant::now();
        }
    }
}

/// Until there is something to do and the interval is over, or somebody cannot wait.
fn wait(shared: &Shared) -> (bool, bool) {
    let mut state = shared.state.lock();
    while !state.stop && !state.failed && is_clean(&state) {
        state.sync_asleep = true;
        shared.wake.wait(&mut state);
    }
    state.sync_asleep = false;
    let begun = Instant::now();
    while !state.stop && !state.sync_urgent {
        // A disk that fails is asked at its own pace, however long the interval.
        let pause = shared.settings.sync_interval;
        let pause = if state.failed { pause.min(PROBE_EVERY) } else { pause };
        let left = pause.saturating_sub(begun.elapsed()).min(PROBE_EVERY);
        if left.is_zero() {
            break;
        }
        shared.wake.wait_for(&mut state, left);
    }
    (state.stop, state.failed)
}

fn is_clean(state: &MutexGuard<'_, State>) -> bool {
    state.synced == state.appended && !state.names_changed
}

fn sync_once(shared: &Shared) {
    let (target, tapes, names) = {
        let mut state = shared.state.lock();
        state.sync_urgent = false;
        if is_clean(&state) {
            return;
        }
        let mut tapes = std::mem::take(&mut state.unsynced);
        tapes.extend(state.active.as_ref().map(|a| a.tape.clone()));
        (state.appended, tapes, std::mem::take(&mut state.names_changed))
    };
    let result = sync_all(shared, &tapes, names);
    let mut state = shared.state.lock();
    let before = std::mem::replace(&mut state.synced, target);
    match result {
        Ok(()) => {
            shared.synced.send_modify(|s| s.upto = target);
        }
        // After a failed sync the kernel may have dropped the data, and a second sync of the same file would succeed:
        // those who wait are told, and that file is not written any more.
        Err(error) => {
            state.seal();
            state.names_changed |= names;
            state.fail(&error);
            shared.synced.send_modify(|s| {
                if s.failed_upto == 0 {
                    s.failed_after = before;
                }
                s.failed_upto = target;
            });
        }
    }
}

fn sync_all(shared: &Shared, tapes: &[Arc<dyn Tape>], names: bool) -> io::Result<()> {
    for tape in tapes {
        tape.sync()?;
    }
    if names {
        File::open(&shared.settings.directory)?.sync_all()?;
    }
    Ok(())
}
