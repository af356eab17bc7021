//! Lists of keys: the filters and orders of both APIs.

use super::Result;
use super::filter::{Conditions, page};
use crate::domain::{Key, KeyId, Role};
use crate::store::names::direction;
use crate::store::rows::{KEY, key_order};
use crate::store::{KeyFilter, KeySort, Page};
use rusqlite::Transaction;

pub(super) fn list(tx: &Transaction<'_>, filter: &KeyFilter) -> Result<Page<Key>> {
    let conditions = conditions(filter);
    let (order, direction) = (key_order(filter.sort, "seq"), direction(filter.order));
    // An index has the creation with the id; nothing is sorted then.
    let tie = if filter.sort == KeySort::Created { "id" } else { "seq" };
    let sql = format!(
        "SELECT seq, {KEY} FROM keys{} ORDER BY {order} {direction}, {tie} {direction} LIMIT ? OFFSET ?",
        conditions.sql()
    );
    page(tx, &sql, "keys", &conditions, filter.paging)
}

fn conditions(filter: &KeyFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.has_all("tags", &filter.tags);
    if let Some(ids) = &filter.ids {
        conditions.id_in("id", ids.iter().map(KeyId::as_bytes));
    }
    if let Some(provider) = &filter.provider {
        let settings = "EXISTS (SELECT 1 FROM json_each(keys.setting_ids) AS used \
            JOIN provider_settings AS p ON p.id = unhex(used.value, '-') WHERE p.provider = ?)";
        conditions.and(settings, provider.clone());
    }
    by_name_and_state(&mut conditions, filter.name.as_deref(), filter.revoked);
    if let Some(text) = &filter.text {
        conditions.any_contains(&["name_folded", "email_folded"], text);
    }
    if let Some(name) = &filter.exact_name {
        conditions.and("name = ?", name.clone());
    }
    match filter.group {
        Some(Some(group)) => conditions.and("group_id = ?", group.0),
        Some(None) => conditions.literally("group_id IS NULL"),
        None => {}
    }
    if let Some(role) = filter.role {
        let stored = format!("ifnull(role, '{}') = ?", Role::default().name());
        conditions.and(&stored, role.name().to_owned());
    }
    conditions
}

pub(super) fn by_name_and_state(conditions: &mut Conditions, name: Option<&str>, revoked: Option<bool>) {
    if let Some(name) = name {
        conditions.contains("name_folded", name);
    }
    if let Some(revoked) = revoked {
        conditions.and("revoked = ?", revoked);
    }
}
