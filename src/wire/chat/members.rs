//! The members of a JSON object, each read when it is asked for: mistakes are told by the path of the member, and what
//! nobody asked for can be named afterwards. Values are slices of the body until they are read.

use super::{BadRequest, parsed};
use crate::wire::json_walk::whole_number;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Names that are told at most.
const FOREIGN_LIMIT: usize = 32;
/// Characters of a name that is told.
const NAME_LIMIT: usize = 64;

/// One object and where it stands. `null` is as good as absent. Each name comes once.
#[derive(Debug)]
pub(super) struct Members<'a> {
    /// Path in the client's words; empty at the top.
    at: String,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    name: String,
    value: &'a RawValue,
    asked_for: bool,
}

impl<'a> Members<'a> {
    /// # Errors
    /// The body is no JSON object.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, BadRequest> {
        Self::taken_apart(body, String::new()).ok_or_else(|| BadRequest {
            message: "The body must be a JSON object with each member once.".into(),
            param: None,
            code: None,
        })
    }

    /// # Errors
    /// The value at this path is no object.
    pub(super) fn of(value: &'a RawValue, at: impl Into<String>) -> Result<Self, BadRequest> {
        let at = at.into();
        let wrong = must_be(&at, "an object with each member once");
        Self::taken_apart(value.get().as_bytes(), at).ok_or(wrong)
    }

    fn taken_apart(json: &'a [u8], at: String) -> Option<Self> {
        let entry = |(name, value)| Entry { name, value, asked_for: false };
        Some(Self { at, entries: parsed::members(json)?.into_iter().map(entry).collect() })
    }

    /// The path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// The value as it was written, unless it is `null`.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let entry = self.entries.iter_mut().find(|entry| entry.name == name)?;
        entry.asked_for = true;
        Some(entry.value).filter(|value| value.get() != "null")
    }

    /// `what`: in the sentence "x must be ...".
    pub(super) fn read<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Result<Option<T>, BadRequest> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| must_be(&self.path(name), what))
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        parsed::text(value).map(Some).ok_or_else(|| must_be(&self.path(name), "a string"))
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, BadRequest> {
        self.read(name, "true or false")
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, BadRequest> {
        self.read(name, "a number")
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, BadRequest> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let wrong = || must_be(&self.path(name), "a whole number, not below 0");
        whole_number(value.get().as_bytes()).map(Some).ok_or_else(wrong)
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Members<'a>>, BadRequest> {
        let at = self.path(name);
        self.raw(name).map(|value| Self::of(value, at)).transpose()
    }

    /// As [`Self::string`], where there must be one.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, BadRequest> {
        self.string(name)?.ok_or_else(|| BadRequest::of(self.path(name), format!("{} is missing.", self.path(name))))
    }

    /// Each element with its path.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<(String, &'a RawValue)>, BadRequest> {
        let at = self.path(name);
        self.raw(name).map_or_else(|| Ok(Vec::new()), |value| list(value, &at))
    }

    /// Names what nobody has asked for and has a value that means something. `under`: what stands before the names.
    pub(super) fn name_the_rest(&self, under: &str, foreign: &mut Vec<String>) {
        for entry in self.entries.iter().filter(|entry| !entry.asked_for && means_something(entry.value)) {
            name_foreign(&format!("{under}{}", entry.name), foreign);
        }
    }
}

/// Each element with its path.
pub(super) fn list<'a>(value: &'a RawValue, at: &str) -> Result<Vec<(String, &'a RawValue)>, BadRequest> {
    let elements = parsed::elements(value.get().as_bytes()).ok_or_else(|| must_be(at, "a list"))?;
    Ok(elements.into_iter().enumerate().map(|(nth, value)| (format!("{at}[{nth}]"), value)).collect())
}

/// Text, when the value is one.
pub(super) fn as_text(value: &RawValue) -> Option<String> {
    parsed::text(value)
}

pub(super) fn must_be(at: &str, what: &str) -> BadRequest {
    BadRequest::of(at, format!("{at} must be {what}."))
}

/// Adds a name that no other API knows; the names of a client are as long and as many as it likes.
pub(super) fn name_foreign(name: &str, foreign: &mut Vec<String>) {
    if foreign.len() >= FOREIGN_LIMIT {
        return;
    }
    let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let name: String = name.chars().filter(safe).take(NAME_LIMIT).collect();
    if !name.is_empty() && !foreign.contains(&name) {
        foreign.push(name);
    }
}

/// Neither `null`, `false` nor empty. A zero may be an answer to "how many?", so it counts.
pub(super) fn means_something(value: &RawValue) -> bool {
    let text = value.get();
    let within = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(inside) = within('{', '}').or_else(|| within('[', ']')) {
        return !inside.trim().is_empty();
    }
    !matches!(text, "null" | "false" | "\"\"")
}

#[cfg(test)]
mod tests;
