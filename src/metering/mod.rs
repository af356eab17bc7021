//! Tokens and prices: what a response consumed and what that costs.

pub mod count;
pub mod price;
pub mod table;
#[cfg(test)]
mod vectors;

pub use price::Price;
pub use table::{FixedRates, Pricing, PricingError};

/// Limits of a model from the price table, tokens. `None` = unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModelLimits {
    pub input: Option<u64>,
    pub output: Option<u64>,
}
