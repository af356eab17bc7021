//! A value of a client's request and where it stands, so that every complaint names the member at fault.

use crate::wire::chat::{BadRequest, parsed};
use crate::wire::json_walk::whole_number;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most names of members that are reported.
const FOREIGN: usize = 32;
/// The most characters of a name that are repeated to the client.
const NAME: usize = 64;

#[derive(Debug)]
pub(super) struct Field<'a> {
    raw: &'a RawValue,
    path: String,
}

impl<'a> Field<'a> {
    pub(super) fn root(body: &'a [u8]) -> Result<Self, BadRequest> {
        let raw = serde_json::from_slice(body).map_err(|error| BadRequest {
            message: format!("The body is not valid JSON (line {}, column {}).", error.line(), error.column()),
            param: None,
            code: None,
        })?;
        Ok(Self { raw, path: String::new() })
    }

    pub(super) const fn raw(&self) -> &'a RawValue {
        self.raw
    }

    pub(super) fn wrong(&self, message: &str) -> BadRequest {
        if self.path.is_empty() {
            return BadRequest { message: format!("The body {message}"), param: None, code: None };
        }
        BadRequest::of(self.path.clone(), format!("{} {message}", self.path))
    }

    pub(super) fn unsupported(&self) -> BadRequest {
        BadRequest::unsupported(self.path.clone(), format!("{} is not supported.", self.path))
    }

    fn parse<T: Deserialize<'a>>(&self, message: &str) -> Result<T, BadRequest> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong(message))
    }

    pub(super) fn text(&self) -> Result<String, BadRequest> {
        parsed::text(self.raw).ok_or_else(|| self.wrong("must be a string."))
    }
    pub(super) fn count(&self) -> Result<u64, BadRequest> {
        whole_number(self.raw.get().as_bytes()).ok_or_else(|| self.wrong("must be a whole number, 0 or more."))
    }
    pub(super) fn number(&self) -> Result<f64, BadRequest> {
        self.parse("must be a number.")
    }
    pub(super) fn flag(&self) -> Result<bool, BadRequest> {
        self.parse("must be true or false.")
    }

    /// Items of an array; those that are `null` are left out.
    pub(super) fn list(&self) -> Result<Vec<Self>, BadRequest> {
        let items = parsed::elements(self.raw.get().as_bytes()).ok_or_else(|| self.wrong("must be an array."))?;
        let field = |(at, raw)| Self { raw, path: format!("{}[{at}]", self.path) };
        Ok(items.into_iter().enumerate().map(field).filter(|item| item.raw.get() != "null").collect())
    }

    /// Members of an object in their order; those that are `null` are left out.
    pub(super) fn members(&self) -> Result<Vec<(String, Self)>, BadRequest> {
        let members = parsed::members(self.raw.get().as_bytes());
        let members = members.ok_or_else(|| self.wrong("must be an object with each member once."))?;
        let field = |(name, raw): (String, &'a RawValue)| {
            let shown: String = name.chars().take(NAME).collect();
            let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
            (name, Self { raw, path })
        };
        Ok(members.into_iter().filter(|(_, raw)| raw.get() != "null").map(field).collect())
    }

    /// The one member of an object that is what its name says.
    pub(super) fn only_member(&self) -> Result<(String, Self), BadRequest> {
        let mut members = self.members()?;
        match (members.pop(), members.is_empty()) {
            (Some(member), true) => Ok(member),
            _ => Err(self.wrong("must be an object with exactly one member.")),
        }
    }

    /// The member of that name, where there is one.
    pub(super) fn member(&self, name: &str) -> Result<Option<Self>, BadRequest> {
        Ok(self.members()?.into_iter().find(|(found, _)| found == name).map(|(_, field)| field))
    }

    /// The same, where there must be one.
    pub(super) fn needed(&self, name: &str) -> Result<Self, BadRequest> {
        self.member(name)?.ok_or_else(|| self.wrong(&format!("must have a member {name}.")))
    }

    /// It asks for nothing: `null`, `false`, or empty.
    fn is_void(&self) -> bool {
        let packed: String = self.raw.get().chars().filter(|c| !c.is_whitespace()).take(6).collect();
        matches!(packed.as_str(), "null" | "false" | "\"\"" | "[]" | "{}")
    }
}

/// Names of members that nothing can be made of.
#[derive(Debug, Default)]
pub(super) struct Foreign(pub(super) Vec<String>);

impl Foreign {
    pub(super) fn note(&mut self, field: &Field<'_>) {
        self.note_as(field, &field.path);
    }

    /// By a shorter name than its place: that of a member which many blocks have.
    pub(super) fn note_as(&mut self, field: &Field<'_>, name: &str) {
        if field.is_void() || self.0.len() >= FOREIGN {
            return;
        }
        let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
        let name: String = name.chars().map(fits).take(NAME).collect();
        if !name.is_empty() && !self.0.contains(&name) {
            self.0.push(name);
        }
    }
}
