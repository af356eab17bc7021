//! What a former process left, read before this one serves.
//!
//! Closed events stay where they are: the drainer begins with them. A request that was opened and never closed gets its
//! `close` appended here, aborted and recovered. From then on it is a closed event like any other, so a second kill in
//! the middle of recovery changes nothing.

use super::append::Shared;
use super::aside::set_aside_unreadable;
use super::payload;
use super::record::{Kind, encode};
use super::segment::{FIRST, MAGIC, Reader, list, path_of};
use super::state::{Cursor, Place, Segment, State};
use crate::domain::{Event, EventId, KeyId, UnixMillis};
use crate::ledger::{Loss, abandoned};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// What was found at start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Closed events that may not be in the store yet.
    pub closed: u64,
    /// Requests that were never ended, booked as aborted.
    pub aborted: u64,
    /// Bytes that were no record, torn ends included.
    pub damaged_bytes: u64,
    /// Whose events were found, the ones that are in the store already included. In no useful order.
    pub keys: Vec<KeyId>,
}

pub(super) struct Leftovers {
    recovery: Recovery,
    /// The last moment that any record knows: about when the former process ended.
    last_seen: UnixMillis,
    keys: HashSet<KeyId>,
}

/// Reads every file once. Memory: the requests that were running.
pub(super) fn read(directory: &Path) -> io::Result<(State, Leftovers)> {
    let mut state = State::default();
    let mut left = Leftovers { recovery: Recovery::default(), last_seen: UnixMillis(i64::MIN), keys: HashSet::new() };
    for segment in list(directory)? {
        state.next_segment = segment + 1;
        read_segment(directory, segment, &mut state, &mut left)?;
    }
    let first = state.segments.keys().next().copied().unwrap_or(state.next_segment);
    state.drained = Cursor { segment: first, offset: FIRST };
    left.recovery.closed = state.pending;
    left.recovery.keys = left.keys.iter().copied().collect();
    Ok((state, left))
}

fn read_segment(directory: &Path, segment: u64, state: &mut State, left: &mut Leftovers) -> io::Result<()> {
    let path = path_of(directory, segment);
    let bytes = path.metadata()?.len();
    if !has_magic(&path)? {
        if bytes > FIRST {
            tracing::error!(segment, "a journal file of an unknown format is set aside");
            return std::fs::rename(&path, path.with_extension("unknown"));
        }
        // The former process ended between making the file and writing to it.
        return std::fs::remove_file(&path);
    }
    state.segments.insert(segment, Segment { bytes: FIRST, opens: 0 });
    let mut reader = Reader::open(&path, FIRST, bytes)?;
    while let Some(found) = reader.next()? {
        let at = Cursor { segment, offset: found.offset };
        left.keys.extend(payload::read_key(reader.payload(&found)));
        match (found.kind, payload::read_head(reader.payload(&found))) {
            (Kind::Open, Ok(head)) => {
                left.last_seen = left.last_seen.max(head.created_at);
                state.note_open(head.id, Place { at, size: found.size });
            }
            (Kind::Close, Ok(head)) => {
                left.last_seen = left.last_seen.max(head.created_at);
                state.note_close(head.id);
            }
            // The drainer sets it aside when its turn comes.
            (Kind::Close, Err(_)) => state.pending += 1,
            (Kind::Open, Err(error)) => {
                tracing::error!(segment, offset = found.offset, %error, "an opened event cannot be read");
                set_aside_unreadable(directory, Kind::Open, reader.payload(&found))?;
            }
        }
    }
    let whole = reader.whole_until();
    if reader.damaged_bytes() > 0 {
        left.recovery.damaged_bytes += reader.damaged_bytes();
        tracing::warn!(segment, damaged_bytes = reader.damaged_bytes(), "a journal file has a torn end or damage");
    }
    if whole < bytes {
        OpenOptions::new().write(true).open(&path)?.set_len(whole)?;
    }
    if let Some(s) = state.segments.get_mut(&segment) {
        s.bytes = whole;
    }
    state.bytes += whole;
    Ok(())
}

fn has_magic(path: &Path) -> io::Result<bool> {
    let mut first = Vec::with_capacity(MAGIC.len());
    File::open(path)?.take(FIRST).read_to_end(&mut first)?;
    Ok(first == MAGIC)
}

/// Ends what the former process did not.
pub(super) fn book(shared: &Shared, left: &Leftovers) -> io::Result<Recovery> {
    let mut recovery = left.recovery.clone();
    let mut running: Vec<(EventId, Place)> = {
        let state = shared.state.lock();
        state.opens.iter().map(|(id, place)| (*id, *place)).collect()
    };
    running.sort_unstable_by_key(|(_, place)| (place.at.segment, place.at.offset));
    for (id, place) in running {
        let Some(event) = read_open(shared, place)? else {
            let mut state = shared.state.lock();
            state.opens.remove(&id);
            state.unpin(place);
            continue;
        };
        let event = abandoned(event, left.last_seen, Loss::Killed);
        let record = encode(Kind::Close, &event)?;
        let mut state = shared.state.lock();
        match shared.append(&mut state, &record) {
            Ok(_) => state.note_close(id),
            Err(error) => {
                state.fail(&error);
                state.keep_unwritten(id, record);
            }
        }
        recovery.aborted += 1;
    }
    if recovery != Recovery::default() {
        tracing::info!(
            closed = recovery.closed,
            aborted = recovery.aborted,
            damaged_bytes = recovery.damaged_bytes,
            "the journal holds events of a former process"
        );
    }
    Ok(recovery)
}

/// `None`: set aside, it is no event of this version.
fn read_open(shared: &Shared, place: Place) -> io::Result<Option<Event>> {
    let directory = &shared.settings.directory;
    let begin = place.at.offset;
    let mut reader = Reader::open(&path_of(directory, place.at.segment), begin, begin + place.size)?;
    let Some(found) = reader.next()? else {
        return Ok(None);
    };
    let payload = reader.payload(&found);
    match payload::read(payload) {
        Ok(event) => Ok(Some(event)),
        Err(error) => {
            tracing::error!(segment = place.at.segment, offset = begin, %error, "an opened event cannot be read");
            set_aside_unreadable(directory, Kind::Open, payload)?;
            Ok(None)
        }
    }
}
