//! The event that the store will not take although it takes others: found by halving, set aside in a file, so that
//! the rest goes on. While the store takes nothing at all, nothing is set aside.

use super::drain::{InsertError, Outlet};
use crate::domain::Event;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Attempts without a single success before it counts as an outage.
const HOPELESS: u32 = 64;

/// One JSON line per event, for the operator.
const FILE: &str = "events.rejected";

/// Appends to the file of events that were set aside; on disk when it returns.
pub(super) fn set_aside(directory: &Path, event: &Event) -> io::Result<()> {
    append_line(directory, serde_json::to_vec(event)?)
}

/// The same for a payload that is no event of this version: its bytes, in base64.
pub(super) fn set_aside_unreadable(directory: &Path, payload: &[u8]) -> io::Result<()> {
    append_line(directory, serde_json::to_vec(&serde_json::json!({ "unreadable": STANDARD.encode(payload) }))?)
}

fn append_line(directory: &Path, mut line: Vec<u8>) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(FILE))?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

/// What became of a batch that was refused as a whole. Indices into it.
#[derive(Debug, Default)]
pub(super) struct Isolated {
    /// Refused twice, with another event newly taken in between: it is the event's fault.
    pub(super) condemned: Vec<(usize, InsertError)>,
    /// Refused, and nothing proves that the store was well.
    pub(super) undecided: Vec<usize>,
    /// Something was taken at all.
    pub(super) any_taken: bool,
}

/// Hands the batch over in ever smaller parts, in order. Should an outage end in the middle of this, events that it
/// refused come in after their followers; nothing depends on the order of rows.
pub(super) async fn isolate(outlet: &Outlet, events: &[Event]) -> Isolated {
    let whole: Range<usize> = 0..events.len();
    let mut parts = Vec::from([whole]);
    let mut refused = Vec::new();
    // How many of `refused` came before the last proof that the store was well.
    let mut proven = 0;
    let mut result = Isolated::default();
    let mut attempts = 0;
    while let Some(part) = parts.pop() {
        attempts += 1;
        match outlet.insert(events.get(part.clone()).unwrap_or_default()).await {
            Ok(new) => {
                result.any_taken = true;
                // Events that it had already prove nothing: no write was needed.
                if new > 0 {
                    proven = refused.len();
                }
            }
            Err(e) if e.is_outage() => return Isolated::default(),
            Err(_) if part.len() == 1 => refused.push(part.start),
            Err(_) => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
        if !result.any_taken && attempts >= HOPELESS {
            return Isolated::default();
        }
    }
    for (n, index) in refused.into_iter().enumerate() {
        if n >= proven {
            result.undecided.push(index);
        } else if let Err(error) = outlet.insert(events.get(index..=index).unwrap_or_default()).await {
            if error.is_outage() {
                return Isolated::default();
            }
            result.condemned.push((index, error));
        }
    }
    result
}
