//! A promise that an admitted request ends in exactly one event, kept by the type: [`Booking::close`] consumes it,
//! and a booking that is dropped unclosed (a panic, a cancelled task, a forgotten path) books itself as aborted.

use super::abandon::{Loss, abandoned, mark, mark_estimate};
use super::{JournalError, Position};
use crate::domain::{Event, EventFlag, EventId, Money, UnixMillis, Usage};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where bookings go: journal, counters and metrics behind one call each.
pub trait Settle: Send + Sync {
    /// Writes down what is to be booked if nobody ever closes it.
    ///
    /// # Errors
    /// The journal refuses: so must the gateway.
    fn open(&self, event: &Event) -> Result<(), JournalError>;
    /// Books the end: journal first, then the counters. Called once per booking, also from a `Drop`: must not panic.
    ///
    /// # Errors
    /// The journal could not take it now; the sink has seen to it that the event is not lost.
    fn settle(&self, event: Event) -> Result<Position, JournalError>;
    /// The moment, for a booking that was dropped: it has nobody left to tell it.
    fn now(&self) -> UnixMillis;
}

/// How a request ended, in numbers. Everything else was known at admission or [learned](Booking::learn) on the way.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Completion.
    pub at: UnixMillis,
    pub latency: Duration,
    /// Status that the client got; 499 when it left before.
    pub status: u16,
    pub cost: Money,
    pub usage: Usage,
    /// Added to what is flagged already. `estimated` follows from `usage.source`.
    pub flags: Vec<EventFlag>,
    /// The response body, where the key asks for it.
    pub response: Option<Box<RawValue>>,
}

/// An admitted request that has not ended.
#[must_use = "dropping a booking books the request as aborted"]
pub struct Booking {
    id: EventId,
    /// `None` once closed.
    event: Option<Box<Event>>,
    sink: Arc<dyn Settle>,
}

impl Booking {
    /// Opens the event in the journal and guards it from then on.
    ///
    /// # Errors
    /// Nothing was opened; the admission has to be released.
    pub fn open(event: Event, sink: Arc<dyn Settle>) -> Result<Self, JournalError> {
        sink.open(&event)?;
        Ok(Self { id: event.id, event: Some(Box::new(event)), sink })
    }

    /// Guards an event that was never opened, because it is closed in the same breath: a bill that is told while its
    /// connection goes on. It needs no place that could be refused.
    pub fn unopened(event: Event, sink: Arc<dyn Settle>) -> Self {
        Self { id: event.id, event: Some(Box::new(event)), sink }
    }

    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Adds what has become known: the model that answers, the upstream's request id, usage so far.
    /// It is in the event however the request ends, short of the death of the process.
    pub fn learn(&mut self, fact: impl FnOnce(&mut Event)) {
        if let Some(event) = &mut self.event {
            fact(event);
        }
    }

    /// The regular end. Book before the last byte leaves.
    ///
    /// # Errors
    /// As [`Settle::settle`]. The booking is over either way.
    pub fn close(mut self, outcome: Outcome) -> Result<Position, JournalError> {
        match self.event.take() {
            Some(event) => self.sink.settle(closed(*event, outcome)),
            // Only `close` and `drop` take the event, and both end the booking.
            None => Ok(Position::default()),
        }
    }
}

fn closed(mut event: Event, outcome: Outcome) -> Event {
    event.created_at = outcome.at;
    event.latency_ms = u64::try_from(outcome.latency.as_millis()).unwrap_or(u64::MAX);
    event.status = outcome.status;
    event.cost = outcome.cost;
    event.usage = outcome.usage;
    event.response = outcome.response;
    for flag in outcome.flags {
        mark(&mut event, flag);
    }
    mark_estimate(&mut event);
    event
}

impl Drop for Booking {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            let event = abandoned(*event, self.sink.now(), Loss::Dropped);
            // The sink reports its own failures: there is nobody left to tell.
            drop(self.sink.settle(event));
        }
    }
}

