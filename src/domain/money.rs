//! Money as an integer from price to ledger row. Floating point appears only where an API demands it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;

/// An amount in units of 1e-10 USD. Range about ±922 million USD; arithmetic saturates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

/// Units of [`Money`] in one USD.
const PER_USD: i64 = 10_000_000_000;

impl Money {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    /// From units of 1e-10 USD.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }
    /// Units of 1e-10 USD.
    pub const fn units(self) -> i64 {
        self.0
    }
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// Whole micro-dollars, rounded towards zero.
    pub const fn micro_usd(self) -> i64 {
        self.0 / 10_000
    }
    /// For JSON that must carry a float.
    #[expect(clippy::float_arithmetic, reason = "the configuration API speaks floats")]
    #[expect(clippy::cast_precision_loss, reason = "a double shows 15 digits, the API needs no more")]
    pub fn to_usd_f64(self) -> f64 {
        self.0 as f64 / PER_USD as f64
    }
    /// From an API float, rounded to the nearest unit. `None` when not finite or out of range.
    #[expect(clippy::float_arithmetic, reason = "the configuration API speaks floats")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "range checked before the cast")]
    pub fn from_usd_f64(usd: f64) -> Option<Self> {
        let units = (usd * PER_USD as f64).round();
        if units.is_finite() && units.abs() < 9.2e18 { Some(Self(units as i64)) } else { None }
    }
    /// From decimal text such as `12.5` or `-0.0000000001`. `None` when it is not a plain decimal,
    /// needs more than ten fractional digits, or is out of range.
    pub fn parse_usd(text: &str) -> Option<Self> {
        parse_decimal(text, 10).and_then(|v| i64::try_from(v).ok()).map(Self)
    }
}

impl fmt::Display for Money {
    /// Ten fractional digits, always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let per = PER_USD.unsigned_abs();
        write!(f, "{sign}{}.{:010}", units / per, units % per)
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} USD")
    }
}
impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::saturating_add)
    }
}

/// A price per single unit (token, image, second, character, request) in 1e-16 USD,
/// fine enough for prices per million tokens with ten fractional digits. Never negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Rate(i64);

/// How many [`Rate`] units make one [`Money`] unit.
pub const RATE_PER_MONEY: i128 = 1_000_000;

impl From<Money> for Rate {
    /// An amount as the price of one unit; negative becomes zero, above 922 USD saturates.
    fn from(amount: Money) -> Self {
        let units = i128::from(amount.0) * RATE_PER_MONEY;
        Self::from_units(i64::try_from(units).unwrap_or(if amount.0 < 0 { 0 } else { i64::MAX }))
    }
}

impl Rate {
    pub const ZERO: Self = Self(0);

    /// From units of 1e-16 USD; negative becomes zero.
    pub const fn from_units(units: i64) -> Self {
        Self(if units < 0 { 0 } else { units })
    }
    pub const fn units(self) -> i64 {
        self.0
    }
    /// From a decimal price in USD for one unit. `None` when malformed, negative, finer than
    /// sixteen fractional digits or above 922 USD.
    pub fn parse_usd(text: &str) -> Option<Self> {
        parse_decimal(text, 16).and_then(Self::from_i128)
    }
    /// From a decimal price in USD per million units, at most ten fractional digits.
    pub fn parse_usd_per_million(text: &str) -> Option<Self> {
        parse_decimal(text, 10).and_then(Self::from_i128)
    }
    fn from_i128(units: i128) -> Option<Self> {
        i64::try_from(units).ok().filter(|u| *u >= 0).map(Self)
    }
    /// The exact product, in units of 1e-16 USD: sum these, then round once with [`round_to_money`].
    pub fn times(self, count: u64) -> i128 {
        i128::from(self.0) * i128::from(count)
    }
}

/// Rounds a sum of exact products (1e-16 USD) to [`Money`], half away from zero, saturating.
pub fn round_to_money(sum: i128) -> Money {
    let half = RATE_PER_MONEY / 2;
    let rounded = if sum >= 0 { (sum + half) / RATE_PER_MONEY } else { (sum - half) / RATE_PER_MONEY };
    Money(i64::try_from(rounded).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
}

/// Plain decimal text to an integer of `10^-digits`. No exponent, no thousands separators.
fn parse_decimal(text: &str, digits: usize) -> Option<i128> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    if whole.is_empty() || whole.len() > 18 || fraction.len() > digits {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = whole.parse().ok()?;
    for i in 0..digits {
        let digit = fraction.as_bytes().get(i).map_or(0, |b| b - b'0');
        value = value * 10 + i128::from(digit);
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_shows_ten_digits() {
        assert_eq!(Money::from_units(1).to_string(), "0.0000000001");
        assert_eq!(Money::from_units(-15_000_000_000).to_string(), "-1.5000000000");
    }

    #[test]
    fn decimal_text_is_exact_or_refused() {
        assert_eq!(Money::parse_usd("0.00093"), Some(Money::from_units(9_300_000)));
        assert_eq!(Money::parse_usd("1.23456789012"), None);
        assert_eq!(Money::parse_usd("1e3"), None);
        assert_eq!(Money::parse_usd(""), None);
        assert_eq!(Rate::parse_usd_per_million("2.5"), Some(Rate::from_units(25_000_000_000)));
        assert_eq!(Rate::parse_usd("-1"), None);
    }

    #[test]
    fn rounding_happens_once_and_away_from_zero() {
        assert_eq!(round_to_money(499_999), Money::from_units(0));
        assert_eq!(round_to_money(500_000), Money::from_units(1));
        assert_eq!(round_to_money(-500_000), Money::from_units(-1));
        assert_eq!(round_to_money(i128::MAX / 2), Money::MAX);
    }

    #[test]
    fn floats_survive_the_edge() {
        assert_eq!(Money::from_usd_f64(0.25), Some(Money::from_units(2_500_000_000)));
        assert_eq!(Money::from_usd_f64(f64::NAN), None);
        assert_eq!(Money::from_usd_f64(1e300), None);
        assert!((Money::from_units(9_300_000).to_usd_f64() - 0.00093).abs() < 1e-15);
    }
}
