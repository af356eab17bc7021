//! The immutable picture of keys, settings, custom providers, models, groups and routes that every request reads without
//! a lock or a query.
//!
//! A new picture shares everything that did not change with the one before, so one changed key costs microseconds
//! however many keys there are. It never knows where changes come from: `store::loader` feeds it.

mod change;
mod models;
mod routes;
mod shelf;
#[cfg(test)]
mod tests;

pub use change::{Change, Changes, Commit, Point};
pub use models::{Models, ServedModel};
pub use routes::Routes;

use crate::domain::{Key, KeyDigest, Setting, SettingId};
use crate::providers::Handle;
use crate::providers::custom::Custom;
use shelf::{Place, Shelf, Shelved};
use std::collections::HashMap;
use std::sync::Arc;

/// Keys and settings as they were at one position of the change feed. A clone is a few reference counts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    point: Point,
    keys: Shelf<Key>,
    settings: Shelf<Setting>,
    uses: Shelf<SettingUse>,
    /// By name, ready to serve. There are few of them: a change copies the map.
    custom: Arc<HashMap<Box<str>, Handle>>,
    /// Few, as the custom providers.
    models: Arc<Models>,
    routes: Arc<Routes>,
    /// Keys with models of the unified API.
    members: usize,
}

/// By how many keys a setting is used.
#[derive(Debug)]
struct SettingUse {
    setting: SettingId,
    keys: u32,
}

impl Snapshot {
    pub fn key(&self, digest: &KeyDigest) -> Option<&Arc<Key>> {
        self.keys.get(digest)
    }
    pub fn setting(&self, id: SettingId) -> Option<&Arc<Setting>> {
        self.settings.get(&id)
    }
    /// The custom provider with this name, in lower case.
    pub fn custom_provider(&self, name: &str) -> Option<&Handle> {
        self.custom.get(name)
    }
    /// How many keys belong to a group or are granted models of their own.
    pub const fn members(&self) -> usize {
        self.members
    }
    /// Models of the unified API and the groups that they are granted to.
    pub fn models(&self) -> &Models {
        &self.models
    }
    /// What is served under paths of operators' own.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }
    /// How many keys there are, revoked ones included.
    pub const fn keys(&self) -> usize {
        self.keys.len()
    }
    pub const fn settings(&self) -> usize {
        self.settings.len()
    }
    /// At most one key uses this setting: whatever its credential can reach is that key's own.
    pub fn is_exclusive(&self, setting: SettingId) -> bool {
        self.uses.get(&setting).is_none_or(|uses| uses.keys <= 1)
    }
    /// In no useful order.
    pub fn iter_keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter()
    }
    /// In no useful order.
    pub fn iter_settings(&self) -> impl Iterator<Item = &Arc<Setting>> {
        self.settings.iter()
    }
    /// Up to where the change feed has been taken in; 0 = nothing yet.
    pub const fn position(&self) -> i64 {
        self.point.position
    }
    /// The same, and of which history of the store.
    pub const fn point(&self) -> Point {
        self.point
    }
    /// The picture after `changes`; this one stays as it is.
    #[must_use]
    pub fn apply(&self, changes: Changes) -> Self {
        let mut next = self.clone();
        next.absorb(changes);
        next
    }
    /// Takes `changes` in place. Only what another clone still shares is copied, so a load from nothing is linear.
    pub fn absorb(&mut self, changes: Changes) {
        for change in changes.changes {
            match change {
                Change::Key(key) => {
                    let key: Arc<Key> = Arc::from(key);
                    let before = self.keys.get(&key.digest).cloned();
                    self.recount(before.as_deref(), Some(&key));
                    self.keys.put(key);
                }
                Change::Setting(setting) => self.settings.put(Arc::from(setting)),
                Change::CustomProvider(row) => {
                    let (name, made) = (row.name.clone(), Custom::new(&row));
                    Arc::make_mut(&mut self.custom).insert(name, Arc::new(made));
                }
                Change::Model(row) => Arc::make_mut(&mut self.models).put(*row),
                Change::ModelGone(id) => Arc::make_mut(&mut self.models).remove(id),
                Change::Group(group) => Arc::make_mut(&mut self.models).put_group(Arc::from(group)),
                Change::GroupGone(id) => Arc::make_mut(&mut self.models).remove_group(id),
                Change::Route(route) => Arc::make_mut(&mut self.routes).put(Arc::from(route)),
                Change::RouteGone(id) => Arc::make_mut(&mut self.routes).remove(id),
                Change::Standing(_) => {}
                // The same raw key may live on under another id, made after this one was deleted.
                Change::KeyGone { id, digest } => {
                    let before = self.keys.get(&digest).filter(|key| key.id == id).cloned();
                    self.recount(before.as_deref(), None);
                    self.keys.remove(&digest, |key| key.id == id);
                }
            }
        }
        let position = self.point.position.max(changes.point.position);
        self.point = Point { position, ..changes.point };
    }

    fn recount(&mut self, before: Option<&Key>, after: Option<&Key>) {
        let is_member = |key: &Key| key.group().is_some() || !key.models().is_empty();
        self.members -= usize::from(before.is_some_and(is_member));
        self.members += usize::from(after.is_some_and(is_member));
        let settings = |key: Option<&Key>| key.map(|key| key.setting_ids.clone()).unwrap_or_default();
        let (before, after) = (settings(before), settings(after));
        if before == after {
            return;
        }
        for (settings, uses) in [(&before, false), (&after, true)] {
            for setting in settings {
                let keys = self.uses.get(setting).map_or(0, |uses| uses.keys);
                let keys = if uses { keys.saturating_add(1) } else { keys.saturating_sub(1) };
                self.uses.put(Arc::new(SettingUse { setting: *setting, keys }));
            }
        }
    }
}

impl Shelved for Key {
    type Id = KeyDigest;
    fn id(&self) -> &KeyDigest {
        &self.digest
    }
    fn place(digest: &KeyDigest) -> Place {
        let [a, b, c, d, e, f, g, h, i, j, ..] = *digest.as_bytes();
        Place::new([a, b], [c, d, e, f, g, h, i, j])
    }
}

impl Shelved for SettingUse {
    type Id = SettingId;
    fn id(&self) -> &SettingId {
        &self.setting
    }
    fn place(id: &SettingId) -> Place {
        Setting::place(id)
    }
}

impl Shelved for Setting {
    type Id = SettingId;
    fn id(&self) -> &SettingId {
        &self.id
    }
    fn place(id: &SettingId) -> Place {
        let [a, b, c, d, e, f, g, h, i, j, ..] = *id.as_bytes();
        Place::new([a, b], [c, d, e, f, g, h, i, j])
    }
}