impl fmt::Debug for Booking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booking").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UsageSource;
    use parking_lot::Mutex;
    use uuid::Uuid;

    #[derive(Default)]
    struct Book {
        opened: Mutex<Vec<EventId>>,
        settled: Mutex<Vec<Event>>,
        full: bool,
    }

    impl Settle for Book {
        fn open(&self, event: &Event) -> Result<(), JournalError> {
            if self.full {
                return Err(JournalError::Full);
            }
            self.opened.lock().push(event.id);
            Ok(())
        }
        fn settle(&self, event: Event) -> Result<Position, JournalError> {
            self.settled.lock().push(event);
            Ok(Position(self.settled.lock().len() as u64))
        }
        fn now(&self) -> UnixMillis {
            UnixMillis(5_000)
        }
    }

    fn event() -> Event {
        Event {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            created_at: UnixMillis(2_000),
            key_id: None,
            setting_id: None,
            tags: vec![],
            provider: "p".into(),
            model: "m".into(),
            status: 0,
            method: "POST".into(),
            path: "/x".into(),
            latency_ms: 0,
            cost: Money::from_units(9),
            usage: Usage { in_text: 3, source: UsageSource::Estimated, ..Usage::default() },
            flags: vec![EventFlag::Unpriced],
            custom_id: "".into(),
            user_id: "".into(),
            request_id: "".into(),
            upstream_request_id: "".into(),
            metadata: None,
            request: None,
            response: None,
            objects: None,
            quota: None,
            route: None,
        }
    }

    fn only(book: &Book) -> Event {
        let settled = book.settled.lock();
        assert_eq!(settled.len(), 1, "exactly one event");
        settled[0].clone()
    }

    #[test]
    fn close_replaces_the_estimate_by_the_outcome() {
        let book = Arc::new(Book::default());
        let mut booking = Booking::open(event(), book.clone()).unwrap();
        booking.learn(|e| e.upstream_request_id = "up".into());
        let outcome = Outcome {
            at: UnixMillis(3_000),
            latency: Duration::from_millis(970),
            status: 200,
            cost: Money::from_units(20),
            usage: Usage { in_text: 4, source: UsageSource::Upstream, ..Usage::default() },
            flags: vec![EventFlag::Unpriced, EventFlag::Cached],
            response: None,
        };
        assert_eq!(booking.close(outcome).unwrap(), Position(1));
        let event = only(&book);
        assert_eq!((event.created_at, event.latency_ms, event.status), (UnixMillis(3_000), 970, 200));
        assert_eq!((event.cost, event.usage.in_text), (Money::from_units(20), 4));
        assert_eq!(event.flags, [EventFlag::Unpriced, EventFlag::Cached]);
        assert_eq!(&*event.upstream_request_id, "up");
    }

    #[test]
    fn dropped_booking_is_an_aborted_event() {
        let book = Arc::new(Book::default());
        drop(Booking::open(event(), book.clone()).unwrap());
        let event = only(&book);
        assert_eq!((event.status, event.cost, event.latency_ms), (499, Money::from_units(9), 3_000));
        assert_eq!(event.created_at, UnixMillis(5_000));
        assert_eq!(event.flags, [EventFlag::Unpriced, EventFlag::Aborted, EventFlag::Estimated]);
    }

    #[test]
    fn panic_and_cancellation_book_too() {
        let book = Arc::new(Book::default());
        let sink: Arc<Book> = book.clone();
        let thread = std::thread::spawn(move || {
            let _booking = Booking::open(event(), sink).unwrap();
            panic!("a bug");
        });
        assert!(thread.join().is_err());
        let sink: Arc<Book> = book.clone();
        let mut future = Box::pin(async move {
            let booking = Booking::open(event(), sink).unwrap();
            std::future::pending::<()>().await;
            drop(booking);
        });
        assert!(futures_util::FutureExt::now_or_never(&mut future).is_none());
        drop(future);
        assert_eq!(book.settled.lock().len(), 2);
        assert_eq!(book.opened.lock().len(), 2);
    }

    #[test]
    fn a_bill_that_was_told_is_booked_although_nothing_more_is_opened() {
        let book = Arc::new(Book { full: true, ..Book::default() });
        drop(Booking::unopened(event(), book.clone()));
        assert_eq!((book.opened.lock().len(), only(&book).cost), (0, Money::from_units(9)));
    }

    #[test]
    fn refused_opening_books_nothing() {
        let book = Arc::new(Book { full: true, ..Book::default() });
        assert!(matches!(Booking::open(event(), book.clone()), Err(JournalError::Full)));
        assert!(book.settled.lock().is_empty());
    }

    #[test]
    fn what_was_seen_of_a_status_and_usage_is_kept() {
        let mut seen = event();
        seen.status = 200;
        seen.usage.source = UsageSource::Partial;
        let event = abandoned(seen, UnixMillis(1), Loss::Killed);
        assert_eq!((event.status, event.created_at), (200, UnixMillis(2_000)));
        assert_eq!(event.flags, [EventFlag::Unpriced, EventFlag::Aborted, EventFlag::Recovered]);
    }
}
