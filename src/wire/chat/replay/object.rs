//! An object whose members stay as they were written: taken apart one level, changed, and put together again.

use super::super::parsed;
use crate::wire::json_walk::{elements, members, string};
use std::borrow::Cow;

#[derive(Clone, Debug, Default)]
pub(super) struct Object<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// `None`: it is none, or names a member twice.
    pub(super) fn of(json: &'a str) -> Option<Self> {
        let members = parsed::members(json.as_bytes())?.into_iter();
        Some(Self(members.map(|(name, value)| (name, Cow::Borrowed(value.get()))).collect()))
    }

    /// The value as JSON, unless it is `null`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_ref()).filter(|value| *value != "null")
    }
    /// Between its quotes, escapes unresolved; empty for what is no string.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(inside).unwrap_or_default()
    }
    pub(super) fn elements(&self, name: &str) -> Option<Vec<&str>> {
        self.get(name).map_or_else(|| Some(Vec::new()), list)
    }

    /// Where it stood, or at the end.
    pub(super) fn set(&mut self, name: &str, json: impl Into<Cow<'a, str>>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json.into(),
            None => self.0.push((name.to_owned(), json.into())),
        }
    }
    /// As [`Self::set`], but for members that are not there.
    pub(super) fn reset(&mut self, name: &str, json: &'a str) {
        if self.0.iter().any(|(known, _)| known == name) {
            self.set(name, json);
        }
    }
    pub(super) fn with(mut self, name: &str, json: impl Into<Cow<'a, str>>) -> Self {
        self.set(name, json);
        self
    }
    pub(super) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1).filter(|value| value != "null")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    pub(super) fn json(&self) -> String {
        let members: Vec<String> = self.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (String, Cow<'a, str>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The elements of a list, as they were written.
pub(super) fn list(json: &str) -> Option<Vec<&str>> {
    Some(parsed::elements(json.as_bytes())?.into_iter().map(|element| element.get()).collect())
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Of a string, what stands between its quotes.
pub(super) fn inside(json: &str) -> Option<&str> {
    string(json.as_bytes()).and_then(|inner| std::str::from_utf8(inner).ok())
}

/// `null`, zero, or nothing in it.
pub(super) fn is_blank(json: &str) -> bool {
    match json.as_bytes() {
        b"null" | b"\"\"" | b"0" => true,
        list @ [b'[', ..] => elements(list).next().is_none(),
        object @ [b'{', ..] => members(object).next().is_none(),
        _ => false,
    }
}
