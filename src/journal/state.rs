//! What the journal knows of its files and of the requests that run. Plain bookkeeping under one lock; writes nothing.

use super::segment::Tape;
use crate::domain::EventId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

/// Closed events that may wait in memory while the disk takes nothing.
const UNWRITTEN_BYTES: usize = 64 << 20;
/// Positions up to which the disk has confirmed, and up to which it may have lost something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Synced {
    pub(super) upto: u64,
    /// Behind this position, up to the next one, syncs have failed.
    pub(super) failed_after: u64,
    pub(super) failed_upto: u64,
}

impl Synced {
    /// `None`: not decided yet.
    pub(super) const fn covers(&self, position: u64) -> Option<bool> {
        if position > self.failed_after && position <= self.failed_upto {
            return Some(false);
        }
        if position <= self.upto { Some(true) } else { None }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cursor {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Where the `open` of a running request is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: Cursor,
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) bytes: u64,
    /// Running requests whose `open` is here.
    pub(super) opens: u64,
}

pub(super) struct Active {
    pub(super) segment: u64,
    pub(super) tape: Arc<dyn Tape>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The newest file; the others are never written again.
    pub(super) active: Option<Active>,
    pub(super) next_segment: u64,
    /// Sum over `segments`.
    pub(super) bytes: u64,
    pub(super) opens: HashMap<EventId, Place>,
    /// The next record that the drainer has not handed over.
    pub(super) drained: Cursor,
    pub(super) pending: u64,
    pub(super) appended: u64,
    pub(super) synced: u64,
    /// Files that are followed by newer ones but not synced yet.
    pub(super) unsynced: Vec<Arc<dyn Tape>>,
    pub(super) names_changed: bool,
    pub(super) failed: bool,
    /// Another process takes over: nothing is opened here any more.
    pub(super) sealed_off: bool,
    pub(super) unwritten: VecDeque<(EventId, Vec<u8>)>,
    unwritten_bytes: usize,
    pub(super) unbooked: u64,
    pub(super) sync_asleep: bool,
    pub(super) sync_urgent: bool,
    pub(super) stop: bool,
}

impl State {
    /// No more writes to the newest file.
    pub(super) fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            self.unsynced.push(active.tape);
        }
    }

    pub(super) fn note_open(&mut self, id: EventId, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.at.segment) {
            segment.opens += 1;
        }
        if let Some(former) = self.opens.insert(id, place) {
            self.unpin(former);
        }
    }

    pub(super) fn note_close(&mut self, id: EventId) {
        self.pending += 1;
        if let Some(place) = self.opens.remove(&id) {
            self.unpin(place);
        }
    }

    pub(super) fn unpin(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.at.segment) {
            segment.opens = segment.opens.saturating_sub(1);
        }
    }

    pub(super) fn keep_unwritten(&mut self, id: EventId, record: Vec<u8>) {
        if self.unwritten_bytes + record.len() > UNWRITTEN_BYTES {
            self.unbooked += 1;
            return;
        }
        self.unwritten_bytes += record.len();
        self.unwritten.push_back((id, record));
    }

    /// Closes the journal for new requests, until a probe opens it again.
    pub(super) fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::error!(%error, "the journal cannot be written: new requests are refused");
        }
    }

    /// The next record that waits for the disk.
    pub(super) fn next_unwritten(&mut self) -> Option<(EventId, Vec<u8>)> {
        let (id, record) = self.unwritten.pop_front()?;
        self.unwritten_bytes -= record.len();
        Some((id, record))
    }

    /// It still waits.
    pub(super) fn back_to_unwritten(&mut self, id: EventId, record: Vec<u8>) {
        self.unwritten_bytes += record.len();
        self.unwritten.push_front((id, record));
    }
}
