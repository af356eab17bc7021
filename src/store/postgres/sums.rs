//! Sums over a range of time from what answers fastest: sums of days and hours, and the events at ragged ends.

use super::brief::briefs;
use super::cover::{Cover, FAR, Finest, HOUR};
use super::filter::Conditions;
use super::fold::{ALL_KEYS, FOLDED, Way, fold};
use super::{PostgresStore, Result};
use crate::domain::{KeyId, Money};
use crate::store::columns::read;
use deadpool_postgres::{GenericClient, Transaction};
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// As [`Money`] does, where the engine would fail. Nothing at all is 0.
pub(super) fn saturated(numeric: &str) -> String {
    format!("greatest(least(coalesce({numeric}, 0), 9223372036854775807), -9223372036854775808)::bigint")
}

/// What is asked, as conditions on `usage_by_time` and on `events`, with the parameters of both.
pub(super) struct Asked {
    bound: Conditions,
    sums: Option<String>,
    events: Option<String>,
    /// On columns that both have.
    both: String,
    /// On columns that only events have.
    only_events: String,
}

impl Asked {
    pub(super) fn new(cover: &Cover) -> Self {
        let mut bound = Conditions::default();
        let [spans, from, to] = cover.sums();
        let sums = (!spans.is_empty()).then(|| {
            let [spans, from, to] = [spans, from, to].map(|list| bound.bind(list));
            format!(
                "unnest({spans}::bigint[], {from}::bigint[], {to}::bigint[]) AS piece (of, since, till) \
                 JOIN usage_by_time ON span = of AND start >= since AND start < till"
            )
        });
        let [from, to] = cover.ragged();
        let events = match (&*from, &*to) {
            // Something must refer to what is bound.
            ([], _) | (_, []) if sums.is_none() => Some("(SELECT * FROM events WHERE false) AS events".to_owned()),
            ([], _) | (_, []) => None,
            // What the planner knows best.
            ([from], [to]) => {
                let (from, to) = (bound.bind(*from), bound.bind(*to));
                Some(format!(
                    "(SELECT * FROM events WHERE created_at >= {from}::bigint AND created_at < {to}::bigint) AS events"
                ))
            }
            _ => {
                let (from, to) = (bound.bind(from), bound.bind(to));
                Some(format!(
                    "unnest({from}::bigint[], {to}::bigint[]) AS piece (since, till) \
                     JOIN events ON created_at >= since AND created_at < till"
                ))
            }
        };
        Self { bound, sums, events, both: String::new(), only_events: String::new() }
    }

    pub(super) fn bind(&mut self, parameter: impl ToSql + Sync + Send + 'static) -> String {
        self.bound.bind(parameter)
    }

    /// Of all keys when there is none.
    pub(super) fn of_keys(&mut self, ids: &[KeyId]) {
        if !ids.is_empty() {
            let place = self.bind(ids.iter().map(|key| *key.as_uuid()).collect::<Vec<_>>());
            self.both(&format!("key_id = ANY({place})"));
        }
    }

    /// On columns that both tables have. `clause` names places of what was bound for it.
    pub(super) fn both(&mut self, clause: &str) {
        self.both.push_str(" AND ");
        self.both.push_str(clause);
    }

    /// Tags and texts, which no sum knows: the cover must be of events alone.
    pub(super) fn of_texts(&mut self, custom_ids: &[String], user_ids: &[String], tags: &[String]) {
        for (column, texts) in [("custom_id", custom_ids), ("user_id", user_ids)] {
            if !texts.is_empty() {
                let place = self.bind(briefs(texts));
                // Only the plain form can use a partial index.
                let column =
                    if texts.iter().any(String::is_empty) { format!("coalesce({column}, '')") } else { column.into() };
                self.only_events.push_str(&format!(" AND {column} = ANY({place})"));
            }
        }
        if !tags.is_empty() {
            let place = self.bind(briefs(tags));
            self.only_events.push_str(&format!(" AND tags @> {place}"));
        }
    }

