//! JSON of others, taken apart one level at a time: the members of an object, the elements of a list, a text. Every form
//! reads requests with these, so that what one refuses no other lets through.

use crate::wire::json_walk::{string, unescape};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Members of an object, and elements of a list: what is taken apart is many times as large as its text. Schemas,
/// arguments and metadata stay whole.
const MOST_MEMBERS: usize = 10_000;
const MOST_ELEMENTS: usize = 100_000;

/// The members of an object in their order. `None`: it is none, has too many, or names one twice, in which two readers
/// would see two requests.
pub(super) fn members(json: &[u8]) -> Option<Vec<(String, &RawValue)>> {
    let Members(members) = serde_json::from_slice(json).ok()?;
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.is_sorted_by(|one, next| one < next).then_some(members)
}

/// The elements of a list. `None`: it is none, or has too many.
pub(super) fn elements(json: &[u8]) -> Option<Vec<&RawValue>> {
    serde_json::from_slice(json).ok().map(|Elements(elements)| elements)
}

/// The text that a string stands for; `None` for any other value. Half a surrogate pair, as cut texts end with one,
/// becomes U+FFFD.
pub(super) fn text(value: &RawValue) -> Option<String> {
    string(value.get().as_bytes()).map(|inner| unescape(inner).into_owned())
}

/// [`text`], for members of derived structs that may be absent.
pub(super) fn lossy<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = Option::<&'de RawValue>::deserialize(from)?;
    value.map(|value| text(value).ok_or_else(|| D::Error::custom("no text"))).transpose()
}

/// JSON without the white space between its tokens. `json` must be valid; members keep their order, numbers their
/// spelling.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        if !inside && c.is_ascii_whitespace() {
            continue;
        }
        out.push(c);
        if escaped {
            escaped = false;
        } else if inside && c == '\\' {
            escaped = true;
        } else if c == '"' {
            inside = !inside;
        }
    }
    out
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(member) = map.next_entry()? {
            if self.0.len() >= MOST_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            self.0.push(member);
        }
        Ok(self)
    }
}

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Elements<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(element) = list.next_element()? {
            if self.0.len() >= MOST_ELEMENTS {
                return Err(A::Error::custom("too many elements"));
            }
            self.0.push(element);
        }
        Ok(self)
    }
}
