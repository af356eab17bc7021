//! How values look in the answers of the management API.

use crate::domain::{Money, UnixMillis};
use serde::{Serialize, Serializer};

/// Text with ten fractional digits.
pub(in crate::admin) struct Usd(pub(in crate::admin) Money);

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `2024-09-10T08:15:30.123Z`
pub(in crate::admin) struct Timestamp(pub(in crate::admin) UnixMillis);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
