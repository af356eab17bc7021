//! What the change feed says and a snapshot takes in.

use crate::domain::{CustomProvider, Group, GroupId, Key, KeyDigest, KeyId, Model, ModelId, Route, RouteId, Setting};
use uuid::Uuid;

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
    /// The ledger says more of this key than events that were booked: an import did. No matter of the picture.
    Standing(KeyId),
}

/// One commit of configuration, told from every other one: a store that does not know it is not the one that made it,
/// or has lost it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit {
    pub number: i64,
    pub token: Uuid,
}

/// How far a change feed was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Point {
    /// Of the last change that was read; 0 = nothing yet.
    pub position: i64,
    /// The last one before the reading. `None`: of a store that loses none while it is open.
    pub commit: Option<Commit>,
}

impl Point {
    /// Of a store that tells no commits apart.
    pub const fn at(position: i64) -> Self {
        Self { position, commit: None }
    }
}

/// What changed after a point, in order. Ask again with `point`.
#[derive(Clone, Debug)]
pub struct Changes {
    pub point: Point,
    pub changes: Vec<Change>,
}
