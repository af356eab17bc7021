//! Environment variables as a value: those of the process, and those of a `.env` file. The only code that asks the
//! operating system for them; nothing ever sets one.

use super::declare::variable;
use super::mistake::{Mistakes, did_you_mean};
use super::sections;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

const PREFIX: &str = "TOLLGATE_";

/// Names and values. `Debug` shows the names only: any value may be a secret.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// Set, but not to UTF-8.
    unreadable: BTreeSet<String>,
}

impl Environment {
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut found = Self::default();
        for (name, value) in variables {
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    found.values.insert(name, value);
                }
                Err(_) => {
                    found.unreadable.insert(name);
                }
            }
        }
        found
    }
    /// Empty counts as not set: that is how container tools pass a variable nobody gave.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.contains(name)
    }
}

impl FromIterator<(String, String)> for Environment {
    /// The first of several values of one name counts, as in a `.env` file.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            values.entry(name).or_insert(value);
        }
        Self { values, unreadable: BTreeSet::new() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys().chain(&self.unreadable)).finish()
    }
}

/// The usual syntax: `NAME=value`, quotes, comments, `export`. `${NAME}` in a value is replaced from earlier lines
/// and from the process.
pub(super) fn parse_dotenv(text: &str, mistakes: &mut Mistakes) -> Environment {
    let mut pairs = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for item in dotenvy::Iter::new(text.as_bytes()) {
        match item {
            Ok(pair) => pairs.push(pair),
            // The error repeats the line, which may hold a secret: only its number is told.
            Err(dotenvy::Error::LineParse(line, _)) => {
                let number = text.lines().position(|l| l.trim() == line.trim()).map(|n| format!(":{}", n + 1));
                let place = format!(".env{}", number.unwrap_or_default());
                mistakes.add(&place, "is not of the form NAME=value".to_owned(), None);
            }
            Err(_) => {
                mistakes.add(".env", "cannot be read".to_owned(), None);
                break;
            }
        }
    }
    pairs.into_iter().collect()
}

/// A misspelled variable of ours must not be silently without effect.
pub(super) fn refuse_unknown(environment: &Environment, place: &str, mistakes: &mut Mistakes) {
    let known = variables();
    for name in environment.values.keys().chain(&environment.unreadable) {
        let value = environment.get(name).unwrap_or_default();
        if name.starts_with(PREFIX) && !known.contains(name) && !is_service_link(name, value) {
            let hint = did_you_mean(name, known.iter().cloned());
            mistakes.add(&format!("{name}{place}"), format!("is not a known variable{hint}"), None);
        }
    }
}

/// All names of ours, aliases with our prefix included.
pub(super) fn variables() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for section in sections::all() {
        for key in section.keys {
            names.insert(variable(section.path, key.name));
            names.extend(key.aliases.iter().filter(|alias| alias.starts_with(PREFIX)).map(|alias| (*alias).to_owned()));
        }
    }
    names
}

/// Kubernetes and Docker links put `TOLLGATE_SERVICE_HOST`, `TOLLGATE_PORT=tcp://...`, `TOLLGATE_PORT_8002_TCP_ADDR`
/// and the like into every container beside a service named `tollgate` or `tollgate-...`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            && parts.next().is_some_and(|p| matches!(p, "TCP" | "UDP" | "SCTP"))
            && parts.next().is_none_or(|p| matches!(p, "PROTO" | "PORT" | "ADDR"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.split("_PORT_").skip(1).any(is_port)
}
