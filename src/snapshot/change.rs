//! What the change feed says and a snapshot takes in.

use crate::domain::{CustomProvider, Group, GroupId, Key, KeyDigest, KeyId, Model, ModelId, Route, RouteId, Setting};

/// One changed row of configuration.
#[derive(Clone, Debug)]
pub enum Change {
    Key(Box<Key>),
    /// The digest stands for this key no longer: the key was deleted, or has another one and is told after this.
    KeyGone {
        id: KeyId,
        digest: KeyDigest,
    },
    Setting(Box<Setting>),
    CustomProvider(Box<CustomProvider>),
    Model(Box<Model>),
    ModelGone(ModelId),
    Group(Box<Group>),
    GroupGone(GroupId),
    Route(Box<Route>),
    RouteGone(RouteId),
}

/// What changed after a point, in order. Ask again with `position`.
#[derive(Clone, Debug)]
pub struct Changes {
    pub position: i64,
    pub changes: Vec<Change>,
}
