//! Rules that many fields share, and the list of all fields that broke one.

use crate::domain::{KeyId, Money, Window};
use crate::store::Paging;
use std::borrow::Cow;
use std::fmt;

/// Most mistakes that one answer names, and longest name in characters: arrays and names come from outside.
const NAMED: usize = 50;
const NAME_LENGTH: usize = 120;

/// Latest second that still fits as milliseconds: later ones mean "for ever".
const LAST_SECOND: i64 = i64::MAX / 1000;

/// Wrong input: each field by its name and what is wrong with it. Contains no values.
#[derive(Debug, Default, thiserror::Error)]
pub(super) struct Invalid {
    named: Vec<(String, Cow<'static, str>)>,
    more: usize,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (field, why)) in self.named.iter().enumerate() {
            write!(f, "{}{field} {why}", if n == 0 { "" } else { "; " })?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

impl Invalid {
    /// One problem alone, for rules between fields.
    pub(super) fn one(field: &str, why: impl Into<Cow<'static, str>>) -> Self {
        let mut invalid = Self::default();
        invalid.add(field, why);
        invalid
    }
    pub(super) fn add(&mut self, field: &str, why: impl Into<Cow<'static, str>>) {
        if self.named.len() < NAMED {
            self.named.push((field.chars().take(NAME_LENGTH).collect(), why.into()));
        } else {
            self.more += 1;
        }
    }
    /// `Err` with everything that was found, if anything was.
    pub(super) fn none_or_all(self) -> Result<(), Self> {
        if self.named.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Text that may be empty. Not every store keeps U+0000.
    pub(super) fn text(&mut self, field: &str, text: &str) {
        if text.contains('\0') {
            self.add(field, "must not contain U+0000");
        }
    }
    pub(super) fn filled(&mut self, field: &str, text: &str) {
        if text.is_empty() {
            self.add(field, "must not be empty");
        }
        self.text(field, text);
    }
    /// An array without empty texts; names `field[0]`.
    pub(super) fn all_filled(&mut self, field: &str, texts: &[String]) {
        for (n, text) in texts.iter().enumerate().filter(|(_, t)| t.is_empty() || t.contains('\0')) {
            self.filled(&format!("{field}[{n}]"), text);
        }
    }
    /// An amount of USD. What is positive must not round to zero, because zero means "no limit".
    pub(super) fn usd(&mut self, field: &str, usd: f64) -> Money {
        let money = Money::from_usd_f64(usd);
        match money {
            _ if usd < 0.0 => self.add(field, "must not be negative"),
            Some(amount) if usd > 0.0 && amount.is_zero() => self.add(field, "must be 0 or at least 0.0000000001"),
            None => self.add(field, "is too large"),
            Some(_) => {}
        }
        money.unwrap_or_default()
    }
    pub(super) fn count(&mut self, field: &str, number: i64) -> u64 {
        u64::try_from(number).unwrap_or_else(|_| {
            self.add(field, "must not be negative");
            0
        })
    }
    /// A unit of time out of `allowed`; empty = none.
    pub(super) fn unit(&mut self, field: &str, unit: &str, allowed: &[Window]) -> Option<Window> {
        let window = Window::parse(unit).filter(|w| allowed.contains(w));
        if window.is_none() && !unit.is_empty() {
            let units: Vec<_> = allowed.iter().map(|w| w.unit()).collect();
            self.add(field, format!("must be one of {}", units.join(", ")));
        }
        window
    }
    /// The range `[start, end)` in seconds, both required.
    pub(super) fn range(&mut self, start: Option<i64>, end: Option<i64>) -> (i64, i64) {
        let (start, end) = (start.unwrap_or(0), end.unwrap_or(0));
        for (field, value) in [("start", start), ("end", end)] {
            if value <= 0 {
                self.add(field, "must be a time in seconds after 1970-01-01");
            }
        }
        if start > 0 && end > 0 && start >= end {
            self.add("start", "must be before end");
        }
        (representable(start), representable(end))
    }
    pub(super) fn paging(&mut self, limit: Option<i64>, offset: Option<i64>, count: Option<bool>) -> Paging {
        let limit = self.count("limit", limit.unwrap_or(0));
        let offset = self.count("offset", offset.unwrap_or(0));
        Paging { limit, offset, count: count.unwrap_or(false) }
    }
    /// `true` for ascending; empty and absent mean descending.
    pub(super) fn ascending(&mut self, field: &str, order: Option<&str>) -> bool {
        match order.unwrap_or_default() {
            "asc" => return true,
            "" | "desc" => {}
            _ => self.add(field, "must be asc or desc"),
        }
        false
    }
}

/// The nearest second that fits as milliseconds.
pub(super) fn representable(seconds: i64) -> i64 {
    seconds.clamp(-LAST_SECOND, LAST_SECOND)
}

/// Ids to filter by; `None` when ids were given and not one of them can exist, so that nothing matches.
pub(super) fn wanted_keys(given: &[String]) -> Option<Vec<KeyId>> {
    let ids: Vec<_> = given.iter().filter_map(|id| KeyId::parse(id)).collect();
    (given.is_empty() || !ids.is_empty()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut invalid = Invalid::default();
        invalid.filled("name", "");
        invalid.all_filled("tags", &["a".into(), String::new(), "b\0".into()]);
        let told = invalid.none_or_all().unwrap_err().to_string();
        assert_eq!(told, "name must not be empty; tags[1] must not be empty; tags[2] must not contain U+0000");
    }

    #[test]
    fn a_flood_of_mistakes_stays_short() {
        let mut invalid = Invalid::default();
        invalid.all_filled("tags", &vec![String::new(); 300_000]);
        let told = invalid.to_string();
        assert!(told.ends_with("and 299950 more") && told.len() < 4_000, "{told}");
    }

    #[test]
    fn a_positive_amount_never_becomes_no_limit() {
        for (usd, fine) in [(0.0, true), (-0.0, true), (1e-10, true), (1e-12, false), (-1.0, false), (1e300, false)] {
            let mut invalid = Invalid::default();
            let money = invalid.usd("costLimitInUsd", usd);
            assert_eq!(invalid.none_or_all().is_ok(), fine, "{usd}");
            assert_eq!(money == Money::from_units(1), usd == 1e-10);
        }
    }

    #[test]
    fn ids_that_cannot_exist_match_nothing() {
        assert_eq!(wanted_keys(&[]), Some(vec![]));
        assert_eq!(wanted_keys(&["x".into()]), None);
        let id = "0b0f3c0a-5a0b-4f5e-9d8e-0123456789ab";
        assert_eq!(wanted_keys(&["x".into(), id.into()]), Some(vec![KeyId::parse(id).unwrap()]));
    }
}
