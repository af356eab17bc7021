//! Objects that a provider keeps for callers: each belongs to the key that made it, and what it consumed is charged
//! once. The store knows both; what the last requests changed is remembered here until it is there.
//!
//! An id that nobody knows may be older than the gateway. It is looked for upstream only for a key whose settings no
//! other key uses: whatever such a credential can reach is that key's own.

use super::Gateway;
use super::refuse::GatewayError;
use crate::domain::{Key, KeyId, MadeObject, Setting, SettingId, StoredObject};
use crate::providers::Charge;
use crate::store::{ObjectStore, StoreError};
use crate::wire::json_edit;
use crate::wire::json_walk::{elements, member, string};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Changes that are remembered: more than a second's worth. Beyond it the oldest is looked up in the store.
const REMEMBERED: usize = 50_000;

type Name = (Box<str>, Box<str>);

/// Memory of what the store may not have yet.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    made: HashMap<Name, StoredObject>,
    made_order: VecDeque<Name>,
    charged: HashSet<Name>,
    charged_order: VecDeque<Name>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Objects")
    }
}

/// What a request's references say about where it must go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Resolved {
    /// The setting that the first known object was made with: another credential may not see it.
    pub(super) setting: Option<SettingId>,
    /// The first object's consumption is charged under this id.
    pub(super) charged_as: Option<Box<str>>,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, recent: Mutex::default() }
    }

    async fn find(&self, provider: &str, ids: &[Box<str>]) -> Result<HashMap<Box<str>, StoredObject>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let recent = self.recent.lock();
            for id in ids {
                match recent.made.get(&(provider.into(), id.clone())) {
                    Some(object) => drop(found.insert(id.clone(), object.clone())),
                    None => missing.push(id.clone()),
                }
            }
        }
        if !missing.is_empty() {
            found.extend(self.store.objects(provider, &missing).await?.into_iter().map(|o| (o.id.clone(), o)));
        }
        Ok(found)
    }

    /// Called before the last byte of the answer that tells the ids leaves.
    pub(super) fn remember(&self, provider: &str, made: &[MadeObject], owner: KeyId, setting: Option<SettingId>) {
        let mut recent = self.recent.lock();
        for object in made {
            let name: Name = (provider.into(), object.id.clone());
            let stored = StoredObject {
                id: object.id.clone(),
                kind: object.kind.clone(),
                owner,
                setting,
                charged_as: object.charged_as.clone(),
            };
            if recent.made.contains_key(&name) {
                continue;
            }
            recent.made.insert(name.clone(), stored);
            recent.made_order.push_back(name);
            if recent.made_order.len() > REMEMBERED
                && let Some(oldest) = recent.made_order.pop_front()
            {
                recent.made.remove(&oldest);
            }
        }
    }

    /// Whether this process charges `id` for the first time. The ledger has the last word should another one race.
    fn claim(&self, provider: &str, id: &str) -> bool {
        let name: Name = (provider.into(), id.into());
        let mut recent = self.recent.lock();
        if !recent.charged.insert(name.clone()) {
            return false;
        }
        recent.charged_order.push_back(name);
        if recent.charged_order.len() > REMEMBERED
            && let Some(oldest) = recent.charged_order.pop_front()
        {
            recent.charged.remove(&oldest);
        }
        true
    }

    /// Of what an answer tells, the work that is this key's and was not charged before.
    pub(super) async fn unpaid(
        &self,
        provider: &str,
        key: KeyId,
        exclusive: bool,
        charges: Vec<Charge>,
    ) -> Vec<Charge> {
        let ids: Vec<Box<str>> = charges.iter().map(|charge| charge.id.clone()).collect();
        let owners = self.find(provider, &ids).await.unwrap_or_default();
        // A store that does not answer takes no charge twice either: it decides when the event gets there.
        let paid: HashSet<Box<str>> =
            self.store.charged(provider, &ids).await.unwrap_or_default().into_iter().collect();
        let own = |id: &str| owners.get(id).map_or(exclusive, |object| object.owner == key);
        charges.into_iter().filter(|c| own(&c.id) && !paid.contains(&c.id) && self.claim(provider, &c.id)).collect()
    }
}

/// Every object that the request names must be the key's.
pub(super) async fn check(
    g: &Gateway,
    key: &Key,
    provider: &str,
    fitting: &[Arc<Setting>],
    ids: &[Box<str>],
) -> Result<Resolved, GatewayError> {
    let exclusive = are_exclusive(g, fitting);
    let found = g.objects.find(provider, ids).await.map_err(|error| {
        tracing::error!(%error, "the owner of an object cannot be looked up");
        GatewayError::ObjectsUnavailable
    })?;
    for id in ids {
        let own = found.get(id).map_or(exclusive, |object| object.owner == key.id);
        if !own {
            return Err(GatewayError::UnknownObject { id: id.clone() });
        }
    }
    let first = ids.first().and_then(|id| found.get(id));
    Ok(Resolved {
        setting: ids.iter().find_map(|id| found.get(id)?.setting),
        charged_as: first.and_then(|object| object.charged_as.clone()),
    })
}

/// No other key uses any of these settings. The credentials of a model row are everybody's.
pub(super) fn are_exclusive(g: &Gateway, settings: &[Arc<Setting>]) -> bool {
    let snapshot = g.ports.snapshot.load();
    settings.iter().all(|setting| !setting.id.as_uuid().is_nil() && snapshot.is_exclusive(setting.id))
}

fn id_of(element: &[u8]) -> Option<&str> {
    str::from_utf8(string(member(element, "id")?.value)?).ok()
}

/// The id of a list's first or last element as JSON.
fn edge(element: Option<&[u8]>) -> &[u8] {
    element.and_then(|element| member(element, "id")).map_or(b"null", |m| m.value)
}

/// A list with the key's own objects only. `None` when it cannot be read: then nothing of it may be shown.
pub(super) async fn own_only(g: &Gateway, key: KeyId, provider: &str, list: &[u8]) -> Option<Bytes> {
    let data = member(list, "data")?;
    let ids: Vec<Box<str>> = elements(data.value).filter_map(id_of).map(Into::into).collect();
    let found = g.objects.find(provider, &ids).await.ok()?;
    let own = |element: &&[u8]| id_of(element).and_then(|id| found.get(id)).is_some_and(|o| o.owner == key);
    let kept: Vec<&[u8]> = elements(data.value).filter(own).collect();
    let (first, last) = (edge(kept.first().copied()), edge(kept.last().copied()));
    let mut text = json_edit::set(list, "data", &[&b"["[..], &kept.join(&b","[..]), b"]"].concat())?;
    for (name, id) in [("first_id", first), ("last_id", last)] {
        if member(&text, name).is_some() {
            text = json_edit::set(&text, name, id)?;
        }
    }
    Some(text.into())
}
