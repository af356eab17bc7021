//! The keys that may call a route: that they exist, and that each has a credential for every step.

use super::upstreams::{Upstream, Upstreams};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::domain::{KeyId, Step};
use crate::store::{KeyFilter, StoreError};
use std::collections::{BTreeSet, HashSet};

/// Keys of one route; a bound, not a tuning knob.
const MOST: usize = 10_000;

/// Each once, in the order given.
pub(super) fn parsed(given: &[String], invalid: &mut Invalid) -> Vec<KeyId> {
    if given.is_empty() || given.len() > MOST {
        invalid.add("keyIds", format!("must be at least 1 and at most {MOST}"));
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for (n, text) in given.iter().take(MOST).enumerate() {
        match KeyId::parse(text) {
            Some(id) if seen.insert(id) => ids.push(id),
            Some(_) => {}
            None => invalid.add(&format!("keyIds[{n}]"), "is not the id of a key"),
        }
    }
    ids
}

/// `stayed`: keys that the route had before. They may be gone since, and their going must not stand in the way of
/// other changes. `needed`: of which providers each must have a setting.
pub(super) async fn check(
    state: &AdminState,
    ids: &[KeyId],
    stayed: &[KeyId],
    needed: &BTreeSet<&str>,
    invalid: &mut Invalid,
) -> Result<(), StoreError> {
    let there = found(state, ids, None).await?;
    let stayed: HashSet<_> = stayed.iter().collect();
    for id in ids.iter().filter(|id| !there.contains(*id) && !stayed.contains(*id)) {
        invalid.add("keyIds", format!("must be ids of keys, which {id} is not"));
    }
    for provider in needed {
        let equipped = found(state, ids, Some(provider)).await?;
        for id in ids.iter().filter(|id| there.contains(*id) && !equipped.contains(*id)) {
            invalid.add("keyIds", format!("must be keys with a setting of {provider}, which {id} does not have"));
        }
    }
    Ok(())
}

/// Providers of which every caller must have a setting: those of steps that name none and have none of their own.
pub(super) fn needed<'a>(steps: &'a [Step], upstreams: &Upstreams) -> BTreeSet<&'a str> {
    let of_caller = |step: &&Step| {
        let exists = matches!(upstreams.get(&step.provider, &step.model), Some(Upstream::Provider { .. }));
        exists && !step.params.contains_key(Step::SETTING)
    };
    steps.iter().filter(of_caller).map(|step| &*step.provider).collect()
}

async fn found(state: &AdminState, ids: &[KeyId], provider: Option<&str>) -> Result<HashSet<KeyId>, StoreError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let provider = provider.map(str::to_owned);
    let filter = KeyFilter { ids: Some(ids.to_vec()), provider, ..KeyFilter::default() };
    Ok(state.store.list_keys(&filter).await?.rows.into_iter().map(|key| key.id).collect())
}
