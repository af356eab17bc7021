//! Filters as SQL conditions. Every value is a bound parameter: what a caller sends is data, whatever it looks like.

use crate::store::Paging;
use crate::store::text::{folded, stored};
use std::fmt::Write as _;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// Conditions joined by AND, with their parameters in order. A clause says `?` where its parameter goes.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    parameters: Vec<Parameter>,
}

impl Conditions {
    /// `clause` holds exactly one `?`, which becomes the next `$n`.
    pub(super) fn and(&mut self, clause: &str, parameter: impl ToSql + Sync + Send + 'static) {
        let place = self.bind(parameter);
        self.literally(&clause.replacen('?', &place, 1));
    }

    /// A clause without a parameter, or with those that were bound for it.
    pub(super) fn literally(&mut self, clause: &str) {
        let joint = if self.sql.is_empty() { " WHERE " } else { " AND " };
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "{joint}({clause})");
    }

    /// The place (`$n`) of one more parameter, for whatever follows.
    pub(super) fn bind(&mut self, parameter: impl ToSql + Sync + Send + 'static) -> String {
        self.parameters.push(Box::new(parameter));
        format!("${}", self.parameters.len())
    }

    /// The array in `column` holds all of `tags`. NULL holds none.
    pub(super) fn has_all(&mut self, column: &str, tags: &[String]) {
        if !tags.is_empty() {
            self.and(&format!("{column} @> ?"), texts(tags));
        }
    }

    /// The text in `column`, NULL standing for empty, is one of `texts`.
    pub(super) fn one_of(&mut self, column: &str, wanted: &[String]) {
        // Only the plain form can use a partial index.
        let column =
            if wanted.iter().any(String::is_empty) { format!("coalesce({column}, '')") } else { column.to_owned() };
        self.and(&format!("{column} = ANY(?)"), texts(wanted));
    }

    pub(super) fn id_in(&mut self, column: &str, ids: impl Iterator<Item = Uuid>) {
        self.and(&format!("{column} = ANY(?)"), ids.collect::<Vec<_>>());
    }

    /// The folded text in `column` contains `part`, taken literally.
    pub(super) fn contains(&mut self, column: &str, part: &str) {
        self.any_contains(&[column], part);
    }

    /// As [`Self::contains`], in any of the columns.
    pub(super) fn any_contains(&mut self, columns: &[&str], part: &str) {
        let place = self.bind(super::row::storable(&folded(part)).into_owned());
        let clauses: Vec<_> = columns.iter().map(|column| format!("strpos({column}, {place}) > 0")).collect();
        // One NULL among them leaves the answer to the others.
        self.literally(&clauses.join(" OR "));
    }

    /// `column` (milliseconds) lies in `[start, end)` (seconds).
    pub(super) fn within(&mut self, column: &str, start: i64, end: i64) {
        self.and(&format!("{column} >= ?"), start.saturating_mul(1000));
        self.and(&format!("{column} < ?"), end.saturating_mul(1000));
    }

    /// ` LIMIT $n OFFSET $m`.
    pub(super) fn page(&mut self, paging: Paging) -> String {
        let limit = self.bind((paging.limit != 0).then(|| stored(paging.limit)));
        let offset = self.bind(stored(paging.offset));
        format!(" LIMIT {limit} OFFSET {offset}")
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect()
    }
}

fn texts(list: &[String]) -> Vec<String> {
    list.iter().map(|text| super::row::storable(text).into_owned()).collect()
}
