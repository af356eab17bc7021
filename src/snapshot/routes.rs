//! Routes by path and id.

use crate::domain::{Route, RouteId};
use std::collections::HashMap;
use std::sync::Arc;

/// Every route there is.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    by_id: HashMap<RouteId, Arc<Route>>,
    by_path: HashMap<Box<str>, RouteId>,
}

impl Routes {
    /// The route of this very path, with its slash.
    pub fn at(&self, path: &str) -> Option<&Arc<Route>> {
        self.by_id.get(self.by_path.get(path)?)
    }
    pub fn get(&self, id: RouteId) -> Option<&Arc<Route>> {
        self.by_id.get(&id)
    }
    /// In no useful order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_id.values()
    }

    pub(super) fn put(&mut self, route: Arc<Route>) {
        self.remove(route.id);
        self.by_path.insert(route.path.clone(), route.id);
        self.by_id.insert(route.id, route);
    }
    pub(super) fn remove(&mut self, id: RouteId) {
        if let Some(route) = self.by_id.remove(&id)
            // A path that went on to another route stays with it.
            && self.by_path.get(&route.path) == Some(&id)
        {
            self.by_path.remove(&route.path);
        }
    }
}
