//! Tokens and prices: what a response consumed and what that costs.

use crate::domain::{Money, Setting, UnixMillis, Usage};

pub mod count;
pub mod price;
pub mod table;

/// Limits of a model from the price table, tokens. `None` = unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModelLimits {
    pub input: Option<u64>,
    pub output: Option<u64>,
}
