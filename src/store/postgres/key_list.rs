//! Lists of keys: the filters and orders of both APIs.

use super::Result;
use super::filter::Conditions;
use super::page::{List, page};
use super::row::storable;
use crate::domain::{Key, Role};
use crate::store::names::direction;
use crate::store::rows::{KEY, key_order};
use crate::store::{KeyFilter, KeySort, Order, Page};
use deadpool_postgres::Transaction;

pub(super) async fn list(tx: &Transaction<'_>, filter: &KeyFilter) -> Result<Page<Key>> {
    let (by, direction) = (key_order(filter.sort, "number"), direction(filter.order));
    // An index has the creation with the id; nothing is sorted then.
    let tie = if filter.sort == KeySort::Created { "id" } else { "number" };
    let order =
        format!("{by} {}, {tie} {direction}", if nullable(filter.sort) { nulls(filter.order) } else { direction });
    let list = List { columns: &format!("number, {KEY}"), tables: "keys", order: &order };
    page(tx, list, conditions(filter), filter.paging).await
}

/// No quota is less than any.
const fn nulls(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC NULLS FIRST",
        Order::Descending => "DESC NULLS LAST",
    }
}

/// Of the others an index may be read, which has its NULLs at the end.
fn nullable(sort: KeySort) -> bool {
    sort == KeySort::Quota
}

fn conditions(filter: &KeyFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.has_all("tags", &filter.tags);
    if let Some(ids) = &filter.ids {
        conditions.id_in("id", ids.iter().map(|id| *id.as_uuid()));
    }
    if let Some(provider) = &filter.provider {
        let settings = "setting_ids && ARRAY(SELECT p.id FROM provider_settings AS p WHERE p.provider = ?)";
        conditions.and(settings, storable(provider).into_owned());
    }
    by_name_and_state(&mut conditions, filter.name.as_deref(), filter.revoked);
    if let Some(text) = &filter.text {
        conditions.any_contains(&["name_folded", "email_folded"], text);
    }
    if let Some(name) = &filter.exact_name {
        conditions.and("name = ?", storable(name).into_owned());
    }
    match filter.group {
        Some(Some(group)) => conditions.and("group_id = ?", group.0),
        Some(None) => conditions.literally("group_id IS NULL"),
        None => {}
    }
    if let Some(role) = filter.role {
        let stored = format!("coalesce(role, '{}') = ?", Role::default().name());
        conditions.and(&stored, role.name());
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
