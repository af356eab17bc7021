//! The rule "exactly one event per admitted request", and the port to the journal that carries it through a crash.
//!
//! The event that is opened at admission has `created_at` = the admission, `status` 0, and in `cost` and `usage` what is
//! to be billed should nothing more become known (the prompt estimate). [`Booking`] sees to it that it ends.

pub mod abandon;
pub mod booking;

pub use abandon::{Loss, abandoned};
pub use booking::{Booking, Outcome, Settle};

use crate::domain::Event;
use async_trait::async_trait;

/// Why nothing could be written. New requests are refused with 503, running ones finish.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal is full")]
    Full,
    #[error("the journal cannot be written: {0}")]
    Io(#[from] std::io::Error),
}

/// A position in the journal; everything up to it can be awaited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position(pub u64);

/// The local journal. Both appends are synchronous and in the operating system's hands when they return,
/// so they survive any death of the process.
#[async_trait]
pub trait Journal: Send + Sync {
    /// At admission: what is to be booked if nobody ever closes it. Refuses when full.
    fn open(&self, event: &Event) -> Result<(), JournalError>;
    /// Before the last byte of the response leaves. Has reserved room: `Full` never stops a running request.
    /// After an error the event is not lost: it is kept in memory (bounded) and written when the disk takes it again;
    /// if the process dies before that, the next one books what `open` said.
    fn close(&self, event: &Event) -> Result<Position, JournalError>;
    /// Returns once everything up to `position` is on disk.
    async fn synced(&self, position: Position) -> Result<(), JournalError>;
    /// A refusal of a known key, or another event nobody was promised: dropped when the queue is full.
    fn note(&self, event: Event);
    /// Closed events that the store does not have yet.
    fn depth(&self) -> u64;
    /// Whether new requests can be admitted.
    fn writable(&self) -> bool;
}
