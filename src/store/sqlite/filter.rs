//! Filters as SQL conditions. Every value is a bound parameter: what a caller sends is data, whatever it looks like.

use super::Result;
use super::row::{all, one};
use crate::store::columns::FromRow;
use crate::store::text::folded;
use crate::store::{Page, Paging};
use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};
use std::fmt::Write as _;

/// Conditions joined by AND, with their parameters in order.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    sql: String,
    parameters: Vec<Value>,
}

impl Conditions {
    /// `clause` holds exactly one `?`.
    pub(super) fn and(&mut self, clause: &str, parameter: impl Into<Value>) {
        self.literally(clause);
        self.parameters.push(parameter.into());
    }

    /// A clause without a parameter.
    pub(super) fn literally(&mut self, clause: &str) {
        let joint = if self.sql.is_empty() { " WHERE " } else { " AND " };
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "{joint}({clause})");
    }

    /// The JSON array in `column` holds all of `tags`. NULL holds none.
    pub(super) fn has_all(&mut self, column: &str, tags: &[String]) {
        if !tags.is_empty() {
            let clause = format!(
                "NOT EXISTS (SELECT 1 FROM json_each(?) AS want WHERE NOT EXISTS \
                 (SELECT 1 FROM json_each({column}) AS have WHERE have.value = want.value))"
            );
            self.and(&clause, json_array(tags));
        }
    }

    /// The text in `column`, NULL standing for empty, is one of `texts`.
    pub(super) fn one_of(&mut self, column: &str, texts: &[String]) {
        // Only the plain form can use a partial index.
        let column =
            if texts.iter().any(String::is_empty) { format!("ifnull({column}, '')") } else { column.to_owned() };
        self.and(&format!("{column} IN (SELECT CAST(value AS TEXT) FROM json_each(?))"), json_array(texts));
    }

    pub(super) fn id_in<'a>(&mut self, column: &str, ids: impl Iterator<Item = &'a [u8; 16]>) {
        let ids: Vec<String> = ids.map(hex::encode).collect();
        self.and(&format!("{column} IN (SELECT unhex(value) FROM json_each(?))"), json_array(&ids));
    }

    /// The folded text in `column` contains `part`, taken literally.
    pub(super) fn contains(&mut self, column: &str, part: &str) {
        self.and(&format!("instr({column}, ?) > 0"), folded(part));
    }

    /// As [`Self::contains`], in any of the columns.
    pub(super) fn any_contains(&mut self, columns: &[&str], part: &str) {
        let clauses: Vec<_> = columns.iter().map(|column| format!("instr({column}, ?) > 0")).collect();
        // One NULL among them leaves the answer to the others.
        self.literally(&clauses.join(" OR "));
        self.parameters.extend(columns.iter().map(|_| Value::from(folded(part))));
    }

    /// `column` (milliseconds) lies in `[start, end)` (seconds).
    pub(super) fn within(&mut self, column: &str, start: i64, end: i64) {
        self.and(&format!("{column} >= ?"), start.saturating_mul(1000));
        self.and(&format!("{column} < ?"), end.saturating_mul(1000));
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.parameters.iter()
    }
}

/// The rows of a page, by `select`, which holds the conditions and ends its filter with `LIMIT ? OFFSET ?`; and how many
/// rows of `table` match in all, if that is asked for.
pub(super) fn page<T: FromRow>(
    tx: &Transaction<'_>,
    select: &str,
    table: &str,
    conditions: &Conditions,
    paging: Paging,
) -> Result<Page<T>> {
    let parameters = limit_and_offset(paging);
    let rows = all(tx, select, params_from_iter(conditions.parameters().chain(&parameters)))?;
    let count = if paging.count { count(tx, table, conditions)? } else { 0 };
    Ok(Page { rows, count })
}

fn count(tx: &Transaction<'_>, table: &str, conditions: &Conditions) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {table}{}", conditions.sql());
    Ok(one(tx, &sql, params_from_iter(conditions.parameters()))?.unwrap_or_default())
}

/// The two parameters of `LIMIT ? OFFSET ?`.
fn limit_and_offset(paging: Paging) -> [Value; 2] {
    let limit = if paging.limit == 0 { -1 } else { crate::store::text::stored(paging.limit) };
    [Value::from(limit), Value::from(crate::store::text::stored(paging.offset))]
}

fn json_array(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}
