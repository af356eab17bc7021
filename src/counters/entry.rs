//! The counts of one key that its rules need: rate window, budget window, holds. Knows time only as an argument.

use crate::domain::{Account, EventId, Money, UnixMillis, Window};
use crate::limits::{Ask, Counts, Held, Settlement};

/// A moment this much older than the window that is being counted is a request that was late to ask (it is counted
/// in the newer window); anything older means the clock was set back.
const LATE_MILLIS: i64 = 5_000;

/// One number that starts again with each window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally<T> {
    pub(super) window: Window,
    pub(super) start: UnixMillis,
    pub(super) value: T,
}

impl<T: Copy + Default> Tally<T> {
    fn new(window: Window, now: UnixMillis) -> Self {
        Self { window, start: window.bounds(now).0, value: T::default() }
    }

    /// Moves to the window that holds `now`. After a clock was set back the value stays: losing it would admit too much.
    fn roll(&mut self, window: Window, now: UnixMillis) {
        let (start, _) = window.bounds(now);
        if window != self.window || start > self.start {
            *self = Self { window, start, value: T::default() };
        } else if self.start.0 - now.0 > LATE_MILLIS {
            self.start = start;
        }
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        self.window.bounds(self.start).1 <= now
    }
}

/// What is counted of a key for ever, whatever rules it has now; kept beside its [`Entry`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting {
    pub(super) total_spent: Money,
    pub(super) account: Account,
}

/// What a key counts. Created when a key with rules asks, dropped when nothing in it is worth keeping.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) rate: Option<Tally<u64>>,
    pub(super) window: Option<Tally<Money>>,
    pub(super) holds: Holds,
}

impl Entry {
    /// The counts as of `ask.now`, after windows have moved on and holds have expired.
    pub(super) fn counts(&mut self, ask: &Ask, lasting: Lasting) -> Counts {
        let admitted = ask.rules.rate.map_or(0, |rule| {
            let tally = self.rate.get_or_insert_with(|| Tally::new(rule.window, ask.now));
            tally.roll(rule.window, ask.now);
            tally.value
        });
        let window_spent = ask.rules.window_budget.map_or(Money::ZERO, |rule| {
            let tally = self.window.get_or_insert_with(|| Tally::new(rule.window, ask.now));
            tally.roll(rule.window, ask.now);
            tally.value
        });
        self.holds.expire(ask.now);
        let Lasting { total_spent, account } = lasting;
        Counts { admitted, window_spent, total_spent, account, held: self.holds.sum(), in_flight: self.holds.count() }
    }

    /// Takes the slot and the hold of an ask that was admitted.
    pub(super) fn take(&mut self, ask: &Ask) {
        if let Some(rate) = self.rate.as_mut().filter(|_| ask.rules.rate.is_some()) {
            rate.value = rate.value.saturating_add(1);
        }
        if ask.rules.has_budget() {
            self.holds.add(Hold { event: ask.event, amount: ask.hold.max(Money::ZERO), expires: ask.hold_expires });
        }
    }

    /// The opposite of [`Entry::take`]; the rate slot comes back only within its own window.
    pub(super) fn give_back(&mut self, ask: &Ask) {
        if let (Some(rule), Some(rate)) = (ask.rules.rate, self.rate.as_mut())
            && rule.window == rate.window
            && rule.window.bounds(ask.now).0 == rate.start
        {
            rate.value = rate.value.saturating_sub(1);
        }
        self.holds.remove(ask.event);
    }

    /// Counts a cost in the window that its completion falls into. A window that is over belongs to the ledger alone.
    pub(super) fn spend(&mut self, settlement: &Settlement) {
        if let Some(tally) = &mut self.window {
            let start = tally.window.bounds(settlement.at).0;
            if start > tally.start {
                tally.roll(tally.window, settlement.at);
            }
            if start == tally.start {
                tally.value = tally.value.saturating_add(settlement.cost);
            }
        }
    }

    /// Takes over counts that were made elsewhere, as they were before `ask`.
    pub(super) fn learn(&mut self, ask: &Ask, counts: &Counts) {
        if let Some(rule) = ask.rules.rate {
            let start = rule.window.bounds(ask.now).0;
            self.rate = Some(Tally { window: rule.window, start, value: counts.admitted });
        }
        if let Some(rule) = ask.rules.window_budget {
            let start = rule.window.bounds(ask.now).0;
            self.window = Some(Tally { window: rule.window, start, value: counts.window_spent });
        }
    }

    /// The window that spend is counted in, if any is.
    pub(super) fn budget_window(&self) -> Option<Window> {
        self.window.map(|tally| tally.window)
    }

    pub(super) fn held(&self) -> impl Iterator<Item = Held> {
        let held = |hold: &Hold| Held { event: hold.event, amount: hold.amount, expires: hold.expires };
        self.holds.list.iter().map(held)
    }

    /// Whether dropping the entry would lose nothing.
    pub(super) fn is_idle(&mut self, now: UnixMillis) -> bool {
        self.holds.expire(now);
        self.holds.count() == 0
            && self.rate.is_none_or(|t| t.value == 0 || t.is_over(now))
            && self.window.is_none_or(|t| t.value.is_zero() || t.is_over(now))
    }
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    event: EventId,
    amount: Money,
    expires: UnixMillis,
}

/// Money set aside for requests in flight. A handful per key, so a list; it is scanned for expired
/// ones only when the earliest of them is due.
#[derive(Debug, Default)]
pub(super) struct Holds {
    list: Vec<Hold>,
    /// 128 bits: two unbounded holds must not saturate and then be subtracted once each.
    units: i128,
    earliest: Option<UnixMillis>,
}

impl Holds {
    pub(super) fn count(&self) -> u64 {
        self.list.len() as u64
    }

    pub(super) const fn units(&self) -> i128 {
        self.units
    }

    fn sum(&self) -> Money {
        clamp(self.units)
    }

    fn add(&mut self, hold: Hold) {
        self.units += i128::from(hold.amount.units());
        self.earliest = Some(self.earliest.map_or(hold.expires, |e| e.min(hold.expires)));
        self.list.push(hold);
    }

    /// What it was.
    pub(super) fn remove(&mut self, event: EventId) -> Option<Money> {
        let at = self.list.iter().position(|h| h.event == event);
        let amount = at.map(|at| self.list.swap_remove(at).amount);
        self.units -= i128::from(amount.unwrap_or_default().units());
        if self.list.is_empty() {
            self.earliest = None;
            if self.list.capacity() > 64 {
                self.list = Vec::new();
            }
        }
        amount
    }

    fn expire(&mut self, now: UnixMillis) {
        if self.earliest.is_none_or(|e| e > now) {
            return;
        }
        self.list.retain(|h| h.expires > now);
        self.units = self.list.iter().map(|h| i128::from(h.amount.units())).sum();
        self.earliest = self.list.iter().map(|h| h.expires).min();
    }
}

/// A sum of money as [`Money`], saturating.
pub(super) fn clamp(units: i128) -> Money {
    Money::from_units(i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX }))
}
