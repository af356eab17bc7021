//! The members of a JSON object, each read when it is asked for: mistakes are told by the path of the member, and what
//! nobody asked for can be named afterwards. Values are slices of the body until they are read.

use super::BadRequest;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names that are told at most.
const FOREIGN_LIMIT: usize = 32;
/// Characters of a name that is told.
const NAME_LIMIT: usize = 64;

/// One object and where it stands. `null` is as good as absent; of a name that comes twice the last one counts.
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

struct Entries<'a>(Vec<Entry<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<Entry<'de>>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push(Entry { name, value, asked_for: false });
                }
                Ok(entries)
            }
        }
        from.deserialize_map(Object).map(Self)
    }
}

impl<'a> Members<'a> {
    /// # Errors
    /// The body is no JSON object.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, BadRequest> {
        serde_json::from_slice(body)
            .map(|Entries(entries)| Self { at: String::new(), entries })
            .map_err(|_| BadRequest { message: "The body must be a JSON object.".into(), param: None, code: None })
    }

    /// # Errors
    /// The value at this path is no object.
    pub(super) fn of(value: &'a RawValue, at: impl Into<String>) -> Result<Self, BadRequest> {
        let at = at.into();
        match serde_json::from_str(value.get()) {
            Ok(Entries(entries)) => Ok(Self { at, entries }),
            Err(_) => Err(must_be(&at, "an object")),
        }
    }

    /// The path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// The value as it was written, unless it is `null`.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let mut found = None;
        for entry in self.entries.iter_mut().filter(|entry| entry.name == name) {
            entry.asked_for = true;
            found = Some(entry.value);
        }
        found.filter(|value| value.get() != "null")
    }

    /// `what`: in the sentence "x must be ...".
    pub(super) fn read<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Result<Option<T>, BadRequest> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| must_be(&self.path(name), what))
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        self.read(name, "a string")
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, BadRequest> {
        self.read(name, "true or false")
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, BadRequest> {
        self.read(name, "a number")
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, BadRequest> {
        self.read(name, "a whole number, not below 0")
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
    let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| must_be(at, "a list"))?;
    Ok(elements.into_iter().enumerate().map(|(nth, value)| (format!("{at}[{nth}]"), value)).collect())
}

/// Text, when the value is one.
pub(super) fn as_text(value: &RawValue) -> Option<String> {
    if value.get().starts_with('"') { serde_json::from_str(value.get()).ok() } else { None }
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
