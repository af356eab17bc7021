//! Lists of keys: the filters and orders of both APIs.

use super::Result;
use super::filter::{Conditions, page};
use super::keys::{COLUMNS, read};
use crate::domain::{Key, KeyId, Role};
use crate::store::{KeyFilter, KeySort, Order, Page};
use rusqlite::Transaction;

pub(super) fn list(tx: &Transaction<'_>, filter: &KeyFilter) -> Result<Page<Key>> {
    let conditions = conditions(filter);
    let (order, direction) = (expression(filter.sort), direction(filter.order));
    // An index has the creation with the id; nothing is sorted then.
    let tie = if filter.sort == KeySort::Created { "id" } else { "seq" };
    let sql = format!(
        "SELECT {COLUMNS} FROM keys{} ORDER BY {order} {direction}, {tie} {direction} LIMIT ? OFFSET ?",
        conditions.sql()
    );
    page(tx, &sql, "keys", &conditions, filter.paging, read)
}

const fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    }
}

/// By what a list is sorted, as SQL. A key without an account or spend counts as one that has nothing in it.
fn expression(sort: KeySort) -> String {
    let of_account = |what: &str| format!("ifnull((SELECT {what} FROM accounts AS a WHERE a.key_id = keys.id), 0)");
    match sort {
        KeySort::Created => "created_at".to_owned(),
        KeySort::Number => "seq".to_owned(),
        KeySort::Name => "name_folded".to_owned(),
        KeySort::Total => "ifnull((SELECT total FROM key_spend AS s WHERE s.key_id = keys.id), 0)".to_owned(),
        // As `Account::used`. The month is a number, not text of a caller.
        KeySort::Month(month) => of_account(&format!("iif(a.month >= {}, a.month_fee, 0)", month.0)),
        KeySort::Quota => "quota".to_owned(),
        KeySort::Balance => of_account("a.balance"),
        KeySort::Updated => "updated_at".to_owned(),
    }
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
