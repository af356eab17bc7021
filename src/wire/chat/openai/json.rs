//! JSON as it is read here. [`Node`] is for requests: a value that knows where it stands, so that an error can say it.
//! The functions are for answers of upstreams: what is not as it should be is not there.

use super::super::{BadRequest, parsed};
use crate::wire::json_walk::{elements, member, members, string, unescape, whole_number};
use serde_json::value::RawValue;
use std::fmt::Display;

/// A value of a request, and its place in it.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: &'a [u8],
    /// `messages[2].content`; empty for the whole.
    pub path: String,
}

/// The members of an object, in order. Those that are `null` are absent.
#[derive(Debug)]
pub(super) struct Object<'a> {
    members: Vec<(String, &'a [u8])>,
    path: String,
}

impl<'a> Node<'a> {
    /// # Errors
    /// The body is not JSON.
    pub(super) fn whole(body: &'a [u8]) -> Result<Self, BadRequest> {
        let raw: &RawValue = serde_json::from_slice(body).map_err(|_| BadRequest {
            message: "The body is not valid JSON.".into(),
            param: None,
            code: None,
        })?;
        Ok(Self { value: raw.get().as_bytes(), path: String::new() })
    }

    pub(super) fn wrong(&self, message: impl Display) -> BadRequest {
        let Self { path, .. } = self;
        BadRequest::of(path, format!("{path} {message}"))
    }
    fn should_be(&self, kind: &str) -> BadRequest {
        self.wrong(format_args!("must be {kind}."))
    }

    pub(super) fn value(&self) -> &'a [u8] {
        self.value
    }
    pub(super) fn is_text(&self) -> bool {
        self.value.starts_with(b"\"")
    }
    pub(super) fn is_object(&self) -> bool {
        self.value.starts_with(b"{")
    }
    pub(super) fn is_array(&self) -> bool {
        self.value.starts_with(b"[")
    }
    /// Says nothing: `null`, `false`, zero, or empty.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            b"null" | b"false" | b"\"\"" => true,
            [b'[', ..] => elements(self.value).next().is_none(),
            [b'{', ..] => members(self.value).next().is_none(),
            number => whole_number(number) == Some(0),
        }
    }

    pub(super) fn text(&self) -> Result<String, BadRequest> {
        let raw = string(self.value).ok_or_else(|| self.should_be("a string"))?;
        Ok(unescape(raw).into_owned())
    }
    pub(super) fn number(&self) -> Result<u64, BadRequest> {
        whole_number(self.value).ok_or_else(|| self.should_be("a whole number that is not negative"))
    }
    pub(super) fn signed(&self) -> Result<i64, BadRequest> {
        serde_json::from_slice(self.value).map_err(|_| self.should_be("a whole number"))
    }
    pub(super) fn float(&self) -> Result<f64, BadRequest> {
        serde_json::from_slice(self.value).map_err(|_| self.should_be("a number"))
    }
    pub(super) fn flag(&self) -> Result<bool, BadRequest> {
        serde_json::from_slice(self.value).map_err(|_| self.should_be("true or false"))
    }
    /// The text of the value as the client wrote it.
    pub(super) fn raw(&self) -> Result<Box<RawValue>, BadRequest> {
        serde_json::from_slice(self.value).map_err(|_| self.should_be("JSON"))
    }
    pub(super) fn elements(&self) -> Result<Vec<Node<'a>>, BadRequest> {
        if !self.is_array() {
            return Err(self.should_be("an array"));
        }
        let values = parsed::elements(self.value).ok_or_else(|| self.wrong("has too many elements."))?;
        let node = |(at, value): (usize, &'a RawValue)| Node {
            value: value.get().as_bytes(),
            path: format!("{}[{at}]", self.path),
        };
        Ok(values.into_iter().enumerate().map(node).collect())
    }
    pub(super) fn object(&self) -> Result<Object<'a>, BadRequest> {
        if !self.is_object() {
            let kind = if self.path.is_empty() { "The body must be a JSON object." } else { "" };
            return Err(match kind {
                "" => self.should_be("an object"),
                _ => BadRequest { message: kind.into(), param: None, code: None },
            });
        }
        let Some(members) = parsed::members(self.value) else {
            let message = "must have each member once, and not thousands of them.";
            return Err(match self.path.as_str() {
                "" => BadRequest { message: format!("The body {message}"), param: None, code: None },
                _ => self.wrong(message),
            });
        };
        let given = members.into_iter().filter(|(_, value)| value.get() != "null");
        let members = given.map(|(name, value)| (name, value.get().as_bytes())).collect();
        Ok(Object { members, path: self.path.clone() })
    }
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        let (_, value) = self.members.iter().find(|(found, _)| found == name)?;
        Some(Node { value, path: self.path_of(name) })
    }
    /// # Errors
    /// It is absent.
    pub(super) fn need(&self, name: &str) -> Result<Node<'a>, BadRequest> {
        self.get(name).ok_or_else(|| {
            let path = self.path_of(name);
            BadRequest::of(path.clone(), format!("{path} is missing."))
        })
    }
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Node<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_str(), Node { value, path: self.path_of(name) }))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, BadRequest> {
        self.get(name).map(|node| node.text()).transpose()
    }
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, BadRequest> {
        self.get(name).map(|node| node.number()).transpose()
    }
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>, BadRequest> {
        self.get(name).map(|node| node.float()).transpose()
    }
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, BadRequest> {
        self.get(name).map(|node| node.flag()).transpose()
    }
}

/// A member that is there and not `null`.
pub(super) fn get<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    member(object, name).map(|found| found.value).filter(|value| *value != b"null")
}

/// A member that is a string.
pub(super) fn text(object: &[u8], name: &str) -> Option<String> {
    text_of(get(object, name)?)
}

/// A member that is a string with something in it.
pub(super) fn some_text(object: &[u8], name: &str) -> Option<String> {
    text(object, name).filter(|text| !text.is_empty())
}

pub(super) fn text_of(value: &[u8]) -> Option<String> {
    Some(unescape(string(value)?).into_owned())
}

/// A member that is a whole number.
pub(super) fn number(object: &[u8], name: &str) -> Option<u64> {
    whole_number(get(object, name)?)
}
