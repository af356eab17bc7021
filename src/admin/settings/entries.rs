//! The `setting` map: which entries a provider knows, which of them are secret, and merging new over old.

use crate::admin::fields::Invalid;
use crate::admin::target;
use crate::domain::{CustomProvider, Secret};
use crate::providers::SettingSchema;
use std::collections::BTreeMap;

/// Entries as callers give them. The values may be secrets.
pub(super) type Given = BTreeMap<String, Secret>;

/// The entry that has a second spelling, and that spelling.
const API_KEY: &str = "apikey";
const API_KEY_ALIAS: &str = "apiKey";

/// Entries that hold the upstream's address.
const ADDRESSES: [&str; 2] = ["baseUrl", "url"];

/// Which entries a setting has.
pub(super) struct Known {
    required: Vec<Box<str>>,
    optional: Vec<Box<str>>,
    public: Vec<Box<str>>,
    /// Names are compared in lower case.
    folded: bool,
}

impl From<SettingSchema> for Known {
    fn from(schema: SettingSchema) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        Self {
            required: owned(schema.required),
            optional: owned(schema.optional),
            public: owned(schema.public),
            folded: false,
        }
    }
}

impl From<&CustomProvider> for Known {
    /// The one entry whose name the operator chose, which is kept in lower case.
    fn from(provider: &CustomProvider) -> Self {
        let entry = &provider.authentication_param;
        let required = if entry.is_empty() { Vec::new() } else { vec![entry.clone()] };
        Self { required, optional: Vec::new(), public: Vec::new(), folded: true }
    }
}

impl Known {
    fn has(&self, name: &str) -> bool {
        self.required.iter().chain(&self.optional).any(|known| **known == *name)
    }
    fn name(&self, given: String) -> String {
        match given.as_str() {
            _ if self.folded => given.to_lowercase(),
            API_KEY_ALIAS => API_KEY.into(),
            _ => given,
        }
    }
}

/// All entries of one setting, split by who may see them.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) parameters: BTreeMap<Box<str>, Box<str>>,
    pub(super) secrets: BTreeMap<Box<str>, Secret>,
}

/// The entries that `schema` knows, under their own names. Others are ignored, as unknown fields are everywhere.
pub(super) fn known(given: Given, schema: &Known, invalid: &mut Invalid) -> Given {
    let mut known = Given::new();
    if given.contains_key(API_KEY) && given.contains_key(API_KEY_ALIAS) {
        invalid.add("setting.apiKey", "and setting.apikey must not both be given");
    }
    for (name, value) in given {
        let name = schema.name(name);
        if schema.has(&name) {
            check(&name, value.expose(), invalid);
            known.insert(name, value);
        }
    }
    known
}

/// Every entry ends up in a header or a URL, where control characters have no place.
fn check(name: &str, value: &str, invalid: &mut Invalid) {
    let field = format!("setting.{name}");
    if value.chars().any(char::is_control) {
        invalid.add(&field, "must not contain control characters");
    } else if ADDRESSES.contains(&name)
        && !value.is_empty()
        && let Some(why) = target::objection(value)
    {
        invalid.add(&field, why);
    }
}

impl Entries {
    /// Writes `known` over these entry by entry; empty ones are removed. Then everything required must be there.
    pub(super) fn merge(&mut self, known: Given, schema: &Known, invalid: &mut Invalid) {
        for (name, value) in known {
            self.parameters.remove(name.as_str());
            self.secrets.remove(name.as_str());
            if value.is_empty() {
                continue;
            }
            if schema.public.iter().any(|public| **public == *name) {
                let is_address = ADDRESSES.contains(&name.as_str());
                let text = value.expose();
                // Paths are appended to it, and they begin with a slash.
                let text = if is_address { text.trim_end_matches('/') } else { text };
                self.parameters.insert(name.into(), text.into());
            } else {
                self.secrets.insert(name.into(), value);
            }
        }
        for name in &schema.required {
            if !self.parameters.contains_key(name) && !self.secrets.contains_key(name) {
                invalid.add(&format!("setting.{name}"), "must not be empty");
            }
        }
    }
}
