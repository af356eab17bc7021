//! Models by name and id, groups by id, and who is granted what.

use crate::domain::{Group, GroupId, Key, Model, ModelId};
use crate::providers::backend::{self, Backend, Misconfigured};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The name that stands in for every unknown one.
const FALLBACK: &str = "default";

/// A row and what stands behind it, ready to serve.
#[derive(Clone, Debug)]
pub struct ServedModel {
    pub row: Model,
    pub backend: Result<Backend, Misconfigured>,
    /// In place of a backend: the path of the route that serves it.
    pub route: Option<Box<str>>,
}

/// Every model and group there is.
#[derive(Clone, Debug, Default)]
pub struct Models {
    by_id: BTreeMap<ModelId, Arc<ServedModel>>,
    by_name: HashMap<Box<str>, ModelId>,
    groups: HashMap<GroupId, Arc<Group>>,
}

impl Models {
    /// The row of this very name.
    pub fn named(&self, name: &str) -> Option<&Arc<ServedModel>> {
        self.by_id.get(self.by_name.get(name)?)
    }
    /// The row that serves names that nobody has.
    pub fn fallback(&self) -> Option<&Arc<ServedModel>> {
        self.named(FALLBACK)
    }
    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ServedModel>> {
        self.by_id.values()
    }
    /// Whether the key's group or the key itself is granted the model: either is enough.
    pub fn are_granted(&self, key: &Key, model: ModelId) -> bool {
        key.models().contains(&model) || self.of_group(key).contains(&model)
    }
    /// What the key may use, the group's models first, each once.
    pub fn granted_to(&self, key: &Key) -> Vec<&Arc<ServedModel>> {
        let of_group = self.of_group(key);
        let own = key.models().iter().filter(|id| !of_group.contains(id));
        of_group.iter().chain(own).filter_map(|id| self.by_id.get(id)).collect()
    }

    fn of_group(&self, key: &Key) -> &[ModelId] {
        key.group().and_then(|id| self.groups.get(&id)).map_or(&[], |group| &group.models)
    }

    pub(super) fn put(&mut self, row: Model) {
        self.remove(row.id);
        self.by_name.insert(row.name.clone(), row.id);
        let (backend, route) = match backend::route_of(&row) {
            Ok(None) => (Backend::of(&row), None),
            Ok(route) => (Err(Misconfigured::Route), route),
            Err(error) => (Err(error), None),
        };
        self.by_id.insert(row.id, Arc::new(ServedModel { row, backend, route }));
    }
    pub(super) fn remove(&mut self, id: ModelId) {
        if let Some(model) = self.by_id.remove(&id)
            // A name that went on to another row stays with it.
            && self.by_name.get(&model.row.name) == Some(&id)
        {
            self.by_name.remove(&model.row.name);
        }
    }
    pub(super) fn put_group(&mut self, group: Arc<Group>) {
        self.groups.insert(group.id, group);
    }
    pub(super) fn remove_group(&mut self, id: GroupId) {
        self.groups.remove(&id);
    }
}
