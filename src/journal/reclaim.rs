//! Which files may go, and how an old one is freed of the few requests that still run.

use super::append::Shared;
use super::segment::{FIRST, path_of};
use super::state::{Cursor, Place, State};
use crate::domain::EventId;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file that is fully drained is closed at this part of its full size, so that it can go.
const RETIRE_PART: u64 = 8;

impl Shared {
    /// Deletes every file that nobody needs. Only the drainer calls this, off the request path.
    /// `stopping`: the newest file, too, however small.
    pub(super) fn reclaim(&self, stopping: bool) {
        self.retire_newest(stopping);
        self.delete_drained();
        if self.oldest_is_pinned_for_long() {
            if let Err(error) = self.carry_on() {
                tracing::warn!(%error, "an old journal file cannot be freed yet");
            }
            self.delete_drained();
        }
    }

    fn retire_newest(&self, stopping: bool) {
        let mut state = self.state.lock();
        let Some((segment, bytes)) =
            state.active.as_ref().and_then(|a| Some((a.segment, state.segments.get(&a.segment)?.bytes)))
        else {
            return;
        };
        let enough = if stopping { FIRST } else { self.settings.segment_bytes / RETIRE_PART };
        if state.drained == (Cursor { segment, offset: bytes }) && bytes >= enough {
            state.seal();
            state.drained = Cursor { segment: segment + 1, offset: FIRST };
        }
    }

    fn delete_drained(&self) {
        while let Some(segment) = self.deletable() {
            let path = path_of(&self.settings.directory, segment);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(segment, %error, "a drained journal file cannot be deleted");
                    return;
                }
            }
            let mut state = self.state.lock();
            if let Some(gone) = state.segments.remove(&segment) {
                state.bytes -= gone.bytes;
            }
        }
    }

    fn deletable(&self) -> Option<u64> {
        let state = self.state.lock();
        let (segment, info) = state.segments.first_key_value()?;
        (is_drained(&state, *segment) && info.opens == 0).then_some(*segment)
    }

    /// Moving costs a write per running request, so only once newer files take up room that the old one holds back.
    fn oldest_is_pinned_for_long(&self) -> bool {
        let state = self.state.lock();
        state.segments.first_key_value().is_some_and(|(segment, _)| is_drained(&state, *segment))
            && state.bytes >= 2 * self.settings.segment_bytes
    }

    /// Writes the `open` of every request that runs since the oldest file again at the end.
    fn carry_on(&self) -> io::Result<()> {
        let (segment, running): (u64, Vec<EventId>) = {
            let state = self.state.lock();
            let Some(segment) = state.segments.keys().next().copied() else {
                return Ok(());
            };
            (segment, state.opens.iter().filter(|(_, p)| p.at.segment == segment).map(|(id, _)| *id).collect())
        };
        let file = File::open(path_of(&self.settings.directory, segment))?;
        for id in running {
            let mut state = self.state.lock();
            // It may have ended in the meantime.
            let Some(place) = state.opens.get(&id).copied().filter(|p| p.at.segment == segment) else {
                continue;
            };
            let mut record = vec![0; usize::try_from(place.size).map_err(io::Error::other)?];
            file.read_exact_at(&mut record, place.at.offset)?;
            let at = self.append(&mut state, &record)?;
            state.note_open(id, Place { at, size: place.size });
        }
        Ok(())
    }
}

fn is_drained(state: &State, segment: u64) -> bool {
    segment < state.drained.segment && state.active.as_ref().is_none_or(|a| a.segment != segment)
}
