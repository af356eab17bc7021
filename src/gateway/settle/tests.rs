//! What the sink does with an event on its way to the journal and the counters.

use super::*;
use crate::counters::MemoryCounters;
use crate::domain::{Account, EventId, KeyId};
use crate::ledger::{Booking, Outcome};
use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::time::Duration;
use uuid::Uuid;

/// Keeps what it is told.
#[derive(Default)]
struct Book {
    opened: Mutex<Vec<Event>>,
    closed: Mutex<Vec<Event>>,
}

#[async_trait]
impl Journal for Book {
    fn open(&self, event: &Event) -> Result<(), JournalError> {
        self.opened.lock().push(event.clone());
        Ok(())
    }
    fn close(&self, event: &Event) -> Result<Position, JournalError> {
        self.closed.lock().push(event.clone());
        Ok(Position(1))
    }
    async fn synced(&self, _position: Position) -> Result<(), JournalError> {
        Ok(())
    }
    fn note(&self, _event: Event) {}
    fn depth(&self) -> u64 {
        0
    }
    fn writable(&self) -> bool {
        true
    }
}

struct At(UnixMillis);

impl Clock for At {
    fn now(&self) -> UnixMillis {
        self.0
    }
}

fn moment(text: &str) -> UnixMillis {
    UnixMillis::parse_rfc3339(text).unwrap()
}

fn event(quota: Option<QuotaRule>) -> Event {
    let id = Uuid::from_u128(1);
    serde_json::from_value(serde_json::json!({
        "id": id, "created_at": moment("2024-02-29T15:59:50Z").0, "key_id": Uuid::from_u128(7), "setting_id": null,
        "provider": "p", "model": "m", "status": 0, "method": "POST", "path": "/x", "latency_ms": 0, "cost": 4,
        "usage": Usage::default(), "quota": quota,
    }))
    .unwrap()
}

/// Booked by `end` at a moment in the month after its admission; what the journal got, and the key's account.
fn booked(quota: Option<QuotaRule>, end: impl FnOnce(Booking)) -> (Event, Event, Account) {
    let (book, counters) = (Arc::new(Book::default()), Arc::new(MemoryCounters::new()));
    let zone = BillingZone::parse("Asia/Shanghai").unwrap();
    let clock = Arc::new(At(moment("2024-02-29T16:00:10Z")));
    let sink = Sink { journal: book.clone(), counters: counters.clone(), clock, zone };
    end(Booking::open(event(quota), Arc::new(sink)).unwrap());
    let (opened, closed) = (book.opened.lock().clone(), book.closed.lock().clone());
    assert_eq!((opened.len(), closed.len(), closed[0].id), (1, 1, EventId::from_uuid(Uuid::from_u128(1))));
    let account = counters.account(KeyId::from_uuid(Uuid::from_u128(7))).now_or_never().unwrap().unwrap();
    (opened[0].clone(), closed[0].clone(), account)
}

fn close(booking: Booking) {
    let at = moment("2024-02-29T16:00:10Z");
    let outcome =
        Outcome { at, latency: Duration::from_secs(20), status: 200, cost: Money::from_units(9), ..Outcome::default() };
    booking.close(outcome).unwrap();
}

#[test]
fn a_cost_is_journalled_and_charged_in_the_billing_month_of_its_completion() {
    let (february, march) = (moment("2024-01-31T16:00:00Z"), moment("2024-02-29T16:00:00Z"));
    let quota = QuotaRule { quota: Money::from_units(6), month: february };
    let (opened, closed, account) = booked(Some(quota), close);
    assert_eq!(opened.quota, Some(quota), "until it ends, it is known by its admission");
    assert_eq!(closed.quota, Some(QuotaRule { month: march, ..quota }));
    let (month_fee, balance) = (Money::from_units(6), Money::from_units(-3));
    assert_eq!(account, Account { month: march, month_fee, balance });
    // So is one that nobody closes.
    let (_, closed, account) = booked(Some(quota), drop);
    assert_eq!((closed.quota.unwrap().month, account.month_fee), (march, Money::from_units(4)));
}

#[test]
fn a_key_without_a_quota_has_no_account() {
    let (opened, closed, account) = booked(None, close);
    assert_eq!((opened.quota, closed.quota, account), (None, None, Account::default()));
}
