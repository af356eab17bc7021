//! One row of a source as JSON, read column by column: a column that is missing, because the source is older, reads as
//! NULL, and a mistake names the column. Numbers keep the text that the database wrote.

use crate::domain::{Money, UnixMillis};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Why a row cannot be taken over. Never contains a value: it may be a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    column: Box<str>,
    why: Box<str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.column, self.why)
    }
}

/// `why` as the end of a sentence about the column.
pub(super) fn fault(column: &str, why: impl Into<Box<str>>) -> Fault {
    Fault { column: column.into(), why: why.into() }
}

pub(super) type Read<T> = Result<T, Fault>;

/// A row by its columns.
#[derive(Debug)]
pub(super) struct Record {
    /// Of the source's table; empty when there is none.
    pub(super) id: Box<str>,
    columns: BTreeMap<String, Box<RawValue>>,
}

impl Record {
    /// `None` when it is no object.
    pub(super) fn parse(json: &str, id: &str) -> Option<Self> {
        let columns: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
        let id = columns.get(id).map(|id| id.get().trim_matches('"').into()).unwrap_or_default();
        Some(Self { id, columns })
    }

    fn raw(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(|value| value.get()).filter(|text| *text != "null")
    }

    fn read<T: serde::de::DeserializeOwned>(&self, column: &str, wanted: &'static str) -> Read<Option<T>> {
        let Some(raw) = self.raw(column) else { return Ok(None) };
        serde_json::from_str(raw).map(Some).map_err(|_| fault(column, wanted))
    }

    pub(super) fn text_or_null(&self, column: &str) -> Read<Option<Box<str>>> {
        self.read(column, "is not text")
    }
    /// NULL reads as empty.
    pub(super) fn text(&self, column: &str) -> Read<Box<str>> {
        self.text_or_null(column).map(Option::unwrap_or_default)
    }
    /// NULL reads as no.
    pub(super) fn flag(&self, column: &str) -> Read<bool> {
        self.read(column, "is neither true nor false").map(Option::unwrap_or_default)
    }
    /// NULL reads as 0.
    pub(super) fn whole(&self, column: &str) -> Read<i64> {
        self.read(column, "is not a whole number of 64 bits").map(Option::unwrap_or_default)
    }
    /// NULL and what is negative read as 0.
    pub(super) fn count(&self, column: &str) -> Read<u64> {
        self.whole(column).map(|number| u64::try_from(number).unwrap_or(0))
    }
    /// NULL reads as empty, NULL among the texts as nothing.
    pub(super) fn texts(&self, column: &str) -> Read<Vec<String>> {
        let texts: Option<Vec<Option<String>>> = self.read(column, "is not an array of texts")?;
        Ok(texts.unwrap_or_default().into_iter().flatten().collect())
    }
    /// Seconds since 1970; NULL reads as 1970.
    pub(super) fn seconds(&self, column: &str) -> Read<UnixMillis> {
        self.whole(column).map(UnixMillis::from_seconds)
    }
    /// A timestamp without zone, taken for UTC; NULL reads as 1970.
    pub(super) fn timestamp(&self, column: &str) -> Read<UnixMillis> {
        let Some(text) = self.text_or_null(column)? else { return Ok(UnixMillis::default()) };
        timestamp(&text).ok_or_else(|| fault(column, "is not a timestamp without time zone"))
    }
    /// Dollars of a double, to the nearest unit; NULL reads as 0.
    pub(super) fn float_usd(&self, column: &str) -> Read<Money> {
        let Some(usd) = self.read::<f64>(column, "is not a finite number")? else { return Ok(Money::ZERO) };
        Money::from_usd_f64(usd).ok_or_else(|| fault(column, "is too large an amount"))
    }
    /// Dollars of an exact decimal; NULL reads as 0.
    pub(super) fn decimal_usd(&self, column: &str) -> Read<Money> {
        let Some(text) = self.raw(column) else { return Ok(Money::ZERO) };
        let text = text.trim_matches('"');
        // Zeros beyond the tenth digit say nothing.
        let short = match text.split_once('.') {
            Some((whole, fraction)) if fraction.len() > 10 => {
                let (kept, rest) = fraction.split_at_checked(10).unwrap_or((fraction, ""));
                if rest.bytes().any(|digit| digit != b'0') {
                    return Err(fault(column, "has more than ten digits after the point"));
                }
                format!("{whole}.{kept}")
            }
            _ => text.to_owned(),
        };
        Money::parse_usd(&short).ok_or_else(|| fault(column, "is not an amount that can be kept exactly"))
    }
    /// NULL and empty read as none.
    pub(super) fn uuid(&self, column: &str) -> Read<Option<Uuid>> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        Uuid::try_parse(&text).map(Some).map_err(|_| fault(column, "is not a UUID"))
    }
    /// JSON as the database writes it; SQL's and JSON's null read as none. A text that holds JSON is looked into.
    pub(super) fn json(&self, column: &str) -> Option<Box<RawValue>> {
        let raw = self.raw(column)?;
        if raw.starts_with('"') {
            let inner: String = serde_json::from_str(raw).ok()?;
            return RawValue::from_string(inner).ok().filter(|json| json.get() != "null");
        }
        RawValue::from_string(raw.to_owned()).ok()
    }
    /// The JSON of a column without its null members, NULL as the empty form of `T`.
    pub(super) fn json_as<T: serde::de::DeserializeOwned + Default>(&self, column: &str) -> Read<T> {
        let Some(raw) = self.json(column) else {
            let text = self.text_or_null(column).ok().flatten().unwrap_or_default();
            let empty = matches!(&*text, "" | "null");
            return if empty { Ok(T::default()) } else { Err(fault(column, "is a text that is not JSON")) };
        };
        let mut value: Value = serde_json::from_str(raw.get()).map_err(|_| fault(column, "is not JSON"))?;
        without_nulls(&mut value);
        serde_json::from_value(value).map_err(|_| fault(column, "does not have the form that it should have"))
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

/// `2024-09-10T08:15:30.123456`, to the millisecond.
fn timestamp(text: &str) -> Option<UnixMillis> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = UnixMillis::parse_rfc3339(&format!("{}Z", whole.replace(' ', "T")))?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(UnixMillis(seconds.0 + millis))
}

/// An object, also one that is written in a text.
pub(super) fn object(record: &Record, column: &str) -> Read<Map<String, Value>> {
    let raw = record.json(column).ok_or_else(|| fault(column, "is not a JSON object"))?;
    serde_json::from_str(raw.get()).map_err(|_| fault(column, "is not a JSON object"))
}

#[cfg(test)]
mod tests;
