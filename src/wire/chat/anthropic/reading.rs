//! A client's JSON, read with the path at hand: what is wrong is named where it stands, `messages[2].content[0].text`.
//! The value at fault is never repeated.

use super::super::{BadRequest, parsed};
use crate::wire::json_walk;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A value and the way to it. Never `null`: that counts as absent.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub(super) path: String,
    pub(super) raw: &'a RawValue,
}

/// An object and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Value<'a> {
    fn parse<T: Deserialize<'a>>(&self, what: &str) -> Result<T, BadRequest> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong(&format!("must be {what}")))
    }
    /// `{path} {why}.`
    pub(super) fn wrong(&self, why: &str) -> BadRequest {
        BadRequest::of(self.path.clone(), format!("{} {why}.", self.path))
    }
    pub(super) fn unsupported(&self, why: &str) -> BadRequest {
        BadRequest::unsupported(self.path.clone(), format!("{}: {why}.", self.path))
    }
    pub(super) fn string(&self) -> Result<String, BadRequest> {
        parsed::text(self.raw).ok_or_else(|| self.wrong("must be a string"))
    }
    pub(super) fn flag(&self) -> Result<bool, BadRequest> {
        self.parse("true or false")
    }
    pub(super) fn whole(&self) -> Result<u64, BadRequest> {
        json_walk::whole_number(self.raw.get().as_bytes())
            .ok_or_else(|| self.wrong("must be a whole number that is not negative"))
    }
    pub(super) fn number(&self) -> Result<f64, BadRequest> {
        self.parse("a number")
    }
    pub(super) fn list(&self) -> Result<Vec<Value<'a>>, BadRequest> {
        let raws = parsed::elements(self.raw.get().as_bytes()).ok_or_else(|| self.wrong("must be an array"))?;
        let item = |(at, raw)| Value { path: format!("{}[{at}]", self.path), raw };
        Ok(raws.into_iter().enumerate().map(item).collect())
    }
    pub(super) fn object(&self) -> Result<Object<'a>, BadRequest> {
        let members = parsed::members(self.raw.get().as_bytes());
        let members = members.ok_or_else(|| self.wrong("must be an object, with each member once"))?;
        Ok(Object { path: self.path.clone(), members })
    }
    pub(super) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }
    pub(super) fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }
    /// Says nothing: an empty text, list or object, or `false`.
    pub(super) fn is_empty(&self) -> bool {
        let text = self.raw.get();
        let inside = |open, close| text.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
        text == "false"
            || [('"', '"'), ('[', ']'), ('{', '}')]
                .into_iter()
                .any(|(open, close)| inside(open, close).is_some_and(|inner| inner.trim().is_empty()))
    }
}

impl<'a> Object<'a> {
    /// # Errors
    /// The body is no object, or names a member twice: two readers could then see two requests.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, BadRequest> {
        let wrong = || BadRequest {
            message: "The body must be a JSON object with each member once.".into(),
            param: None,
            code: None,
        };
        Ok(Self { path: String::new(), members: parsed::members(body).ok_or_else(wrong)? })
    }
    /// The members that are not `null`, in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.members
            .iter()
            .filter(|(_, raw)| raw.get() != "null")
            .map(|(name, raw)| (name.as_str(), Value { path: self.path_of(name), raw }))
    }
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        let (_, raw) = self.members.iter().find(|(n, raw)| n == name && raw.get() != "null")?;
        Some(Value { path: self.path_of(name), raw })
    }
    pub(super) fn need(&self, name: &str) -> Result<Value<'a>, BadRequest> {
        self.get(name).ok_or_else(|| {
            let path = self.path_of(name);
            BadRequest { message: format!("{path} is missing."), param: Some(path), code: None }
        })
    }
    pub(super) fn string(&self, name: &str) -> Result<Option<String>, BadRequest> {
        self.get(name).map(|v| v.string()).transpose()
    }
    pub(super) fn need_string(&self, name: &str) -> Result<String, BadRequest> {
        self.need(name)?.string()
    }
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, BadRequest> {
        self.get(name).map(|v| v.flag()).transpose()
    }
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { printable(name) } else { format!("{}.{}", self.path, printable(name)) }
    }
}

/// A name from the client, fit for messages and headers: at most 64 of `[A-Za-z0-9_.-]`.
pub(super) fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')).take(64).collect()
}
