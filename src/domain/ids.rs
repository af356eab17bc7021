//! Identifiers. One type per thing, so that a key id can never be passed where a setting id is meant.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
            /// `None` when the text is not a UUID.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// A gateway key (`keyId` in the configuration API), UUID v4.
    KeyId
);
id!(
    /// A provider setting, UUID v4.
    SettingId
);
id!(
    /// A custom provider, UUID v4.
    CustomProviderId
);
id!(
    /// A route, UUID v4.
    RouteId
);
id!(
    /// One admitted request and its one event, UUID v7: made at admission, sorts by time.
    EventId
);

/// One gateway among those that share a store, as the store counts them: each ledger row and each shared count says
/// which of them told it. 0 = a gateway that shares with nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub i32);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl EventId {
    /// A number by chance: the tail of a UUID v7 is random. To choose one of many for this request, the same each time.
    pub fn chance(&self) -> usize {
        self.as_bytes().iter().skip(12).fold(0, |n, b| n * 256 + usize::from(*b))
    }
    /// Milliseconds since the epoch that the id itself carries (UUID v7).
    pub fn made_at_millis(&self) -> Option<i64> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        i64::try_from(seconds * 1000 + u64::from(nanos) / 1_000_000).ok()
    }
}