    /// The parts of a sum, to be summed up: `by` (expressions on both tables with the names of their columns, `AT` standing
    /// for the moment), then the wanted sums.
    pub(super) fn parts(&self, by: &[(String, &str)], wanted: &[&str]) -> String {
        let grouped = |from: &str, at: &str, number: &dyn Fn(&str) -> String, rest: &str| {
            let columns = by.iter().map(|(expression, name)| format!("{} AS {name}", expression.replace("AT", at)));
            let numbers = wanted.iter().map(|name| format!("{} AS {name}", number(name)));
            let selected = columns.chain(numbers).collect::<Vec<_>>().join(", ");
            let places = (1..=by.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
            let group = if by.is_empty() { String::new() } else { format!(" GROUP BY {places}") };
            format!("SELECT {selected} FROM {from} WHERE true{}{rest}{group}", self.both)
        };
        let of_events = |name: &str| match name {
            "requests" => "count(*)::numeric".to_owned(),
            "successes" => "count(*) FILTER (WHERE status = 200)::numeric".to_owned(),
            column => format!("sum({column})"),
        };
        let of_sums = |name: &str| format!("sum({name})::numeric");
        // Those of all keys together are a row where those of each key are thousands.
        let by_key = !self.both.is_empty() || by.iter().any(|(_, name)| *name == "key_id");
        let whose = format!(" AND key_id {} '{ALL_KEYS}'", if by_key { "<>" } else { "=" });
        let parts = [
            self.sums.as_ref().map(|from| grouped(from, "start", &of_sums, &whose)),
            self.events.as_ref().map(|from| grouped(from, "created_at", &of_events, &self.only_events)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// The events themselves, where sums do not answer.
    pub(super) fn events(&self) -> Option<String> {
        let from = self.events.as_ref()?;
        Some(format!("FROM {from} WHERE true{}{}", self.both, self.only_events))
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.bound.parameters()
    }
}

/// Cost per key, nobody's left out. Memory: one entry per key. A row of sums stays for a while when all its events were
/// deleted: it is of no event then.
pub(super) async fn cost_by_key(client: &impl GenericClient, asked: &Asked) -> Result<HashMap<KeyId, Money>> {
    let sql = format!(
        "SELECT key_id, {} FROM ({}) AS parts WHERE key_id IS NOT NULL AND key_id <> '{}' GROUP BY 1 HAVING sum(requests) > 0",
        saturated("sum(cost)"),
        asked.parts(&[("key_id".to_owned(), "key_id")], &["requests", "cost"]),
        Uuid::nil(),
    );
    let rows = client.query(&sql, &asked.parameters()).await?;
    rows.iter().map(read).collect()
}

/// The range of time that holds every event, whole hours; `None` = there is none.
pub(super) async fn extent(client: &impl GenericClient) -> Result<Option<(i64, i64)>> {
    let sql = "SELECT min(start), max(start) FROM usage_by_time WHERE span = $1";
    let row = client.query_one(sql, &[&HOUR]).await?;
    let (first, last): (Option<i64>, Option<i64>) = read(&row)?;
    Ok(first.zip(last).map(|(first, last)| (first, last.saturating_add(HOUR))))
}

/// From a moment on, without end.
pub(super) fn since(moment: i64) -> Cover {
    Cover::of((moment, FAR), Finest::Hour)
}

/// Events of one statement when a whole table is folded, as many as one of an insert. A client takes a server for gone
/// that is silent for longer than a statement may take, and folding a large table takes many times that.
const SLICE: u64 = if cfg!(test) { 50 } else { 2_000 };

/// Folds every event of `table`, a name that is ours, into the sums, slice by slice by id; how many there were.
pub(super) async fn fold_all(tx: &Transaction<'_>, table: &str, way: Way) -> Result<u64> {
    let slice = |after: &str| {
        format!(
            "WITH part AS MATERIALIZED (SELECT {FOLDED} FROM {table} WHERE id {after} $1 ORDER BY id LIMIT {SLICE}), {} \
             SELECT (SELECT id FROM part ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM part)",
            fold("part", way)
        )
    };
    let (mut statement, rest) = (tx.prepare(&slice(">=")).await?, tx.prepare(&slice(">")).await?);
    let (mut last, mut all) = (Uuid::nil(), 0);
    loop {
        let row = tx.query_one(&statement, &[&last]).await?;
        let (newest, count) = read::<(Option<Uuid>, u64)>(&row)?;
        all += count;
        match newest {
            Some(id) if count == SLICE => last = id,
            _ => return Ok(all),
        }
        statement.clone_from(&rest);
    }
}

impl PostgresStore {
    /// Makes the sums per hour and day anew from the events there are: after an import, or when they are in doubt. No
    /// event is written meanwhile. What keys have spent in all is not touched: it outlives events.
    pub async fn rebuild_sums(&self) -> Result<()> {
        let mut connection = self.write_connection().await?;
        let tx = connection.transaction().await?;
        tx.batch_execute(
            "SET LOCAL statement_timeout = 0; LOCK TABLE events IN SHARE MODE; TRUNCATE usage_by_time, latency_by_time",
        )
        .await?;
        fold_all(&tx, "events", Way::Add).await?;
        tx.commit().await?;
        Ok(())
    }
}
