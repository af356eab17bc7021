//! Models of the unified API, groups of them, and who may use them.

use super::{Money, Secret, UnixMillis};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

row_id!(
    /// A model row, counted from 1; never given twice.
    ModelId
);
row_id!(
    /// A group, counted from 1; never given twice.
    GroupId
);
row_id!(
    /// The permission of one key or one group for one model, counted from 1; never given twice.
    GrantId
);

/// A public model name and what stands behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    pub id: ModelId,
    /// Grows with every write of this row; an update names the one it read.
    pub revision: i64,
    /// Unique, 1 to 64 characters, no `/` and no control characters.
    pub name: Box<str>,
    /// The kind of upstream, such as `bedrock-converse`: decides what `config` means.
    pub provider: Box<str>,
    /// Takes pictures.
    pub multiple: bool,
    /// Per token.
    pub price_in: Money,
    pub price_out: Money,
    /// A JSON object; may hold credentials.
    pub config: Secret,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

impl Model {
    /// It says what its tokens cost.
    pub fn is_priced(&self) -> bool {
        self.price_in != Money::ZERO || self.price_out != Money::ZERO
    }
}

/// A named set of models. A key belongs to one at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    pub id: GroupId,
    /// Grows with every write of this row or its grants; an update names the one it read.
    pub revision: i64,
    /// Unique, 1 to 64 characters.
    pub name: Box<str>,
    /// A free code of the operator (`key` in the management API).
    pub code: Option<Box<str>>,
    /// Granted to the group, in the order of the grants.
    pub models: Box<[ModelId]>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}
