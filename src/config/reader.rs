//! Finds the value in force for each key and keeps the account: what was taken from where, and what was wrong.

use super::Setting;
use super::declare::{Form, full_name, quote, variable};
use super::environment::Environment;
use super::file::Entries;
use super::mistake::Mistakes;
use super::sections;
use super::value::{Raw, Sight, Value};
use std::collections::{BTreeMap, BTreeSet};

const MASK: &str = "********";
const DEFAULT: &str = "default";

pub(super) struct Reader<'a> {
    file: &'a Entries,
    file_name: &'a str,
    /// First wins; with what follows a variable's name in messages.
    environments: [(&'static str, &'a Environment); 2],
    mistakes: Mistakes,
    settings: Vec<Setting>,
    /// Where each key that is not at its default was set.
    origins: BTreeMap<String, String>,
    /// Keys whose value could not be read: rules must not judge what stands in for it.
    unread: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: &'a Entries,
        file_name: &'a str,
        environments: [(&'static str, &'a Environment); 2],
        mistakes: Mistakes,
    ) -> Self {
        Self {
            file,
            file_name,
            environments,
            mistakes,
            settings: Vec::new(),
            origins: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// The value in force. A bad one is recorded and the default stands in, so that the search for mistakes goes on;
    /// `None` only when the default itself is bad.
    pub(super) fn take<T: Value>(
        &mut self,
        section: &str,
        key: &str,
        default: &'static str,
        aliases: &[&str],
    ) -> Option<T> {
        let name = full_name(section, key);
        let found = self.find(&name, &variable(section, key), aliases);
        if let Some((raw, origin)) = &found {
            self.origins.insert(name.clone(), origin.clone());
            match T::read(raw) {
                Ok(value) => {
                    self.show::<T>(&name, raw, origin);
                    return Some(value);
                }
                Err(fault) => {
                    let subject = match T::SIGHT {
                        Sight::Open => literal(raw, Form::Quoted),
                        Sight::WhenGood | Sight::Never => "the value".to_owned(),
                    };
                    self.mistakes.add(&name, format!("{subject} {fault}"), Some(origin.clone()));
                    self.unread.insert(name.clone());
                }
            }
        }
        let raw = Raw::Text(default.to_owned());
        self.show::<T>(&name, &raw, DEFAULT);
        T::read(&raw).map_err(|fault| self.mistakes.add(&name, format!("its default {fault}"), None)).ok()
    }

    fn find(&mut self, name: &str, variable: &str, aliases: &[&str]) -> Option<(Raw, String)> {
        let mut names = vec![variable];
        names.extend(aliases);
        for alias in sections::shared_aliases(name) {
            names.push(alias);
        }
        for (place, environment) in self.environments {
            for variable in &names {
                if environment.is_unreadable(variable) {
                    let origin = Some(format!("{variable}{place}"));
                    self.mistakes.add(name, "the value is not UTF-8".to_owned(), origin);
                    self.unread.insert(name.to_owned());
                }
                if let Some(value) = environment.get(variable).filter(|value| !is_platform_link(variable, value)) {
                    return Some((Raw::Text(value.to_owned()), format!("{variable}{place}")));
                }
            }
        }
        let entry = self.file.get(name)?;
        Some((entry.raw.clone(), format!("{}:{}", self.file_name, entry.line)))
    }

    fn show<T: Value>(&mut self, key: &str, raw: &Raw, origin: &str) {
        let value = match (T::SIGHT, raw) {
            (Sight::Never, Raw::Text(text)) if text.is_empty() => T::FORM.literal(""),
            (Sight::Never, Raw::List(parts)) if parts.is_empty() => T::FORM.literal(""),
            (Sight::Never, _) if T::FORM == Form::List => T::FORM.literal(&quote(MASK)),
            (Sight::Never, _) => T::FORM.literal(MASK),
            _ => literal(raw, T::FORM),
        };
        self.settings.push(Setting { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    pub(super) fn is_default(&self, key: &str) -> bool {
        !self.origins.contains_key(key)
    }

    /// A default that depends on other keys.
    pub(super) fn replace_default(&mut self, key: &str, value: &str, why: &str) {
        if let Some(setting) = self.settings.iter_mut().find(|setting| setting.key == key) {
            setting.value = quote(value);
            setting.origin = format!("{DEFAULT}, {why}");
        }
    }

    /// Records a broken rule among keys, at the first of them that the operator set; not if one of them could not even be read.
    pub(super) fn refuse(&mut self, keys: &[&str], what: impl Into<String>) {
        if keys.iter().any(|key| self.unread.contains(*key)) {
            return;
        }
        // The key that the operator did set is the one to look at.
        let at = keys.iter().find(|key| !self.is_default(key)).or_else(|| keys.first());
        if let Some(key) = at {
            let origin = self.origins.get(*key).cloned();
            self.mistakes.add(key, what.into(), origin);
        }
    }

    pub(super) fn finish(self) -> (Vec<Setting>, Mistakes) {
        (self.settings, self.mistakes)
    }
}

/// Container platforms set `REDIS_PORT=tcp://10.0.0.7:6379` for a service of that name: nobody's setting.
fn is_platform_link(variable: &str, value: &str) -> bool {
    variable.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"))
}

fn literal(raw: &Raw, form: Form) -> String {
    match raw {
        Raw::Text(text) if form == Form::Bare => text.clone(),
        Raw::Text(text) if form == Form::List => list(text.split(',').map(str::trim).filter(|part| !part.is_empty())),
        Raw::Text(text) => quote(text),
        Raw::Integer(number) => number.to_string(),
        Raw::Switch(on) => on.to_string(),
        Raw::List(parts) if form == Form::List => list(parts.iter().map(String::as_str)),
        Raw::List(_) => "the list".to_owned(),
        Raw::Unfit(kind) => format!("the {kind}"),
    }
}

fn list<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", parts.map(quote).collect::<Vec<_>>().join(", "))
}
