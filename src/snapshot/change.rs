//! What the change feed says and a snapshot takes in.

use crate::domain::{CustomProvider, Key, KeyDigest, KeyId, Setting};

/// One changed row of configuration.
#[derive(Clone, Debug)]
pub enum Change {
    Key(Box<Key>),
    KeyGone { id: KeyId, digest: KeyDigest },
    Setting(Box<Setting>),
    CustomProvider(Box<CustomProvider>),
}

/// What changed after a point, in order. Ask again with `position`.
#[derive(Clone, Debug)]
pub struct Changes {
    pub position: i64,
    pub changes: Vec<Change>,
}
